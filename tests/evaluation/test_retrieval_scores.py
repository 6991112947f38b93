"""Scores of a search against judgements."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tutelage.errors import CorpusError
from tutelage.evaluation.retrieval import read_qrels, read_queries, score_retrieval
from tutelage.types import Hit


def hits(*ids: str, score: float = 1.0) -> list[Hit]:
    return [Hit(id, score, rank) for rank, id in enumerate(ids)]


def test_measures_are_what_they_are_by_hand():
    """Two relevant passages, of grades 2 and 1, at places 2 and 3; a third is never found."""
    qrels = {"q": {"a": 2, "b": 1, "c": 1, "bad": 0}}
    score = score_retrieval(qrels, {"q": hits("x", "a", "b", "bad")})
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert score.means["nDCG@10"] == pytest.approx((2 / math.log2(3) + 1 / math.log2(4)) / ideal)
    assert score.means["MAP"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert score.means["R@100"] == pytest.approx(2 / 3)
    assert score.means["P@30"] == pytest.approx(2 / 30)
    assert [score.means[f"Hits@{k}"] for k in (1, 3, 5, 10)] == [0, 1, 1, 1]


def test_a_query_without_a_hit_counts_nothing_and_one_without_judgement_nowhere():
    """A search that stays silent where it does not know would look better than one that tries."""
    qrels = {"found": {"a": 1}, "silent": {"a": 1}, "no relevant": {"a": 0}, "never asked": {"a": 1}}
    score = score_retrieval(qrels, {"found": hits("a"), "silent": [], "no relevant": hits("a"), "unknown": hits("a")})
    assert (score.n, score.unjudged) == (2, 2)
    assert score.means["Hits@1"] == 0.5
    assert score.per_query["silent"]["nDCG@10"] == 0
    assert set(score.per_query) == {"found", "silent"}


def test_equal_scores_keep_the_order_in_which_they_were_found():
    """trec_eval puts equal scores in an order of its own, and a search would be judged by what nobody sees."""
    assert score_retrieval({"q": {"b": 1}}, {"q": hits("b", "a", "c")}).means["Hits@1"] == 1
    assert score_retrieval({"q": {"a": 1}}, {"q": hits("b", "a", "c")}).means["Hits@1"] == 0


def test_judgements_of_other_queries_are_refused():
    """Zeros everywhere would look like a bad search."""
    with pytest.raises(CorpusError, match="none of the 1 queries has a relevant passage"):
        score_retrieval({"other": {"a": 1}}, {"q": hits("a")})


def test_queries_are_read_from_both_kinds_of_file(tmp_path: Path):
    """BEIR gives JSON lines, Anserini TSV."""
    (tmp_path / "q.tsv").write_text("1\tWhat is it?\n\n2\ttwo\twords\n")
    (tmp_path / "q.jsonl").write_text('{"_id": "1", "text": "What is it?"}\n{"id": 2, "text": "two\\twords"}\n')
    assert (
        read_queries(tmp_path / "q.tsv")
        == read_queries(tmp_path / "q.jsonl")
        == {"1": "What is it?", "2": "two\twords"}
    )


def test_judgements_are_read_from_both_kinds_of_file(tmp_path: Path):
    """TREC's four columns and BEIR's three with a header."""
    (tmp_path / "trec.txt").write_text("1 0 a 1\n1 0 b 0\n2 Q0 a -1\n")
    (tmp_path / "beir.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n2\ta\t-1\n")
    expected = {"1": {"a": 1, "b": 0}, "2": {"a": -1}}
    assert read_qrels(tmp_path / "trec.txt") == read_qrels(tmp_path / "beir.tsv") == expected


@pytest.mark.parametrize(
    ("reader", "name", "text", "message"),
    [
        (read_queries, "q.tsv", "1\tx\nno tab\n", r"(?s)1 lines of the queries.*q.tsv:2: expected id, a tab"),
        (read_queries, "q.tsv", "1\tx\n1\ty\n", r"q.tsv:2: query 1 again"),
        (read_queries, "q.jsonl", '{"_id": "1"}\n', r"q.jsonl:1: expected"),
        (read_queries, "q.jsonl", "[1]\n{\n", r"(?s)2 lines.*q.jsonl:1: .*q.jsonl:2: "),
        (read_qrels, "r.txt", "1 0 a 1\n1 0 b yes\n", r"r.txt:2: expected"),
        (read_qrels, "r.txt", "1 a\n", r"r.txt:1: expected"),
        (read_qrels, "r.txt", "", r"0 lines of the judgements"),
    ],
)
def test_a_bad_line_is_located(tmp_path: Path, reader, name: str, text: str, message: str):
    """A judgement that is passed over changes every figure."""
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=message):
        reader(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path):
    """Before an index of a million passages is opened."""
    with pytest.raises(CorpusError, match=r"no file '.*none.tsv'"):
        read_queries(tmp_path / "none.tsv")
