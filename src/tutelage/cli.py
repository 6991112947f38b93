"""The command line: `tutelage --help` teaches it. Errors of input end with a message and exit code 2."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tutelage import __version__
from tutelage.commands import annotate, retrieval
from tutelage.errors import TutelageError

app = typer.Typer(
    name="tutelage",
    help="Teach small language models to reason, and report honestly how well they do.\n\n"
    "Start with `tutelage run pocket/steps`: it needs no network and no GPU, and ends with a table and a page to read.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

RecipeName = Annotated[str, typer.Argument(help="A built-in recipe (`tutelage recipes`) or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Changes such as `student.learning_rate=3e-4`, `seeds=[1,2,3]`, or `arms=[kard]` for one arm."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run. Default: runs/RECIPE.")]


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Out = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the table.")] = False,
) -> None:
    """Run a study: train and score every arm, then write report.html, report.md and report.json.

    What is already done is not done again: after a crash or Ctrl-C, give the same command and it goes on from there.
    """
    from tutelage import recipe as recipes
    from tutelage.display import show_problems, show_warnings, watching
    from tutelage.methods import check as checks
    from tutelage.methods import run as runner
    from tutelage.report import print_table, write_report

    parsed, text = recipes.load(recipe, overrides or ())
    folder = out or runner.default_folder(recipe)
    runner.check_folder(folder)
    runner.check_alone()
    show_problems(checks.problems(parsed), recipe)
    show_warnings(checks.warnings(parsed))
    command = "tutelage run " + " ".join(shlex.quote(word) for word in (recipe, *(overrides or ())))
    try:
        with watching(runner.jobs_of(parsed), quiet=quiet) as watch:
            runner.run(parsed, text, folder, name=recipe, command=command, watch=watch)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    report = write_report(folder)
    print_table(report)
    typer.echo(f"report    {folder / 'report.html'}")
    typer.echo(f"students  {folder / 'students'}")


@app.command()
def check(recipe: RecipeName, overrides: Overrides = None, out: Out = None) -> None:
    """Check a recipe and print the plan: what is there already and what a run would do. Loads no model."""
    from tutelage import recipe as recipes
    from tutelage.display import print_plan, show_problems, show_warnings
    from tutelage.methods import check as checks
    from tutelage.methods import run as runner

    parsed, _ = recipes.load(recipe, overrides or ())
    folder = out or runner.default_folder(recipe)
    show_problems(checks.problems(parsed), recipe)
    typer.echo(f"format    {', '.join(dict.fromkeys(parsed.for_arm(arm).format for arm in parsed.arms))}")
    show_warnings(checks.warnings(parsed))
    print_plan(checks.plans(parsed, folder), folder)
    for line in checks.memory(parsed):
        typer.echo(f"memory    {line}")


@app.command()
def recipes() -> None:
    """List the built-in recipes."""
    from tutelage.display import print_recipes
    from tutelage.recipe import builtin

    print_recipes(builtin())


@app.command()
def tasks() -> None:
    """List the built-in tasks, their answer types, and what is there of their data."""
    from tutelage.display import print_tasks
    from tutelage.tasks import describe_tasks

    print_tasks(describe_tasks())


@app.command()
def grade(
    file: Annotated[Path, typer.Argument(help="JSONL with rows `id`, `text` (what was written), `answer` (gold).")],
    task: Annotated[str, typer.Option("--task", "-t", help="Whose answers are read; see `tutelage tasks`.")],
    format: Annotated[str, typer.Option(help="How the answer is marked: arrow, therefore, answer-line, ...")] = "arrow",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Grade written answers: accuracy with its 95% interval, and how many could not be read."""
    from tutelage.evaluation.metrics import wilson
    from tutelage.formats import get_format
    from tutelage.tasks.grading import grade_file
    from tutelage.tasks.load import find_grader
    from tutelage.types import Verdict

    answer_type, questions = find_grader(task)
    grades = grade_file(file, answer_type, get_format(format), questions=questions)
    if not grades.rows:
        raise TutelageError(f"{file}: no rows to grade.")
    correct, unread, n = grades.counts[Verdict.CORRECT], grades.counts[Verdict.UNREAD], len(grades.rows)
    low, high = wilson(correct / n, n)
    if as_json:
        figures = {"accuracy": correct / n, "low": low, "high": high, "n": n, "correct": correct, "unread": unread}
        verdicts = {row.id: row.judgement.verdict for row in grades.rows}
        disagreements = [found._asdict() for found in grades.disagreements]
        typer.echo(json.dumps({**figures, "verdicts": verdicts, "disagreements": disagreements}))
    else:
        typer.echo(f"accuracy {correct / n:.1%} [{low:.1%}, {high:.1%}], n {n}, unread {unread}")
        for found in grades.disagreements:
            typer.echo(
                f"{found.id}: read as {found.math_verify} by math-verify and as {found.number} by the number reader; "
                "counted as unread"
            )


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a finished run.")]) -> None:
    """Write the report of a finished run again."""
    from tutelage.report import print_table, write_report

    print_table(write_report(folder))
    typer.echo(f"report    {folder / 'report.html'}")


@app.command()
def ask(
    student: Annotated[Path, typer.Argument(help="A student's folder: runs/RUN/students/ARM-seed1.")],
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    choices: Annotated[
        list[str] | None, typer.Option("--choice", "-c", help="An option; give it once for each.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Ask a step-by-step student, which answers at once, for its reasons.")
    ] = False,
) -> None:
    """Ask a trained student one question; it explains, then answers.

    Below the answer are the passages it was shown: path of the document, id, title and text.
    """
    from tutelage.methods.ask import ask as ask_student

    answer = ask_student(student, question, choices or (), explain=explain)
    typer.echo(answer.rationale)
    typer.echo(f"answer    {answer.answer if answer.answer is not None else '(none could be read)'}")
    for passage, document in zip(answer.passages, answer.documents, strict=True):
        typer.echo(f"passage   {f'{document}  ' if document else ''}[{passage.id}]")
        typer.echo(f"          {passage.title + '. ' if passage.title else ''}{passage.text}")


app.add_typer(annotate.app)
app.add_typer(retrieval.app)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"tutelage {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None: ...


def main() -> NoReturn:
    """Entry point: a user's mistake is a message and exit code 2, a fault of ours a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except TutelageError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(2)
    sys.exit(0)
