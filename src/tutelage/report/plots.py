"""Where things stand in the plots of the page: axes with round numbers, places in percent of a plot's width or height.

Percent, so that a plot stretches with the window while its text keeps its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, log10
from statistics import fmean
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


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A range of positive values on which every factor of ten is equally long."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """How far along the axis a value stands, in percent; values beyond an end stand at it."""
        if value <= self.low:
            return 0.0
        return round(100 * min(1.0, log10(value / self.low) / log10(self.high / self.low)), 3)

    @property
    def values(self) -> list[float]:
        """Powers of ten, not more than six of them."""
        first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
        return [10.0**n for n in range(first, last + 1, 1 + (last - first) // 6)]


def log_axis(values: Iterable[float]) -> LogAxis:
    """From one power of ten to another around all values; those that are not above zero have no place on it."""
    known = [value for value in values if value > 0]
    low, high = floor(log10(min(known)) + 1e-9), ceil(log10(max(known)) - 1e-9)
    return LogAxis(10.0**low, 10.0 ** (high if high > low else low + 1))


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


def ticks(axis: Axis | LogAxis, label: Callable[[float], str]) -> list[Tick]:
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


Curve = list[tuple[float, float]]
"""(epoch, value) as they are."""


class Line(NamedTuple):
    """The curve of one arm, or of one term of a loss."""

    series: int
    """Number of the arm or the term."""
    seed: int | None
    """None where it is the mean of several."""
    points: str
    """Of a polyline in a box of 100 by 100, y downwards."""
    chosen: tuple[float, float] | None
    """In the plot of what it was chosen by, the place of the epoch whose weights were kept, in percent."""
    values: Curve


class Series(NamedTuple):
    """What a line stands for that is no arm: its name, and the class that gives it its colour."""

    title: str
    look: str


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


class Found(NamedTuple):
    """A curve before it is drawn."""

    series: int
    seed: int | None
    curve: Curve
    best_epoch: float | None = None


PANELS = (("dev_accuracy", "Accuracy on dev"), ("dev_loss", "Loss on dev"), ("loss", "Loss in training"))

CROWDED = 8
"""With more arms than this, an arm's seeds are drawn as their mean."""


def panels(arms: Sequence[ArmRun]) -> list[Panel]:
    """The curves that the histories hold; a figure nobody wrote down has no panel."""
    drawn: list[Panel] = []
    for key, title in PANELS:
        share = key == "dev_accuracy"
        found = [
            Found(n, seed, curve(t.history, key), t.training.get("best_epoch") if share else None)
            for n, arm in enumerate(arms)
            for seed, t in arm.by_seed.items()
        ]
        found = means(found) if is_crowded(arms) else found
        if values := [value for f in found for _, value in f.curve]:
            up = axis(values, ticks=4, low=0.0 if min(values) >= 0 else None, high=1.0 if share else None)
            drawn.append(panel(title, found, up, share_label if share else lambda v: f"{v:.6g}", is_share=share))
    return drawn


def is_crowded(arms: Sequence[ArmRun]) -> bool:
    """Whether there are so many arms that single seeds would hide each other."""
    return len(arms) > CROWDED and any(len(arm.by_seed) > 1 for arm in arms)


def means(found: Iterable[Found]) -> list[Found]:
    """Each arm's mean over its seeds, for the epochs that all of them came to."""
    return [Found(series, None, mean_curve([f.curve for f in of])) for series, of in groupby(found, lambda f: f.series)]


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves, as far as all of them go."""
    values: dict[float, list[float]] = {}
    for epoch, value in (pair for found in curves for pair in found):
        values.setdefault(epoch, []).append(value)
    return [(epoch, fmean(found)) for epoch, found in sorted(values.items()) if len(found) == len(curves)]


def panel(
    title: str, found: Iterable[Found], up: Axis | LogAxis, label: Callable[[float], str], *, is_share: bool = False
) -> Panel:
    """Curves on a given upward axis."""
    known = [f for f in found if f.curve]
    epochs = [epoch for f in known for epoch, _ in f.curve]
    low, high, step = min(epochs), max(epochs), max(1.0, axis(epochs, ticks=6).step)
    across = Axis(low, high, step) if high > low else Axis(low - 1, high + 1, 1.0)
    lines = [_line(f, across, up) for f in known]
    return Panel(title, ticks(across, lambda v: f"{v:g}"), ticks(up, label), lines, across.low, across.high, is_share)


def curve(history: Iterable[Mapping[str, Any]], key: str) -> Curve:
    """(epoch, value) of every row that has both."""
    return [(row["epoch"], row[key]) for row in history if row.get("epoch") is not None and row.get(key) is not None]


def _line(found: Found, across: Axis, up: Axis | LogAxis) -> Line:
    places = [(across.place(epoch), round(100 - up.place(value), 3)) for epoch, value in found.curve]
    best = [place for (epoch, _), place in zip(found.curve, places, strict=True) if epoch == found.best_epoch]
    points = " ".join(f"{x},{y}" for x, y in places)
    return Line(found.series, found.seed, points, best[0] if best else None, found.curve)
