"""Accuracy of an arm with an interval that says what it can: over questions, and over training runs where there are
several.

Several seeds of an arm answer the *same* questions, so their answers are no independent draws: an answer shares its
question with the other seeds and its seed with the other questions. Three seeds on 300 questions are not 900 trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import Literal, NamedTuple

from tutelage.evaluation.runs import (
    UNKNOWN,
    Answers,
    BySeed,
    Matrix,
    Origin,
    answers_of,
    as_answers,
    binomial,
    correct_by_question,
    run_variance,
)
from tutelage.evaluation.spread import Spread, half_width
from tutelage.types import Prediction, Verdict

CONFIDENCE = 0.95

FEW_DEV = 100
"""An epoch chosen on fewer dev questions than this is chosen by chance as much as by merit: the standard error of an
accuracy is five points."""

SpeaksOf = Literal["runs", "borrowed", "one run", "untrained"]
"""What an interval allows for besides questions: the runs of this arm; for one run the chance seen in other arms, or
none; nothing, where nothing was trained."""


class Interval(NamedTuple):
    """A confidence interval; both ends belong to it."""

    low: float
    high: float


class ArmScore(NamedTuple):
    """How well one arm answered the test questions, over all its seeds."""

    n: int
    """Questions. Each was answered once by every seed, by `votes` rationales."""
    seeds: tuple[int, ...]
    accuracy: float
    """Mean over training runs of the share of questions answered correctly, in [0, 1]; unread ones are not correct."""
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
    runs: int = 1
    """Independent training runs among the seeds: copies count once."""
    speaks_of: SpeaksOf = "one run"
    """What the interval allows for besides questions."""
    shared: tuple[str, ...] = ()
    """Parts trained once for all these runs, on which accuracy and interval are conditional."""


def score_arm(by_seed: BySeed, origin: Origin = UNKNOWN, others: Sequence[Answers] = ()) -> ArmScore:
    """Every figure about one arm; `others` are the other arms of its study, which tell of the chance in training.

    Raises RunError when its seeds answered different questions, or none.
    """
    correct_QS = correct_by_question(by_seed)
    answers = answers_of(by_seed, origin)
    seeds = tuple(sorted(by_seed))
    predictions = [p for seed in seeds for p in by_seed[seed]]
    written = [r for p in predictions for r in p.rationales]
    tokens = sum(r.tokens for r in written)
    low, high = accuracy_interval(answers, others=others)
    return ArmScore(
        n=len(correct_QS),
        seeds=seeds,
        accuracy=float(answers.correct.mean()),
        low=low,
        high=high,
        per_seed=tuple(float(share) for share in correct_QS.mean(axis=0)),
        correct=int(correct_QS.sum()),
        unread=sum(p.verdict is Verdict.UNREAD for p in predictions),
        cut=sum(not r.finished for r in written),
        tokens_mean=tokens / len(written) if tokens else None,
        tokens_total=tokens,
        agreement=agreement(predictions),
        runs=answers.runs,
        speaks_of=speaks_of(answers, others),
        shared=answers.shared,
    )


def speaks_of(answers: Answers, others: Sequence[Answers] = ()) -> SpeaksOf:
    """What the interval of these answers allows for besides questions."""
    if answers.runs > 1:
        return "runs"
    if not answers.is_trained:
        return "untrained"
    return "borrowed" if run_variance(answers, others) else "one run"


def accuracy_interval(
    answers: Matrix | Answers, confidence: float = CONFIDENCE, *, others: Sequence[Answers] = ()
) -> Interval:
    """Interval of an arm's mean accuracy, between 0 and 1.

    One run, or copies of one: Wilson's (1927), which speaks of this one student; training it again may give another.
    Several runs: Wilson's with the number of independent answers that would vary as much as the mean does (as for
    clustered samples: Kott and Carr 1997; Franco et al. 2019, J. Surv. Stat. Methodol. 7), so it speaks of the method.
    So it does for one run that borrows the variance of `others`.
    """
    arm = as_answers(answers)
    share, questions = float(arm.correct.mean()), len(arm.correct)
    scale = share * (1 - share)
    if questions == 1:
        return wilson(share, 1.0, half_width(Spread(1.0), confidence))
    if scale == 0:  # there is one run: two that are right everywhere would be copies
        scale = binomial(share, questions)
        spread = Spread(scale / (questions - 1), *run_part(arm, others))
    else:
        spread = spread_of_mean(arm, others)
    return wilson(share, 1 + scale / spread.variance, half_width(spread, confidence) / sqrt(spread.variance))


def wilson(share: float, n: float, critical: float = 1.959963984540054) -> Interval:
    """Wilson's score interval (1927) for a share in [0, 1] of `n` independent answers; `n` need not be whole."""
    shift = critical**2 / n
    middle = (share + shift / 2) / (1 + shift)
    half = critical / (1 + shift) * sqrt(share * (1 - share) / n + shift / (4 * n))
    return Interval(max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))  # rounding may pass share


def spread_of_mean(answers: Matrix | Answers, others: Sequence[Answers] = ()) -> Spread:
    """Variance of an arm's mean accuracy when both its questions and its runs are draws.

    The variance between questions over their number, plus that between runs over theirs: two-way clustering (Cameron,
    Gelbach and Miller 2011) without taking off the part counted in both, which keeps it above either one and errs to
    the wide side. A bootstrap over two or three runs would be far too narrow: it knows no freedom at all.
    """
    arm = as_answers(answers)
    questions = max(mean_variance(arm.correct.mean(axis=1)), overlap_of(arm.correct))  # the latter is a part of it
    return Spread(questions, *run_part(arm, others))


def overlap_of(correct_QR: Matrix) -> float:
    """The variance of an arm's mean that is counted both with its questions and with its runs."""
    questions, runs = correct_QR.shape
    if questions == 1 or runs == 1:
        return 0.0
    means_Q1, means_R = correct_QR.mean(axis=1, keepdims=True), correct_QR.mean(axis=0)
    left_QR = correct_QR - means_Q1 - means_R + correct_QR.mean()
    return float((left_QR**2).sum()) / ((questions - 1) * (runs - 1)) / correct_QR.size


def run_part(arm: Answers, others: Sequence[Answers] = ()) -> tuple[float, float]:
    """The variance that runs bring to an arm's mean, with its degrees of freedom."""
    found = run_variance(arm, others)
    return (found.variance / arm.runs, found.freedom) if found else (0.0, inf)


def mean_variance(values: Matrix) -> float:
    """Estimated variance of the mean of independent values; 0 for a single one."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def agreement(predictions: Sequence[Prediction]) -> float | None:
    """Mean share of a question's rationales whose answer is the voted one; None when no question had several."""
    voted = [p for p in predictions if len(p.rationales) > 1]
    if not voted:
        return None
    return sum(sum(r.answer == p.answer is not None for r in p.rationales) / len(p.rationales) for p in voted) / len(
        voted
    )
