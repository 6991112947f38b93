"""The benchmarks of the reranker run from end to end, on a search space as small as it can be."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six questions of two rationales each, twelve passages, in the format of the published files."""
    folder = tmp_path / "data" / "kard"
    (folder / "search_space").mkdir(parents=True)
    things = ["stone", "river", "tree", "house", "road", "city"]
    passages = [{"id": f"{t}-{n}", "title": t, "text": f"{n} and one more {t} here"} for t in things for n in (1, 2)]
    ids = [passage["id"] for passage in passages]
    rows: list[dict[str, Any]] = []
    for number, thing in enumerate(things):
        for nth in range(2):
            found = sorted(ids, key=lambda i, thing=thing: not i.startswith(thing))
            rows.append(
                {
                    "id": f"q{number}", "file": f"{number}{nth}.json", "question": f"which {thing} is here?",
                    "kard_index": number, "nth_kept_rationale": nth, "label": 0,
                    "q": [[i, float(len(i) + nth)] for i in ids[:8]],
                    "r": [[i, 20.0 - place] for place, i in enumerate(found[:8])],
                }
            )  # fmt: skip
    for name, lines in (("passages", passages), ("strategyqa_search_space", rows)):
        with gzip.open(folder / "search_space" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "data"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_the_study_of_the_search_space_prints_both_tables(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A number that nobody can make again is no number."""
    few = "--base pocket/nano --train 3 --dev 1 --epochs 1 --dimension 32 --no-lora"
    study = script("search_space", monkeypatch)
    study.main(["--data", str(data), "--work", str(tmp_path / "work"), *few.split()])
    printed = capsys.readouterr().out
    assert printed.count("| BM25 by question |") == printed.count("| reranked |") == 2
    assert "4 pairs of 2 test questions (taught 6 pairs, dev 2)" in printed


def test_questions_are_in_one_part_only(data: Path, monkeypatch: pytest.MonkeyPatch):
    """A question in train and test would be found again instead of understood."""
    study = script("search_space", monkeypatch)
    pairs, _ = study.read_search_space(data / "kard" / "search_space")
    parts = [{pair.question_id for pair in part} for part in study.split(pairs, 3, 1, 0)]
    assert [len(part) for part in parts] == [3, 1, 2]
    assert len(set.union(*parts)) == 6


def test_an_interval_draws_whole_questions(monkeypatch: pytest.MonkeyPatch):
    """Ten rationales of one question are not ten questions: the interval must be as wide as for four."""
    study = script("search_space", monkeypatch)
    values, questions = np.repeat([0.0, 1.0, 1.0, 0.0], 10), [name for name in "abcd" for _ in range(10)]
    assert study.interval(values, questions) == "50.0 (0.0 to 100.0)"


def test_reranking_is_timed_both_ways_and_orders_are_compared(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A faster way that finds another order is not a faster way."""
    benchmark = script("rerank", monkeypatch)
    benchmark.main(["--data", str(data), "--base", "pocket/nano", "--questions", "2", "--candidates", "6"])
    printed = capsys.readouterr().out
    [row] = [line for line in printed.splitlines() if line.startswith("| kept vectors |")]
    assert "| 2/2 | 2/2 | 2/2 |" in row
    assert "x |" in row
