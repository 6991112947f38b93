"""Judging what was written against the gold answer: the same for teacher, mentor and student.

    judge(question, NUMBER, FORMATS["arrow"], "Tova starts with 12. 12 + 5 = 17. --> 17.0")
    Judgement(rationale="Tova starts with 12. 12 + 5 = 17.", answer="17", verdict=CORRECT, read="marker")

A text whose answer cannot be read is UNREAD, which counts as not correct and is always shown apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from tutelage.formats import Format
from tutelage.tasks.answers import AnswerType
from tutelage.types import Question, Rationale, Verdict


class Judgement(NamedTuple):
    """One written text, read and compared with the gold answer."""

    rationale: str
    """What stands before the marker; the whole text where there is none."""
    answer: str | None
    """In canonical form; None when unread."""
    verdict: Verdict
    read: Literal["marker", "fallback", "nowhere"]
    """Where the answer was found."""


def judge(question: Question, answer_type: AnswerType, fmt: Format, text: str, *, strict: bool = False) -> Judgement:
    """Read a text at its marker and compare with `question.answer`.

    Without a marker the answer is looked for by `AnswerType.find`, unless `strict`. With a marker only what follows it
    counts: words behind it that cannot be read are UNREAD, whatever the rationale says.
    """
    reading = fmt.read(text)
    if reading.answer is not None:
        answer = answer_type.canonical(reading.answer, question.choices)
        return Judgement(
            reading.rationale, answer, verdict(question, answer_type, answer), "marker" if answer else "nowhere"
        )
    found = None if strict else answer_type.find(reading.rationale, question.choices)
    return Judgement(
        reading.rationale, found, verdict(question, answer_type, found), "fallback" if found else "nowhere"
    )


def verdict(question: Question, answer_type: AnswerType, answer: str | None) -> Verdict:
    """Compare a canonical answer with the gold one; None is UNREAD."""
    if answer is None:
        return Verdict.UNREAD
    return Verdict.CORRECT if answer_type.same(answer, question.answer) else Verdict.WRONG


def graded(rationale: Rationale, question: Question, answer_type: AnswerType, *, trust_file: bool = False) -> Rationale:
    """A recorded rationale with its answer in canonical form and a verdict.

    A recorded `answer` is what the writer concluded, and it alone is read. Without one the text's own conclusion is
    looked for. Where that fails too, the file's word stands if it vouched for the rationale (verdict CORRECT, no
    answer): Mentor-KD's `initial_correct` comes from a conclusion its authors did not ship. A text that concludes
    another answer than the file says is WRONG, since its reasoning would be taught with a label it contradicts;
    `trust_file` takes the file's word before the text's, to train on exactly the published rows.
    """
    vouched = rationale.answer is None and rationale.verdict is Verdict.CORRECT
    if rationale.answer is not None:
        answer = answer_type.canonical(rationale.answer, question.choices)
    elif vouched and trust_file:
        answer = question.answer
    else:
        answer = answer_type.find(rationale.text, question.choices) or (question.answer if vouched else None)
    return replace(rationale, answer=answer, verdict=verdict(question, answer_type, answer))
