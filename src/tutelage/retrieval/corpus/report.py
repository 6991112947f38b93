"""What reading a corpus came to: counts, and what was wrong with its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from tutelage.errors import SHOWN

KEPT = 100
"""Problems remembered in words; the rest is only counted."""


@dataclass(slots=True)
class Report:
    """Fills up while passages are read."""

    passages: int = 0
    """Given out."""
    repeated: int = 0
    """Left out because an earlier passage has the same title and text."""
    bad: int = 0
    """Lines and files that could not be read."""
    problems: list[str] = field(default_factory=list[str])
    """The first of them, each with its file and line, what it is and what to do."""

    def problem(self, text: str) -> None:
        """Count a problem, and remember it while there are few."""
        self.bad += 1
        if len(self.problems) < KEPT:
            self.problems.append(text)

    @property
    def many(self) -> bool:
        """Whether there are as many problems as one message lists, so that looking on helps nobody."""
        return self.bad > SHOWN
