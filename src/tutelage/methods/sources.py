"""What a recipe names, found: the task behind its `task:` section and the teacher behind its `teacher:` section."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from pydantic import ValidationError

from tutelage.annotation.thoughts import UNENDED, marks_note, solution_in
from tutelage.errors import RecipeError, TaskError, all_problems
from tutelage.generation.recorded import Columns, Recorded, read_recorded
from tutelage.methods.asked_teachers import ASKED, MANY_CUT, Desk, ask_teacher, asked_source, check_asked, share_order
from tutelage.methods.written import Taught, Teacher
from tutelage.plugins import resolve
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import Json
from tutelage.tasks import load as tasks
from tutelage.tasks.published import locate, recorded_paths
from tutelage.tasks.task import Task
from tutelage.types import Question, Rationale, Verdict


def load_task(section: TaskSection) -> Task:
    """The task a recipe names. Raises TaskError with every bad row."""
    _refuse_ignored(section)
    own = {"train": section.train, "test": section.test, "answers": section.answers} if section.train else {}
    return tasks.load_task(
        section.name,
        data=section.data,
        fields=section.fields.model_dump() if section.fields else None,
        dev_fraction=section.dev_fraction,
        test_fraction=section.test_fraction,
        limit=section.limit,
        **own,
    )


def _refuse_ignored(section: TaskSection) -> None:
    """Raise TaskError for keys that would change nothing: they speak of a file of the user's own, or of the papers'."""
    own = [key for key in ("test", "answers", "fields") if getattr(section, key) is not None]
    if own and not section.train:
        raise TaskError(
            f"{', '.join(own)} without `train:`. Name the file of your own questions, or leave the rest out."
        )
    if section.data and section.train:
        raise TaskError("`data:` beside `train:`. One is the folder of a built-in task, the other your own file.")


def annotate(
    section: TeacherSection, task: TaskSection, questions: Sequence[Question], desk: Desk | None = None
) -> Taught:
    """Ask the teacher: at most `samples` rationales for each question of its share.

    Several teachers are asked a part each, chosen by the hash of the questions' ids. Without a desk nobody is asked who
    might charge for it.
    """
    shared = share_of(questions, section.share)
    return _together([_one(part, task, mine, desk) for part, mine in parts_of(section, shared)])


def parts_of(section: TeacherSection, questions: Sequence[Question]) -> list[tuple[TeacherSection, list[Question]]]:
    """Each teacher with the questions it is asked; a question belongs to one of them, whatever the others are."""
    ends = list(accumulate(share for share, _ in section.parts))
    found: list[tuple[TeacherSection, list[Question]]] = [(part, []) for _, part in section.parts]
    for question in questions:
        place = int(hashlib.sha256(f"mix:{question.id}".encode()).hexdigest()[:12], 16) / 16**12
        found[next((n for n, end in enumerate(ends) if place < end), len(ends) - 1)][1].append(question)
    return found


def _one(section: TeacherSection, task: TaskSection, questions: Sequence[Question], desk: Desk | None) -> Taught:
    if section.backend not in ASKED:
        backend: Teacher = resolve(section.backend, TEACHERS, "teacher backend")
        return backend(section, task, questions)
    if desk is None:
        return Taught([], len(questions), [f"{section.model} was not asked"])
    return ask_teacher(section, task, questions, desk)


def _together(found: Sequence[Taught]) -> Taught:
    unwritten: Counter[str] = Counter()
    for taught in found:
        unwritten.update(taught.unwritten)
    return Taught(
        [rationale for taught in found for rationale in taught.rationales],
        sum(taught.asked for taught in found),
        [note for taught in found for note in taught.notes],
        dict(unwritten),
        [books for taught in found for books in taught.books],
    )


def share_of(questions: Sequence[Question], share: float) -> list[Question]:
    """A share of the questions, at least one, chosen by the hash of their ids: a larger share holds the smaller one."""
    chosen = sorted(questions, key=share_order)
    kept = {q.id for q in chosen[: max(1, round(len(chosen) * share))]}
    return [q for q in questions if q.id in kept]


def check_teacher(section: TeacherSection, task: TaskSection) -> None:
    """Raise what would stop the teacher before it is asked anything."""
    for _, part in _parts(section):
        if part.backend in ASKED:
            check_asked(part)
        else:
            resolve(part.backend, {**TEACHERS, **dict.fromkeys(ASKED)}, "teacher backend")
        if part.backend == "pocket" and not task.name.startswith("pocket/"):
            raise RecipeError(f"the pocket teacher knows the pocket tasks alone, not {task.name!r}")
    source_of(section, task)


def source_of(section: TeacherSection, task: TaskSection) -> Json:
    """What the teacher's words depend on besides its settings: the file they are read from, the words of a prompt."""
    if section.mix:
        return [_source_of(part, task) for _, part in _parts(section)]
    return _source_of(section, task)


