"""Judging written texts, recorded rationales and whole files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import TaskError
from tutelage.formats import FORMATS
from tutelage.tasks.answers import ANSWER_TYPES, LETTER, NUMBER, WORDS, YES_NO
from tutelage.tasks.grading import grade_file, graded, judge
from tutelage.types import Question, Rationale, Verdict

ARROW = FORMATS["arrow"]
BEADS = Question("q-1", "beads", "test", "Tova has 12 beads and finds 5 more. How many?", (), "17")
BALLS = Question("q-2", "balls", "test", "Alice has the", ("orange ball", "white ball", "blue ball"), "C")


def recorded(text: str, answer: str | None = None, verdict: Verdict | None = None) -> Rationale:
    return Rationale("q-2", "teacher:x", 0, text, answer, verdict)


def test_what_stands_behind_the_marker_counts():
    assert judge(BEADS, NUMBER, ARROW, "12 + 5 = 18. --> 17.0") == ("12 + 5 = 18.", "17", Verdict.CORRECT, "marker")
    assert judge(BEADS, NUMBER, ARROW, "12 + 5 = 17. --> 18").verdict is Verdict.WRONG


def test_an_unreadable_answer_is_not_looked_for_elsewhere():
    """Otherwise a rationale that passes by the gold answer would be counted as correct."""
    judgement = judge(BEADS, NUMBER, ARROW, "The answer is 17. --> seventeen or so")
    assert (judgement.answer, judgement.verdict, judgement.read) == (None, Verdict.UNREAD, "nowhere")


def test_without_marker_the_conclusion_counts_unless_strict():
    text = "12 + 5 = 17. The answer is 17."
    assert judge(BEADS, NUMBER, ARROW, text) == (text, "17", Verdict.CORRECT, "fallback")
    assert judge(BEADS, NUMBER, ARROW, text, strict=True) == (text, None, Verdict.UNREAD, "nowhere")


@pytest.mark.parametrize("text", ["", "  \n", "-->", "--> "])
def test_an_empty_text_is_unread(text: str):
    assert judge(BEADS, NUMBER, ARROW, text).verdict is Verdict.UNREAD


GOLD = {
    "letter": st.sampled_from("ABC"),
    "yes_no": st.sampled_from(["yes", "no"]),
    "number": st.fractions(max_denominator=999, min_value=-999, max_value=999).map(
        lambda f: NUMBER.canonical(str(f)) or ""
    ),
    "words": st.text(st.characters(categories=["Ll"]), min_size=1, max_size=9).map(lambda t: WORDS.canonical(t) or "a"),
}


@given(st.sampled_from(sorted(FORMATS)), st.sampled_from(sorted(GOLD)), st.data(), st.text(max_size=120))
def test_a_target_is_judged_correct(format_name: str, type_name: str, data: st.DataObject, rationale: str):
    """A student that writes exactly what it was taught must score, in every format and for every answer type."""
    gold = data.draw(GOLD[type_name])
    question = Question("q", "t", "test", "?", ("red", "green", "blue") if type_name == "letter" else (), gold)
    fmt = FORMATS[format_name]
    judgement = judge(question, ANSWER_TYPES[type_name], fmt, fmt.target(rationale, gold))
    assert judgement == (rationale.strip(), gold, Verdict.CORRECT, "marker")


def test_a_recorded_conclusion_comes_before_the_text():
    """The mentor's answer stands behind its marker; its reasoning may end on something else."""
    assert graded(recorded("So the answer is (C).", "(B) white ball"), BALLS, LETTER).verdict is Verdict.WRONG
    assert graded(recorded("So the answer is (C).", "unknown"), BALLS, LETTER).verdict is Verdict.UNREAD


def test_without_a_recorded_conclusion_the_text_is_read():
    assert graded(recorded("So the answer is (C)."), BALLS, LETTER).answer == "C"
    assert graded(recorded("They swap."), BALLS, LETTER).verdict is Verdict.UNREAD


def test_a_file_that_vouches_is_believed_where_the_text_says_nothing():
    vouched = graded(recorded("They swap.", verdict=Verdict.CORRECT), BALLS, LETTER)
    assert (vouched.answer, vouched.verdict) == ("C", Verdict.CORRECT)


def test_a_text_that_contradicts_its_file_is_wrong_unless_the_file_is_trusted():
    """A target "So the answer is (A) Catch-22. --> C" teaches to write one answer and mean another."""
    rationale = recorded("So the answer is (A).", verdict=Verdict.CORRECT)
    assert graded(rationale, BALLS, LETTER).verdict is Verdict.WRONG
    assert graded(rationale, BALLS, LETTER, trust_file=True).verdict is Verdict.CORRECT


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_of_texts_is_graded_with_its_own_gold_answers(tmp_path: Path):
    path = written(
        tmp_path / "texts.jsonl",
        {"id": 1, "text": "--> no", "answer": "No"},
        {"id": "b", "text": "--> yes", "answer": "no"},
        {"id": "c", "text": "hm", "answer": "no"},
    )
    grades = grade_file(path, YES_NO, ARROW)
    assert [(row.id, row.gold, row.judgement.verdict.value) for row in grades.rows] == [
        ("1", "no", "correct"),
        ("b", "no", "wrong"),
        ("c", "no", "unread"),
    ]
    assert grades.counts == {Verdict.CORRECT: 1, Verdict.WRONG: 1, Verdict.UNREAD: 1}


def test_a_file_of_texts_is_graded_against_known_questions(tmp_path: Path):
    rows = {"id": "q-2", "text": "--> blue ball"}, {"id": "q-2", "text": "--> B", "answer": "(C)"}
    paths = [written(tmp_path / f"{number}.jsonl", row) for number, row in enumerate(rows)]
    grades = [grade_file(path, LETTER, ARROW, questions=[BALLS]) for path in paths]
    assert [row.judgement.answer for grade in grades for row in grade.rows] == ["C", "B"]


def test_every_bad_row_of_a_file_of_texts_is_told(tmp_path: Path):
    path = written(
        tmp_path / "texts.jsonl",
        {"id": "q-2", "answer": "A"},
        {"id": "q-2", "text": "--> C", "answer": "A"},
        {"id": "q-9", "text": "--> C"},
        {"id": "q-9", "text": "--> C", "answer": "maybe"},
    )
    with pytest.raises(TaskError) as caught:
        grade_file(path, LETTER, ARROW, questions=[BALLS])
    assert str(caught.value).count("  - texts.jsonl:") == 4
    for line in ("texts.jsonl:1: expected an `id` and a `text`", "texts.jsonl:2: answer 'A', but the task has 'C'"):
        assert line in str(caught.value)
