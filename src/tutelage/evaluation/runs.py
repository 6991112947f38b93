"""Which answers of an arm come from training runs of their own: copies of a run are no second run.

Seeds are copies where one trained model answered for several of them, as it does with a fixed `mentor.seed`, or where
they answered every question alike. Seeds are only in part independent where their students differ and something that
was trained before them does not: one reranker, one mentor. What chance there is in training that part cannot be seen
in such a study, whatever the number of seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import RunError
from tutelage.types import Prediction, Verdict

BySeed: TypeAlias = Mapping[int, Sequence[Prediction]]
"""The predictions of one arm: for each training seed, one prediction a question."""

Matrix: TypeAlias = NDArray[np.float64]


class Origin(NamedTuple):
    """What is known of how the models of an arm came about."""

    models: Mapping[int, str] = {}
    """By seed, what identifies the model that answered. Seeds with one model are one run."""
    shared: tuple[str, ...] = ()
    """Parts that were trained once for several different models: "reranker", "mentor"."""
    is_trained: bool = True
    """False for a model that is only asked: nothing about it depends on chance in training."""


UNKNOWN = Origin()


class RunVariance(NamedTuple):
    """How much the accuracies of an arm's training runs differ."""

    variance: float
    """Of the accuracy of one run."""
    freedom: int
    """Degrees of freedom of this estimate."""


LENT = 2
"""As many degrees of freedom the other arms of a study lend to each arm. With so few an arm whose runs vary six times
as much as those of the others has intervals that are hardly too narrow; with all of theirs it would (decision 4)."""


class Answers(NamedTuple):
    """What an arm answered, apart from copies."""

    correct: Matrix
    """1.0 where a question was answered correctly, else 0.0, (Q, R): a row for each question by sorted id, a column for
    each independent training run. One model that answered several times, by sampling, has the share that is correct."""
    shared: tuple[str, ...] = ()
    """As in `Origin`."""
    is_trained: bool = True

    @property
    def runs(self) -> int:
        """Independent training runs."""
        return self.correct.shape[1]


def answers_of(by_seed: BySeed, origin: Origin = UNKNOWN) -> Answers:
    """The answers of an arm's independent runs. Raises RunError as `correct_by_question` does."""
    correct_QS = correct_by_question(by_seed)
    models = [origin.models.get(seed, f"seed {seed}") for seed in sorted(by_seed)]
    columns = [
        correct_QS[:, [m == model for m in models]].mean(axis=1, keepdims=True) for model in dict.fromkeys(models)
    ]
    return Answers(distinct(np.concatenate(columns, axis=1)), origin.shared, origin.is_trained)


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


def as_answers(given: Matrix | Answers) -> Answers:
    """Answers as they are; a table of seeds without its copies."""
    return given if isinstance(given, Answers) else Answers(distinct(given))


def distinct(correct_QS: Matrix) -> Matrix:
    """The columns without those that equal an earlier one: whoever answers every question alike adds no evidence."""
    first = dict.fromkeys(column.tobytes() for column in np.ascontiguousarray(correct_QS.T))
    return np.array([np.frombuffer(column, dtype=correct_QS.dtype) for column in first]).T


def run_variance(arm: Answers, others: Sequence[Answers] = ()) -> RunVariance | None:
    """How much the runs of an arm differ; None for a single run where nobody lends.

    Two or three runs hardly tell. Arms of one study are much alike, so theirs count too, as `LENT` more degrees of
    freedom (a weak prior, as in moderated t tests: Smyth 2004). An arm that was not trained, or of which a part was
    trained once, neither borrows nor lends.
    """
    own = _own_variance(arm)
    lent = _mean_share(others) if arm.is_trained and not arm.shared else None
    if lent is None:
        return own
    variance = lent.variance * binomial(float(arm.correct.mean()), len(arm.correct))
    freedom = min(LENT, lent.freedom)
    if own is None:
        return RunVariance(variance, freedom)
    both = own.freedom + freedom
    return RunVariance((own.freedom * own.variance + freedom * variance) / both, both)


def run_freedom(arms: Iterable[Answers]) -> int:
    """Degrees of freedom of all variances between runs together."""
    return sum(arm.runs - 1 for arm in arms if arm.is_trained)


def _own_variance(arm: Answers) -> RunVariance | None:
    if arm.runs == 1:
        return None
    return RunVariance(float(arm.correct.mean(axis=0).var(ddof=1)), arm.runs - 1)


def _mean_share(arms: Iterable[Answers]) -> RunVariance | None:
    """The mean variance between the runs of these arms as a share of that of one answer; None where none has several.

    As a share, because an arm that is nearly always right varies less than one that is right half of the time.
    """
    shares = [
        (own.variance / binomial(float(arm.correct.mean()), len(arm.correct)), own.freedom)
        for arm in arms
        if arm.is_trained and not arm.shared and (own := _own_variance(arm))
    ]
    freedom = sum(of for _, of in shares)
    return RunVariance(sum(share * of for share, of in shares) / freedom, freedom) if freedom else None


def binomial(share: float, n: int) -> float:
    """The variance of one answer, share * (1 - share); at 0 and 1 as if half an answer of `n` had been otherwise.

    No method is right for ever.
    """
    inner = min(max(share, 0.5 / n), 1 - 0.5 / n)
    return inner * (1 - inner)
