"""Names to objects: the table, the outside, and what is said where neither helps."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from tutelage.errors import PluginError
from tutelage.plugins import resolve, unknown


def test_the_table_comes_first():
    assert resolve("bm25", {"bm25": 1}, "retriever") == 1
    assert resolve("math:pi", {"math:pi": 3}, "number") == 3


def test_an_address_is_imported():
    assert resolve("math:pi", {}, "number") == math.pi


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bm-25", "no retriever 'bm-25'; did you mean 'bm25'? (bm25, dense)"),
        ("xyz", "no retriever 'xyz'; known: (bm25, dense)"),
        ("", "no retriever ''; known: (bm25, dense)"),
        ("no_lab_at_all:Dense", "retriever 'no_lab_at_all:Dense': cannot import 'no_lab_at_all'"),
        ("math:Dense", "retriever 'math:Dense': 'math' has no attribute 'Dense'"),
    ],
)
def test_an_unknown_name_says_what_there_is(name: str, said: str):
    with pytest.raises(PluginError) as caught:
        resolve(name, {"dense": 1, "bm25": 2}, "retriever")
    assert said in str(caught.value)


def test_a_missing_import_inside_the_plugin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Otherwise a person looks for a module that is there."""
    (tmp_path / "tutelage_lab_needing.py").write_text("import a_thing_not_installed\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="a_thing_not_installed"):
        resolve("tutelage_lab_needing:Thing", {}, "task")
    assert "tutelage_lab_needing" not in sys.modules


def test_names_are_listed_in_order():
    assert unknown("task", "zz", ["b", "a"]) == "no task 'zz'; known: (a, b)"
