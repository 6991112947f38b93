"""Errors a person can act on: what came in, what was expected, where, and what to do next.

The command line prints the message alone and exits with 2; a traceback is only for faults of the program itself.
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 20
"""How many problems one message lists before it only counts the rest."""


class TutelageError(Exception):
    """Base of every error that a user's input, files or settings can cause."""


class RecipeError(TutelageError):
    """A recipe is wrong: each problem names its dotted key."""


class TaskError(TutelageError):
    """A data file is wrong: each problem names its file and line."""


class CorpusError(TutelageError):
    """A corpus is wrong: each problem names its file and line."""


class IndexFolderError(TutelageError):
    """An index of passages is missing, damaged, in use, or lacks what was asked of it."""


class ModelError(TutelageError):
    """A checkpoint or tokenizer cannot be loaded or does not fit."""


class TextError(TutelageError):
    """A text cannot be carried by a tokenizer without loss, or two texts contradict each other."""


class PluginError(TutelageError):
    """A name in a recipe stands for nothing known."""


class TeacherError(TutelageError):
    """A teacher cannot be asked, or not to the end: no access, no server, no budget left."""


class RunError(TutelageError):
    """A run folder is damaged, in use, or asked for something it does not hold."""


def all_problems(opening: str, problems: Sequence[str], advice: str = "") -> str:
    """One message out of many problems: the first 20 as lines of a list, the rest as a count, then what to do."""
    lines = [opening, *(f"  - {problem}" for problem in problems[:SHOWN])]
    if len(problems) > SHOWN:
        lines.append(f"  ... and {len(problems) - SHOWN} more")
    if advice:
        lines.append(advice)
    return "\n".join(lines)
