"""The rerankers of a run: what they found on dev after each epoch, beside what the question finds by itself.

One row of a reranker's history (shortened); epoch 0 is before any training:

    {"epoch": 3, "loss": 0.85, "hits@1": 0.57, "ndcg@10": 0.88, "baseline": {"hits@1": 0.5, "ndcg@10": 0.62}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.report.files import read_rows


class Learnt(NamedTuple):
    """One reranker."""

    name: str
    """What it was made from."""
    kind: str
    arms: tuple[str, ...]
    """Titles of the arms whose passages it orders."""
    select: str
    """The figure its epoch was chosen by."""
    best_epoch: int | None
    history: tuple[Mapping[str, Any], ...]
    seed: int | None = None
    """None in runs of before this was written down, as below."""
    dev: int | None = None
    """Dev questions with a rationale, which its epoch was chosen by."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """The row of the epoch whose weights were kept; empty where nobody wrote it down."""
        return next((row for row in self.history if row.get("epoch") == self.best_epoch), {})

    @property
    def baseline(self) -> Mapping[str, float]:
        """What the question finds by itself among the same candidates."""
        return next((row["baseline"] for row in self.history if row.get("baseline")), {})

    @property
    def epochs(self) -> int:
        """The last epoch."""
        return max((row.get("epoch") or 0 for row in self.history), default=0)


def by_seeds(rerankers: Iterable[Learnt]) -> list[list[Learnt]]:
    """Rerankers of the same arms that differ in their seeds stand together."""
    groups: dict[tuple[str, str, tuple[str, ...], str], list[Learnt]] = {}
    for learnt in rerankers:
        groups.setdefault((learnt.name, learnt.kind, learnt.arms, learnt.select), []).append(learnt)
    return list(groups.values())


def read_rerankers(folder: Path, results: Mapping[str, Any]) -> tuple[Learnt, ...]:
    """The rerankers that the run trained."""
    return tuple(
        Learnt(
            name=row.get("base") or "reranker",
            kind=row.get("kind") or "",
            arms=tuple(row.get("arms") or ()),
            select=row.get("select") or "",
            best_epoch=(row.get("training") or {}).get("best_epoch"),
            history=tuple(read_rows(folder / row["history"])),
            seed=row.get("seed"),
            dev=row.get("dev"),
        )
        for row in results.get("rerankers") or ()
    )
