"""The plots of losses with several terms."""

from __future__ import annotations

from typing import Any

import pytest

from tutelage.report.run import ArmRun, Trained
from tutelage.report.terms import power, term_names, term_plots


def arm(name: str, *rows: dict[str, Any]) -> ArmRun:
    return ArmRun(name, name, {1: Trained((), tuple({"epoch": n + 1, **row} for n, row in enumerate(rows)), {}, {})})


def row(norms: dict[str, float], **terms: float) -> dict[str, Any]:
    return {"terms": terms, "gradient_norms": norms}


PLAIN = arm("plain", {"loss": 1.0})
SOFT = arm(
    "soft",
    row({"rationale": 10.0, "soft": 0.1}, rationale=1.0, soft=0.5),
    row({"rationale": 1.0, "soft": 0.0}, rationale=0.5, soft=0.2),
)
PAIRS = arm("pairs", row({"rationale": 1.0, "consistency": 0.001}, rationale=2.0, consistency=0.0))


def test_only_losses_of_several_terms_are_plotted():
    """A single term is the loss itself, which has its plot."""
    assert term_plots([PLAIN, arm("one", row({}, rationale=1.0))]) == []
    assert [plot.arm for plot in term_plots([PLAIN, SOFT, PAIRS])] == [1, 2]
    assert term_names([PLAIN, SOFT, PAIRS]) == ["rationale", "soft", "consistency"]


def test_lines_hold_values_and_norms_of_their_own_term():
    """Two terms exchanged tell to raise the weight that should be lowered."""
    values, norms = term_plots([SOFT, PAIRS])[0].panels
    assert [(line.series, line.values) for line in values.lines] == [
        (0, [(1, 1.0), (2, 0.5)]),
        (1, [(1, 0.5), (2, 0.2)]),
    ]
    assert [line.values for line in norms.lines] == [[(1, 10.0), (2, 1.0)], [(1, 0.1)]], "zero has no logarithm"
    assert [line.series for line in term_plots([SOFT, PAIRS])[1].panels[0].lines] == [0, 2]


def test_norms_share_one_axis_over_all_arms():
    """Side by side, equal heights must be equal norms."""
    first, second = (plot.panels[1].y_ticks for plot in term_plots([SOFT, PAIRS]))
    assert first == second
    assert [tick.label for tick in first] == ["10⁻³", "10⁻²", "0.1", "1", "10"]


def test_a_loss_below_zero_has_a_place():
    """Terms of the user's own may be negative."""
    (plot,) = term_plots([arm("own", row({}, a=-2.0, b=1.0), row({}, a=-1.0, b=1.0))])
    (values,) = plot.panels
    assert values.lines[0].points == "0.0,100.0 100.0,66.667"


@pytest.mark.parametrize(("value", "text"), [(1e-4, "10⁻⁴"), (0.1, "0.1"), (1.0, "1"), (1000.0, "10³")])
def test_powers_are_written_short(value: float, text: str):
    """0.00001 beside a small plot is cut off."""
    assert power(value) == text
