"""Changes to a raw recipe: `student.epochs=4` on the command line, `set:` in an arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import yaml

from tutelage.errors import RecipeError


def override(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a raw recipe in which dotted keys have new values: {"student.epochs": 4}."""
    result = dict(raw)
    for dotted, value in changes.items():
        head, _, tail = dotted.partition(".")
        if not tail:
            result[head] = value
            continue
        inner: Any = result.get(head)
        result[head] = override(cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}, {tail: value})
    return result


def choose_arms(arms: Any, wanted: Any) -> Any:
    """Arms given on the command line; one that is called as an arm of the recipe is that arm, settings and all."""
    if not isinstance(arms, list) or not isinstance(wanted, list):
        return wanted
    known = {_name(arm): arm for arm in cast("list[Any]", arms)}
    return [known.get(arm, arm) if isinstance(arm, str) else arm for arm in cast("list[Any]", wanted)]


def _name(arm: Any) -> str:
    if not isinstance(arm, dict):
        return str(arm)
    raw = cast("dict[str, Any]", arm)
    return str(raw.get("name") or raw.get("method"))


def read_override(text: str) -> tuple[str, Any]:
    """The dotted key and the value of `KEY=VALUE`. Raises RecipeError."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise RecipeError(f"override {text!r}: expected KEY=VALUE, e.g. student.learning_rate=3e-4")
    try:
        return key.strip(), _number_or(yaml.safe_load(value))
    except yaml.YAMLError:
        raise RecipeError(f"override {text!r}: the value is not YAML. Quote it, e.g. 'title=\"a: b\"'") from None


def _number_or(value: Any) -> Any:
    """YAML 1.1 reads 3e-4 as a string, since it has no dot; people mean a number."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
