"""The benchmark of what a student remembers: equal steps for all, every way asked, and a plot of it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest


@pytest.fixture
def benchmark(load_benchmark: Callable[[str], Any]) -> Any:
    return load_benchmark("memory")


@pytest.mark.parametrize("facts", [30, 120, 480, 1150])
def test_students_take_equally_many_steps_however_many_facts_there_are(benchmark: Any, facts: int):
    """A student that trains longer on more facts would show training, not memory."""
    taken = benchmark.epochs(400, facts, 32) * ceil(facts / 32)
    assert abs(taken - 400) <= ceil(facts / 32) / 2


def test_every_epoch_is_the_last_ones_and_no_score_chooses_it(benchmark: Any, tmp_path: Path):
    """An epoch chosen on what is asked later would favour whoever has more to choose from."""
    chosen = benchmark.parse_arguments(["--seeds", "1"])
    recipe = benchmark.new_study(30, 400, tmp_path, chosen).recipe
    assert (recipe.student.select, recipe.knowledge.reranker.select) == ("last", "last")
    assert recipe.student.evaluate_every == recipe.student.epochs == 400
    assert recipe.knowledge.reranker.epochs * 2 == 240


@pytest.mark.slow
def test_it_measures_and_prints_a_table_and_goes_on_where_it_was(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A number that nobody can make again is no number."""
    few = ["--facts", "8", "--steps", "2", "--reranker-steps", "2", "--seeds", "1"]
    there = ["--work", str(tmp_path / "work"), "--plot", str(tmp_path / "memory.svg")]
    benchmark.main([*few, *there])
    first = capsys.readouterr().out
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| 8 |")]
    assert [row[3] for row in rows] == list(benchmark.WAYS)
    assert all(row[1] == "2" and row[2] == "2 times" for row in rows)
    assert ElementTree.fromstring((tmp_path / "memory.svg").read_text(encoding="utf-8")).tag.endswith("svg")
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work" / "stages").iterdir()}
    benchmark.main([*few, *there])
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work" / "stages").iterdir()} == made
    assert capsys.readouterr().out.splitlines()[2:] == first.splitlines()[2:]
