"""Arms against each other on the same questions: differences with intervals, paired tests, Holm's correction.

Every pair that can be read off a report is tested, and the correction covers all of them: whoever picks the largest
of many differences afterwards has still been warned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import hypot, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from tutelage.errors import RunError
from tutelage.evaluation.metrics import CONFIDENCE, Interval, overlap_of, run_part, speaks_of
from tutelage.evaluation.runs import UNKNOWN, Answers, BySeed, Matrix, Origin, answers_of, as_answers, run_freedom
from tutelage.evaluation.spread import Spread, bisect, detectable, half_width, satterthwaite, two_sided

MCNEMAR = "exact McNemar"
PAIRED_T = "paired t over questions and seeds"

POWER = 0.8
"""A difference counts as detectable when it would be found in four studies of five."""

ALWAYS = "always"
"""Stands for the arm that gives one answer to every question."""


class Comparison(NamedTuple):
    """Arm `a` against arm `b` on the same questions."""

    a: str
    b: str
    difference: float
    """Accuracy of a minus that of b, in [-1, 1]."""
    low: float
    """95% interval of the difference, for this pair alone: not widened for the number of comparisons. It holds 0 just
    where `p` is 0.05 or more."""
    high: float
    p: float | None
    """Two-sided, against "no difference"; None where a part of an arm was trained once for all its seeds."""
    p_holm: float | None
    """`p` corrected for all comparisons made together; this is the one to judge by."""
    n: int
    """Questions both answered."""
    a_only: int
    """Questions that a answered correctly more often over its seeds than b."""
    b_only: int
    detectable: float
    """Smallest true difference that a study like this one finds four times in five, at Bonferroni's level."""
    test: str
    shared: tuple[str, ...] = ()
    """Parts trained once for all seeds of an arm: difference and interval are conditional on these."""
    borrowed: tuple[str, ...] = ()
    """Those of the two arms that have one training run and borrow the variance between runs from other arms."""

    @property
    def discordant(self) -> int:
        """Questions on which the two differ at all: the only ones that carry evidence."""
        return self.a_only + self.b_only


def compare_arms(
    arms: Mapping[str, BySeed],
    baseline: str | None = None,
    confidence: float = CONFIDENCE,
    origins: Mapping[str, Origin] | None = None,
) -> list[Comparison]:
    """Every pair of arms, those with the baseline first and it as `b`; p_holm covers all that have a p.

    Raises RunError when two arms answered different questions, or the baseline is not among the arms.
    """
    if baseline is not None and baseline not in arms:
        raise RunError(f"no arm {baseline!r} to compare with; arms: {', '.join(arms)}.")
    _refuse_different_questions(arms)
    tables = {arm: answers_of(by_seed, (origins or {}).get(arm, UNKNOWN)) for arm, by_seed in arms.items()}
    pairs = pairs_of(list(arms), baseline)
    found = [compare(a, tables[a], b, tables[b], len(pairs), confidence, _without(tables, a, b)) for a, b in pairs]
    return with_holm(found)


def compare_with_constant(
    arms: Mapping[str, BySeed],
    is_right: Mapping[str, bool],
    confidence: float = CONFIDENCE,
    origins: Mapping[str, Origin] | None = None,
) -> list[Comparison]:
    """Every arm against one answer to all questions; `is_right` says of which question it is the right one.

    A family of its own: p_holm covers these comparisons alone. An arm of which a part was trained once is tested as it
    stands, for what is claimed is only that this one learnt something.
    """
    constant = Answers(np.array([[float(is_right[id])] for id in sorted(is_right)]), is_trained=False)
    tables = {arm: answers_of(by_seed, (origins or {}).get(arm, UNKNOWN)) for arm, by_seed in arms.items()}
    return with_holm(
        [
            compare(arm, table._replace(shared=()), ALWAYS, constant, len(arms), confidence, _without(tables, arm))
            for arm, table in tables.items()
        ]
    )


