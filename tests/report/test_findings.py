"""Sentences that say no more than the figures do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.evaluation.compare import MCNEMAR, Comparison, compare_with_constant
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
        "Reasoning distillation beats fine-tuning by 23.4 points [18.1, 28.9], p < 0.001 (Holm)."
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
    [(1.0, "p = 1.000"), (0.0412, "p = 0.041"), (9.96e-4, "p < 0.001"), (3e-10, "p < 0.001"), (0.0, "p < 0.001")],
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


def test_names_of_sweeps_stay_as_they_are():
    """Mentor-kd samples=3 is nobody's name."""
    assert findings.at_start("mentor-kd samples=3") == "mentor-kd samples=3"


def headline(run: Path) -> str:
    return make_report(read_run(run)).headline


def test_the_headline_names_the_best_arm_against_the_next_best(make_run: MakeRun):
    """It is the only line many will read; ahead of a weak baseline, an arm may be no better than its neighbour."""
    assert headline(make_run(test=80)).startswith("Reasoning distillation beats fine-tuning by ")
    close = {"fine-tuning": 0.2, "reasoning-distillation": 0.7, "kard": 0.71}
    said = headline(make_run(test=60, arms=tuple(close), skills=close, seeds=(1, 2, 3)))
    assert re.fullmatch(r"(KARD|Reasoning distillation) \(\d+\.\d%\) and .* are not distinguishable", said)
    assert "fine-tuning" not in said


