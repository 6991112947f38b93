"""What dev said of each student's passages: read with them, or answer without any.

One entry of `gates` in results.json:

    {"arm": "kard", "title": "KARD (reranker)", "seed": 1, "n": 150, "with": 0.62, "without": 0.41, "open": true}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tutelage.report.findings import percent


class Gate(NamedTuple):
    """The decision for one arm and seed."""

    arm: str
    """Title."""
    seed: int
    n: int | None
    """Dev questions that both students answered."""
    shown: float
    """Dev accuracy with passages."""
    without: float
    """Dev accuracy of a student taught without any."""
    is_open: bool

    @property
    def decision(self) -> str:
        """In words."""
        return "answers with passages" if self.is_open else "answers without passages"

    @property
    def cells(self) -> list[str]:
        """As a row of a table."""
        return [self.arm, str(self.seed), percent(self.shown), percent(self.without), self.decision]


HEADS = ["arm", "seed", "dev, with passages", "dev, without", "decision"]


def read_gates(results: Mapping[str, Any]) -> list[Gate]:
    """Every decision, in the order of the recipe."""
    return [
        Gate(row.get("title") or row["arm"], row["seed"], row.get("n"), row["with"], row["without"], bool(row["open"]))
        for row in results.get("gates") or ()
    ]


def about(gates: list[Gate]) -> str:
    """How the decisions came about."""
    counts = sorted({gate.n for gate in gates if gate.n})
    asked = f" of {'–'.join(f'{n:,}' for n in counts)} dev questions" if counts else ""
    return (
        f"Accuracy{asked}. The better of two students answers the test split: one with its passages, or one taught and "
        "asked without any; where both are equally good it is the one without."
    )
