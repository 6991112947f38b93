"""Lists of a stream that are bounded by number and by letters, so that a few very long passages fill no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tutelage.types import Passage

T = TypeVar("T")

LETTERS = 4_000_000
"""Letters after which a list ends, however few passages it holds."""


def batches(items: Iterable[T], letters: Callable[[T], int], count: int, most: int = LETTERS) -> Iterator[list[T]]:
    """The items in lists of up to `count`, each ended early by the item that fills `most` letters."""
    held: list[T] = []
    size = 0
    for item in items:
        held.append(item)
        size += letters(item)
        if len(held) == count or size >= most:
            yield held
            held, size = [], 0
    if held:
        yield held


def letters(passage: Passage) -> int:
    """Letters of a passage's title and text."""
    return len(passage.title) + len(passage.text)
