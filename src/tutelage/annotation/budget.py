"""Prices, and what calls cost by them. Amounts are whole millionths of a millionth of the currency.

A price table, a YAML file of the user's own; prices are for a million tokens:

    currency: USD
    models:
      gpt-4o-mini: {input: 0.15, output: 0.60}
      my-server:   {input: 0, output: 0}

No prices come with the package. One that had changed since would break the promise that a budget is never exceeded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from tutelage.annotation.requests import Request
from tutelage.errors import RecipeError
from tutelage.plugins import unknown

UNIT = 10**12
"""How many of our amounts make one dollar or euro."""


class Usage(NamedTuple):
    """Tokens of a call as the server counted them."""

    read: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in currency for a million tokens."""

    input: float
    output: float
    currency: str = "USD"
    factor: float = 1.0
    """0.5 for batches of OpenAI."""

    def of(self, usage: Usage) -> int:
        """What so many tokens cost, rounded up."""
        return math.ceil((usage.read * self.input + usage.written * self.output) * self.factor * (UNIT // 10**6))

    def most(self, request: Request, samples: int) -> int:
        """What a call for so many samples can cost at most.

        Raises RecipeError where the request sets no limit to what is written.
        """
        if request.most_written is None:
            raise RecipeError(
                "teacher.max_tokens: null, so that no call has an upper price. Set it, or drop the budget."
            )
        return self.of(Usage(request.most_read, samples * request.most_written))


def amount(money: float) -> int:
    """A budget in our unit; a fraction of it is not spent."""
    return math.floor(money * UNIT)


def in_money(amount: int) -> float:
    """An amount as people write it."""
    return amount / UNIT


def read_price(model: str, prices: str | Mapping[str, Any] | None) -> Price | None:
    """The price of a model: given as {input, output}, or looked up in a price table; None where nothing is given.

    Raises RecipeError where the table has no such model or a number is none.
    """
    if prices is None:
        return None
    if not isinstance(prices, str):
        return _price(prices, prices.get("currency", "USD"), "teacher.prices")
    table = _table(Path(prices).expanduser())
    models = cast("dict[str, Any]", table.get("models") or {})
    if model not in models:
        raise RecipeError(f"teacher.prices: {prices}: {unknown('model', model, models)}. Add a line for it.")
    return _price(models[model], table.get("currency", "USD"), f"{prices}: {model}")


def _table(path: Path) -> dict[str, Any]:
    try:
        table: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"teacher.prices: no file {str(path)!r}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"teacher.prices: {path}: not YAML in UTF-8. {error}") from error
    if not isinstance(table, dict) or not isinstance(cast("dict[str, Any]", table).get("models"), dict):
        raise RecipeError(
            f"teacher.prices: {path}: expected `models:` with a line such as `name: {{input: 1, output: 2}}`"
        )
    return cast("dict[str, Any]", table)


def _price(values: Any, currency: Any, where: str) -> Price:
    known: Mapping[str, Any] = cast("Mapping[str, Any]", values) if isinstance(values, Mapping) else {}
    found = [known.get("input"), known.get("output")]
    if not all(_is_price(value) for value in found):
        raise RecipeError(f"{where}: expected {{input: ..., output: ...}}, prices for a million tokens; got {values!r}")
    return Price(float(found[0]), float(found[1]), str(currency))  # type: ignore[arg-type]


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
