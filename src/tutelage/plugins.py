"""Names in a recipe to objects in Python: a built-in table first, then "package.module:Attribute" from outside."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from tutelage.errors import PluginError

T = TypeVar("T")


def resolve(name: str, table: Mapping[str, T], what: str) -> T:
    """The entry called `name`, or the attribute that "package.module:Attribute" points to.

    `what` says in the error what was looked for, e.g. "format". Raises PluginError with the known names, the nearest
    one first.
    """
    if name in table:
        return table[name]
    if ":" in name:
        return _from_outside(name, what)
    raise PluginError(unknown(what, name, table))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that stands for nothing: no retriever 'bm-25'; did you mean 'bm25'? (bm25, dense)."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else "; known:"
    return f"no {what} {name!r}{guess} ({', '.join(names)})"


def _from_outside(name: str, what: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise PluginError(
            f"{what} {name!r}: cannot import {module_name!r} ({error}). Is its folder on PYTHONPATH?"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise PluginError(f"{what} {name!r}: {module_name!r} has no attribute {attribute!r}") from error
