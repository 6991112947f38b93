"""What a recipe names, found: the task behind its `task:` section and the teacher behind its `teacher:` section."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import RecipeError
from tutelage.generation.recorded import read_recorded
from tutelage.plugins import resolve
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import Json
from tutelage.tasks import load as tasks
from tutelage.tasks.task import Task
from tutelage.types import Question, Rationale


class Taught(NamedTuple):
    """What a teacher wrote, not yet judged."""

    rationales: list[Rationale]
    asked: int
    """Questions the teacher was asked."""
    notes: dict[str, Json]
    """Counts of what went wrong on the way, e.g. rows that match no question."""


Teacher = Callable[[TeacherSection, Task, Sequence[Question]], Taught]
"""How a backend is called: its settings, the task, and the questions it is asked."""


def load_task(section: TaskSection) -> Task:
    """The task a recipe names. Raises TaskError with every bad row."""
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


def annotate(section: TeacherSection, task: Task, questions: Sequence[Question]) -> Taught:
    """Ask the teacher: at most `samples` rationales for each question of its share."""
    backend: Teacher = resolve(section.backend, TEACHERS, "teacher backend")
    return backend(section, task, share_of(questions, section.share))


def share_of(questions: Sequence[Question], share: float) -> list[Question]:
    """A share of the questions, at least one, chosen by the hash of their ids: a larger share holds the smaller one."""
    chosen = sorted(questions, key=lambda q: hashlib.sha256(f"share:{q.id}".encode()).hexdigest())
    kept = {q.id for q in chosen[: max(1, round(len(chosen) * share))]}
    return [q for q in questions if q.id in kept]


def check_teacher(section: TeacherSection, task: Task) -> None:
    """Raise what would stop the teacher before it is asked anything."""
    resolve(section.backend, TEACHERS, "teacher backend")
    if section.backend == "pocket" and not task.name.startswith("pocket/"):
        raise RecipeError(f"the pocket teacher knows pocket/steps and pocket/atlas, not {task.name!r}")
    if section.backend == "recorded":
        source_of(section, task)


def source_of(section: TeacherSection, task: Task) -> Json:
    """What the teacher's words depend on besides its settings: the content of the file they are read from."""
    if section.backend != "recorded":
        return None
    path = recorded_path(section, task)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
