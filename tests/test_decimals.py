"""Floats, decimals and dates of data files as the texts that people meant."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.decimals import as_text, at_own_precision, float32_text, is_missing, number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 * 3, "0.3"),
        (0.1 + 0.2, "0.3"),
        (5.300000000000001, "5.3"),
        (-4.1000000000000005, "-4.1"),
        (1.1 * 1.1, "1.21"),
        (1 - 0.9, "0.1"),
        (19.99 * 3, "59.97"),
        (3.0, "3"),
        (-0.0, "0"),
        (9007199254740991.0, "9007199254740991"),
        (1e22, "10000000000000000000000"),
        (1e-7, "0.0000001"),
        (1e300, "1e+300"),
        (math.pi, "3.141592653589793"),
        (1 / 3, "0.3333333333333333"),
        (0.0009765625, "0.0009765625"),
        (float(np.float32(0.7)), "0.7"),
        (float(np.float32(1234.1)), "1234.1"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_a_float_is_the_decimal_that_was_meant(value: float, text: str):
    """Compared to the last bit, every right answer to such a question is wrong."""
    assert number_text(value) == text


@given(st.integers(1, 10**6), st.integers(0, 4), st.sampled_from([1, 3, 7, 9, 12]))
def test_products_of_decimals_are_exact_again(whole: int, places: int, times: int):
    """Sums and products of prices, by the hundred thousand, against Python's decimals."""
    exact = Decimal(whole).scaleb(-places)
    assert Decimal(number_text(float(exact) * times)) == exact * times
    assert Decimal(number_text(float(exact) + 0.1)) == exact + Decimal("0.1")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6))
def test_what_a_float_holds_for_certain_is_not_touched(value: Decimal):
    """Fifteen digits come back as they were written."""
    assert Decimal(number_text(float(value))) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_float_moves_further_than_rounding_does(value: float):
    """Half of float32's last place for what was a float32, else sixteen steps."""
    moved = abs(Decimal(number_text(value)) - Decimal(value))
    assert moved <= max(Decimal("16.5") * Decimal(math.ulp(value)), abs(Decimal(value)) * Decimal("1.2e-7"))


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_a_float32_is_the_decimal_that_numpy_shows(value: float):
    """Numpy's shortest form is the independent one; a value beside a rounder one may be that."""
    ours, theirs = np.float32(float32_text(value)), np.float32(value)
    assert abs(float(ours) - float(theirs)) <= 2 * float(np.spacing(abs(theirs)))
    if len(str(theirs).partition("e")[0].replace(".", "").strip("-0")) <= 7:
        assert float(float32_text(value)) == float(str(theirs))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("3.00"), "3"),
        (Decimal("3.50"), "3.5"),
        (Decimal("1E+3"), "1000"),
        (np.float32(0.1), "0.1"),
        (np.float64(0.1) * 3, "0.3"),
        (np.int64(3), "3"),
        (datetime.date(2021, 5, 1), "2021-05-01"),
        (datetime.datetime(2021, 5, 1), "2021-05-01"),
        (datetime.datetime(2021, 5, 1, 9, 30), "2021-05-01 09:30:00"),
        ("0.30000000000000004", "0.3"),
        ("0.30000001192092896", "0.3"),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("0.3000", "0.3000"),
        ("version 0.30000000000000004", "version 0.30000000000000004"),
        (17, "17"),
    ],
)
def test_values_of_data_files_as_texts(value: Any, text: str):
    """Parquet has decimals and dates, pandas writes floats into CSV with all their digits."""
    assert as_text(value) == text


def test_columns_of_short_floats_have_their_own_precision():
    """Arrow gives Python floats, which show what a float32 is in binary."""
    nested = pyarrow.struct([("x", pyarrow.float32()), ("y", pyarrow.float64())])
    assert at_own_precision(float(np.float32(0.1)), pyarrow.float32()) == 0.1
    assert at_own_precision(float(np.float16(0.1)), pyarrow.float16()) == 0.1
    assert at_own_precision(float(np.float32(16777.33)), pyarrow.float32()) == 16777.33
    assert at_own_precision([float(np.float32(0.1)), None], pyarrow.list_(pyarrow.float32())) == [0.1, None]
    assert at_own_precision({"x": float(np.float32(0.1)), "y": 0.25}, nested) == {"x": 0.1, "y": 0.25}
    assert at_own_precision(0.1 * 3, pyarrow.float64()) == 0.1 * 3
    assert math.isnan(at_own_precision(math.nan, pyarrow.float32()))


def test_what_stands_for_nothing():
    assert [is_missing(value) for value in (None, math.nan, np.float64("nan"), 0, "", 0.0)] == [True] * 3 + [False] * 3
