"""Accuracy of an arm with an interval that says what it can: over questions, and over training seeds where there are
several.

Several seeds of an arm answer the *same* questions, so their answers are no independent draws: an answer shares its
question with the other seeds and its seed with the other questions. Three seeds on 300 questions are not 900 trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from tutelage.errors import RunError
from tutelage.types import Prediction, Verdict

BySeed: TypeAlias = Mapping[int, Sequence[Prediction]]
"""The predictions of one arm: for each training seed, one prediction a question."""

Matrix: TypeAlias = NDArray[np.float64]

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


class Spread(NamedTuple):
    """The estimated variance of a mean, and how well it is known."""

    variance: float
    freedom: float
    """Degrees of freedom of the estimate; infinite when only questions vary."""


class ArmScore(NamedTuple):
    """How well one arm answered the test questions, over all its seeds."""

    n: int
    """Questions. Each was answered once by every seed, by `votes` rationales."""
    seeds: tuple[int, ...]
    accuracy: float
    """Mean over seeds of the share of questions answered correctly, in [0, 1]; unread ones are not correct."""
    low: float
    high: float
    per_seed: tuple[float, ...]
    """Accuracy of each of `seeds`, in the same order."""
    correct: int
    """Correct answers, out of n times the number of seeds."""
    unread: int
    """Answers that could not be read, out of n times the number of seeds."""
    cut: int
    """Rationales cut at the length limit."""
    tokens_mean: float | None
    """Tokens written for one rationale; None when they were not counted."""
    tokens_total: int
    agreement: float | None
    """Mean share of a question's votes that went to its answer, in [0, 1]; None without votes to compare."""


def score_arm(by_seed: BySeed) -> ArmScore:
    """Every figure about one arm. Raises RunError when its seeds answered different questions, or none."""
    correct_QS = correct_by_question(by_seed)
    seeds = tuple(sorted(by_seed))
    predictions = [p for seed in seeds for p in by_seed[seed]]
    written = [r for p in predictions for r in p.rationales]
    tokens = sum(r.tokens for r in written)
    low, high = accuracy_interval(correct_QS)
    return ArmScore(
        n=len(correct_QS),
        seeds=seeds,
        accuracy=float(correct_QS.mean()),
        low=low,
        high=high,
        per_seed=tuple(float(share) for share in correct_QS.mean(axis=0)),
        correct=int(correct_QS.sum()),
        unread=sum(p.verdict is Verdict.UNREAD for p in predictions),
        cut=sum(not r.finished for r in written),
        tokens_mean=tokens / len(written) if tokens else None,
        tokens_total=tokens,
        agreement=agreement(predictions),
    )


def correct_by_question(by_seed: BySeed) -> Matrix:
    """1.0 where a question was answered correctly, else 0.0: one row a question by sorted id, one column a seed.

    Raises RunError when there is nothing, a question stands twice, or the seeds answered different questions.
    """
    columns = {seed: _correct_by_id(seed, by_seed[seed]) for seed in sorted(by_seed)}
    asked = {frozenset(column) for column in columns.values()}
    if len(asked) != 1 or not (ids := sorted(next(iter(asked)))):
        sizes = ", ".join(f"seed {seed}: {len(column)}" for seed, column in columns.items())
        raise RunError(
            f"the seeds of an arm must answer the same questions; found {sizes or 'none'}. Score them again."
        )
    return np.array([[float(column[i]) for column in columns.values()] for i in ids], dtype=np.float64)


def _correct_by_id(seed: int, predictions: Sequence[Prediction]) -> dict[str, bool]:
    found = {p.question_id: p.verdict is Verdict.CORRECT for p in predictions}
    if len(found) != len(predictions):
        raise RunError(f"seed {seed}: {len(predictions)} predictions for {len(found)} questions. Score it again.")
    return found


def accuracy_interval(correct_QS: Matrix, confidence: float = CONFIDENCE) -> Interval:
    """Interval of an arm's mean accuracy, between 0 and 1.

    One seed: Wilson's (1927), which speaks of this one student; training it again may give another.
    Several seeds: Wilson's with the number of independent answers that would vary as much as the mean does (as for
    clustered samples: Kott and Carr 1997; Franco et al. 2019, J. Surv. Stat. Methodol. 7), so it speaks of the method.
    k copies of one seed give exactly the interval of that seed.
    """
    share = float(correct_QS.mean())
    spread = spread_of_mean(correct_QS)
    n = 1 + share * (1 - share) / spread.variance if spread.variance > 0 else float(len(correct_QS))
    return wilson(share, n, critical_value(spread.freedom, confidence))


def wilson(share: float, n: float, critical: float = 1.959963984540054) -> Interval:
    """Wilson's score interval (1927) for a share in [0, 1] of `n` independent answers; `n` need not be whole."""
    shift = critical**2 / n
    middle = (share + shift / 2) / (1 + shift)
    half = critical / (1 + shift) * sqrt(share * (1 - share) / n + shift / (4 * n))
    return Interval(max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))  # rounding may pass share


def spread_of_mean(correct_QS: Matrix) -> Spread:
    """Variance of an arm's mean accuracy when both its questions and its seeds are draws.

    The variance between questions over their number, plus that between seeds over theirs: two-way clustering
    (Cameron, Gelbach and Miller 2011) without taking off the part counted in both, which keeps it above either one
    and errs to the wide side. Degrees of freedom by Satterthwaite from the seeds, as for readers and cases in
    radiology (Hillis 2007). A bootstrap over two or three seeds would be far too narrow: it knows no freedom at all.
    """
    seeds = seed_variance(correct_QS)
    variance = mean_variance(correct_QS.mean(axis=1)) + seeds.variance
    return Spread(variance, satterthwaite(variance, [seeds]))


def seed_variance(correct_QS: Matrix) -> Spread:
    """The part of the variance of an arm's mean accuracy that training seeds bring; 0 for a single seed, unknowable."""
    per_seed_S = correct_QS.mean(axis=0)
    return Spread(mean_variance(per_seed_S), len(per_seed_S) - 1)


def mean_variance(values: Matrix) -> float:
    """Estimated variance of the mean of independent values; 0 for a single one."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def satterthwaite(variance: float, parts: Sequence[Spread]) -> float:
    """Degrees of freedom of a sum of variances, of which only `parts` are uncertain (Satterthwaite 1946)."""
    uncertain = sum(part.variance**2 / part.freedom for part in parts if part.variance > 0)
    return variance**2 / uncertain if uncertain > 0 else inf


def critical_value(freedom: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors an interval reaches to each side: Student's t, the normal one for infinite freedom."""
    upper = (1 + confidence) / 2
    return float(special.stdtrit(freedom, upper)) if freedom < inf else float(special.ndtri(upper))


def agreement(predictions: Sequence[Prediction]) -> float | None:
    """Mean share of a question's rationales whose answer is the voted one; None when no question had several."""
    voted = [p for p in predictions if len(p.rationales) > 1]
    if not voted:
        return None
    return sum(sum(r.answer == p.answer is not None for r in p.rationales) / len(p.rationales) for p in voted) / len(
        voted
    )
