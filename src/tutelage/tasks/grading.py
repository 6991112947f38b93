"""Judging what was written against the gold answer: the same for teacher, mentor and student.

    judge(question, NUMBER, FORMATS["arrow"], "Tova starts with 12. 12 + 5 = 17. --> 17.0")
    Judgement(rationale="Tova starts with 12. 12 + 5 = 17.", answer="17", verdict=CORRECT, read="marker")

A text whose answer cannot be read is UNREAD, which counts as not correct and is always shown apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from tutelage.decimals import as_text
from tutelage.errors import TaskError, all_problems
from tutelage.formats import Format
from tutelage.rows import Row, read_rows
from tutelage.tasks.answers import AnswerType, Math
from tutelage.tasks.questions import Fields, read_item
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


class Graded(NamedTuple):
    """One row of a file of written texts, judged."""

    id: str
    gold: str
    judgement: Judgement


class Disagreement(NamedTuple):
    """An answer that math-verify and our reader of numbers take for different numbers. It is unread."""

    id: str
    math_verify: str
    number: str


class Grades(NamedTuple):
    """A whole file, judged."""

    rows: tuple[Graded, ...]
    """In the order of the file."""
    counts: Mapping[Verdict, int]
    """Rows of each verdict; every verdict is there."""
    disagreements: tuple[Disagreement, ...] = ()
    """Of answers of type `math`, those that its two readers contradict each other on."""


def grade_file(
    path: str | Path,
    answer_type: AnswerType,
    fmt: Format,
    *,
    questions: Iterable[Question] = (),
    strict: bool = False,
) -> Grades:
    """Judge texts written by any model: rows of `id` and `text`, with the gold `answer` or the id of a known question.

    The id is a question's own or the one of its data file; `choices`, a list, may stand in the row. Where a row has an
    answer and its question is known, the two must be the same. Raises TaskError with every bad row.
    """
    known = {key: q for q in questions for key in (q.id, q.meta.get("source_id")) if key is not None}
    problems: list[str] = []
    graded_rows: list[Graded] = []
    disagreements: list[Disagreement] = []
    seen: set[str] = set()
    for row in read_rows(path, problems):
        id, text = row.values.get("id"), row.values.get("text")
        if not isinstance(id, str | int) or not isinstance(text, str):
            problems.append(f"{row.where}: expected an `id` and a `text`; the row has {', '.join(row.values)}")
            continue
        if str(id) in seen:
            problems.append(f"{row.where}: id {id!r} stands twice; one text a question, or n would count it twice")
            continue
        seen.add(str(id))
        question = _question_of(row, str(id), known.get(str(id)), answer_type, problems)
        if question is not None:
            graded_rows.append(Graded(str(id), question.answer, judge(question, answer_type, fmt, text, strict=strict)))
            said = fmt.read(text).answer
            readings = answer_type.disagreement(said) if isinstance(answer_type, Math) and said is not None else None
            if readings is not None:
                disagreements.append(Disagreement(str(id), *readings))
    if problems:
        raise TaskError(all_problems(f"{path}: {len(problems)} bad row(s), nothing was graded:", problems))
    counts = Counter(row.judgement.verdict for row in graded_rows)
    return Grades(tuple(graded_rows), {verdict: counts[verdict] for verdict in Verdict}, tuple(disagreements))


def _question_of(
    row: Row, id: str, known: Question | None, answer_type: AnswerType, problems: list[str]
) -> Question | None:
    """The question a row answers: the known one, or one made of the row's own gold answer."""
    if row.values.get("answer") is None:
        if known is None:
            problems.append(f"{row.where}: no gold `answer`, and no question with the id {id!r} is known")
        return known
    named = row._replace(values={**row.values, "id": id})
    choices = "choices" if row.values.get("choices") is not None else None
    item = read_item(named, Fields(question="id", choices=choices), answer_type, problems) if known is None else None
    if item is not None:
        return Question(id, "", "test", item.text, item.choices, item.answer)
    if known is not None:
        gold = answer_type.canonical(as_text(row.values["answer"]), known.choices)
        if gold is None or not answer_type.same(gold, known.answer):
            problems.append(f"{row.where}: answer {row.values['answer']!r}, but the task has {known.answer!r}")
            return None
    return known
