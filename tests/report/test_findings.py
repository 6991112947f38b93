"""Sentences that say no more than the figures do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.evaluation.compare import MCNEMAR, Comparison
from tutelage.report import findings
from tutelage.report.report import make_report
from tutelage.report.run import Reference, read_run

MakeRun = Callable[..., Path]
TITLES = {"a": "Reasoning distillation", "b": "Fine-tuning", "m": "Mentor-KD"}


def comparison(difference: float, low: float, high: float, p: float, **others: object) -> Comparison:
    made = Comparison("a", "b", difference, low, high, p, p, 300, 90, 20, 0.123, MCNEMAR)
    return made._replace(**others)  # type: ignore[arg-type]


def test_a_gain_is_told_with_its_interval_and_corrected_p():
    """The sentence is what gets copied; it must carry its doubt with it."""
    c = comparison(0.234, 0.181, 0.289, 1.2e-10, p_holm=1.2e-9)
    assert findings.sentence(c, TITLES) == (
        "Reasoning distillation beats fine-tuning by 23.4 points [18.1, 28.9], p = 1e-9 (Holm)."
    )


def test_a_loss_is_told_from_the_winners_side():
    """A negative gain, read in a hurry, is a gain."""
    c = comparison(-0.101, -0.152, -0.049, 0.002, a="m")
    assert findings.sentence(c, TITLES) == "Fine-tuning beats Mentor-KD by 10.1 points [4.9, 15.2], p = 0.002 (Holm)."


def test_no_difference_is_told_with_what_could_have_been_seen():
    """Nothing found in a small study is not nothing there."""
    c = comparison(0.012, -0.03, 0.054, 0.2, p_holm=0.41)
    assert findings.sentence(c, TITLES) == (
        "Reasoning distillation and fine-tuning: no difference could be shown (+1.2 points [−3.0, 5.4], "
        "p = 0.410 after Holm); with n = 300, differences under about 12.3 points would often go unnoticed here."
    )


def test_what_the_correction_takes_away_is_no_finding():
    """One of twenty pairs is below 0.05 by chance."""
    assert not findings.is_shown(comparison(0.1, 0.01, 0.19, 0.03, p_holm=0.21))
    assert findings.is_shown(comparison(0.1, 0.01, 0.19, 0.03, p_holm=0.049))


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "p = 1.000"), (0.0412, "p = 0.041"), (9.6e-4, "p = 1e-3"), (3e-10, "p = 3e-10"), (0.0, "p < 1e-300")],
)
def test_p_is_never_shown_as_zero(p: float, text: str):
    """A p of 0.000 is a claim no test makes."""
    assert findings.equals_p(p) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.234, "+23.4"), (-0.234, "−23.4"), (0.0, "0.0"), (-0.0001, "0.0"), (0.0001, "0.0")]
)
def test_points_have_one_sign(share: float, text: str):
    """−0.0 is a typo in print."""
    assert findings.signed(share) == text


def test_titles_bend_only_where_they_are_words():
    """Mentor-KD and KARD are names; fine-tuning is a word."""
    assert [findings.in_sentence(t) for t in ("Fine-tuning", "Mentor-KD", "KARD")] == [
        "fine-tuning",
        "Mentor-KD",
        "KARD",
    ]
    assert [findings.at_start(t) for t in ("fine-tuning", "mentor-KD")] == ["Fine-tuning", "mentor-KD"]


def headline(run: Path) -> str:
    return make_report(read_run(run)).headline


def test_the_headline_names_the_best_arm_against_the_baseline(make_run: MakeRun):
    """It is the only line many will read."""
    assert headline(make_run(test=80)).startswith("Reasoning distillation beats fine-tuning by ")
    close = {"fine-tuning": 0.5, "reasoning-distillation": 0.51}
    assert headline(make_run(test=20, skills=close)).startswith("No difference between ")
    first = {"fine-tuning": 0.8, "kard": 0.75, "mcc-kd": 0.6}
    assert headline(make_run(test=20, arms=tuple(first), skills=first)) == "No arm could be shown to beat fine-tuning"


def test_one_arm_has_a_headline_too(make_run: MakeRun):
    """A recipe with one arm is a run like any other."""
    assert headline(make_run(arms=("kard",), baseline=None, test=20)).startswith("KARD answers ")


def test_without_a_baseline_the_best_two_are_compared(make_run: MakeRun):
    """Which pair a headline is about must not hang on the order of a recipe."""
    skills = {"kard": 0.1, "mcc-kd": 0.9, "mentor-kd": 0.4}
    assert headline(make_run(arms=tuple(skills), skills=skills, baseline=None, test=60)).startswith(
        "MCC-KD beats Mentor-KD"
    )


def cautions(run: Path, reference: Reference | None = None) -> str:
    report = make_report(read_run(run))
    return "\n".join(findings.cautions(report.arms, report.scores, reference))


def test_few_seeds_are_warned_about(make_run: MakeRun):
    """Most published gains of a point are one lucky seed."""
    assert "Every arm was trained once" in cautions(make_run(test=9, seeds=(1,)))
    assert "Two seeds" in cautions(make_run(test=9, seeds=(1, 2)))
    assert "seed" not in cautions(make_run(test=9, seeds=(1, 2, 3))).replace("every seed", "")


def test_a_student_no_better_than_one_answer_is_warned_about(make_run: MakeRun):
    """53% looks like learning until one knows that "yes" is right in 53%."""
    run = make_run(test=200, skills={"fine-tuning": 0.5, "reasoning-distillation": 0.9})
    score = make_report(read_run(run)).scores["fine-tuning"]
    found = cautions(run, Reference("yes", score.accuracy))
    assert f"Fine-tuning: not to be told from always answering “yes” ({100 * score.accuracy:.1f}%)." in found
    assert "Reasoning distillation: not to be told" not in found