def pairs_of(arms: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """All pairs (a, b): first every arm against the baseline, then the later against the earlier."""
    others = [arm for arm in arms if arm != baseline]
    against = [(arm, baseline) for arm in others] if baseline is not None else []
    return [*against, *((b, a) for a, b in combinations(others, 2))]


def compare(
    a: str,
    a_QR: Matrix | Answers,
    b: str,
    b_QR: Matrix | Answers,
    comparisons: int = 1,
    confidence: float = CONFIDENCE,
    others: Sequence[Answers] = (),
) -> Comparison:
    """One pair, rows being the same questions in the same order; `p_holm` is still `p`.

    One run each: the exact McNemar test, which speaks of these two students. More: a paired t test whose standard
    error holds both the questions and the runs, so it speaks of the methods. What the runs of `others`, the other arms
    of the study, tell of the chance in training counts too; an arm with one run, or with copies of one, has nothing
    else. A sign-flip or bootstrap over questions alone would call two runs of one method different four times in ten
    (seeds 5 points apart, 200 questions).
    """
    one, other = as_answers(a_QR), as_answers(b_QR)
    borrowed = (
        *((a,) if speaks_of(one, (other, *others)) == "borrowed" else ()),
        *((b,) if speaks_of(other, (one, *others)) == "borrowed" else ()),
    )
    difference_Q = one.correct.mean(axis=1) - other.correct.mean(axis=1)
    a_only, b_only = int((difference_Q > 0).sum()), int((difference_Q < 0).sum())
    middle, spread = paired_spread(one, other, others)
    level = 1 - (1 - confidence) / comparisons
    exact = one.runs == other.runs == 1 and not borrowed
    if exact:
        low, high = mcnemar_interval(a_only, b_only, len(difference_Q), confidence)
        p = mcnemar(a_only, b_only)
        smallest = mcnemar_detectable(a_only, b_only, len(difference_Q), level)
    else:
        reach = half_width(spread, confidence)
        low, high = Interval(max(-1.0, middle - reach), min(1.0, middle + reach))
        overlap = overlap_of(one.correct) + overlap_of(other.correct)
        p, smallest = two_sided(abs(middle), spread), min(1.0, detectable(spread, level, POWER, overlap=overlap))
    shared = tuple(dict.fromkeys((*one.shared, *other.shared)))
    return Comparison(
        a=a,
        b=b,
        difference=float(difference_Q.mean()),
        low=low,
        high=high,
        p=None if shared else p,
        p_holm=None if shared else p,
        n=len(difference_Q),
        a_only=a_only,
        b_only=b_only,
        detectable=smallest,
        test=MCNEMAR if exact else PAIRED_T,
        shared=shared,
        borrowed=borrowed,
    )


def _without(tables: Mapping[str, Answers], *arms: str) -> list[Answers]:
    return [table for arm, table in tables.items() if arm not in arms]


# --- one run each


def mcnemar(a_only: int, b_only: int) -> float:
    """Exact two-sided p of McNemar's test (1947) of whether the questions two students differ on split evenly.

    Twice the smaller binomial tail, at most 1; 1.0 when they never differ.
    """
    return min(1.0, 2 * float(special.bdtr(min(a_only, b_only), a_only + b_only, 0.5)))


def mcnemar_interval(a_only: int, b_only: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the difference of two students' accuracies that holds 0 just where `mcnemar` is not significant.

    The wider of two to each side. Bonett and Price's (2012, Eq. 3) adds two made-up questions, one won by each, which
    keeps it honest where few questions differ, but is not exact. Clopper and Pearson's (1934) of the share that a won
    of the questions they differ on is what the exact test inverts, but takes the number of those for given. At other
    confidences than 95% the first may hold 0 alone; then the second stands, since the test decides.
    """
    middle, spread = (a_only - b_only) / (n + 2), _made_up_spread(a_only, b_only, n)
    half = half_width(Spread(spread), confidence)
    differing, tail = a_only + b_only, (1 - confidence) / 2
    least = float(special.betaincinv(a_only, b_only + 1, tail)) if a_only else 0.0
    most = float(special.betaincinv(a_only + 1, b_only, 1 - tail)) if b_only else 1.0
    low, high = (differing / n * (2 * share - 1) for share in (least, most))
    wide_low, wide_high = min(middle - half, low), max(middle + half, high)
    low = low if low > 0 >= wide_low else wide_low
    high = high if high < 0 <= wide_high else wide_high
    return Interval(max(-1.0, low), min(1.0, high))


def _made_up_spread(a_only: int, b_only: int, n: int) -> float:
    middle = (a_only - b_only) / (n + 2)
    return ((a_only + b_only + 2) / (n + 2) - middle**2) / (n + 2)


def mcnemar_detectable(a_only: int, b_only: int, n: int, confidence: float) -> float:
    """Smallest true difference that the exact test finds with a probability of `POWER`, at most 1.

    A better student wins more and loses fewer of the questions that two differ on; what stays, to a good approximation,
    is the product of the two counts (exactly so where ability shifts the logarithm of the odds).
    """
    even = 2 * sqrt((a_only + 1) * (b_only + 1)) / (n + 2)
    return bisect(lambda gain: mcnemar_power(gain, min(1.0, hypot(gain, even)), n, confidence), POWER, 1.0)


def mcnemar_power(difference: float, discordance: float, n: int, confidence: float) -> float:
    """How often the exact test finds this difference between students that differ on this share of `n` questions."""
    counts = np.arange(n + 1, dtype=np.int64)
    chance = np.exp(
        special.gammaln(n + 1)
        - special.gammaln(counts + 1)
        - special.gammaln(n - counts + 1)
        + special.xlogy(counts, discordance)
        + special.xlog1py(n - counts, -discordance)
    )
    counts, chance = counts[chance > 1e-9], chance[chance > 1e-9]
    most = _most_lost(counts, 1 - confidence)
    won = min(1.0, (1 + difference / discordance) / 2)
    # where nothing can be significant, `most` is -1 and both tails are empty
    tails = [np.where(most >= 0, special.bdtr(np.maximum(most, 0), counts, share), 0.0) for share in (won, 1 - won)]
    return float((chance * sum(tails)).sum())


def _most_lost(counts: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """For each number of questions that two students differ on, how many the winner may lose; -1 if not even none."""
    most = np.full(len(counts), -1.0)
    step = 2.0 ** np.ceil(np.log2(float(counts.max()) + 2))
    while step >= 1:
        tried = np.minimum(most + step, counts)
        significant = (2 * special.bdtr(np.maximum(tried, 0), counts, 0.5) <= alpha) & (tried > most)
        most, step = np.where(significant, tried, most), step / 2
    return most


# --- several runs


def paired_spread(a: Answers, b: Answers, others: Sequence[Answers] = ()) -> tuple[float, Spread]:
    """Middle and variance of the difference of two arms' accuracies.

    Two made-up questions, one won by each arm, are added, which keeps the interval honest when few or no questions
    differ (Bonett and Price 2012, Eq. 3, for one run each). Variance between questions, plus that between the runs of
    each arm; arms that share a seed differ less than this allows for, so it errs to the wide side.
    """
    difference_Q = np.append(a.correct.mean(axis=1) - b.correct.mean(axis=1), [1.0, -1.0])
    parts = [run_part(a, (b, *others)), run_part(b, (a, *others))]
    freedom = min(satterthwaite(parts), float(run_freedom((a, b, *others)) or inf))  # lent to both, it is known once
    questions = float(difference_Q.var()) / len(difference_Q)
    return float(difference_Q.mean()), Spread(questions, sum(variance for variance, _ in parts), freedom)


# --- many comparisons


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values corrected for all of them; those without a p stay without."""
    tested = [c.p for c in comparisons if c.p is not None]
    corrected = iter(holm(tested))
    return [c._replace(p_holm=None if c.p is None else next(corrected)) for c in comparisons]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): p-values that may all be judged at one level, in the order they came."""
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = highest
    return corrected


def _refuse_different_questions(arms: Mapping[str, BySeed]) -> None:
    asked = {
        arm: {p.question_id for predictions in by_seed.values() for p in predictions} for arm, by_seed in arms.items()
    }
    first, ids = next(iter(asked.items()), ("", set[str]()))
    for arm, others in asked.items():
        if others != ids:
            raise RunError(
                f"arms {first!r} and {arm!r} answered different questions "
                f"({len(ids - others)} only the former, {len(others - ids)} only the latter). "
                "Score both on the same test split."
            )
