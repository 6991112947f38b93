"""Pairs of arms: exact small tables, hand-computed corrections, simulated studies without a difference."""

from __future__ import annotations

from itertools import product
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.stats import contingency_tables, multitest, power
from verdict_letters import by_seed, predictions

from tutelage.errors import RunError
from tutelage.evaluation.compare import (
    MCNEMAR,
    PAIRED_T,
    compare,
    compare_arms,
    compare_with_constant,
    holm,
    mcnemar,
    mcnemar_interval,
    mcnemar_power,
    pairs_of,
)
from tutelage.evaluation.runs import Answers, Origin, correct_by_question, run_variance
from tutelage.evaluation.spread import Spread, detectable


def matrix(*verdicts: str):
    return correct_by_question(by_seed(*verdicts))


def test_mcnemar_by_hand():
    """1 against 6: twice the tail (1 + 7) / 2^7 = 0.125. A chi-square at such counts would claim more."""
    assert mcnemar(1, 6) == pytest.approx(2 * 8 / 128)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0


def test_mcnemar_is_scipys_exact_binomial_test():
    """An independent library must agree for every small table."""
    for a, b in product(range(9), range(9)):
        expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
        assert mcnemar(a, b) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_stays_exact_far_out():
    """Very small p-values are shown as they are, never as 0."""
    assert mcnemar(0, 100) == pytest.approx(2.0**-99)


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, then never falling again."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_one_seed_each_is_tested_exactly():
    """One seed leaves only questions to vary; McNemar's test needs no more."""
    (found,) = compare_arms({"a": by_seed("cccccccw"), "b": by_seed("cwwwwwwc")})
    assert (found.a, found.b) == ("b", "a")
    assert (found.a_only, found.b_only, found.discordant, found.n) == (1, 6, 7, 8)
    assert found.difference == pytest.approx(-5 / 8)
    assert found.test == MCNEMAR
    assert found.p == found.p_holm == pytest.approx(0.125)


def test_interval_of_a_difference_by_hand():
    """Bonett and Price 2012: one question added to each discordant cell, or no discordance looks like certainty.

    Where the exact test is not significant, its own interval (Clopper and Pearson's of 7 in 9) reaches below 0.

    7 won, 2 lost of 20: (8 - 3) / 22 = 0.22727; variance (11/22 - 0.22727^2) / 22 = 0.020379; times 1.96.
    """
    found = compare_arms({"b": by_seed("c" * 8 + "w" * 10 + "cc"), "a": by_seed("c" * 8 + "c" * 7 + "www" + "ww")})[0]
    half = 1.959964 * sqrt((11 / 22 - (5 / 22) ** 2) / 22)
    exact = stats.binomtest(7, 9).proportion_ci(0.95, "exact")
    assert (found.a, found.difference) == ("a", 0.25)
    assert found.low == pytest.approx(min(5 / 22 - half, 9 / 20 * (2 * exact.low - 1)), abs=1e-6)
    assert found.high == pytest.approx(max(5 / 22 + half, 9 / 20 * (2 * exact.high - 1)), abs=1e-6)


def test_arms_that_never_differ_still_have_an_interval():
    """Ten questions alike do not prove two methods equal."""
    found = compare_arms({"a": by_seed("cccwwwcccw"), "b": by_seed("cccwwwcccw")})[0]
    assert found.low < -0.1 < 0.1 < found.high
    assert found.p == 1.0


def test_copies_of_a_seed_tell_nothing_new():
    """Three copies of a student beside three of another are two students, and are tested as such."""
    a, b = "ccccccwwcw" * 3, "cwcwccwwww" * 3
    one = compare_arms({"a": by_seed(a), "b": by_seed(b)})[0]
    assert one == compare_arms({"a": by_seed(*[a] * 4), "b": by_seed(*[b] * 4)})[0]
    assert one.test == MCNEMAR


def test_p_and_interval_of_several_seeds_say_the_same():
    """A p under 0.05 beside an interval that holds 0 leaves a reader with nothing."""
    rng = np.random.default_rng(5)
    for _ in range(40):
        a, b = (rng.random((60, 3)) < share for share in (0.62, 0.5))
        found = compare("a", a.astype(float), "b", b.astype(float))
        assert found.p is not None
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_swapping_the_arms_only_turns_the_sign():
    """Which arm is written first is no finding."""
    a, b = by_seed("ccwcwuccwc", "ccwcwcccwc"), by_seed("cwwcwwcwww", "cwwwwcwwwc")
    one, other = compare_arms({"x": a, "y": b})[0], compare_arms({"y": b, "x": a})[0]
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)
    assert (one.a_only, one.b_only) == (other.b_only, other.a_only)


