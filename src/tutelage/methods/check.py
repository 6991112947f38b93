"""Look before running: every problem of a recipe at once, and the plan of what is there and what is to do.

Nothing here loads weights, asks a teacher, or touches the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tutelage import checkpoints
from tutelage.errors import TutelageError
from tutelage.formats import get_format
from tutelage.methods import METHODS, NEEDS_TEACHER
from tutelage.methods.run import jobs_of, plan
from tutelage.methods.sources import check_teacher, load_task
from tutelage.plugins import resolve
from tutelage.recipe import Recipe
from tutelage.runs import Stage


def problems(recipe: Recipe) -> list[str]:
    """Everything that would stop a run, each with the key it comes from. Empty when the recipe can run."""
    return [*_names(recipe), *_arms(recipe), *_data(recipe)]


def plans(recipe: Recipe, folder: Path) -> dict[str, dict[str, Stage]]:
    """The stages of every job by its label, in order, marked as there or to do."""
    task = load_task(recipe.task)
    return {job.label: plan(recipe, task, folder, job) for job in jobs_of(recipe)}


def _names(recipe: Recipe) -> Iterator[str]:
    yield from _failure("format", lambda: get_format(recipe.format))
    for arm in recipe.arms:
        yield from _failure("arms", lambda arm=arm: resolve(arm.method, METHODS, "arm"))
    yield from _failure("student.model", lambda: checkpoints.fingerprint(recipe.student.model))


def _arms(recipe: Recipe) -> Iterator[str]:
    for arm in recipe.arms:
        if arm.set:
            yield from _failure(f"arms ({arm.name})", lambda arm=arm: recipe.for_arm(arm))
        if arm.method in NEEDS_TEACHER and recipe.teacher is None:
            yield f"teacher: missing, and arm {arm.name!r} learns from rationales"


def _data(recipe: Recipe) -> Iterator[str]:
    try:
        task = load_task(recipe.task)
    except TutelageError as error:
        yield f"task: {error}"
        return
    teacher = recipe.teacher
    if teacher is not None:
        yield from _failure("teacher", lambda: check_teacher(teacher, recipe.task))
    for split in ("train", "dev", "test"):
        if not task.questions.get(split):
            yield f"task: no {split} questions; give it more data or change the fractions"


def _failure(key: str, look: Callable[[], object]) -> Iterator[str]:
    try:
        look()
    except TutelageError as error:
        yield f"{key}: {error}"
