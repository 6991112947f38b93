"""Arms against each other on the same questions: differences with intervals, paired tests, Holm's correction.

Every pair that can be read off a report is tested, and the correction covers all of them: whoever picks the largest
of many differences afterwards has still been warned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from tutelage.errors import RunError
from tutelage.evaluation.metrics import (
    CONFIDENCE,
    BySeed,
    Interval,
    Matrix,
    Spread,
    correct_by_question,
    critical_value,
    satterthwaite,
    seed_variance,
)

MCNEMAR = "exact McNemar"
PAIRED_T = "paired t over questions and seeds"

POWER = 0.8
"""A difference counts as detectable when it would be found in four studies of five."""


class Comparison(NamedTuple):
    """Arm `a` against arm `b` on the same questions."""

    a: str
    b: str
    difference: float
    """Accuracy of a minus that of b, in [-1, 1]."""
    low: float
    """95% interval of the difference, for this pair alone: not widened for the number of comparisons."""
    high: float
    p: float
    """Two-sided, against "no difference"."""
    p_holm: float
    """`p` corrected for all comparisons made together; this is the one to judge by."""
    n: int
    """Questions both answered."""
    a_only: int
    """Questions that a answered correctly more often over its seeds than b."""
    b_only: int
    detectable: float
    """Smallest true difference that a study like this one finds four times in five, at Bonferroni's level."""
    test: str

    @property
    def discordant(self) -> int:
        """Questions on which the two differ at all: the only ones that carry evidence."""
        return self.a_only + self.b_only


def compare_arms(
    arms: Mapping[str, BySeed], baseline: str | None = None, confidence: float = CONFIDENCE
) -> list[Comparison]:
    """Every pair of arms, those with the baseline first and it as `b`; p_holm covers all of them.

    Raises RunError when two arms answered different questions, or the baseline is not among the arms.
    """
    if baseline is not None and baseline not in arms:
        raise RunError(f"no arm {baseline!r} to compare with; arms: {', '.join(arms)}.")
    _refuse_different_questions(arms)
    tables = {arm: correct_by_question(by_seed) for arm, by_seed in arms.items()}
    pairs = pairs_of(list(arms), baseline)
    found = [compare(a, tables[a], b, tables[b], len(pairs), confidence) for a, b in pairs]
    corrected = holm([c.p for c in found])
    return [c._replace(p_holm=p) for c, p in zip(found, corrected, strict=True)]


def pairs_of(arms: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """All pairs (a, b): first every arm against the baseline, then the later against the earlier."""
    others = [arm for arm in arms if arm != baseline]
    against = [(arm, baseline) for arm in others] if baseline is not None else []
    return [*against, *((b, a) for a, b in combinations(others, 2))]


def compare(
    a: str, a_QS: Matrix, b: str, b_QS: Matrix, comparisons: int = 1, confidence: float = CONFIDENCE
) -> Comparison:
    """One pair, rows being the same questions in the same order; `p_holm` is still `p`.

    One seed each: the exact McNemar test, which speaks of these two students. More: a paired t test whose standard
    error holds both the questions and the seeds, so it speaks of the methods. A sign-flip or bootstrap over questions
    alone would call two runs of one method different four times in ten (seeds 5 points apart, 200 questions).
    """
    difference_Q = a_QS.mean(axis=1) - b_QS.mean(axis=1)
    middle, spread = paired_spread(a_QS, b_QS)
    low, high = _interval(middle, spread, confidence)
    exact = a_QS.shape[1] == b_QS.shape[1] == 1
    a_only, b_only = int((difference_Q > 0).sum()), int((difference_Q < 0).sum())
    p = mcnemar(a_only, b_only) if exact else two_sided(middle, spread)
    return Comparison(
        a=a,
        b=b,
        difference=float(difference_Q.mean()),
        low=low,
        high=high,
        p=p,
        p_holm=p,
        n=len(difference_Q),
        a_only=a_only,
        b_only=b_only,
        detectable=detectable_difference(spread, comparisons, confidence),
        test=MCNEMAR if exact else PAIRED_T,
    )


def mcnemar(a_only: int, b_only: int) -> float:
    """Exact two-sided p of McNemar's test (1947) of whether the questions two students differ on split evenly.

    Twice the smaller binomial tail, at most 1; 1.0 when they never differ.
    """
    return min(1.0, 2 * float(special.bdtr(min(a_only, b_only), a_only + b_only, 0.5)))


def paired_spread(a_QS: Matrix, b_QS: Matrix) -> tuple[float, Spread]:
    """Middle and variance of the difference of two arms' accuracies.

    Two made-up questions, one won by each arm, are added, which keeps the interval honest when few or no questions
    differ (Bonett and Price 2012, Eq. 3, for one seed each). Variance between questions, plus that between the seeds
    of each arm; arms that share a seed differ less than this allows for, so it errs to the wide side.
    """
    difference_Q = np.append(a_QS.mean(axis=1) - b_QS.mean(axis=1), [1.0, -1.0])
    parts = [seed_variance(a_QS), seed_variance(b_QS)]
    variance = float(difference_Q.var()) / len(difference_Q) + sum(part.variance for part in parts)
    return float(difference_Q.mean()), Spread(variance, satterthwaite(variance, parts))


def _interval(middle: float, spread: Spread, confidence: float) -> Interval:
    half = critical_value(spread.freedom, confidence) * sqrt(spread.variance)
    return Interval(max(-1.0, middle - half), min(1.0, middle + half))


def two_sided(middle: float, spread: Spread) -> float:
    """P of a mean at least so far from 0 in either direction, when the truth is 0; fits the interval of `compare`."""
    distance = abs(middle) / sqrt(spread.variance)
    tail = special.stdtr(spread.freedom, -distance) if spread.freedom < inf else special.ndtr(-distance)
    return min(1.0, 2 * float(tail))


def detectable_difference(spread: Spread, comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Smallest true difference found with a probability of `POWER` in a study that varies like this one, at most 1.

    At the level left when the error is shared by all `comparisons` (Bonferroni): Holm's is at least as kind.
    """
    level = 1 - (1 - confidence) / comparisons
    reach = critical_value(spread.freedom, level) + critical_value(spread.freedom, 2 * POWER - 1)
    return min(1.0, reach * sqrt(spread.variance))


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
