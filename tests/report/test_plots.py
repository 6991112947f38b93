"""Axes and places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.report.plots import Found, axis, log_axis, means, round_step, share_label, ticks


@pytest.mark.parametrize(("step", "expected"), [(1, 1), (1.1, 2), (3, 5), (6, 10), (0.03, 0.05), (0.1, 0.1), (70, 100)])
def test_steps_are_round(step: float, expected: float):
    """An axis in sevenths cannot be read."""
    assert round_step(step) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_every_value_has_a_place(values: list[float]):
    """A point outside of its plot is a point nobody sees."""
    found = axis(values, low=0.0, high=1.0)
    assert found.low <= min(values) + 1e-9
    assert max(values) <= found.high + 1e-9
    assert all(0 <= found.place(v) <= 100 for v in values)
    assert 1 < len(found.values) < 20


def test_a_single_value_has_an_axis():
    """One arm with one question, right."""
    assert axis([1.0], low=0.0, high=1.0).high == 1.0
    assert axis([0.0], low=0.0, high=1.0).place(0.0) == 0.0


def test_ticks_stand_at_their_values():
    """A label one place off shifts every figure."""
    assert ticks(axis([0.0, 1.0]), lambda v: f"{v:.1f}") == [
        (0, "0.0"),
        (20, "0.2"),
        (40, "0.4"),
        (60, "0.6"),
        (80, "0.8"),
        (100, "1.0"),
    ]


@pytest.mark.parametrize("values", [(0.03, 0.045), (0.28, 0.74), (0.0, 1.0), (0.901, 0.9035)])
def test_neighbouring_ticks_have_different_labels(values: tuple[float, float]):
    """4%, 4%, 4% on one axis says that the plot is wrong somewhere."""
    labels = [tick.label for tick in ticks(axis(values), share_label)]
    assert len(set(labels)) == len(labels) > 2


@given(st.lists(st.floats(1e-9, 1e9), min_size=1))
def test_every_positive_value_has_a_place_on_a_logarithmic_axis(values: list[float]):
    """Norms go over many powers of ten; none may stand outside."""
    found = log_axis(values)
    assert found.low <= min(values) * (1 + 1e-9)
    assert max(values) <= found.high * (1 + 1e-9)
    assert all(0 <= found.place(v) <= 100 for v in values)
    assert 1 < len(found.values) < 13


def test_factors_of_ten_are_equally_long():
    """The distance of two norms is their ratio, wherever they stand."""
    found = log_axis([0.02, 50.0])
    assert (found.low, found.high) == (0.01, 100.0)
    assert [found.place(v) for v in (0.01, 0.1, 1.0, 10.0, 100.0)] == [0, 25, 50, 75, 100]
    assert found.place(0.0) == 0
    assert found.values == pytest.approx([0.01, 0.1, 1, 10, 100])


def test_a_mean_goes_as_far_as_all_seeds():
    """When one seed stops early, a mean of the others would jump for no reason of learning."""
    found = [Found(0, 1, [(1, 0.2), (2, 0.4)]), Found(0, 2, [(1, 0.4), (2, 0.6), (3, 0.9)]), Found(1, 1, [(1, 0.1)])]
    first, second = means(found)
    assert first.series == 0
    assert [epoch for epoch, _ in first.curve] == [1, 2]
    assert [value for _, value in first.curve] == pytest.approx([0.3, 0.5])
    assert second.curve == [(1, 0.1)]
