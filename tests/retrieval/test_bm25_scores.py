"""The scores of BM25, and which passages are found by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from small_corpora import best, ids, plain_scores, queries, zipf_passages

from tutelage.errors import IndexFolderError
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.analysis import terms
from tutelage.types import Hit, Passage

ZOO = [
    Passage("a", "", "the cat sat on the mat"),
    Passage("b", "", "a dog and a dog and a cat"),
    Passage("c", "Birds", "owls hunt at night"),
    Passage("d", "", "dogs hunt cats"),
    Passage("e", "", "of the and"),
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Bm25:
    return Bm25.build(ZOO, tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Passage], Bm25]:
    passages = zipf_passages(2500)
    return passages, Bm25.build(passages, tmp_path_factory.mktemp("made"))


def test_a_score_is_what_the_formula_says_by_hand(zoo: Bm25):
    """A factor too many, or a length counted before stop words, and scores stand on another scale than Lucene's."""
    # Terms: a cat sat mat | b dog dog cat | c bird owl hunt night | d dog hunt cat | e nothing. "at" is a stop word.
    mean = (3 + 3 + 4 + 3 + 0) / 5
    idf_dog = math.log(1 + (5 - 2 + 0.5) / (2 + 0.5))
    idf_owl = math.log(1 + (5 - 1 + 0.5) / (1 + 0.5))
    norm = 0.9 * (1 - 0.4 + 0.4 * 3 / mean)
    [hits] = zoo.search(["Dogs! And dogs, or owls?"], 10)
    assert ids(hits) == ["b", "d", "c"]
    assert [hit.rank for hit in hits] == [0, 1, 2]
    assert hits[0].score == pytest.approx(2 * idf_dog * 2 / (2 + norm), rel=1e-12)
    assert hits[1].score == pytest.approx(2 * idf_dog * 1 / (1 + norm), rel=1e-12)
    assert hits[2].score == pytest.approx(idf_owl / (1 + 0.9 * (0.6 + 0.4 * 4 / mean)), rel=1e-12)


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (0.0, 0.0), (2.0, 1.0)])
def test_search_finds_what_a_plain_loop_finds(made: tuple[list[Passage], Bm25], k1: float, b: float):
    """The fixed k1 and b of tantivy may not show through, whatever was asked for."""
    passages, index = made
    opened = Bm25.open(index.folder, k1=k1, b=b)
    asked = queries(4, 12)
    for query, hits in zip(asked, opened.search(asked, 10), strict=True):
        plain = plain_scores(passages, query, k1=k1, b=b)
        assert ids(hits) == best(plain, 10)
        assert [hit.score for hit in hits] == pytest.approx([plain[i] for i in ids(hits)], rel=1e-12)


@pytest.mark.parametrize("words", [3, 30, 150])
def test_the_first_ten_agree_with_an_independent_bm25(made: tuple[list[Passage], Bm25], words: int):
    """A fault that our search and our plain loop share would pass unseen."""
    passages, index = made
    tokens = [terms(f"{p.title} {p.text}") for p in passages]
    vocabulary = {term: number for number, term in enumerate(sorted({t for words in tokens for t in words}))}
    other = bm25s.BM25(k1=0.9, b=0.4, method="lucene", idf_method="lucene")
    # bm25s takes tokens as numbers; unlike its own tokenizer this keeps repeated words of a query.
    other.index(([[vocabulary[t] for t in words] for words in tokens], vocabulary), show_progress=False)
    asked = queries(60, words)
    shared = 0
    for query, hits in zip(asked, index.search(asked, 10), strict=True):
        scores: Any = other.get_scores_from_ids([vocabulary[t] for t in terms(query) if t in vocabulary])
        tenth = np.sort(scores)[-10]
        shared += sum(scores[int(hit.passage_id[1:])] >= tenth * (1 - 1e-5) for hit in hits)
    assert shared / (10 * len(asked)) >= 0.99


def test_score_gives_what_search_gives_to_the_last_bit(made: tuple[list[Passage], Bm25]):
    """A reranker learns from `score` over passages that `search` found: two scales would mix in one softmax."""
    _, index = made
    for query, hits in zip(queries(20, 40), index.search(queries(20, 40), 50), strict=True):
        assert index.score(query, ids(hits)) == [hit.score for hit in hits]


def test_score_keeps_the_order_asked_for_and_knows_repetitions(zoo: Bm25):
    """Scores are laid beside the ids that were asked for; another order gives a passage its neighbour's score."""
    cat = zoo.score("cat", ["b"])[0]
    assert zoo.score("cat", ["c", "b", "e", "b"]) == [0.0, cat, 0.0, cat]


def test_equal_scores_come_in_the_order_of_ids(tmp_path: Path):
    """With ties broken by the order of writing, a rebuilt index shows a student other passages."""
    same = [Passage(f"t{i:04d}", "", f"amber {'stone' if i % 2 else 'stones'}") for i in range(1500)]
    for folder, passages in (("forth", same), ("back", same[::-1])):
        [hits] = Bm25.build(passages, tmp_path / folder, candidates=10).search(["amber stone"], 7)
        assert ids(hits) == [f"t{i:04d}" for i in range(7)]


def test_words_in_another_order_score_the_same(tmp_path: Path):
    """Sums in another order differ in their last bit, and a tie would be broken by chance."""
    chance = [
        Passage(f"{i}", "", " ".join(words)) for i, words in enumerate(_turned("ash birch cedar dogwood elm fir"))
    ]
    [hits] = Bm25.build(chance, tmp_path).search(["fir elm cedar ash birch dogwood"], 10)
    assert len({hit.score for hit in hits}) == 1


def test_a_passage_without_a_term_of_the_query_is_no_hit(zoo: Bm25):
    """Padding a result with passages that have nothing to do with the question teaches a student to read noise."""
    assert ids(zoo.search(["night"], 10)[0]) == ["c"]
    assert zoo.search(["of the", "", "zebra"], 10) == [[], [], []]
    assert zoo.search(["cat"], 0) == [[]]


def test_titles_are_searched_too(zoo: Bm25):
    """SciFact's and Wikipedia's titles hold the words that a question is asked in."""
    assert ids(zoo.search(["bird"], 1)[0]) == ["c"]


def test_passages_come_back_as_they_were_given(tmp_path: Path):
    """What stands beside a question is this text."""
    odd = [Passage("1", "Über\n", "Zürich\t‘is’ \0 北京 😀"), Passage("2/#?", "", "plain")]
    index = Bm25.build(odd, tmp_path)
    assert index.passages(["2/#?", "1", "2/#?"]) == [odd[1], odd[0], odd[1]]
    assert len(index) == 2


def test_an_unknown_id_is_named(zoo: Bm25):
    """A score of 0 for a passage of another index would pass for an answer."""
    with pytest.raises(IndexFolderError, match=r"1 passages are not in the index .*'zz'"):
        zoo.score("cat", ["a", "zz"])
    with pytest.raises(IndexFolderError, match="'zz'"):
        zoo.passages(["zz"])


def test_many_queries_at_once_give_what_each_gives_alone(made: tuple[list[Passage], Bm25]):
    """Threads share the opened index."""
    _, index = made
    asked = queries(80, 20)
    alone: list[list[Hit]] = [index.search([query], 5)[0] for query in asked]
    assert index.search(asked, 5) == alone


def _turned(text: str) -> list[list[str]]:
    words = text.split()
    return [words[i:] + words[:i] for i in range(len(words))]
