"""How often intervals hold the truth, equal methods are called different, and a detectable difference is detected."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulated_studies import Arm, Setting, simulate

from tutelage.evaluation.runs import Matrix

THREE = [Arm(3)] * 3
"""Arms that lend their variance."""

SETTINGS = [
    Setting("2 seeds each", [Arm(2), Arm(2)]),
    Setting("2 seeds each, lucky ones", [Arm(2), Arm(2)], luck=0.25),
    Setting("2 seeds each, no luck", [Arm(2), Arm(2)], luck=0.0),
    Setting("3 seeds each", [Arm(3), Arm(3)]),
    Setting("3 seeds each, lucky ones", [Arm(3), Arm(3)], luck=0.25),
    Setting("5 seeds each", [Arm(5), Arm(5)]),
    Setting("5 seeds each, 1,000 questions", [Arm(5), Arm(5)], questions=1000),
    Setting("1 seed against 3", [Arm(1), Arm(3)]),
    Setting("1 seed against 3, others have 3", [Arm(1), Arm(3), *THREE]),
    Setting("2 seeds against 5", [Arm(2), Arm(5)]),
    Setting("copies of one run against 3, others have 3", [Arm(3, copies=True), Arm(3), *THREE]),
    Setting("copies against copies, others have 3", [Arm(3, copies=True), Arm(3, copies=True), *THREE]),
    Setting("lucky copies against 3", [Arm(3, copies=True), Arm(3)], luck=0.25),
    Setting("2 seeds each, others have 2", [Arm(2)] * 5),
    Setting("3 seeds each, others have 3", [Arm(3)] * 5),
]
UNLIKE = [
    Setting("2 seeds, 2.5 times as lucky as all others", [Arm(2, luck=2.5), *[Arm(2)] * 4]),
    Setting("3 seeds, 2.5 times as lucky as all others", [Arm(3, luck=2.5), *[Arm(3)] * 4]),
    Setting("5 seeds, 2.5 times as lucky as all others", [Arm(5, luck=2.5), *[Arm(5)] * 4]),
]
"""What borrowing costs: one arm whose luck has 6.25 times the variance of the arms that it borrows from."""
ONE_EACH = Setting("1 seed each", [Arm(1), Arm(1)], luck=0.0)
SHARED = Setting("one reranker for 3 seeds", [Arm(3, shared=True), Arm(3), *THREE])


def ids(setting: Setting) -> str:
    return setting.name


@pytest.mark.parametrize("setting", [*SETTINGS, ONE_EACH], ids=ids)
def test_equal_methods_are_seldom_called_different(setting: Setting):
    """Lucky seeds are the usual reason for a published gain that nobody can repeat.

    80 studies see what is grossly wrong: 5% of them are 4, with a standard error of 2. The long test counts 1000.
    """
    found = simulate(setting, 80)
    assert found.called <= 0.125
    assert min(found.holds, found.difference_holds) >= 0.875
    assert found.tested == 1


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", [*SETTINGS, ONE_EACH, *UNLIKE], ids=ids)
def test_in_1000_studies_intervals_hold_and_tests_err_as_often_as_they_say(setting: Setting):
    """Standard error 0.7 points. An arm with far more luck than those it borrows from may err twice as often."""
    found = simulate(setting, 1000, seed=2)
    print(setting.name, found)
    most = 0.11 if setting in UNLIKE else 0.065
    assert found.called <= most
    assert min(found.holds, found.difference_holds) >= 1 - most


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("setting", [s for s in (*SETTINGS, ONE_EACH) if s.luck < 0.2], ids=ids)
def test_a_detectable_difference_is_detected_four_times_in_five(setting: Setting):
    """The note "differences under x points would go unnoticed" must be true of x; a cautious x errs to more power."""
    none = simulate(setting, 200, seed=3)
    found = simulate(setting, 400, gain=none.detectable, seed=4)
    print(setting.name, none.detectable, found.called)
    assert 0.74 <= found.called <= 0.99


def test_an_arm_behind_one_reranker_is_never_called_different():
    """The reranker's own luck cannot be seen in its students, so there is no p to be wrong."""
    found = simulate(SHARED, 30)
    assert (found.tested, found.called) == (0, 0)


def test_copies_and_one_reranker_would_deceive_a_test_of_seeds():
    """What the rules here are for; a simulation in which a plain t test did well could show nothing."""
    chance = np.random.default_rng(6)
    copies = shared = 0
    for _ in range(400):
        difficulty, answers = chance.normal(0, 1, (200, 1)), chance.normal(0, 0.6, (3, 200, 3))
        luck = chance.normal(0, 0.25, (3, 3))
        own, other = (0.3 - difficulty + luck[n] + answers[n] > 0 for n in (0, 1))
        behind_one = 0.3 - difficulty + luck[2, 0] + answers[2] > 0
        copies += paired_p(own[:, 0] - other.mean(axis=1)) < 0.05
        shared += paired_p(behind_one.mean(axis=1) - other.mean(axis=1)) < 0.05
    assert copies / 400 > 0.15
    assert shared / 400 > 0.15


def paired_p(difference_Q: Matrix) -> float:
    """A t test over questions alone."""
    error = difference_Q.std(ddof=1) / len(difference_Q) ** 0.5
    return float(2 * stats.t.sf(abs(difference_Q.mean()) / error, len(difference_Q) - 1))
