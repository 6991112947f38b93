"""Figures about one arm: against hand calculations, an independent library and simulated studies."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from verdict_letters import by_seed, predictions, rationale

from tutelage.errors import RunError
from tutelage.evaluation.metrics import (
    accuracy_interval,
    agreement,
    score_arm,
    spread_of_mean,
    wilson,
)
from tutelage.evaluation.runs import Answers, Origin, correct_by_question, run_variance
from tutelage.types import Prediction, Verdict


def test_wilson_by_hand():
    """8 of 10: the figures of the published formula, or every interval in every report is off.

    z = 1.96, z2 = 3.8416: middle (0.8 + 0.19208) / 1.38416 = 0.71674,
    half 1.96 / 1.38416 * sqrt(0.016 + 0.009604) = 0.22658.
    """
    low, high = wilson(0.8, 10, critical=1.96)
    assert low == pytest.approx(0.71674 - 0.22658, abs=2e-5)
    assert high == pytest.approx(0.71674 + 0.22658, abs=2e-5)


@pytest.mark.parametrize(("correct", "n"), [(0, 5), (1, 7), (8, 10), (299, 300), (40, 40)])
def test_one_seed_has_the_interval_of_statsmodels(correct: int, n: int):
    """An independent library must agree, at the ends too, where naive intervals leave [0, 1] or vanish."""
    score = score_arm(by_seed("c" * correct + "w" * (n - correct)))
    expected: Any = proportion_confint(correct, n, method="wilson")
    assert (score.low, score.high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 400, 7))
def test_an_interval_holds_its_own_middle(n: int):
    """All right, yet an interval that ends at 99.99999%: a plot and a test would then put the mean outside of it."""
    assert wilson(1.0, n).high == 1.0
    assert wilson(0.0, n).low == 0.0


@pytest.mark.parametrize("verdicts", ["ccwcwwcccu", "c" * 20, "w" * 20])
def test_copies_of_a_seed_tell_nothing_new(verdicts: str):
    """Pooling k seeds as k*n answers would shrink the interval by sqrt(k) without one more question."""
    one, five = score_arm(by_seed(verdicts)), score_arm(by_seed(*[verdicts] * 5))
    assert (five.low, five.high) == pytest.approx((one.low, one.high), abs=1e-12)
    assert (five.n, five.runs, five.speaks_of) == (one.n, 1, "one run")


def test_one_model_that_answers_for_several_seeds_is_one_run():
    """A mentor of a fixed seed, sampled three times, is one mentor: its answers differ, its training does not."""
    texts = ("ccwwcccwww" * 3, "cwwwcccwwc" * 3, "ccwwccwwww" * 3)
    score = score_arm(by_seed(*texts), Origin(dict.fromkeys((1, 2, 3), "the mentor")))
    assert (score.runs, score.speaks_of, len(score.per_seed)) == (1, "one run", 3)
    assert score.accuracy == pytest.approx(sum(score.per_seed) / 3)
    own = score_arm(by_seed(*texts))
    assert (own.runs, own.speaks_of) == (3, "runs")


OTHERS = [Answers(correct_by_question(by_seed("ccccwwwwcw" * 20, "ccccwwcccw" * 20, "cwccwwwwcw" * 20)))]
"""An arm whose runs have 50, 70 and 40% right."""


def test_the_variance_of_runs_by_hand():
    """Own 0.5, 0.7, 0.4: variance 0.02333 of 2 degrees, 0.0938 of the 0.2489 of one answer at 53.3%.

    Lent to two runs of 0.4 and 0.6 (0.02, 1 degree) at 50%: (0.02 + 2 * 0.0938 * 0.25) / 3, 3 degrees.
    """
    two = Answers(correct_by_question(by_seed("ccccwwwwww", "wwwwcccccc")))
    share = 0.07 / 3 / (8 / 15 * 7 / 15)
    assert run_variance(OTHERS[0]) == pytest.approx((0.07 / 3, 2))
    assert run_variance(two) == pytest.approx((0.02, 1))
    assert run_variance(two, OTHERS) == pytest.approx(((0.02 + 2 * share * 0.25) / 3, 3))
    one = Answers(correct_by_question(by_seed("cccccwwwww")))
    assert run_variance(one, OTHERS) == pytest.approx((share * 0.25, 2))
    assert run_variance(one, [one, two._replace(shared=("reranker",))]) is None


def test_one_run_borrows_the_chance_of_the_other_arms():
    """Its interval is that of a run whose luck is drawn from the spread of others, so it is wider than Wilson's."""
    alone, borrowed = (score_arm(by_seed("ccccccwwww" * 20), others=o) for o in ([], OTHERS))
    assert (alone.speaks_of, borrowed.speaks_of) == ("one run", "borrowed")
    assert borrowed.low < alone.low < alone.high < borrowed.high
    untrained = score_arm(by_seed("ccccccwwww" * 20), Origin(is_trained=False), OTHERS)
    assert (untrained.low, untrained.high, untrained.speaks_of) == (alone.low, alone.high, "untrained")


