"""The search on SciFact, against the published figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest

from tutelage.evaluation.retrieval import read_qrels, read_queries, score_retrieval
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.analysis import terms
from tutelage.retrieval.corpus import Report, read_corpus

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def scifact() -> Path:
    folder = Path(os.environ.get("TUTELAGE_DATA", "")) / "scifact"
    if not os.environ.get("TUTELAGE_DATA") or not folder.is_dir():
        pytest.skip("TUTELAGE_DATA does not hold scifact")
    return folder


@pytest.fixture(scope="module")
def index(scifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Bm25:
    report = Report()
    made = Bm25.build(read_corpus(scifact / "corpus.jsonl", report=report), tmp_path_factory.mktemp("scifact"))
    assert (len(made), report.bad, report.repeated) == (5183, 0, 0)
    return made


def test_scifact_reaches_the_published_figures(scifact: Path, index: Bm25):
    """Anserini's BM25 (k1 0.9, b 0.4, title and text): nDCG@10 0.6789, R@100 0.9253 (castorini/anserini)."""
    queries = read_queries(scifact / "topics.beir-v1.0.0-scifact.test.tsv")
    qrels = read_qrels(scifact / "qrels.beir-v1.0.0-scifact.test.txt")
    score = score_retrieval(qrels, dict(zip(queries, index.search(list(queries.values()), 100), strict=True)))
    assert score.n == 300
    assert score.means["nDCG@10"] == pytest.approx(0.6789, abs=0.01)
    assert score.means["R@100"] == pytest.approx(0.9253, abs=0.01)


def test_the_first_ten_agree_with_an_independent_bm25_on_real_text(scifact: Path, index: Bm25):
    """For claims, and for whole abstracts as long as a rationale and longer."""
    passages = list(read_corpus(scifact / "corpus.jsonl"))
    tokens = [terms(f"{p.title} {p.text}") for p in passages]
    vocabulary = {term: number for number, term in enumerate(sorted({t for words in tokens for t in words}))}
    other = bm25s.BM25(k1=0.9, b=0.4, method="lucene", idf_method="lucene")
    other.index(([[vocabulary[t] for t in words] for words in tokens], vocabulary), show_progress=False)
    place = {p.id: number for number, p in enumerate(passages)}
    claims = list(read_queries(scifact / "topics.beir-v1.0.0-scifact.test.tsv").values())
    for asked in (claims, [p.text for p in passages[::25]]):
        shared = total = 0
        for query, hits in zip(asked, index.search(asked, 10), strict=True):
            scores: Any = other.get_scores_from_ids([vocabulary[t] for t in terms(query) if t in vocabulary])
            shared += sum(scores[place[h.passage_id]] >= np.sort(scores)[-10] * (1 - 1e-5) for h in hits)
            total += len(hits)
        assert shared / total >= 0.99
