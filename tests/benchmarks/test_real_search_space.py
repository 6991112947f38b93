"""KARD's published search space, read as it is, and our BM25 beside its scores."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

DATA = os.environ.get("TUTELAGE_DATA")

pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA, reason="TUTELAGE_DATA names no folder of published data")]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("search_space")


def test_every_pair_is_read_and_no_candidate_twice(study: Any):
    """756 pairs of 80 questions; the published lists name many passages twice, once for each search."""
    pairs, passages = study.read_search_space(Path(DATA or "") / "kard" / "search_space")
    assert (len(pairs), len({pair.question_id for pair in pairs}), len(passages)) == (756, 80, 11_680)
    for pair in pairs:
        ids = pair.whole.passage_ids
        assert len(ids) == len(set(ids)) <= 64
        assert set(ids) <= passages.keys()
        assert len(pair.asked.passage_ids) == 32
    assert sum(len(pair.whole.passage_ids) for pair in pairs) / 756 == pytest.approx(57.24, abs=0.01)


def test_our_scores_order_candidates_much_as_the_published_ones(study: Any, tmp_path: Path):
    """With the words of 11,680 passages counted instead of Wikipedia's, the orders still agree: same formula, same k1
    and b. A wrong length, stemmer or scale would not get there.
    """
    pairs, passages = study.read_search_space(Path(DATA or "") / "kard" / "search_space")
    table = study.agreement(pairs, passages, study.read_rationales(Path(DATA or "") / "kard"), tmp_path / "index")
    [row] = [line for line in table.splitlines() if line.startswith("| rationale |")]
    first, among, correlation = (float(cell.split()[0]) for cell in row.split("|")[3:6])
    assert first > 45
    assert among > 70
    assert correlation > 85
