"""What a type of answers can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class AnswerType(Protocol):
    """How answers of one kind are read and compared. Every method is pure."""

    @property
    def name(self) -> str:
        """The name in a recipe."""
        ...

    @property
    def expected(self) -> str:
        """What a person should write as gold answer, for error messages."""
        ...

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The one form of the answer in a short span, or None. Reading a canonical answer changes nothing."""
        ...

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The answer that a text without a marker ends on, or None."""
        ...

    def same(self, first: str, second: str) -> bool:
        """Whether two canonical answers are the same answer."""
        ...
