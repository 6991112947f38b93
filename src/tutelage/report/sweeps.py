"""Arms that a sweep made, found by their names, and how accuracy goes along the number that was swept.

"mentor-kd samples=1", "mentor-kd samples=3" are two points of one line; with "mentor-kd temperature=2 samples=1" and
its like, the plot of `samples` has one line for each temperature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tutelage.evaluation.metrics import ArmScore
from tutelage.report.findings import percent, points
from tutelage.report.plots import Axis, LogAxis, Tick, accuracy_axis, axis, share_label, ticks
from tutelage.report.run import ArmRun

SETTING = re.compile(r"([\w.]+)=(\S+)")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)

FEWEST = 3
"""Two points are read off the table."""

WIDE = 30.0
"""From this ratio of the largest to the smallest number the axis is logarithmic."""

BESIDE = 1.1
"""Percent of the width that one line stands beside the next, so that their intervals do not hide each other."""

APART = 7.0
"""Percent of the width that two labels need between them."""


class Point(NamedTuple):
    """One arm of a sweep."""

    value: float
    arm: int


class Series(NamedTuple):
    """Arms that differ in one number alone."""

    label: str
    """The other settings of these arms, e.g. temperature=2; empty where there are none."""
    points: list[Point]
    """In ascending order of the number."""


class Sweep(NamedTuple):
    """All arms of one name over one number."""

    name: str
    key: str
    series: list[Series]


class SweptArm(NamedTuple):
    """The name of an arm, taken apart."""

    name: str
    label: str
    key: str
    value: float


def swept(arm: str) -> SweptArm | None:
    """What an arm was swept over, read from its name; None where it does not end in key=number."""
    words = arm.split()
    at = next((n for n, word in enumerate(words) if all(SETTING.fullmatch(w) for w in words[n:])), len(words))
    if at == 0 or at == len(words):
        return None
    key, _, value = words[-1].partition("=")
    if not NUMBER.fullmatch(value):
        return None
    return SweptArm(" ".join(words[:at]), " ".join(words[at:-1]), key, float(value))


def find_sweeps(arms: Sequence[ArmRun]) -> list[Sweep]:
    """The sweeps among the arms, each with the lines of at least three numbers; others are arms like any other."""
    found: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for number, arm in enumerate(arms):
        if (read := swept(arm.arm)) and not arm.is_reference:
            lines = found.setdefault((read.name, read.key), {})
            lines.setdefault(read.label, []).append(Point(read.value, number))
    sweeps = [
        Sweep(name, key, [Series(label, sorted(line)) for label, line in lines.items() if len(line) >= FEWEST])
        for (name, key), lines in found.items()
    ]
    return [sweep for sweep in sweeps if sweep.series]


TONES = 10
"""Shades of one colour that the page knows, from pale to dark."""


def looks(arms: Sequence[ArmRun], sweeps: Sequence[Sweep]) -> list[str]:
    """The classes that give each arm its colour: one colour a line of a sweep, paler for smaller numbers."""
    shades: dict[int, tuple[str, str]] = {}
    for sweep in sweeps:
        for series in sweep.series:
            for n, point in enumerate(series.points):
                tone = round((TONES - 1) * n / (len(series.points) - 1))
                shades[point.arm] = (f"{sweep.name} {sweep.key} {series.label}", f" tone-{tone}")
    colours: dict[str, int] = {}
    return [
        _colour(colours.setdefault(shades.get(n, (f"arm {n}", ""))[0], len(colours))) + shades.get(n, ("", ""))[1]
        for n in range(len(arms))
    ]


def _colour(number: int) -> str:
    """Eight colours; whoever comes later has one of them again, in dashes."""
    return f"arm-{number % 8}" + (" again" if number >= 8 else "")


class Mark(NamedTuple):
    """One arm in the plot of its sweep, in percent from the left and the top."""

    arm: int
    x: float
    y: float
    low: float
    high: float
    label: str


class Path(NamedTuple):
    """One line of the plot of a sweep."""

    label: str
    points: str
    """Of a polyline in a box of 100 by 100."""
    marks: list[Mark]


class Level(NamedTuple):
    """What an arm outside of the sweep reaches."""

    y: float
    label: str


class SweepPlot(NamedTuple):
    """Accuracy with intervals along a number."""

    name: str
    key: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    paths: list[Path]
    level: Level | None


def sweep_plot(sweep: Sweep, arms: Sequence[ArmRun], scores: Mapping[str, ArmScore], baseline: str | None) -> SweepPlot:
    """Where everything stands in the plot of one sweep."""
    values = sorted({point.value for series in sweep.series for point in series.points})
    across = value_axis(values)
    shown = [scores[arms[point.arm].arm] for series in sweep.series for point in series.points]
    base = scores.get(baseline or "")
    up = accuracy_axis(shown, base.accuracy if base else None)
    titles = {arm.arm: arm.title for arm in arms}
    return SweepPlot(
        sweep.name,
        sweep.key,
        spaced([Tick(across.place(value), f"{value:g}") for value in values]),
        ticks(up, share_label),
        [
            _path(series, sweep.key, arms, scores, across, up, BESIDE * (n - (len(sweep.series) - 1) / 2))
            for n, series in enumerate(sweep.series)
        ],
        Level(round(100 - up.place(base.accuracy), 3), f"{titles[baseline or '']} {percent(base.accuracy)}")
        if base
        else None,
    )


def value_axis(values: Sequence[float]) -> Axis | LogAxis:
    """From a little before the first number to a little behind the last, so that no interval stands on the frame."""
    low, high = values[0], values[-1]
    if low > 0 and high / low >= WIDE:
        room = (high / low) ** 0.05
        return LogAxis(low / room, high * room)
    room = (high - low) * 0.05 or 1.0
    return Axis(low - room, high + room, axis(values).step)


def spaced(labels: Sequence[Tick]) -> list[Tick]:
    """The labels that do not run into the one before."""
    kept: list[Tick] = []
    for tick in labels:
        if not kept or tick.place - kept[-1].place >= APART:
            kept.append(tick)
    return kept


def _path(
    series: Series,
    key: str,
    arms: Sequence[ArmRun],
    scores: Mapping[str, ArmScore],
    across: Axis | LogAxis,
    up: Axis,
    aside: float,
) -> Path:
    marks = [_mark(point, key, scores[arms[point.arm].arm], across, up) for point in series.points]
    marks = [mark._replace(x=round(mark.x + aside, 3)) for mark in marks]
    return Path(series.label, " ".join(f"{mark.x},{mark.y}" for mark in marks), marks)


def _mark(point: Point, key: str, score: ArmScore, across: Axis | LogAxis, up: Axis) -> Mark:
    y, low, high = (round(100 - up.place(share), 3) for share in (score.accuracy, score.low, score.high))
    interval = f"interval {points(score.low)} to {points(score.high)}"
    label = f"{key} {point.value:g}: {percent(score.accuracy)}, {interval}"
    return Mark(point.arm, across.place(point.value), y, low, high, label)
