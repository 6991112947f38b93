"""What is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tutelage.recipe.section import Positive, Section


class FieldMap(Section):
    """Which columns of the user's own file hold what."""

    question: str = "question"
    answer: str = "answer"
    choices: str | list[str] | None = None
    """One column that holds a list, or one column for each choice."""
    rationale: str | None = None
    """A column with rationales written beforehand; `teacher: {backend: recorded}` without a path reads it."""
    id: str | None = None
    document: str | None = None
    """A column with the path, within the corpus, of the document that holds the answer; of several a list, or one text
    with ";" between them; may be empty. With it the report says how often a search finds this document."""


class TaskSection(Section):
    """What is asked."""

    name: str
    """A built-in task (`tutelage tasks`), any name for your own file, or "package.module:load"."""
    data: str | None = None
    """Folder or file of a built-in task's data; without it, the folder in the variable TUTELAGE_DATA."""
    train: str | None = None
    """Your own file (JSONL, JSON, CSV, Parquet) or hub data set."""
    test: str | None = None
    """Your own test file; without it a part of `train` is held out, by question."""
    fields: FieldMap | None = None
    answers: Literal["letter", "yes_no", "number", "words", "math"] | None = None
    """Answer type of your own task."""
    dev_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training questions held out for all choices."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of `train` held out for the test, where there is no test file."""
    limit: Positive | None = None
    """Use only so many training questions, chosen by the hash of their ids."""
