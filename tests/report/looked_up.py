"""What a run that looks things up leaves beside the rest, added to a made-up run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.evaluation.metrics import wilson

INDEX = "0fb4b777888e"
CUTOFFS = (1, 3, 5, 10)


def searched(by: str, split: str, n: int, *shares: float, **about: Any) -> dict[str, Any]:
    """An entry of `retrieval`: the shares of questions with a right passage among the first 1, 3, 5 and 10."""
    bounds = [wilson(share, n) for share in shares]
    hits = {
        str(k): {"value": share, "low": low, "high": high}
        for k, share, (low, high) in zip(CUTOFFS, shares, bounds, strict=True)
    }
    return {
        "by": by,
        "split": split,
        "n": n,
        "hits": hits,
        "right": "data",
        "retriever": "bm25",
        "arms": ["KARD"],
    } | about


RETRIEVAL = (
    searched("oracle", "test", 400, 0.95, 0.97, 0.995, 1.0),
    searched("question", "test", 400, 0.19, 0.66, 1.0, 1.0),
    searched("reranker", "test", 400, 0.84, 0.995, 1.0, 1.0),
    searched("rationale", "dev", 14, 1.0, 1.0, 1.0, 1.0),
    searched("question", "dev", 14, 0.5, 0.75, 1.0, 1.0),
)
GATES = (
    {"arm": "kard", "title": "KARD", "seed": 1, "n": 40, "with": 0.625, "without": 0.4, "open": True},
    {"arm": "kard", "title": "KARD", "seed": 2, "n": 40, "with": 0.35, "without": 0.4, "open": False},
)


def learning(*ndcg: float, baseline: float = 0.6) -> list[dict[str, Any]]:
    """The history of a reranker: its nDCG@10 on dev from epoch 0 on; Hits@1 is half of it."""
    level = {"hits@1": baseline / 2, "ndcg@10": baseline}
    return [
        {"epoch": n, "loss": None if n == 0 else 1 / n, "hits@1": v / 2, "ndcg@10": v, "baseline": level}
        for n, v in enumerate(ndcg)
    ]


def look_up(
    run: Path,
    *,
    arm: str = "kard",
    history: Sequence[Mapping[str, Any]] = (),
    retrieval: Sequence[Mapping[str, Any]] = RETRIEVAL,
    gates: Sequence[Mapping[str, Any]] = (),
    prompts: Sequence[Mapping[str, Any]] = (),
    text: str = "The beads are kept in a jar.",
    unshown: int = 0,
    leaks: str = "",
) -> Path:
    """Give an arm of a run two passages a question, and the run a knowledge base.

    The first passage is a right one; the second is not shown for the first `unshown` questions.
    """
    results = json.loads((run / "results.json").read_text())
    cited: list[dict[str, Any]] = []
    for row in results["arms"]:
        if row["arm"] == arm:
            row |= {"index": INDEX, "leaks": leaks}
            cited = _cite(run / row["predictions"], text, unshown)
    _write(run / "passages.jsonl", cited)
    results |= {"retrieval": retrieval, "gates": gates, "prompts": prompts}
    results["passages"] = {"path": "passages.jsonl", "cited": len(cited), "kept": len(cited)}
    if history:
        best = max(history, key=lambda r: r["ndcg@10"])["epoch"]
        about = {"kind": "late-interaction", "base": "pocket/nano", "select": "ndcg@10", "arms": ["KARD"]}
        results["rerankers"] = [{"history": "reranker.jsonl", "training": {"best_epoch": best}, **about}]
        _write(run / "reranker.jsonl", history)
    (run / "results.json").write_text(json.dumps(results))
    return run


def _cite(predictions: Path, text: str, unshown: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    cited: dict[str, dict[str, Any]] = {}
    for n, row in enumerate(rows):
        ids = [f"p-{n}", f"p-{n + 1}"]
        row["hits"] = [{"passage_id": id, "score": 9.5 - rank, "rank": rank} for rank, id in enumerate(ids)]
        for rationale in row["rationales"]:
            rationale["passage_ids"] = ids[: 1 if n < unshown else 2]
        for id in ids:
            known = cited.setdefault(
                id, {"index": INDEX, "id": id, "title": f"Jar {id}", "text": text, "right_for": []}
            )
            known["right_for"] += [row["question_id"]] if id == ids[0] else []
    _write(predictions, rows)
    return list(cited.values())


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
