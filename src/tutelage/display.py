"""What the terminal shows: problems, plans, lists, and the live table of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tutelage.errors import RecipeError, all_problems
from tutelage.methods.jobs import Event, Job
from tutelage.runs import Stage
from tutelage.tasks.load import Described

OFTEN = ("writes", "lends soft labels", "asks its teacher")
"""What jobs tell of after every batch."""
AHEAD = "will ask "
"""How a job begins to tell what its teacher is about to be asked, and at what cost."""


def show_problems(problems: Sequence[str], recipe: str) -> None:
    """Raise RecipeError with every problem; nothing happens when there is none."""
    if problems:
        raise RecipeError(all_problems(f"{recipe}: {len(problems)} problem(s):", problems))


def show_warnings(warnings: Sequence[str]) -> None:
    """Print problems that do not stop a run."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def print_plan(plans: Mapping[str, Mapping[str, Stage]], folder: Path) -> None:
    """Every job's stages, each marked as there or to do; a stage that several jobs share is named once."""
    table = Table("arm", "stage", "state", title=f"plan of {folder}", title_justify="left")
    seen: set[Path] = set()
    for job, stages in plans.items():
        for stage in stages.values():
            if stage.folder in seen:
                continue
            seen.add(stage.folder)
            state = "there" if stage.cached else "resumes" if _begun(stage) else "to do"
            table.add_row(job, stage.folder.name, state)
    Console().print(table)


def _begun(stage: Stage) -> bool:
    return stage.folder.with_name(stage.folder.name + ".partial").exists()


def print_recipes(known: Mapping[str, Path]) -> None:
    """Built-in recipes with the first line of their comments."""
    table = Table("recipe", "what it is")
    for name, path in known.items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        table.add_row(name, first.removeprefix("#").strip())
    Console().print(table)


def print_tasks(tasks: Sequence[Described]) -> None:
    """Every task with its answer type and the sizes of its splits, then what the sources' licences say."""
    table = Table("task", "answers", "train", "dev", "test", "files of", box=None, padding=(0, 2, 0, 0))
    for task in tasks:
        counts = [str(n) for n in task.counts.values()] if task.counts else ["-", "-", "-"]
        table.add_row(task.name, task.answers, *counts, task.source)
    console = Console(soft_wrap=True)
    console.print(table)
    if any(task.counts is None for task in tasks):
        console.print(
            "\n-  no data found; set TUTELAGE_DATA, or `task.data` in the recipe, to the folder that holds it"
        )
    for source in dict.fromkeys(task.source for task in tasks):
        licences = dict.fromkeys(task.licence for task in tasks if task.source == source)
        console.print(f"{source}: {'; '.join(licences)}", highlight=False)


@contextmanager
def watching(jobs: Sequence[Job], *, quiet: bool) -> Generator[Callable[[Event], None]]:
    """Give a function that takes events: a live table on a terminal, single lines elsewhere, nothing when quiet."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        board = _Board(jobs)
        with Live(get_renderable=board.table, console=Console(stderr=True), refresh_per_second=4):
            yield board.take
    else:
        yield _Lines().take


class _Lines:
    """Where there is no terminal: a line for the start and end of a job, an epoch, a tenth of what is written."""

    def __init__(self) -> None:
        self.tenths: dict[tuple[str, str], int] = {}

    def take(self, event: Event) -> None:
        told = event.what in ("start", "done") or event.what.startswith(AHEAD)
        if told or event.figures.get("epoch_done") or self._further(event):
            print(f"[{event.job}] {event.what} {_words(event)}".rstrip(), file=sys.stderr, flush=True)

    def _further(self, event: Event) -> bool:
        """Whether a job that tells of every batch has come a tenth further; it may start again with other questions."""
        done, total = event.figures.get("done"), event.figures.get("total")
        if event.what not in OFTEN or done is None or not total:
            return False
        key, tenth = (event.job, event.what), 10 * done // total
        before = self.tenths.get(key, 0)
        self.tenths[key] = tenth
        return tenth > (before if tenth >= before else 0)


def _words(event: Event) -> str:
    figures = {key: value for key, value in event.figures.items() if key not in ("epoch_done", "gradient_norms")}
    figures |= figures.pop("terms", {})
    return "  ".join(f"{key} {_short(value)}" for key, value in figures.items() if value is not None)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _Board:
    """One row a job: what it is doing, how far, and since when."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.latest: dict[str, Event | None] = {job.label: None for job in jobs}
        self.since: dict[str, float] = {}

    def take(self, event: Event) -> None:
        self.latest[event.job] = event
        self.since.setdefault(event.job, time.monotonic())

    def table(self) -> Table:
        table = Table("student", "", "", box=None, padding=(0, 2))
        for job, event in self.latest.items():
            waited = (
                f"{time.monotonic() - self.since[job]:.0f} s"
                if job in self.since and event and event.what != "done"
                else ""
            )
            table.add_row(job, f"{event.what}  {_words(event)}" if event else "waits", waited)
        return table