def test_order_of_questions_changes_nothing():
    """Pairs are made by id; by position, a reordered file would pair strangers."""
    a, b = predictions("ccwcwuccwc"), predictions("cwwcwwcwww")
    assert compare_arms({"x": {1: a}, "y": {1: b}}) == compare_arms({"x": {1: a}, "y": {1: b[::-1]}})


def test_every_pair_is_tested_and_those_with_the_baseline_come_first():
    """Readers compare any two rows; the correction must cover what they can see."""
    assert pairs_of(["a", "base", "c"], "base") == [("a", "base"), ("c", "base"), ("c", "a")]
    assert pairs_of(["a", "b", "c"], None) == [("b", "a"), ("c", "a"), ("c", "b")]
    arms = {"a": by_seed("c" * 20), "b": by_seed("c" * 12 + "w" * 8), "c": by_seed("w" * 20)}
    found = compare_arms(arms, "c")
    assert [(c.a, c.b) for c in found] == [("a", "c"), ("b", "c"), ("b", "a")]
    assert [c.p_holm for c in found] == pytest.approx(holm([mcnemar(20, 0), mcnemar(12, 0), mcnemar(0, 8)]))


def test_one_arm_has_nothing_to_compare():
    """A recipe with one arm is a run like any other."""
    assert compare_arms({"a": by_seed("cw")}) == []
    assert compare_arms({}) == []


def test_arms_with_different_questions_are_refused():
    """A difference between different questions is no difference between arms."""
    with pytest.raises(RunError, match=r"'a' and 'b' answered different questions \(0 only the former, 1 only the lat"):
        compare_arms({"a": by_seed("cc"), "b": by_seed("ccc")})


def test_an_unknown_baseline_is_refused():
    """A misspelt baseline must not silently turn every comparison around."""
    with pytest.raises(RunError, match="no arm 'fine-tuned' to compare with; arms: a"):
        compare_arms({"a": by_seed("cc")}, "fine-tuned")


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_test_and_interval_of_two_students_never_contradict(confidence: float):
    """Significant, and 0 inside the interval: a reader would believe whichever suits. Every pair of counts to 60."""
    for a_only, b_only in product(range(61), range(61)):
        p = mcnemar(a_only, b_only)
        for n in {max(a_only + b_only, 1), 2 * (a_only + b_only) + 1, 5000}:
            low, high = mcnemar_interval(a_only, b_only, n, confidence)
            assert (p < 1 - confidence) == (low > 0 or high < 0), (a_only, b_only, n)
            assert low <= (a_only - b_only) / n <= high


def test_tests_and_corrections_are_those_of_statsmodels():
    """An independent library must agree on what a p is."""
    for a_only, b_only in product(range(15), range(15)):
        peer: Any = contingency_tables.mcnemar([[30, a_only], [b_only, 40]], exact=True)
        assert mcnemar(a_only, b_only) == pytest.approx(float(peer.pvalue), abs=1e-12)
    chance = np.random.default_rng(4)
    for count in (1, 2, 7, 30):
        ps = list(chance.random(count) ** 3)
        corrected: Any = multitest.multipletests(ps, method="holm")[1]
        assert holm(ps) == pytest.approx(list(corrected), abs=1e-12)


# --- copies, and parts that all seeds share


def test_copies_borrow_the_variance_of_the_other_arms():
    """Three copies of a lucky run beside three runs looked like no luck at all: 8 to 26% false positives."""
    steady = "cccwwwcwcw" * 10
    others = by_seed("ccwwwwcwcw" * 10, "cccwcwcwcw" * 10, "ccccccccww" * 10)
    found = compare_arms({"copies": by_seed(steady, steady, steady), "others": others, "more": by_seed(steady)})
    pair = next(c for c in found if {c.a, c.b} == {"copies", "others"})
    assert pair.borrowed == ("copies",)
    assert pair.test == PAIRED_T
    alone = next(c for c in found if {c.a, c.b} == {"copies", "more"})
    assert set(alone.borrowed) == {"copies", "more"}
    naive = compare("a", Answers(matrix(steady)), "b", Answers(matrix(steady), is_trained=False))
    assert alone.high - alone.low > 2 * (naive.high - naive.low)


