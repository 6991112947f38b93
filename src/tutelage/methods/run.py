"""Run a study: every arm and seed, several at a time, and one `results.json` that the report is written from."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from tutelage.errors import RunError
from tutelage.methods.jobs import Watch, jobs_of, outcome, plan
from tutelage.methods.results import results, shelve
from tutelage.methods.sources import load_task
from tutelage.methods.workers import work
from tutelage.recipe import Recipe
from tutelage.runs import locked, write_json, write_text


def run(
    recipe: Recipe, recipe_text: str, folder: Path, *, name: str, command: str = "", watch: Watch = lambda event: None
) -> None:
    """Finish every stage of the study in `folder` and write `results.json` there.

    Work that is already done is not done again. Raises the first error of a job after the others have stopped; what
    they had finished stays.
    """
    started = datetime.now(UTC)
    with locked(folder / "run.lock", wait=False):
        task = load_task(recipe.task)
        write_text(folder / "recipe.yaml", recipe_text)
        jobs = jobs_of(recipe)
        todo = [job for job in jobs if not all(stage.cached for stage in plan(recipe, task, folder, job).values())]
        work(recipe, folder, todo, watch)
        outcomes = [(job, outcome(recipe, task, folder, job)) for job in jobs]
        shelve(recipe, task, folder, outcomes)
        write_json(
            folder / "results.json",
            results(recipe, recipe_text, task, folder, outcomes, name=name, command=command, started=started),
        )


def check_folder(folder: Path) -> None:
    """Refuse a run folder that holds something else, before it is written to."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; --out names the folder a run is kept in.")
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not any((folder / name).exists() for name in ("stages", "run.lock", "teacher"))
    ):
        raise RunError(f"{folder} is not empty and holds no run of tutelage. Choose another --out.")


def check_alone() -> None:
    """Refuse to be one of several copies that a launcher started: each would make the whole study."""
    copies = os.environ.get("WORLD_SIZE", "1")
    if copies not in ("", "1"):
        raise RunError(
            f"a launcher such as torchrun has started {copies} copies of this study (WORLD_SIZE). A study is one "
            "process that trains each student on one device: call it without a launcher; `compute.jobs` trains several "
            "students at once."
        )


def default_folder(name: str) -> Path:
    """Where a run of this recipe is kept when --out does not say: runs/<name>."""
    return Path("runs") / Path(name).with_suffix("").as_posix().strip("/.").replace("/", "-")
