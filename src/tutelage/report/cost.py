"""What the teacher cost: for each kept rationale, and for each point of accuracy that it brought.

`cost` of a teacher in results.json (shortened):

    {"requests": 1275, "calls": {"answered": 1000, "rate limited": 53}, "samples": {"written": 2814, "cut off": 186},
     "tokens_read": 190000, "tokens_written": 1800000, "spent": 1.11, "perhaps": 0.02, "currency": "USD", "kept": 2211}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tutelage.evaluation.metrics import ArmScore
from tutelage.report.run import ArmRun


class Paid(NamedTuple):
    """What one teacher cost, in sentences."""

    name: str
    lines: tuple[str, ...]


def read_costs(results: Mapping[str, Any], arms: Sequence[ArmRun], scores: Mapping[str, ArmScore]) -> list[Paid]:
    """Every teacher of a run that was asked by prompts, in the order of the run."""
    found: list[Paid] = []
    for source in results.get("sources") or ():
        if source.get("role") == "teacher" and (cost := source.get("cost")):
            points = _points(cost, source, results, arms, scores)
            found.append(Paid(str(source.get("source") or "teacher"), (*cost_lines(cost), *points)))
    return found


def cost_lines(cost: Mapping[str, Any]) -> list[str]:
    """Calls, samples, tokens and money."""
    calls, samples = cost.get("calls") or {}, cost.get("samples") or {}
    lines = [
        f"{cost.get('requests', 0):,} calls: {_counted(calls)}.",
        f"{sum(samples.values()):,} samples: {_counted(samples)}.",
        f"{cost.get('tokens_read', 0):,} tokens read, {cost.get('tokens_written', 0):,} written.",
    ]
    if cost.get("spent") is None:
        return [*lines, "No prices were given."]
    return [*lines, _money(cost)]


def _money(cost: Mapping[str, Any]) -> str:
    currency, spent, perhaps, kept = cost.get("currency") or "", cost["spent"], cost.get("perhaps"), cost.get("kept")
    parts = [f"Spent {spent:.4f} {currency}"]
    if kept:
        parts.append(f"{1000 * spent / kept:.3f} {currency} for a thousand of the {kept:,} kept rationales")
    if perhaps:
        parts.append(f"at most {perhaps:.4f} more for calls whose answer never came whole")
    return ", ".join(parts) + "."


def _points(
    cost: Mapping[str, Any],
    source: Mapping[str, Any],
    results: Mapping[str, Any],
    arms: Sequence[ArmRun],
    scores: Mapping[str, ArmScore],
) -> list[str]:
    """What a point of accuracy cost, for each arm that learnt from it, over the baseline."""
    baseline = str(results.get("baseline"))
    taught = set(source.get("arms") or ())
    if not cost.get("spent") or baseline not in scores:
        return []
    names = {arm.arm: arm.title for arm in arms if taught & {arm.arm, arm.title} and arm.arm != baseline}
    titles = {arm.arm: arm.title for arm in arms}
    gains = {arm: 100 * (scores[arm].accuracy - scores[baseline].accuracy) for arm in names if arm in scores}
    currency = cost.get("currency") or ""
    return [
        f"{names[arm]} gains {gain:.1f} points on {titles[baseline]}: {cost['spent'] / gain:.4f} {currency} a point."
        if gain > 0
        else f"{names[arm]} gains nothing on {titles[baseline]}, so a point has no price."
        for arm, gain in gains.items()
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