def _parts(section: TeacherSection) -> list[tuple[float, TeacherSection]]:
    try:
        return section.parts
    except ValidationError as error:
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise RecipeError(all_problems("teacher.mix: a `set:` changes a key to what it cannot be:", told)) from None


def _source_of(section: TeacherSection, task: TaskSection) -> Json:
    if section.backend in ASKED:
        return asked_source(section)
    if section.backend != "recorded":
        return None
    with recorded_path(section, task).open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    columns = _columns(section, task)
    return {"content": content, "columns": [columns.question, columns.rationale, columns.id] if columns else None}


def recorded_path(section: TeacherSection, task: TaskSection) -> Path:
    """The file of recorded rationales: as named, else a column of the user's own rows, else what the papers shipped.

    Raises RecipeError where there is none.
    """
    if section.path is not None:
        path = Path(section.path).expanduser()
        if not path.is_file():
            raise RecipeError(f"teacher.path: no file {section.path!r}")
        return path
    if task.train is not None:
        if task.fields is None or task.fields.rationale is None:
            raise RecipeError("teacher: name a file as `path:`, or a column of your rows as `task.fields.rationale`")
        path = Path(task.train).expanduser()
        if not path.is_file():
            raise RecipeError(
                "task.fields.rationale is read from a file; save the hub data set as JSONL or Parquet first"
            )
        return path
    path = locate(task.data, recorded_paths(task.name))
    if path is None:
        raise RecipeError(
            f"none are recorded in the data folder for {task.name!r}; name a file of yours as `teacher.path`, each row "
            "with `question` and `rationales`"
        )
    return path


def _recorded(section: TeacherSection, task: TaskSection, questions: Sequence[Question]) -> Taught:
    found = read_recorded(
        recorded_path(section, task), questions, samples=section.samples, columns=_columns(section, task)
    )
    return _without_thoughts(section, found, len(questions))


def contradiction(
    section: TeacherSection, task: Task, table: TaskSection, written: Sequence[Rationale], judged: Sequence[Rationale]
) -> str | None:
    """A warning where most rationales of a file conclude another answer than the file's own gold one; else None.

    Those count that stand beside the answers in the user's file, or that a file vouches for. `judged` are `written`,
    graded, in the same order.
    """
    own = section.backend == "recorded" and _columns(section, table) is not None
    pairs = zip(written, judged, strict=True)
    claimed = [after for before, after in pairs if own or (before.answer is None and before.verdict is Verdict.CORRECT)]
    wrong = [each for each in claimed if each.verdict is Verdict.WRONG]
    if len(wrong) <= CONTRADICTED * len(claimed) or section.backend != "recorded":
        return None
    gold = {q.id: q for questions in task.questions.values() for q in questions}
    first = gold[wrong[0].question_id]
    where = first.meta.get("where", first.id)
    return (
        f"{recorded_path(section, table).name}: {len(wrong):,} of {len(claimed):,} rationales conclude another answer "
        f"than the gold one, and are dropped as wrong: {wrong[0].answer!r} at {where}, where it is {first.answer!r}. "
        f"Is the right column named as the answer, and is `task.answers` ({task.answer_type.name}) its type?"
    )


CONTRADICTED = 0.5
"""With a larger share of a file's rationales wrong by its own gold answers, these are rather to blame."""


def _without_thoughts(section: TeacherSection, found: Recorded, asked: int) -> Taught:
    """Recorded texts without what a reasoning model thought aloud in them."""
    said = [(each, solution_in(each.text, section.reasoning_pairs)) for each in found.rationales]
    rationales = [replace(each, text=text) for each, text in said if text is not None]
    unended, shorter = len(said) - len(rationales), sum(text not in (None, each.text) for each, text in said)
    notes = list(found.notes)
    if shorter:
        notes.append(f"reasoning in tags such as <think> was removed from {shorter:,} recorded texts")
    if told := marks_note("recorded texts", [each.text for each in rationales], many=MANY_CUT):
        notes.append(told)
    return Taught(rationales, asked, notes, {UNENDED: unended} if unended else {})


def _columns(section: TeacherSection, task: TaskSection) -> Columns | None:
    if section.path is not None or task.fields is None or task.fields.rationale is None:
        return None
    return Columns(task.fields.question, task.fields.rationale, task.fields.id)


def _pocket(section: TeacherSection, task: TaskSection, questions: Sequence[Question]) -> Taught:
    write = resolve("tutelage.pocket.teacher:write", {}, "teacher")
    rationales = [
        write(question, sample=sample, seed=section.seed, error_rate=section.error_rate)
        for question in questions
        for sample in range(section.samples or 1)
    ]
    return Taught(rationales, len(questions), [])


TEACHERS: dict[str, Teacher] = {"recorded": _recorded, "pocket": _pocket}
