"""The pocket teacher: right when it should be, wrong as often as told, and never at odds with itself."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from tutelage.errors import TaskError
from tutelage.pocket import atlas, steps, teacher

EQUATION = re.compile(r"(\d+) ([+-]) (\d+) = (\d+)")
QUESTIONS = {
    "steps": steps.questions("train", train=400),
    "atlas": atlas.questions("train", train=400),
    "pairs": atlas.pairs("train", train=400),
    "memory": atlas.memory("test", train=400),
}


def value(first: str, sign: str, second: str) -> int:
    return int(first) + int(sign + second)


@pytest.mark.parametrize("task", QUESTIONS)
def test_without_errors_it_is_always_right(task):
    """A teacher that errs unasked would teach errors that nobody counts."""
    for question in QUESTIONS[task]:
        for sample in range(3):
            written = teacher.write(question, sample, 0)
            assert written.answer == question.answer
            assert (written.source, written.sample, written.verdict) == ("teacher:pocket", sample, None)
            assert "-->" not in written.text


def test_every_equation_is_true_and_leads_to_the_answer():
    """The rationale is what is learnt: a false step in a right rationale teaches a false step."""
    for question in QUESTIONS["steps"]:
        written = teacher.write(question, 0, 0)
        equations = EQUATION.findall(written.text)
        assert len(equations) == len(question.meta["changes"].split())
        assert all(value(a, sign, b) == int(c) for a, sign, b, c in equations)
        assert equations[-1][3] == written.answer


@pytest.mark.parametrize("task", QUESTIONS)
@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_it_is_wrong_as_often_as_told(task, rate):
    """Filtering by verdict is measured against a known error rate."""
    written = [(q, teacher.write(q, s, 0, rate)) for q in QUESTIONS[task] for s in range(2)]
    wrong = sum(rationale.answer != q.answer for q, rationale in written) / len(written)
    assert wrong == pytest.approx(rate, abs=0.05)


def test_a_mistake_is_one_false_step_that_the_rest_follows_from():
    """A rationale that contradicts its own answer would be a teacher nobody has."""
    for question in QUESTIONS["steps"]:
        written = teacher.write(question, 0, 0, 1.0)
        equations = EQUATION.findall(written.text)
        assert sum(value(a, sign, b) != int(c) for a, sign, b, c in equations) == 1
        assert equations[-1][3] == written.answer
        assert all(before[3] == after[0] for before, after in pairwise(equations))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_an_atlas_rationale_ends_with_what_it_concludes(rate):
    """Rationale and answer must agree, or the student learns that reasoning does not matter."""
    for question in QUESTIONS["pairs"]:
        written = teacher.write(question, 0, 0, rate)
        place = question.choices["AB".index(str(written.answer))]
        assert written.text.endswith(f"{place}, option ({written.answer}).")
    for question in (*QUESTIONS["atlas"], *QUESTIONS["memory"]):
        written = teacher.write(question, 0, 0, rate)
        assert written.text.endswith(f" {written.answer}.")
        assert written.text.count(str(written.answer)) == 2


@pytest.mark.parametrize("task", QUESTIONS)
def test_same_seed_same_text_and_samples_differ(task):
    """Samples that repeat each other add cost and no teaching."""
    question = QUESTIONS[task][0]
    assert teacher.write(question, 1, 5) == teacher.write(question, 1, 5)
    assert len({teacher.write(question, sample, 5).text for sample in range(8)}) > 1


def test_a_foreign_task_is_refused():
    """Silence here would give a student empty rationales."""
    with pytest.raises(TaskError, match="pocket/steps, pocket/atlas, pocket/atlas-pairs and pocket/atlas-memory"):
        teacher.write(replace(QUESTIONS["steps"][0], task="strategyqa"), 0, 0)
