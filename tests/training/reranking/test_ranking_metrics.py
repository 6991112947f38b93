"""Dev metrics against plain loops and a metrics library."""

from __future__ import annotations

import math
import random

import ir_measures
import pytest
from ir_measures import Qrel, ScoredDoc, nDCG
from scipy.special import softmax
from scipy.stats import entropy

from tutelage.training.reranking import Ranking
from tutelage.training.reranking.candidates import ranking
from tutelage.training.reranking.metrics import best_rank, measure, ndcg


def chance_rankings(count: int = 40) -> tuple[list[Ranking], list[list[float]]]:
    chance = random.Random(4)
    made = [
        ranking(f"q{n}", "text", [f"p{i}" for i in range(15)], [float(chance.randint(0, 6)) for _ in range(15)])
        for n in range(count)
    ]
    return made, [[float(chance.randint(0, 9)) for _ in r.passage_ids] for r in made]


def test_hits_against_a_plain_loop():
    """The true best is the one with the largest score, wherever it stands in the list (5.1 of the published faults)."""
    rankings, scores = chance_rankings()
    found = measure(rankings, scores)
    for k in (1, 3, 5, 10):
        hit = 0
        for r, given in zip(rankings, scores, strict=True):
            best = {i for i, s in zip(r.passage_ids, r.scores, strict=True) if s == max(r.scores)}
            order = [i for _, i in sorted(zip([-g for g in given], r.passage_ids, strict=True))]
            hit += bool(best & set(order[:k]))
        assert found[f"hits@{k}"] == hit / len(rankings)


def test_the_best_need_not_stand_first():
    """The published evaluation looks at row 0, which is only the best where nothing was mixed in."""
    unordered = Ranking("q", "text", ("a", "b", "c"), (1.0, 7.0, 3.0))
    assert best_rank(unordered, [0.1, 0.9, 0.5]) == 0
    assert best_rank(unordered, [0.9, 0.1, 0.5]) == 2


def test_ndcg_by_hand():
    """Gains 3, 0, 1 in the order c, a, b: (1 + 3/log2 3) / (3 + 1/log2 3)."""
    r = Ranking("q", "text", ("a", "b", "c"), (3.0, 0.0, 1.0))
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert ndcg(r, [0.5, 0.1, 0.9], 10) == pytest.approx(expected)


def test_ndcg_is_that_of_ir_measures():
    """An own formula can be wrong in both the code and the hand calculation."""
    rankings, scores = chance_rankings()
    scores = [
        [s + 0.001 * i for i, s in enumerate(given)] for given in scores
    ]  # without ties, which they break otherwise
    qrels = [Qrel(r.query_id, i, int(s)) for r in rankings for i, s in zip(r.passage_ids, r.scores, strict=True)]
    run = [
        ScoredDoc(r.query_id, i, s)
        for r, given in zip(rankings, scores, strict=True)
        for i, s in zip(r.passage_ids, given, strict=True)
    ]
    expected = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
    assert measure(rankings, scores)["ndcg@10"] == pytest.approx(expected)


def test_kl_is_over_all_candidates_at_the_given_temperatures():
    """Over a drawn part it would change from look to look."""
    rankings, scores = chance_rankings(3)
    expected = [
        entropy(softmax([s / 2 for s in r.scores]), softmax([g / 0.5 for g in given]))
        for r, given in zip(rankings, scores, strict=True)
    ]
    found = measure(rankings, scores, teacher_temperature=2.0, model_temperature=0.5)["kl"]
    assert found == pytest.approx(sum(expected) / 3)


def test_where_nothing_is_worth_finding_every_order_is_as_good():
    """A rationale that shares no word with any candidate must not divide by zero."""
    assert ndcg(Ranking("q", "text", ("a", "b"), (0.0, 0.0)), [1.0, 2.0], 10) == 1.0
    assert measure([], []) == {}