def test_a_part_trained_once_leaves_no_p():
    """Students of three seeds behind one reranker show nothing of the reranker's own luck."""
    arms = {"kard": by_seed("ccccccccwc" * 9, "cccccccwcc" * 9), "plain": by_seed("cwwwcwwwww" * 9, "wwwccwwwww" * 9)}
    (found,) = compare_arms(arms, origins={"kard": Origin({1: "a", 2: "b"}, ("reranker",))})
    assert (found.p, found.p_holm, found.shared) == (None, None, ("reranker",))
    assert found.low != 0 or found.high != 0
    three = {**arms, "other": by_seed("cwcwcwcwcw" * 9, "wcwwcwcwww" * 9)}
    tested = compare_arms(three, origins={"kard": Origin({1: "a", 2: "b"}, ("reranker",))})
    assert [c.p is None for c in tested] == ["kard" in (c.a, c.b) for c in tested]
    assert next(c for c in tested if c.p is not None).p_holm == next(c for c in tested if c.p is not None).p


def test_a_part_trained_once_neither_lends_nor_borrows():
    """What varies behind one reranker is less than the whole; lent out, it would make others too sure."""
    whole, part = (
        Answers(matrix("ccwwcw" * 9, "cccccw" * 9)),
        Answers(matrix("cwwwcw" * 9, "ccwccw" * 9), ("reranker",)),
    )
    assert run_variance(whole, [part]) == run_variance(whole)
    assert run_variance(part, [whole]) == run_variance(part)
    assert run_variance(whole, [whole]) != run_variance(part)


def test_a_model_that_was_only_asked_has_no_chance_in_training():
    """Few-shot prompting is the same with every seed; it neither needs nor lends a variance."""
    arms = {"asked": by_seed(*["ccwwcwcwwc" * 5] * 3), "trained": by_seed("cccwcwcwwc" * 5, "cccwccccwc" * 5)}
    (found,) = compare_arms(arms, origins={"asked": Origin(is_trained=False)})
    assert found.borrowed == ()
    assert found.test == PAIRED_T


def test_a_constant_answer_is_compared_like_an_arm():
    """53% looks like learning until one knows that "yes" is right in 53%."""
    right = {f"q-{n:04d}": n % 2 == 0 for n in range(60)}
    same, better = "cw" * 30, "c" * 55 + "w" * 5
    found = compare_with_constant({"same": by_seed(same), "better": by_seed(better)}, right)
    assert [(c.a, c.b) for c in found] == [("same", "always"), ("better", "always")]
    assert found[0].p == 1.0
    assert found[1].p == mcnemar(27, 2)
    assert [c.p_holm for c in found] == pytest.approx(holm([1.0, mcnemar(27, 2)]))


# --- how large a difference must be


@pytest.mark.parametrize("runs", [2, 3, 5, 20])
def test_the_detectable_difference_is_statsmodels_where_only_runs_vary(runs: int):
    """The normal approximation promises 80% power and has 72."""
    spread = Spread(0.0, 1 / runs * float(special.chdtri(runs - 1, 0.5)) / (runs - 1), runs - 1)
    expected = power.TTestPower().solve_power(nobs=runs, alpha=0.05, power=0.8)
    assert detectable(spread, 0.95, 0.8) == pytest.approx(float(expected), rel=3e-3)


@pytest.mark.parametrize(("differing", "n"), [(12, 60), (30, 120)])
def test_the_power_of_the_exact_test_is_that_of_a_plain_sum(differing: int, n: int):
    """Every split of every number of questions that may differ, by scipy's binomials."""
    gain, share = 0.1, differing / n
    won = (1 + gain / share) / 2
    expected = sum(
        stats.binom.pmf(m, n, share)
        * sum(stats.binom.pmf(a, m, won) for a in range(m + 1) if stats.binomtest(a, m).pvalue <= 0.05)
        for m in range(1, n + 1)
        if stats.binom.pmf(m, n, share) > 1e-7
    )
    assert mcnemar_power(gain, share, n, 0.95) == pytest.approx(expected, abs=1e-5)


def test_more_comparisons_hide_more():
    """Each further arm costs power; the note has to grow with it."""
    arms = {name: by_seed("ccwwcwcwcw" * 4) for name in "abcd"}
    assert compare_arms(arms)[0].detectable > compare_arms({k: arms[k] for k in "ab"})[0].detectable
