"""Studies of arms whose true accuracies are known, to count how often intervals and tests are right.

Every answer is right where ability - difficulty + luck of the run + luck of the answer > 0. Ability shifts an arm,
difficulty belongs to a question, the luck of a run to all its answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from tutelage.evaluation.compare import Comparison, compare
from tutelage.evaluation.metrics import accuracy_interval
from tutelage.evaluation.runs import Answers, Matrix, distinct

ANSWER_LUCK = 0.6
"""Standard deviation of the luck of an answer; difficulty has 1. Two runs then differ on about one question in five."""

COMMON = 0.3
"""Ability of all arms but the first: about 60% right."""


class Arm(NamedTuple):
    """One arm of every simulated study."""

    runs: int
    copies: bool = False
    """One run, scored under `runs` seeds."""
    shared: bool = False
    """Half of the luck is that of a part trained once for all runs."""
    luck: float = 1.0
    """Its runs are so many times as lucky or unlucky as those of other arms."""


class Setting(NamedTuple):
    """A kind of study. The first two arms are compared; the others lend their variance."""

    name: str
    arms: Sequence[Arm]
    luck: float = 0.1
    """Standard deviation of the luck of a run; 0.1 is about three points of accuracy."""
    questions: int = 200


class Counted(NamedTuple):
    """Shares of simulated studies, each in [0, 1], and medians."""

    holds: float
    """The interval of the first arm's accuracy holds the truth."""
    difference_holds: float
    """So does that of the difference."""
    called: float
    """The difference is called significant."""
    tested: float
    """There is a p-value at all."""
    width: float
    """Median width of the interval of the difference."""
    detectable: float
    """Median of what the study says it could find."""


def accuracy(ability: float, luck: float) -> float:
    """The share of all questions that a method gets right, over all its runs."""
    return NormalDist().cdf(ability / sqrt(1 + luck**2 + ANSWER_LUCK**2))


def first_ability(gain: float, first: float, second: float) -> float:
    """What makes a method of this luck better by so much than one of common ability and that luck."""
    scale = sqrt(1 + first**2 + ANSWER_LUCK**2)
    return NormalDist().inv_cdf(min(0.999, accuracy(COMMON, second) + gain)) * scale


def simulate(setting: Setting, studies: int, *, gain: float = 0.0, seed: int = 1) -> Counted:
    """Count over studies in which the first arm is right so much more often."""
    first, second = (setting.luck * arm.luck for arm in setting.arms[:2])
    ability = first_ability(gain, first, second)
    truth = accuracy(ability, first)
    difference = truth - accuracy(COMMON, second)
    chance = np.random.default_rng(seed)
    held = differences_held = called = tested = 0
    found: list[Comparison] = []
    for _ in range(studies):
        arms = list(_answers(setting, chance, ability))
        low, high = accuracy_interval(arms[0], others=arms[1:])
        held += low <= truth <= high
        one = compare("a", arms[0], "b", arms[1], others=arms[2:])
        differences_held += one.low <= difference <= one.high
        called += one.p is not None and one.p < 0.05
        tested += one.p is not None
        found.append(one)
    return Counted(
        held / studies,
        differences_held / studies,
        called / studies,
        tested / studies,
        float(np.median([one.high - one.low for one in found])),
        float(np.median([one.detectable for one in found])),
    )


def _answers(setting: Setting, chance: np.random.Generator, ability: float) -> Iterator[Answers]:
    difficulty = chance.normal(0, 1, (setting.questions, 1))
    for number, arm in enumerate(setting.arms):
        correct = _correct(setting, arm, chance, (COMMON if number else ability) - difficulty)
        yield Answers(distinct(correct), ("reranker",) if arm.shared else ())


def _correct(setting: Setting, arm: Arm, chance: np.random.Generator, ease: Matrix) -> Matrix:
    luck = chance.normal(0, setting.luck * arm.luck, (1, arm.runs))
    if arm.shared:
        luck = (luck + chance.normal(0, setting.luck * arm.luck)) / sqrt(2)
    right = (ease + luck + chance.normal(0, ANSWER_LUCK, (setting.questions, arm.runs)) > 0).astype(np.float64)
    return np.repeat(right[:, :1], arm.runs, axis=1) if arm.copies else right
