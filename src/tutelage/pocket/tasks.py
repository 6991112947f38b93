"""The pocket tasks as the rest of the package asks for tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tutelage.errors import TaskError
from tutelage.plugins import resolve
from tutelage.pocket import atlas, steps
from tutelage.tasks.answers import ANSWER_TYPES
from tutelage.tasks.task import Task
from tutelage.types import SPLITS, Question

WORLDS: dict[str, tuple[str, Callable[..., list[Question]]]] = {
    steps.TASK: ("number", steps.questions),
    atlas.TASK: ("words", atlas.questions),
    atlas.PAIRS: ("letter", atlas.pairs),
    atlas.MEMORY: ("words", atlas.memory),
}
"""Answer type and questions of each task."""


def load(
    name: str,
    *,
    data: str | Path | None = None,
    limit: int | None = None,
    dev_fraction: float | None = None,
    test_fraction: float | None = None,
) -> Task:
    """A pocket task. Its splits are generated apart, so fractions mean nothing here; `limit` is the size of train.

    Raises TaskError for a data folder: there is nothing to read.
    """
    answer_type, questions = resolve(name, WORLDS, "pocket task")
    if data is not None:
        raise TaskError(f"{name} is generated and reads no data; remove `data:` from the task.")
    size = {} if limit is None else {"train": limit}
    return Task(name, ANSWER_TYPES[answer_type], {split: tuple(questions(split, **size)) for split in SPLITS})