def test_the_headline_says_first_that_nothing_was_learnt(make_run: MakeRun):
    """A gain of 6.2 points over KARD stood above three arms that knew no more than the most frequent answer."""
    skills = {"fine-tuning": 0.2, "kard": 0.21, "mcc-kd": 0.22}
    run = make_run(test=80, arms=tuple(skills), skills=skills, choices=True, seeds=(1, 2, 3))
    results, rows = json.loads((run / "results.json").read_text()), []
    path = run / results["questions"]
    for row in map(json.loads, path.read_text().splitlines()):
        rows.append({**row, "answer": "B" if row["split"] == "train" or len(rows) % 3 else row["answer"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = make_report(read_run(run))
    assert report.run.reference
    assert report.headline.startswith("No arm could be shown to be better than always answering “B” (")
    assert "distinguishable" in report.headline.partition(". ")[2] or "beats" in report.headline.partition(". ")[2]
    assert len(report.against_constant) == 3
    constant = [c for c in report.cautions if "always answering “B”" in c]
    assert constant


def test_the_headline_of_an_arm_behind_one_reranker_claims_no_test(make_run: MakeRun):
    """Its lead may be the luck of one reranker."""
    run = make_run(test=80, arms=("fine-tuning", "kard"), skills={"fine-tuning": 0.2, "kard": 0.8}, seeds=(1, 2, 3))
    share(run, "kard", {"reranker": ["r"]})
    report = make_report(read_run(run))
    assert re.fullmatch(
        r"KARD is \d+\.\d points ahead of fine-tuning with one reranker for all seeds; "
        r"other ones may differ, so no test is made",
        report.headline,
    )
    assert report.findings[0].endswith("with one reranker for all seeds, so no p-value is given.")
    assert any(c.startswith("KARD: there is one reranker for all seeds; accuracy and") for c in report.cautions)
    assert [arm.marked for arm in report.arms] == ["Fine-tuning", "KARD (one reranker)"]


def test_copies_of_one_model_are_marked_and_borrow(make_run: MakeRun):
    """One mentor for three seeds, scored three times, is no three mentors."""
    run = make_run(test=80, arms=("fine-tuning", "mentor"), seeds=(1, 2, 3))
    share(run, "mentor", {"mentor": ["m"]}, model="m")
    report = make_report(read_run(run))
    assert report.scores["mentor"].speaks_of == "borrowed"
    assert report.comparisons[0].borrowed == ("mentor",)
    assert report.arms[1].marked == "The mentor itself (reference, one run)"
    assert any("count as one training run" in c for c in report.cautions)
    assert any("the chance in training is taken from the other arms" in c for c in report.cautions)


def test_arms_that_were_only_asked_are_no_copies(make_run: MakeRun):
    """Few-shot prompting has no training; to call its seeds copies of a run would be wrong."""
    run = make_run(test=80, arms=("fine-tuning", "few-shot"), seeds=(1, 2, 3))
    share(run, "few-shot", {}, model="base")
    report = make_report(read_run(run))
    assert report.scores["few-shot"].speaks_of == "untrained"
    assert not [c for c in report.cautions if "training run" in c]


def share(run: Path, arm: str, parts: dict[str, list[str]], model: str | None = None) -> None:
    """Let all seeds of an arm have these parts, and one model if it is named."""
    results = json.loads((run / "results.json").read_text())
    for row in results["arms"]:
        own = row["arm"] == arm
        row["model"] = model if own and model else f"{row['arm']}-{row['seed']}"
        row["parts"] = parts if own else {"student": [row["model"]]}
    (run / "results.json").write_text(json.dumps(results))


def test_one_arm_has_a_headline_too(make_run: MakeRun):
    """A recipe with one arm is a run like any other."""
    assert headline(make_run(arms=("kard",), baseline=None, test=20)).startswith("KARD answers ")


def test_without_a_baseline_the_best_two_are_compared(make_run: MakeRun):
    """Which pair a headline is about must not hang on the order of a recipe."""
    skills = {"kard": 0.1, "mcc-kd": 0.9, "mentor-kd": 0.4}
    assert headline(make_run(arms=tuple(skills), skills=skills, baseline=None, test=60)).startswith(
        "MCC-KD beats Mentor-KD"
    )


def cautions(run: Path) -> str:
    report = make_report(read_run(run))
    return "\n".join(findings.cautions(report.arms, report.scores))


def test_few_seeds_are_warned_about(make_run: MakeRun):
    """Most published gains of a point are one lucky seed."""
    assert "Every arm was trained once" in cautions(make_run(test=9, seeds=(1,)))
    assert "Two seeds" in cautions(make_run(test=9, seeds=(1, 2)))
    assert "seed" not in cautions(make_run(test=9, seeds=(1, 2, 3))).replace("every seed", "")


def test_a_student_no_better_than_one_answer_is_warned_about(make_run: MakeRun):
    """53% looks like learning until one knows that "yes" is right in 53%."""
    run = read_run(make_run(test=200, seeds=(1,), skills={"fine-tuning": 0.5, "reasoning-distillation": 0.9}))
    (first, second), scores = run.arms, make_report(run).scores
    right = dict(zip([q.id for q in run.questions], [n % 2 == 0 for n in range(200)], strict=True))
    constant = compare_with_constant({arm.arm: arm.predictions for arm in (first, second)}, right)
    said = "\n".join(findings.cautions(run.arms, scores, Reference("yes", 0.5), constant))
    assert "Fine-tuning: not distinguishable from always answering “yes” (50.0%)." in said
    assert "Reasoning distillation: not distinguishable" not in said
    worse = [c._replace(difference=-0.2, p_holm=0.001) for c in constant]
    assert "worse than always answering" in "\n".join(findings.cautions(run.arms, scores, Reference("yes", 0.5), worse))


def test_equal_cautions_are_told_once():
    """Nine arms of a sweep with one fault are one line, not nine."""
    assert findings.listed(["A"]) == "A"
    assert findings.listed(["A", "B"]) == "A and B"
    assert findings.listed(["A", "B", "C"]) == "A, B and C"
    assert findings.listed(list("ABCDEFG")) == "A, B and 5 other arms"


def test_a_reference_wins_nothing(make_run: MakeRun):
    """The mentor is larger than what was wanted; that it answers better is no finding about students."""
    skills = {"fine-tuning": 0.2, "mentor-kd": 0.6, "kard": 0.4, "mentor": 0.95}
    report = make_report(read_run(make_run(arms=tuple(skills), skills=skills, test=200, seeds=(1, 2, 3))))
    assert max(report.scores, key=lambda arm: report.scores[arm].accuracy) == "mentor"
    assert report.headline.startswith("Mentor-KD beats KARD by ")
    assert not [text for text in report.key_findings if "mentor itself" in text]
    assert report.key_findings[0].startswith("Mentor-KD beats KARD by ")
    assert [text for text in report.findings if "mentor itself" in text], "they stand in the table all the same"


def test_a_study_of_references_alone_has_a_headline(make_run: MakeRun):
    """`arms: [mentor]` is a recipe like any other."""
    assert headline(make_run(arms=("mentor",), baseline=None, test=20)).startswith("The mentor itself answers ")


def test_many_arms_are_counted(make_run: MakeRun):
    """Nine sentences of one kind are read by nobody; the headline's and the best two stand."""
    skills = {"fine-tuning": 0.3} | {f"mentor-kd samples={n}": 0.3 + 0.06 * n for n in range(9)}
    report = make_report(read_run(make_run(arms=tuple(skills), skills=skills, test=100, seeds=(1, 2, 3))))
    pair, best, counted = report.key_findings
    against = [c for c in report.comparisons if c.b == "fine-tuning"]
    better = sum(findings.is_better(c) for c in against)
    first, second = findings.ranked(report.arms, report.scores)[:2]
    assert first in pair
    assert second in pair
    assert "fine-tuning" in best
    assert 0 < better < 9
    assert counted.startswith(f"Of 9 arms compared with fine-tuning, {better} could be shown to be better and 0 ")


def rows(*norms: tuple[float | None, float]) -> list[dict[str, object]]:
    return [{"terms": {"rationale": 1.0, "soft": 0.1}, "gradient_norms": {"rationale": a, "soft": b}} for a, b in norms]


def test_a_drowned_term_is_told_with_what_to_do():
    """An arm named for soft labels that never felt them is a result about something else."""
    found = findings.drowned(rows((300.0, 1.0), (500.0, 2.0), (90.0, 1.0)))
    assert found == (
        "the gradient of the term “rationale” is 250 times that of “soft” in the median over epochs, so “soft” teaches "
        "next to nothing. Raise soft_labels.weight, or try another soft_labels.temperature."
    )
    other = findings.drowned(rows((0.001, 1.0))) or ""
    assert "“soft” is 1,000 times that of “rationale”" in other
    assert "Lower soft_labels.weight" in other
    named = [{"gradient_norms": {"rationale": 500.0, "consistency": 1.0}}]
    assert (findings.drowned(named) or "").endswith("Raise mcc.weight.")


def test_a_term_is_not_drowned_by_one_epoch_or_a_factor_of_a_hundred():
    """Norms of single batches jump."""
    assert findings.drowned(rows((100.0, 1.0))) is None
    assert findings.drowned(rows((101.0, 1.0))) is not None
    assert findings.drowned(rows((9000.0, 1.0), (5.0, 1.0), (5.0, 1.0))) is None


def test_a_term_switched_off_is_not_drowned():
    """A weight of 0 is a choice."""
    assert findings.drowned(rows((3.0, 0.0), (2.0, 0.0))) is None
    assert findings.drowned(rows((None, 1.0))) is None
    assert findings.drowned([{"epoch": 1, "loss": 0.3}]) is None
    assert findings.drowned([]) is None


def test_drowned_terms_are_among_the_cautions(make_run: MakeRun):
    """Found and not told is not found."""
    arms = ("fine-tuning", "mentor-kd", "mcc-kd")
    found = cautions(make_run(arms=arms, test=9, terms={"mentor-kd": 450.0, "mcc-kd": 3.0}))
    assert "Mentor-KD: the gradient of the term “rationale” is 450 times that of “soft”" in found
    assert "MCC-KD: the gradient" not in found


def test_a_warning_of_several_arms_is_said_once(make_run: MakeRun):
    """Five lines that differ in a name hide the sixth."""
    run = make_run(arms=("fine-tuning", "kard", "mentor-kd"), test=9)
    results = json.loads((run / "results.json").read_text())
    left = "11 examples were left out, longer than student.max_target_tokens."
    results["warnings"] = [
        f"Mentor-KD: {left}",
        "KARD: its epoch was chosen by chance.",
        f"Fine-tuning: {left}",
        "Free.",
    ]
    (run / "results.json").write_text(json.dumps(results))
    assert make_report(read_run(run)).cautions[:3] == (
        "Free.",
        f"Fine-tuning and Mentor-KD: {left}",
        "KARD: its epoch was chosen by chance.",
    )
