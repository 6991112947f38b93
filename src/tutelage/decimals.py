"""Values of data files as the texts that people meant: floats at their own precision, decimals, dates.

number_text(0.1 * 3)          "0.3"      0.30000000000000004 in JSON and CSV
number_text(3.0)              "3"
as_text(Decimal("3.00"))      "3"
at_own_precision(0.10000000149011612, pyarrow.float32())      0.1
"""

from __future__ import annotations

import datetime
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast


class _Precision(NamedTuple):
    """What a binary float can hold."""

    certain: int
    """Every decimal of so many digits comes back as it was written: it is taken as it stands."""
    round: int
    """A value with more digits is taken for a decimal of at most so many ..."""
    steps: int
    """... where that lies within so many steps of the float: sums and products come out wrong by a few."""
    step: Callable[[float], float]
    """From a float to the next one."""


def _step32(value: float) -> float:
    mantissa_bits = 24
    return math.ldexp(1.0, max(math.frexp(value)[1], -125) - mantissa_bits)


_FLOAT64 = _Precision(15, 12, 16, math.ulp)
_FLOAT32 = _Precision(7, 5, 2, _step32)
LONG = 13
"""A float64 with more digits that is a float32 to the last bit was one: others are by one chance in 500 million."""
SMALLEST = 2.0**-126
"""Below it a float32 has fewer bits."""
_FLOAT = re.compile(r"[-+]?[0-9]*\.[0-9]{6,}(?:[eE][-+]?[0-9]+)?")


def number_text(value: float) -> str:
    """A float as a decimal: "0.3" for 0.1 + 0.2, "3" for 3.0, without an exponent where it is not very large or small.

    The shortest decimal that is this float, unless that has more digits than floats are certain of and a round one lies
    beside it. A long one that is a float32 to the last bit was one before it was written.
    """
    if not math.isfinite(value):
        return repr(value)
    text = repr(value)
    if _digits(text) > LONG and abs(value) >= SMALLEST and _as_float32(value) == value:
        return float32_text(value)
    return _plain(_round(value, text, _FLOAT64) if _digits(text) > _FLOAT64.certain else text)


def float32_text(value: float) -> str:
    """The same for a float32, given as the float64 that is equal to it."""
    if not math.isfinite(value):
        return repr(value)
    lengths = (f"{value:.{digits}g}" for digits in range(1, 10))
    shortest = next((text for text in lengths if _as_float32(float(text)) == value), repr(value))
    return _plain(_round(value, shortest, _FLOAT32) if _digits(shortest) > _FLOAT32.certain else shortest)


def as_text(value: Any) -> str:
    """A value out of a data file as a text; a text that spells a long float is read as one."""
    if isinstance(value, str):
        return _from_spelling(value)
    if isinstance(value, float):
        return number_text(float(value))
    if isinstance(value, Decimal):
        return _plain(str(value)) if value.is_finite() else str(value)
    if isinstance(value, datetime.datetime):
        return str(value).removesuffix(" 00:00:00")
    if not isinstance(value, int) and hasattr(value, "dtype") and hasattr(value, "item"):  # a scalar of numpy's
        known: Any = value
        return float32_text(float(known)) if str(known.dtype) == "float32" else as_text(known.item())
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: null, or NaN, as which pandas writes a null among numbers."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def at_own_precision(value: Any, kind: Any) -> Any:
    """A value of a column, given the column's Arrow type: floats of 16 and 32 bits as the decimals they stand for."""
    if value is None:
        return None
    name = str(kind)
    if name in ("float", "halffloat") and isinstance(value, float):
        return float(float32_text(value) if name == "float" else _float16_text(value))
    if isinstance(value, list) and hasattr(kind, "value_type"):
        return [at_own_precision(each, kind.value_type) for each in cast("Sequence[Any]", value)]
    if isinstance(value, dict) and name.startswith("struct"):
        known = cast("Mapping[str, Any]", value)
        return {key: at_own_precision(each, kind.field(key).type) for key, each in known.items()}
    return value


def _round(value: float, text: str, precision: _Precision) -> str:
    """The roundest decimal within a few steps of a float, or the text that it has."""
    near = precision.steps * precision.step(value)
    rounded = (f"{value:.{digits}g}" for digits in range(1, precision.round + 1))
    return next((each for each in rounded if abs(float(each) - value) <= near), text)


def _digits(text: str) -> int:
    """Significant digits of a decimal; the zeros at the end of a whole number are none."""
    digits = text.lower().partition("e")[0].lstrip("-+").replace(".", "").lstrip("0")
    return len(digits.rstrip("0"))


def _plain(text: str) -> str:
    """A decimal without an exponent and without zeros at its end; a very large or small one keeps its exponent."""
    number = Decimal(text)
    if number == 0:
        return "0"
    if not -20 <= number.adjusted() <= 40:
        return text
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _from_spelling(text: str) -> str:
    """CSV has floats as texts; only those that Python itself would write so are read."""
    if not _FLOAT.fullmatch(text.strip()) or _digits(text.strip()) <= _FLOAT64.certain:
        return text
    value = float(text)
    return number_text(value) if repr(value) == text.strip().removeprefix("+") else text


def _as_float32(value: float) -> float:
    try:
        return cast("float", struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.inf


def _float16_text(value: float) -> str:
    def half(text: str) -> float:
        return cast("float", struct.unpack("e", struct.pack("e", float(text)))[0])

    lengths = (f"{value:.{digits}g}" for digits in range(1, 6))
    return next((text for text in lengths if abs(float(text)) < 65520 and half(text) == value), repr(value))
