"""Long searches: told of while they last, and gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tutelage.methods.searching import search_in_parts
from tutelage.retrieval.bm25 import Bm25
from tutelage.types import Hit, Passage

WORDS = ("mammoth", "fork", "steppe", "soup", "spoon", "ice", "iron")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Bm25:
    passages = [Passage(f"p-{i}", "", " ".join([word, *WORDS[:i]])) for i, word in enumerate(WORDS)]
    return Bm25.build(passages, tmp_path_factory.mktemp("index"))


class Breaking:
    """A search that is broken off at its second part."""

    def __init__(self, index: Bm25, parts: int) -> None:
        self.index, self.parts, self.asked = index, parts, list[str]()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        if self.parts == 0:
            raise KeyboardInterrupt
        self.parts -= 1
        self.asked += queries
        return self.index.search(queries, k)


def test_a_search_that_was_broken_off_goes_on_where_it_was(index: Bm25, tmp_path: Path):
    """A day's searching must not begin again for a power cut in its last hour."""
    queries, partial = [*WORDS, WORDS[0], "ice iron"], tmp_path / "partial.jsonl"
    with pytest.raises(KeyboardInterrupt):
        search_in_parts(Breaking(index, 2), queries, 3, partial=partial, part=2)  # pyright: ignore[reportArgumentType]
    with partial.open("a") as file:
        file.write('{"query": "ice", "hits": [["p-')  # torn by a power cut
    rest = Breaking(index, 99)
    found = search_in_parts(rest, queries, 3, partial=partial, part=2)  # pyright: ignore[reportArgumentType]
    assert rest.asked == [*WORDS[4:], "ice iron"]
    assert list(found) == [*WORDS, "ice iron"]
    assert [found[query] for query in found] == index.search(list(found), 3)


def test_progress_is_told_before_the_first_part_and_after_the_last(index: Bm25, tmp_path: Path):
    """An hour of silence looks like a hang."""
    told: list[tuple[int, int]] = []
    search_in_parts(
        index, WORDS, 3, partial=tmp_path / "p", on_done=lambda done, total: told.append((done, total)), part=3
    )
    assert told == [(0, 7), (3, 7), (6, 7), (7, 7)]
