"""Pairs of arms: exact small tables, hand-computed corrections, simulated studies without a difference."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy import stats
from verdict_letters import by_seed, predictions

from tutelage.errors import RunError
from tutelage.evaluation.compare import MCNEMAR, PAIRED_T, compare, compare_arms, holm, mcnemar, pairs_of


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

    7 won, 2 lost of 20: (8 - 3) / 22 = 0.22727; variance (11/22 - 0.22727^2) / 22 = 0.020379; times 1.96.
    """
    found = compare_arms({"b": by_seed("c" * 8 + "w" * 10 + "cc"), "a": by_seed("c" * 8 + "c" * 7 + "www" + "ww")})[0]
    half = 1.959964 * sqrt((11 / 22 - (5 / 22) ** 2) / 22)
    assert (found.a, found.difference) == ("a", 0.25)
    assert (found.low, found.high) == pytest.approx((5 / 22 - half, 5 / 22 + half), abs=1e-6)


def test_arms_that_never_differ_still_have_an_interval():
    """Ten questions alike do not prove two methods equal."""
    found = compare_arms({"a": by_seed("cccwwwcccw"), "b": by_seed("cccwwwcccw")})[0]
    assert found.low < -0.1 < 0.1 < found.high
    assert found.p == 1.0


def test_copies_of_a_seed_tell_nothing_new():
    """Counting a question once for each seed would make any difference significant in time."""
    a, b = "ccccccwwcw" * 3, "cwcwccwwww" * 3
    one = compare_arms({"a": by_seed(a), "b": by_seed(b)})[0]
    four = compare_arms({"a": by_seed(*[a] * 4), "b": by_seed(*[b] * 4)})[0]
    assert four.test == PAIRED_T
    assert (four.low, four.high, four.n) == pytest.approx((one.low, one.high, one.n))


def test_p_and_interval_of_several_seeds_say_the_same():
    """A p under 0.05 beside an interval that holds 0 leaves a reader with nothing."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        a, b = (rng.random((60, 3)) < share for share in (0.62, 0.5))
        found = compare("a", a.astype(float), "b", b.astype(float))
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


@pytest.mark.parametrize(("seeds", "between_seeds"), [(1, 0.0), (2, 0.1), (3, 0.1), (4, 0.15)])
def test_equal_methods_are_seldom_called_different(seeds: int, between_seeds: float):
    """Lucky seeds are the usual reason for a published gain that nobody can repeat.

    1000 simulated studies of two equal methods, 200 questions. A test over questions alone must fail here, or this one
    could not.
    """
    rng = np.random.default_rng(seeds)
    called = naive = 0
    for _ in range(1000):
        hard = rng.normal(0.3, 1, (200, 1))
        a, b = (
            (hard + rng.normal(0, between_seeds, seeds) + rng.normal(0, 0.6, (200, seeds)) > 0).astype(float)
            for _ in "ab"
        )
        called += compare("a", a, "b", b).p < 0.05
        naive += stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))[1] < 0.05
    assert called / 1000 < 0.075
    if seeds > 1:
        assert naive / 1000 > 0.15


def test_the_detectable_difference_is_found_four_times_in_five():
    """The note "differences under x points are invisible here" must be true of x."""
    rng = np.random.default_rng(2)

    def study(gain: float):
        hard = rng.normal(0, 1, (300, 1))
        a, b = (
            (hard + shift + rng.normal(0, 0.05, 3) + rng.normal(0, 0.6, (300, 3)) > 0).astype(float)
            for shift in (gain, 0)
        )
        return compare("a", a, "b", b)

    detectable = float(np.mean([study(0.0).detectable for _ in range(50)]))
    latent = float(stats.norm.ppf(0.5 + detectable)) * sqrt(1 + 0.05**2 + 0.6**2)
    found = np.mean([study(latent).p < 0.05 for _ in range(300)])
    assert 0.74 < found < 0.93


def test_more_comparisons_hide_more():
    """Each further arm costs power; the note has to grow with it."""
    arms = {name: by_seed("ccwwcwcwcw" * 4) for name in "abcd"}
    assert compare_arms(arms)[0].detectable > compare_arms({k: arms[k] for k in "ab"})[0].detectable
