"""How many pairs of rationales MCC-KD could compare, as `training.pairs` of its arms counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tutelage.report.run import ArmRun


def pair_lines(arms: Iterable[ArmRun]) -> list[str]:
    """One line an arm with pairs, its seeds summed: MCC-KD: 820 used, 12 skipped."""
    return [f"{arm.title}: {said}" for arm in arms if (said := _counts(arm))]


def _counts(arm: ArmRun) -> str:
    found: Counter[str] = Counter()
    for trained in arm.by_seed.values():
        pairs = trained.training.get("pairs") or {}
        found.update({name: n for name, n in pairs.items() if isinstance(n, int)})
    return ", ".join(f"{count:,} {name}" for name, count in found.items())
