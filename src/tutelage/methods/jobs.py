"""The jobs of a study: one for each arm and seed, what each has to tell, and which stages it consists of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.methods import METHODS, Method, Outcome, Study
from tutelage.plugins import resolve
from tutelage.recipe import Arm, Recipe
from tutelage.runs import Stage, Workspace
from tutelage.tasks.task import Task


class Job(NamedTuple):
    """One arm with one seed."""

    arm: Arm
    seed: int

    @property
    def label(self) -> str:
        """How people call it, e.g. "reasoning-distillation, seed 2"."""
        return f"{self.arm.name}, seed {self.seed}"


class Event(NamedTuple):
    """Something a job has to tell: the arm and seed, what it is doing, and figures such as epoch, loss, done, total."""

    job: str
    what: str
    figures: dict[str, Any]


Watch = Callable[[Event], None]


def jobs_of(recipe: Recipe) -> list[Job]:
    """Every arm with every seed; the seeds of an arm take equally long, so they stand together and end together."""
    return [Job(arm, seed) for arm in recipe.arms for seed in recipe.seeds]


def do(recipe: Recipe, task: Task, workspace: Workspace, job: Job, watch: Watch | None = None) -> Outcome:
    """One arm with one seed, from the questions to the score."""
    study = Study(
        recipe.for_arm(job.arm),
        task,
        workspace,
        tell=(lambda what, figures: watch(Event(job.label, what, figures))) if watch else None,
        whole=recipe,
    )
    return method_of(job.arm).run(study, job.seed)


def method_of(arm: Arm) -> Method:
    """The method of an arm; one from outside, "package.module:function", is named as it is called.

    Raises PluginError for a name that stands for nothing.
    """
    found: Any = resolve(arm.method, METHODS, "arm")
    return found if isinstance(found, Method) else Method(found, arm.name)


def plan(recipe: Recipe, task: Task, folder: Path, job: Job) -> dict[str, Stage]:
    """The stages a job consists of, in order, each marked as there or to do."""
    workspace = Workspace(folder, planning=True)
    do(recipe, task, workspace, job)
    return workspace.plan


def outcome(recipe: Recipe, task: Task, folder: Path, job: Job) -> Outcome:
    """Where a finished job left its student and its score."""
    return do(recipe, task, Workspace(folder, planning=True), job)
