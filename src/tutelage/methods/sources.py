"""What a recipe names, found: the task behind its `task:` section and the teacher behind its `teacher:` section."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import RecipeError, TaskError
from tutelage.generation.recorded import Columns, read_recorded
from tutelage.plugins import resolve
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import Json
from tutelage.tasks import load as tasks
from tutelage.tasks.published import locate, recorded_paths
from tutelage.tasks.task import Task
from tutelage.types import Question, Rationale


class Taught(NamedTuple):
    """What a teacher wrote, not yet judged."""

    rationales: list[Rationale]
    asked: int
    """Questions the teacher was asked."""
    notes: list[str]
    """What became of the texts of a file, e.g. how many match no question."""


Teacher = Callable[[TeacherSection, TaskSection, Sequence[Question]], Taught]
"""How a backend is called: its settings, the task's, and the questions it is asked."""


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


def annotate(section: TeacherSection, task: TaskSection, questions: Sequence[Question]) -> Taught:
    """Ask the teacher: at most `samples` rationales for each question of its share."""
    backend: Teacher = resolve(section.backend, TEACHERS, "teacher backend")
    return backend(section, task, share_of(questions, section.share))


def share_of(questions: Sequence[Question], share: float) -> list[Question]:
    """A share of the questions, at least one, chosen by the hash of their ids: a larger share holds the smaller one."""
    chosen = sorted(questions, key=lambda q: hashlib.sha256(f"share:{q.id}".encode()).hexdigest())
    kept = {q.id for q in chosen[: max(1, round(len(chosen) * share))]}
    return [q for q in questions if q.id in kept]


def check_teacher(section: TeacherSection, task: TaskSection) -> None:
    """Raise what would stop the teacher before it is asked anything."""
    resolve(section.backend, TEACHERS, "teacher backend")
    if section.backend == "pocket" and not task.name.startswith("pocket/"):
        raise RecipeError(f"the pocket teacher knows the pocket tasks alone, not {task.name!r}")
    source_of(section, task)


def source_of(section: TeacherSection, task: TaskSection) -> Json:
    """What the teacher's words depend on besides its settings: the content of the file they are read from."""
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
    return Taught(list(found.rationales), len(questions), list(found.notes))


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
