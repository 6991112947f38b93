"""`tutelage annotate`: ask the teacher of a recipe, and see what it writes, how much of it is right, what it costs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutelage.errors import RecipeError, TeacherError

if TYPE_CHECKING:
    from tutelage.annotation.progress import Progress
    from tutelage.methods.annotating import Annotated as Found
    from tutelage.methods.asked_teachers import Desk
    from tutelage.methods.study import Study

app = typer.Typer()

SHOWN = 3
"""Texts that are shown where none was kept."""

RecipeName = Annotated[str, typer.Argument(help="A built-in recipe (`tutelage recipes`) or the path of a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes such as `teacher.samples=3`.")]


@app.command()
def annotate(
    recipe: RecipeName,
    overrides: Overrides = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run. Default: runs/RECIPE.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSONL of judged rationales.")] = None,
    preview: Annotated[int, typer.Option(help="Show what is sent for so many questions, and ask nothing.", min=0)] = 0,
    budget: Annotated[float | None, typer.Option(help="Never spend more, with what was spent before.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again for what failed, was rejected, refused, stopped or empty.")
    ] = False,
    batch: Annotated[
        str | None, typer.Option(help="write, submit or collect files of OpenAI's Batch API, at half price.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Ask a recipe's teacher for rationales; see how many are right, and the cost.

    The teacher is a server with OpenAI's API, or a model on this machine:

      teacher: {backend: openai, model: gpt-4o-mini, samples: 3,
                prices: prices.yaml, budget: 5.00}
      teacher: {backend: openai, model: mine,
                base_url: "http://localhost:8000/v1"}
      teacher: {backend: local, model: path/or/hub/name}

    The key is read from OPENAI_API_KEY, or from whatever variable
    `teacher.api_key_env` names.

      tutelage annotate my.yaml --preview 3         shows what is sent, asks none
      tutelage annotate my.yaml teacher.share=0.02  asks a few: are they right?
      tutelage annotate my.yaml --budget 5.00       asks all, within 5.00
      tutelage run my.yaml                          learns from the same answers

    Every answer is stored as it comes. Stop it, kill it, lose the network: the
    same command asks only for what is missing, and nothing is paid for twice.
    docs/teacher.md explains every key.
    """
    from tutelage.methods.annotating import estimates, write

    changes = [*(overrides or ()), *([] if budget is None else [f"teacher.budget={budget}"])]
    study = _study(recipe, changes, run)
    desk = _desk(study, retry=retry_failed)
    if preview:
        _preview(study, desk, preview)
        return
    for line in estimates(study, desk):
        typer.echo(line)
    if batch is not None:
        _batch(study, desk, batch)
        return
    try:
        with _line(quiet=quiet) as tell:
            found = write(study, desk.telling(tell))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command asks for what is missing", err=True)
        raise typer.Exit(130) from None
    path = out or desk.folder / "teacher" / "rationales.jsonl"
    _leave(study, found, path)
    _tell(study, found)
    typer.echo(f"rationales  {path}")


def _study(recipe: str, overrides: list[str], folder: Path | None) -> Study:
    from tutelage import recipe as recipes
    from tutelage.methods import run as runner
    from tutelage.methods.sources import check_teacher, load_task
    from tutelage.methods.study import Study
    from tutelage.runs import Workspace

    parsed, _ = recipes.load(recipe, overrides)
    if parsed.teacher is None:
        raise RecipeError(f"{recipe}: teacher: missing; there is nobody to ask")
    where = folder or runner.default_folder(recipe)
    runner.check_folder(where)
    check_teacher(parsed.teacher, parsed.task)
    return Study(parsed, load_task(parsed.task), Workspace(where))


def _desk(study: Study, *, retry: bool) -> Desk:
    from tutelage.methods.annotating import with_passages
    from tutelage.methods.asked_teachers import Desk

    return with_passages(study, Desk(study.workspace.folder, study.task.answer_type.name, retry=retry))


def _preview(study: Study, desk: Desk, count: int) -> None:
    from tutelage.methods.annotating import asked_parts

    parts = asked_parts(study, desk)
    if not parts:
        typer.echo("Nothing is sent: the rationales of this recipe's teacher are recorded or made by a program.")
    for teacher, asked in parts:
        for each in asked[:count]:
            typer.echo(f"=== {teacher.model}, {each.question.id}, {each.wish.samples} samples")
            for message in each.wish.request.messages:
                typer.echo(f"--- {message.role}\n{message.text}")
            typer.echo(f"--- and with it\n{json.dumps(dict(each.wish.request.sampling))}\n")


