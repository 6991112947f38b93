"""What a loss with several terms is made of: for every such arm each term's value and gradient norm by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log10
from typing import Any, NamedTuple

from tutelage.report.plots import Axis, Curve, Found, LogAxis, Panel, axis, log_axis, panel
from tutelage.report.run import ArmRun

POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class TermPlots(NamedTuple):
    """The terms of one arm."""

    arm: int
    panels: list[Panel]
    """Their values, and their gradient norms where there are any; lines have the number of their term."""


def term_names(arms: Iterable[ArmRun]) -> list[str]:
    """Every term of any arm, in the order first met; none where no loss has several."""
    rows = (row for arm in arms for trained in arm.by_seed.values() for row in trained.history)
    return list(dict.fromkeys(name for row in rows if len(terms := row.get("terms") or {}) > 1 for name in terms))


def term_plots(arms: Sequence[ArmRun]) -> list[TermPlots]:
    """The plots of every arm whose loss has several terms. Norms have one axis for all arms, to be compared."""
    names = term_names(arms)
    values = {n: _curves(arm, names, "terms") for n, arm in enumerate(arms)}
    norms = {n: _positive(_curves(arm, names, "gradient_norms")) for n, arm in enumerate(arms)}
    known = [value for found in norms.values() for value in _values(found)]
    along = log_axis(known) if known else None
    return [TermPlots(n, list(_panels(values[n], norms[n], along))) for n in values if values[n]]


def _panels(values: Sequence[Found], norms: Sequence[Found], along: LogAxis | None) -> Iterable[Panel]:
    yield panel("Loss per token", values, _value_axis(_values(values)), lambda v: f"{v:.6g}")
    if norms and along:
        yield panel("Gradient norm", norms, along, power)


def _value_axis(values: Sequence[float]) -> Axis:
    """From zero, but for losses below it."""
    return axis([0.0, *values], ticks=3)


def power(value: float) -> str:
    """A power of ten as it is written: 10⁻³; 0.1, 1 and 10 as they are."""
    exponent = round(log10(value))
    return f"{value:g}" if abs(exponent) < 2 else f"10{str(exponent).translate(POWERS)}"


def _curves(arm: ArmRun, names: Sequence[str], key: str) -> list[Found]:
    found = [
        Found(number, seed, _curve(trained.history, key, name))
        for number, name in enumerate(names)
        for seed, trained in arm.by_seed.items()
    ]
    return [f for f in found if f.curve]


def _curve(history: Iterable[Mapping[str, Any]], key: str, name: str) -> Curve:
    rows = [(row.get("epoch"), (row.get(key) or {}).get(name)) for row in history]
    return [(epoch, value) for epoch, value in rows if epoch is not None and value is not None]


def _positive(found: Iterable[Found]) -> list[Found]:
    """Without zeros, which a logarithm has no place for."""
    kept = [f._replace(curve=[(epoch, value) for epoch, value in f.curve if value > 0]) for f in found]
    return [f for f in kept if f.curve]


def _values(found: Iterable[Found]) -> list[float]:
    return [value for f in found for _, value in f.curve]
