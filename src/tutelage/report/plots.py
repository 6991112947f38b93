"""Where things stand in the plots of the page: axes with round numbers, places in percent of a plot's width or height.

Percent, so that a plot stretches with the window while its text keeps its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any, NamedTuple

from tutelage.evaluation.compare import Comparison
from tutelage.evaluation.metrics import ArmScore
from tutelage.report.findings import percent, points, signed
from tutelage.report.run import ArmRun


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values with round numbers on it."""

    low: float
    high: float
    step: float

    def place(self, value: float) -> float:
        """How far along the axis a value stands, in percent; values beyond an end stand at it."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)

    @property
    def values(self) -> list[float]:
        """The round numbers, both ends included where they are round."""
        first = ceil(self.low / self.step - 1e-9)
        return [n * self.step for n in range(first, floor(self.high / self.step + 1e-9) + 1)]


class Tick(NamedTuple):
    """A round number on an axis."""

    place: float
    label: str


def axis(values: Iterable[float], ticks: int = 5, low: float | None = None, high: float | None = None) -> Axis:
    """An axis that holds all values, from one round number to another but never beyond `low` and `high`."""
    known = list(values)
    bottom, top = min(known), max(known)
    step = round_step(next(size for size in (top - bottom, abs(top), 1.0) if size > 1e-9) / ticks)
    bottom, top = floor(bottom / step + 1e-9) * step, ceil(top / step - 1e-9) * step
    if bottom == top:
        bottom, top = bottom - step, top + step
    return Axis(bottom if low is None else max(low, bottom), top if high is None else min(high, top), step)


def round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ... (or 0.5, 0.2, ...) that is at least `step`."""
    power = 10.0 ** floor(log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


def ticks(axis: Axis, label: Callable[[float], str]) -> list[Tick]:
    """The round numbers of an axis with their places."""
    return [Tick(axis.place(value), label(value)) for value in axis.values]


def share_label(share: float) -> str:
    """A round share as a percentage, with as many decimals as it needs."""
    return f"{100 * share:.6g}%"


class Dot(NamedTuple):
    """A figure of one seed."""

    x: float
    y: float
    label: str


class Range(NamedTuple):
    """An interval drawn as a band, its middle, and what every seed gave: all in percent."""

    low: float
    middle: float
    high: float
    dots: list[Dot]
    label: str


def accuracy_axis(scores: Iterable[ArmScore], reference: float | None) -> Axis:
    """From round number to round number around every interval, seed and the reference; within 0 and 1."""
    values = [value for s in scores for value in (s.low, s.high, *s.per_seed)]
    return axis([*values, *([] if reference is None else [reference])], low=0.0, high=1.0)


def accuracy_range(score: ArmScore, along: Axis) -> Range:
    """One arm's row in the plot of accuracies; the dots of several seeds stand apart in height."""
    count = len(score.seeds)
    dots = [
        Dot(along.place(share), round(100 * (n + 1) / (count + 1), 1), f"seed {seed}: {percent(share)}")
        for n, (seed, share) in enumerate(zip(score.seeds, score.per_seed, strict=True))
        if count > 1
    ]
    label = f"{percent(score.accuracy)}, interval {points(score.low)} to {points(score.high)}"
    return Range(along.place(score.low), along.place(score.accuracy), along.place(score.high), dots, label)


def difference_axis(comparisons: Iterable[Comparison]) -> Axis:
    """From round number to round number around every interval and no difference."""
    return axis([0.0, *(value for c in comparisons for value in (c.low, c.high, c.difference))], low=-1.0, high=1.0)


def difference_range(comparison: Comparison, along: Axis) -> Range:
    """One pair's row in the plot of differences."""
    c = comparison
    label = f"{signed(c.difference)} points, interval {points(c.low)} to {points(c.high)}"
    return Range(along.place(c.low), along.place(c.difference), along.place(c.high), [], label)


class Line(NamedTuple):
    """One arm's and seed's curve."""

    arm: int
    seed: int
    points: str
    """Of a polyline in a box of 100 by 100, y downwards."""
    chosen: tuple[float, float] | None
    """In the plot of what it was chosen by, the place of the epoch whose weights were kept, in percent."""
    values: list[tuple[float, float]]
    """(epoch, value) as they are."""


class Panel(NamedTuple):
    """One plot of curves over epochs."""

    title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    """Places from the bottom."""
    lines: list[Line]
    x_low: float
    x_high: float
    is_share: bool


PANELS = (("dev_accuracy", "Accuracy on dev"), ("dev_loss", "Loss on dev"), ("loss", "Loss in training"))


def panels(arms: Iterable[ArmRun]) -> list[Panel]:
    """The curves that the histories hold; a figure nobody wrote down has no panel."""
    runs = [(n, seed, t.history, t.training) for n, arm in enumerate(arms) for seed, t in arm.by_seed.items()]
    return [panel for key, title in PANELS if (panel := _panel(key, title, runs))]


def _panel(key: str, title: str, runs: list[tuple[int, int, Any, Mapping[str, Any]]]) -> Panel | None:
    curves = [(arm, seed, curve(history, key), training) for arm, seed, history, training in runs]
    values = [value for _, _, pairs, _ in curves for value in pairs]
    if not values:
        return None
    share = key == "dev_accuracy"
    x = axis([epoch for epoch, _ in values], ticks=6)
    across = Axis(min(e for e, _ in values), max(e for e, _ in values), max(1.0, x.step))
    across = across if across.high > across.low else Axis(across.low - 1, across.high + 1, 1.0)
    up = axis([value for _, value in values], ticks=4, low=0.0, high=1.0 if share else None)
    lines = [
        _line(arm, seed, pairs, training.get("best_epoch") if share else None, across, up)
        for arm, seed, pairs, training in curves
        if pairs
    ]
    y_ticks = ticks(up, share_label if share else lambda v: f"{v:.6g}")
    return Panel(title, ticks(across, lambda v: f"{v:g}"), y_ticks, lines, across.low, across.high, share)


def curve(history: Iterable[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) of every row that has both."""
    return [(row["epoch"], row[key]) for row in history if row.get("epoch") is not None and row.get(key) is not None]


def _line(
    arm: int, seed: int, pairs: list[tuple[float, float]], best_epoch: float | None, across: Axis, up: Axis
) -> Line:
    places = [(across.place(epoch), round(100 - up.place(value), 3)) for epoch, value in pairs]
    best = [place for (epoch, _), place in zip(pairs, places, strict=True) if epoch == best_epoch]
    return Line(arm, seed, " ".join(f"{x},{y}" for x, y in places), best[0] if best else None, pairs)
