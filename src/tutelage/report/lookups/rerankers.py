"""The rerankers of a run: what they found on dev after each epoch, beside what the question finds by itself.

One row of a reranker's history (shortened); epoch 0 is before any training:

    {"epoch": 3, "loss": 0.85, "hits@1": 0.57, "ndcg@10": 0.88, "baseline": {"hits@1": 0.5, "ndcg@10": 0.62}}
"""

from __future__ import annotations

from collections.abc import Mapping
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
        )
        for row in results.get("rerankers") or ()
    )
