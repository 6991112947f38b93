"""Retrievers by name, and shards against one index."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import best, ids, plain_scores, queries, zipf_passages

from tutelage.errors import PluginError
from tutelage.plugins import resolve
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.retriever import RETRIEVERS, open_retriever
from tutelage.types import Passage

PASSAGES = zipf_passages(1500, seed=8)


def test_a_retriever_is_opened_by_name(tmp_path: Path):
    """A recipe names it, settings come from the recipe, and a mistake is told with the nearest name."""
    RETRIEVERS["bm25"].build(PASSAGES[:50], tmp_path)
    opened = open_retriever("bm25", tmp_path, k1=1.5, b=0.6)
    assert isinstance(opened, Bm25)
    assert (opened.k1, opened.b, len(opened)) == (1.5, 0.6, 50)
    assert resolve("tutelage.retrieval.bm25:Bm25", RETRIEVERS, "retriever") is Bm25
    with pytest.raises(PluginError, match="no retriever 'bm-25'; did you mean 'bm25'"):
        open_retriever("bm-25", tmp_path)


@pytest.mark.parametrize("workers", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_shards_answer_as_one_index(tmp_path: Path, workers: int):
    """By statistics of their own, shards put a passage before another because of where it happens to stand."""
    one = Bm25.build(PASSAGES, tmp_path / "one", workers=1)
    many = Bm25.build(PASSAGES, tmp_path / "many", workers=workers)
    asked = [*queries(40, 25), *queries(40, 3)]
    found = many.search(asked, 20)
    assert found == one.search(asked, 20)
    assert many.fingerprint == one.fingerprint
    assert many.score(asked[0], ids(found[0])) == [hit.score for hit in found[0]]
    assert many.passages(ids(found[0])) == one.passages(ids(found[0]))


def test_shards_of_very_different_passages_answer_as_one_index(tmp_path: Path):
    """A term that is common in one shard and rare in another must weigh the same in both."""
    from tutelage.retrieval.bm25.shard import shard_of

    passages = [
        Passage(p.id, "", p.text + (" amber" if shard_of(p.id, 2) else " basalt amber" * (p.id[-1] == "7")))
        for p in PASSAGES[:400]
    ]
    asked = ["amber basalt w1", "basalt w5 w9", "amber w3"]
    found = Bm25.build(passages, tmp_path, workers=2, candidates=100).search(asked, 10)
    assert [ids(hits) for hits in found] == [best(plain_scores(passages, query), 10) for query in asked]
