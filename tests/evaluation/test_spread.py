"""Errors with a part that is well known and a part that is guessed: against scipy's t and plain draws."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from tutelage.evaluation.spread import Spread, detectable, half_width, satterthwaite, two_sided


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 4, 12, 50, 400])
def test_with_runs_alone_it_is_students_t(freedom: float):
    """Two seeds have one degree of freedom: 12.7 standard errors, not two."""
    for distance in (0.1, 1.0, 2.0, 5.0, 8.0):
        expected = 2 * stats.t.sf(distance, freedom)
        assert two_sided(distance, Spread(0.0, 1.0, freedom)) == pytest.approx(expected, rel=1e-7, abs=1e-15)
    assert half_width(Spread(0.0, 4.0, freedom), 0.95) == pytest.approx(2 * stats.t.ppf(0.975, freedom), rel=1e-9)


def test_with_questions_alone_it_is_normal():
    """One student has no degrees of freedom to lose."""
    for spread in (Spread(0.25), Spread(0.2, 0.05, inf)):
        assert two_sided(1.0, spread) == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-12)
        assert half_width(spread, 0.95) == pytest.approx(0.5 * 1.959963985, rel=1e-9)


@pytest.mark.parametrize(("spread", "rel"), [(Spread(1.0, 0.3, 1), 0.02), (Spread(0.2, 1.0, 3), 0.01)])
def test_both_parts_together_are_a_normal_and_a_t_draw(spread: Spread, rel: float):
    """Satterthwaite's single t is too short where the guessed part came out small."""
    chance = np.random.default_rng(1)
    drawn = sqrt(spread.questions) * chance.standard_normal(1_000_000)
    drawn += sqrt(spread.runs) * chance.standard_t(spread.freedom, 1_000_000)
    assert half_width(spread, 0.95) == pytest.approx(float(np.quantile(abs(drawn), 0.95)), rel=rel)
    assert two_sided(half_width(spread, 0.9), spread) == pytest.approx(0.1, abs=1e-9)


def test_a_mean_without_any_spread_is_where_it_is():
    """Nothing varies; no division by nothing either."""
    assert two_sided(0.0, Spread(0.0)) == 1.0
    assert two_sided(0.1, Spread(0.0)) == 0.0
    assert half_width(Spread(0.0), 0.95) == 0.0


def test_freedom_of_a_sum_by_hand():
    """(2 + 1)^2 / (4 / 4 + 1 / 2) = 6; parts that do not vary count for nothing."""
    assert satterthwaite([(2.0, 4), (1.0, 2), (0.0, 1)]) == pytest.approx(6.0)
    assert satterthwaite([(0.0, 3)]) == inf


def test_more_power_or_confidence_takes_a_larger_difference():
    """The note about what would go unnoticed must move with what is asked of it."""
    spread = Spread(0.4, 0.3, 2)
    small, larger, largest = (detectable(spread, c, p) for c, p in ((0.9, 0.8), (0.95, 0.8), (0.95, 0.9)))
    assert small < larger < largest
    assert detectable(Spread(1.0), 0.95, 0.8) == pytest.approx(1.959964 + 0.841621, abs=1e-4)
