"""Prices: read from a table of the user's, reckoned in whole numbers, never too low."""

from pathlib import Path

import pytest
from asking import request

from tutelage.annotation.budget import Price, Usage, amount, in_money, read_price
from tutelage.errors import RecipeError


def test_a_price_by_hand():
    """1,000 tokens read at 0.15 a million and 2,000 written at 0.60 are 0.00015 + 0.0012."""
    assert in_money(Price(0.15, 0.60).of(Usage(1000, 2000))) == pytest.approx(0.00135)
    assert in_money(Price(0.15, 0.60, factor=0.5).of(Usage(1000, 2000))) == pytest.approx(0.000675)


def test_amounts_are_rounded_against_the_user_and_budgets_too():
    """A thousand roundings in one's own favour are an exceeded budget."""
    assert Price(1 / 3, 0).of(Usage(1, 0)) == 333334
    assert amount(0.1) <= 0.1 * 10**12


def test_the_most_a_call_can_cost():
    """Three texts of at most 50 tokens, and more for the prompt than it can have."""
    asked = request("12345")
    assert asked.most_read == 5 + 16 + 1024
    assert Price(1.0, 2.0).most(asked, 3) == (1045 * 1 + 150 * 2) * 10**6


def test_a_request_without_a_limit_has_no_highest_price():
    """A budget could not be kept."""
    with pytest.raises(RecipeError, match="max_tokens"):
        Price(1, 2).most(request(max_tokens=None), 1)


def test_a_table_has_a_line_for_each_model(tmp_path: Path):
    """The user edits it; a misspelt model is told with the nearest."""
    table = tmp_path / "prices.yaml"
    table.write_text("currency: EUR\nmodels:\n  good-model: {input: 2, output: 8.5}\n  free: {input: 0, output: 0}\n")
    assert read_price("good-model", str(table)) == Price(2.0, 8.5, "EUR")
    assert read_price("free", str(table)) == Price(0.0, 0.0, "EUR")
    with pytest.raises(RecipeError, match=r"did you mean 'good-model'"):
        read_price("god-model", str(table))


@pytest.mark.parametrize(
    "text", ["models: 3", "[1]", "models: {m: {input: cheap, output: 1}}", "models: {m: 4}", ":\n:"]
)
def test_a_broken_table_is_told(tmp_path: Path, text: str):
    """A price read as nothing would let a budget through."""
    table = tmp_path / "prices.yaml"
    table.write_text(text)
    with pytest.raises(RecipeError, match=r"prices\.yaml"):
        read_price("m", str(table))


@pytest.mark.parametrize("price", [{"input": -1, "output": 1}, {"input": True, "output": 1}, {"output": 1}])
def test_a_price_must_be_a_number(price: dict[str, float]):
    """A negative one would refill the budget."""
    with pytest.raises(RecipeError, match="prices for a million tokens"):
        read_price("m", price)
