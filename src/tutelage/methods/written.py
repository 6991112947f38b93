"""What a teacher gives back, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import Json
from tutelage.types import Question, Rationale


class Taught(NamedTuple):
    """What a teacher wrote, not yet judged."""

    rationales: list[Rationale]
    asked: int
    """Questions the teacher was asked."""
    notes: list[str]
    """What became of the texts of a file, e.g. how many match no question."""
    unwritten: Mapping[str, int] = {}
    """Samples without a text, by what became of them: refused, empty, failed, rejected."""
    books: Sequence[dict[str, Json]] = ()
    """What each teacher that was asked by prompts has read, written and cost."""


Teacher = Callable[[TeacherSection, TaskSection, Sequence[Question]], Taught]
"""How a backend is called: its settings, the task's, and the questions it is asked."""
