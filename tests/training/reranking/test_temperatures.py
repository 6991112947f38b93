"""Temperatures between two positive ends, and settings that are refused before anything is loaded."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import RecipeError
from tutelage.training.reranking import RerankerSettings, Temperature

positive = st.floats(1e-6, 1e6)


@given(positive, positive, st.floats(0, 1), st.sampled_from(["sigmoid", "linear", "geometric"]))
def test_a_temperature_never_leaves_its_ends(start: float, end: float, done: float, shape: Any):
    """At zero the scores become infinite, below it the order turns round: both happened as published (K9)."""
    value = Temperature(start, end, shape).at(done)
    low, high = sorted((start, end))
    assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)


@pytest.mark.parametrize("bad", [0.0, -3.0, math.inf, math.nan])
def test_an_end_that_is_not_positive_is_refused_when_it_is_written(bad: float):
    """Found in the middle of training it has already cost the training."""
    with pytest.raises(RecipeError, match="positive"):
        Temperature(1.0, bad)
    with pytest.raises(RecipeError, match="positive"):
        Temperature(bad, 1.0)


@pytest.mark.parametrize("shape", ["sigmoid", "linear", "geometric"])
def test_it_begins_and_ends_where_it_should(shape: Any):
    """Dev losses are taken at the last temperature."""
    falling = Temperature(5.0, 1.0, shape)
    assert falling.at(0.0) == pytest.approx(5.0)
    assert falling.at(1.0) == pytest.approx(1.0, abs=4e-4)  # the published curve stops 1e-4 of the way short
    assert falling.at(0.3) > falling.at(0.6)


def test_the_published_curve_by_hand():
    """Half-way the published share is 2 / (1 + e^-5) - 1 = 0.98661 (main.py:97)."""
    assert Temperature(5.0, 1.0).at(0.5) == pytest.approx(5.0 - 4.0 * 0.986614298)
    assert Temperature(500.0, 100.0).at(0.05) == pytest.approx(500 - 400 * 0.244918662)


def test_an_unknown_shape_is_refused():
    """A typo must not become a constant temperature."""
    with pytest.raises(RecipeError, match="sigmoid"):
        Temperature(1.0, 1.0, "sigmoïd")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"candidates": 1},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"select": "accuracy"},
        {"dimension": 0},
    ],
)
def test_settings_that_cannot_train_are_refused(wrong: dict[str, Any]):
    """One candidate has nothing to be better than; the message must name the key."""
    with pytest.raises(RecipeError, match=f"{next(iter(wrong))}|choice of epoch"):
        RerankerSettings(**wrong)
