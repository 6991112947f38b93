"""The search space of a reranker, and what an epoch draws from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from tutelage.training.reranking import Pair, Ranking, question_order, search_space
from tutelage.training.reranking.candidates import draw, ranking
from tutelage.types import Hit, Passage

TEXTS = {
    "forest": "trees and rain in the forest",
    "fork": "a fork is a tool to eat with",
    "tool": "a tool of stone and a tool of iron",
    "mammoth": "the mammoth lived in the ice age",
    "ice": "ice is cold and the rain is not",
}


class SharedWords:
    """A search by the number of shared words, written out so that every score can be counted by hand."""

    fingerprint = "0"

    def __len__(self) -> int:
        return len(TEXTS)

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        found: list[list[Hit]] = []
        for query in queries:
            scores = self.score(query, list(TEXTS))
            best = sorted(zip(TEXTS, scores, strict=True), key=lambda pair: -pair[1])[:k]
            # a search may report another scale than `score`; a reranker must not learn from a mixture
            found.append([Hit(i, 100 * score, rank) for rank, (i, score) in enumerate(best) if score])
        return found

    def score(self, query: str, passage_ids: Sequence[str]) -> list[float]:
        self.asked.append(tuple(passage_ids))
        return [float(len(set(query.split()) & set(TEXTS[i].split()))) for i in passage_ids]

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        return [Passage(i, "", TEXTS[i]) for i in ids]


def test_candidates_of_both_searches_are_scored_by_the_rationale():
    """The question's own candidates on another scale would be good or bad by formula, not by content (K12)."""
    [found] = search_space(SharedWords(), [Pair("q", "mammoth or fork", "a tool of iron")], candidates=2)
    assert found.query == "mammoth or fork"
    assert dict(zip(found.passage_ids, found.scores, strict=True)) == {"tool": 4.0, "fork": 2.0, "mammoth": 0.0}


def test_a_passage_that_both_searches_find_stands_once():
    """Twice in one softmax it would share its probability with itself (K12)."""
    [found] = search_space(SharedWords(), [Pair("q", "a tool", "a tool of stone")], candidates=5)
    assert len(found.passage_ids) == len(set(found.passage_ids))


def test_a_question_is_searched_once_for_all_its_rationales():
    """Ten rationales a question would otherwise cost ten equal searches."""
    retriever = SharedWords()
    searched: list[list[str]] = []
    search = retriever.search
    retriever.search = lambda queries, k: searched.append(list(queries)) or search(queries, k)
    pairs = [Pair(f"q#{n}", "a tool", text) for n, text in enumerate(["a fork is it", "rain and ice"])]
    assert [r.query_id for r in search_space(retriever, pairs)] == ["q#0", "q#1"]
    assert searched == [["a tool"], ["a fork is it", "rain and ice"]]


def test_a_pair_without_two_candidates_is_left_out():
    """A softmax over one passage is 1 whatever the reranker says."""
    assert search_space(SharedWords(), [Pair("q", "unheard", "mammoth"), Pair("p", "nothing", "else")]) == []


def test_the_question_orders_the_same_candidates():
    """A baseline over other candidates would not be the one to beat."""
    spaces = search_space(SharedWords(), [Pair("q", "ice age", "a tool of iron")], candidates=2)
    [found] = question_order(SharedWords(), spaces)
    assert set(found.passage_ids) == set(spaces[0].passage_ids)
    assert dict(zip(found.passage_ids, found.scores, strict=True)) == {
        "mammoth": 2.0,
        "ice": 1.0,
        "tool": 0.0,
        "fork": 0.0,
    }


def test_a_ranking_is_in_order_and_keeps_the_first_of_two_equal_ids():
    """Whoever reads the first passage for the best one must be right."""
    found = ranking("q", "text", ["b", "a", "c", "b"], [2.0, 2.0, 5.0, 9.0])
    assert found == Ranking("q", "text", ("c", "a", "b"), (5.0, 2.0, 2.0))


def long(n: int = 20) -> Ranking:
    return ranking("q", "text", [f"p{i:02d}" for i in range(n)], [float(-i) for i in range(n)])


def test_a_draw_takes_half_from_each_half():
    """Only near ones would never teach that the far ones are wrong, only far ones would be too easy."""
    for epoch in range(50):
        ids = [int(i[1:]) for i in draw(long(), 8, seed=1, epoch=epoch).passage_ids]
        assert len(set(ids)) == 8
        assert sum(i < 10 for i in ids) == 4


@pytest.mark.parametrize(("n", "count"), [(9, 8), (11, 9), (5, 4), (3, 2)])
def test_a_draw_of_odd_numbers_has_as_many_as_asked(n: int, count: int):
    """One short row would be padded and the others would carry it."""
    assert len(draw(long(n), count, seed=3, epoch=0).passage_ids) == count


def test_a_draw_keeps_scores_with_their_passages():
    """A score beside another passage teaches the wrong order."""
    found = draw(long(), 8, seed=1, epoch=2)
    assert all(score == -int(i[1:]) for i, score in zip(found.passage_ids, found.scores, strict=True))
    assert list(found.scores) == sorted(found.scores, reverse=True)


def test_draws_differ_between_epochs_and_seeds_and_repeat_within():
    """The same eight in every epoch leave the other fifty unseen; other eight after a resume are another training."""
    assert draw(long(), 8, seed=1, epoch=0) == draw(long(), 8, seed=1, epoch=0)
    seen = {draw(long(), 8, seed=seed, epoch=epoch).passage_ids for seed in range(3) for epoch in range(5)}
    assert len(seen) > 10


def test_every_candidate_is_drawn_in_time():
    """A passage that is never drawn is never learnt from."""
    seen = Counter(i for epoch in range(60) for i in draw(long(), 8, seed=1, epoch=epoch).passage_ids)
    assert len(seen) == 20
    assert min(seen.values()) > 60 * 8 / 20 / 3


def test_a_short_ranking_is_taken_whole():
    """Nothing is gained by leaving some of few out."""
    assert draw(long(8), 8, seed=1, epoch=0) == long(8)