@pytest.mark.parametrize("letters", ["c" * 50, "w" * 50])
def test_a_borrowed_interval_at_an_end_is_no_wider_than_the_luck_it_allows_for(letters: str):
    """All right with one seed: a variance of points, added as it stands, would reach down to 20%."""
    steady = [Answers(correct_by_question(by_seed("cw" * 50, "cw" * 47 + "cc" * 3, "cw" * 46 + "ww" * 4)))]
    score = score_arm(by_seed(letters), others=steady)
    assert 0.0 <= score.low <= score.accuracy <= score.high <= 1.0
    assert 0.08 < score.high - score.low < 0.35


def test_seeds_that_differ_widen_the_interval():
    """Two seeds 40 points apart say little about a third; an interval over questions alone would hide that."""
    steady = score_arm(by_seed("cccccwwwww" * 10, "wwwwwccccc" * 10))
    apart = score_arm(by_seed("cccccccwww" * 10, "cccwwwwwww" * 10))
    assert steady.accuracy == apart.accuracy == 0.5
    assert apart.high - apart.low > 2 * (steady.high - steady.low)


def test_variance_of_the_mean_by_hand():
    """Both parts, questions and seeds, or the interval speaks of something else.

    Questions' means 1, 0.5, 0.5, 0 have variance 1/6; over 4: 1/24. Seeds' means 0.75, 0.25: 1/8; over 2: 1/16.
    """
    spread = spread_of_mean(correct_by_question(by_seed("cccw", "cwww")))
    assert spread.questions == pytest.approx(1 / 24)
    assert spread.runs == pytest.approx(1 / 16)
    assert spread.freedom == 1


def test_order_of_questions_and_seeds_changes_nothing():
    """A resumed run lists its seeds in another order; its figures must not move."""
    arm = by_seed("ccwwuccw", "cwwwuccc", "cccwwccw")
    turned = {seed: list(reversed(arm[seed])) for seed in reversed(list(arm))}
    assert score_arm(arm) == score_arm(turned)


def test_unread_answers_are_counted_and_not_correct():
    """Leaving the unreadable out of the total would reward a student that says nothing."""
    score = score_arm(by_seed("ccuu", "cuww"))
    assert (score.correct, score.unread, score.n) == (3, 3, 4)
    assert score.accuracy == 3 / 8
    assert score.per_seed == (0.5, 0.25)


def test_tokens_are_counted_by_rationale():
    """The cost of an arm is part of the comparison; uncounted must not look like free."""
    assert score_arm({1: predictions("cw", tokens=30)}).tokens_mean == 30
    assert score_arm({1: predictions("cw", tokens=30)}).tokens_total == 60
    assert score_arm({1: predictions("cw")}).tokens_mean is None


def test_agreement_is_the_share_of_votes_for_the_answer():
    """An unread vote agrees with nobody, or a mute student looks sure of itself."""
    votes = [("17", Verdict.CORRECT), ("17", Verdict.CORRECT), ("18", Verdict.WRONG), (None, Verdict.UNREAD)]
    voted = Prediction("q", "17", Verdict.CORRECT, tuple(rationale(a, v) for a, v in votes))
    mute = Prediction("r", None, Verdict.UNREAD, tuple(rationale(None, Verdict.UNREAD) for _ in range(4)))
    assert agreement([voted]) == 0.5
    assert agreement([voted, mute]) == 0.25
    assert agreement(predictions("cw")) is None


def test_seeds_with_different_questions_are_refused():
    """Means over different questions are no means of the same thing."""
    with pytest.raises(RunError, match="same questions; found seed 1: 2, seed 2: 3"):
        score_arm(by_seed("cc", "ccc"))
    with pytest.raises(RunError, match="found none"):
        score_arm({})
    with pytest.raises(RunError, match="seed 1: 0"):
        score_arm({1: []})


def test_a_question_answered_twice_is_refused():
    """A chunk written twice would count twice."""
    with pytest.raises(RunError, match="seed 1: 4 predictions for 2 questions"):
        score_arm({1: predictions("cw") * 2})


@pytest.mark.parametrize(("seeds", "between_seeds"), [(1, 0.0), (2, 0.0), (2, 0.1), (3, 0.1), (5, 0.15)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, between_seeds: float):
    """An interval that misses one time in four reads like one that misses one time in twenty.

    Simulated studies: question difficulty, seed luck and their interplay, 150 questions. 500 studies have a standard
    error of a point; intervals may be wider than needed, hardly narrower. The naive interval, seeds taken as more
    questions, must fail, or this test could not.
    """
    rng = np.random.default_rng(seeds)
    truth = NormalDist().cdf(0.5 / sqrt(1 + between_seeds**2 + 0.6**2))
    held = naive = 0
    for _ in range(500):
        latent = (
            0.5 + rng.normal(0, 1, (150, 1)) + rng.normal(0, between_seeds, seeds) + rng.normal(0, 0.6, (150, seeds))
        )
        correct_QS = (latent > 0).astype(float)
        low, high = accuracy_interval(correct_QS)
        held += low <= truth <= high
        low, high = wilson(float(correct_QS.mean()), correct_QS.size)
        naive += low <= truth <= high
    assert held / 500 >= 0.935
    if seeds > 1:
        assert naive / 500 < 0.91