@contextmanager
def _line(*, quiet: bool) -> Generator[Callable[[Progress], None] | None]:
    """A line that is written over on a terminal, and a line for each tenth elsewhere."""
    if quiet:
        yield None
        return
    live, tenths = sys.stderr.isatty(), set[int]()

    def tell(progress: Progress) -> None:
        tenth = 10 * progress.done // max(1, progress.total)
        if live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1  # a line that wraps cannot be written over
            print(f"\r\x1b[K{progress.line()[:width]}", end="", file=sys.stderr, flush=True)
        elif tenth not in tenths:
            tenths.add(tenth)
            print(progress.line(), file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if live:
            print(file=sys.stderr)


def _leave(study: Study, found: Found, path: Path) -> None:
    """The judged rationales as rows that `teacher: {backend: recorded, path: ...}` reads."""
    from tutelage.methods.annotating import asked_questions
    from tutelage.runs import write_jsonl
    from tutelage.types import to_json

    questions = asked_questions(study)
    finished = [r for r in found.judged if r.finished]
    write_jsonl(path, ({"question": questions[r.question_id].text, **to_json(r)} for r in finished))


def _tell(study: Study, found: Found) -> None:
    """How many rationales are right and what they cost; where none is, some of the texts."""
    from tutelage.methods.annotating import cost_of

    _tell_yield(found)
    if found.written.books:
        _tell_cost(cost_of(found))
    if not found.kept.rationales:
        _tell_texts(study, found)


def _tell_yield(found: Found) -> None:
    from rich.console import Console
    from rich.table import Table

    total = max(1, sum(found.counts.values()))  # a file of rationales may be empty
    table = Table("", "samples", "share", box=None, padding=(0, 2, 0, 0))
    for reason, count in sorted(found.counts.items(), key=lambda item: -item[1]):
        table.add_row(reason, f"{count:,}", f"{100 * count / total:.1f}%")
    Console().print(table)
    typer.echo(f"{found.kept.questions:,} of {found.written.asked:,} questions have a kept rationale")
    for note in found.written.notes:
        typer.echo(note)


def _tell_texts(study: Study, found: Found) -> None:
    """Texts of the first questions, of which none was kept, each beside what was asked and expected."""
    from tutelage.methods.annotating import asked_questions

    questions = asked_questions(study)
    typer.echo("\nnothing was kept; the first texts, with their verdicts:")
    firsts = {r.question_id: r for r in reversed(found.judged)}
    for rationale in [r for r in found.judged if firsts[r.question_id] is r][:SHOWN]:
        question = questions[rationale.question_id]
        typer.echo(f"--- {rationale.verdict}: answer {rationale.answer!r}, expected {question.answer!r}")
        typer.echo(f"{question.text}\n>>> {rationale.text}")
    typer.echo(
        "---\nunread: `teacher.reads` names the form of the answer, `teacher.prompt` asks for it. "
        "cut off: raise `teacher.max_tokens`. wrong: another model, more `teacher.samples`, or `teacher.hint: true`.\n"
    )


def _tell_cost(cost: dict[str, Any]) -> None:
    from tutelage.report.cost import cost_lines

    for line in cost_lines(cost):
        typer.echo(line)


def _batch(study: Study, desk: Desk, step: str) -> None:
    from tutelage.methods import batches
    from tutelage.methods.annotating import asked_parts

    known: dict[str, Callable[..., list[str]]] = {
        "write": batches.write,
        "submit": batches.submit,
        "collect": batches.collect,
    }
    if step not in known:
        raise RecipeError(f"--batch {step!r}: expected write, submit or collect")
    models: list[str | None] = []
    for teacher, asked in asked_parts(study, desk):
        if teacher.backend != "openai":
            raise TeacherError(f"--batch: backend {teacher.backend!r} has no batches")
        part = models.count(teacher.model)
        models.append(teacher.model)
        for line in known[step](teacher, asked, replace(desk, part=part)):
            typer.echo(line)
