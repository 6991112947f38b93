"""Streams in lists that fill no memory."""

from __future__ import annotations

import pytest

from tutelage.retrieval.batches import batches


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["a", "b", "c", "d"], [["a", "b", "c"], ["d"]]),
        (["aaaaaa", "b", "cccc", "d"], [["aaaaaa"], ["b", "cccc"], ["d"]]),
        (["a", "b", "c"], [["a", "b", "c"]]),
    ],
)
def test_a_list_ends_by_number_or_by_letters(words: list[str], expected: list[list[str]]):
    """A thousand rows of 10 MB each are 10 GB, though a thousand rows are few."""
    assert list(batches(words, len, 3, most=5)) == expected


def test_no_more_is_read_than_a_list_holds():
    """A corpus that fails on its last line has given out all that came before."""

    def stream():
        yield from "abc"
        raise LookupError

    some = batches(stream(), len, 3)
    assert next(some) == ["a", "b", "c"]
    with pytest.raises(LookupError):
        next(some)
