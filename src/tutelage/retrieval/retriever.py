"""What a retriever is: something that finds passages for a text, and says what a text gives to passages it is shown.

    retriever = open_retriever("bm25", Path("wiki-index"), k1=0.9, b=0.4)
    hits = retriever.search(["Do woolly mammoths outlive forks?"], k=3)

A retriever from outside is a class with these members, called by `open` with a folder: "my_lab.dense:Dense".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tutelage.plugins import resolve
from tutelage.retrieval.bm25 import Bm25
from tutelage.types import Hit, Passage

RETRIEVERS: Mapping[str, Any] = {"bm25": Bm25}
"""Retrievers by name: each a class with `build(passages, folder)` and `open(folder)`, which give a `Retriever`."""


class Retriever(Protocol):
    """An opened index of passages."""

    @property
    def fingerprint(self) -> str:
        """What the index holds and how it reads texts, as hex digits. Settings such as k1 are not part of it."""
        ...

    def __len__(self) -> int: ...

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its best `k` passages, best first, equal scores by id."""
        ...

    def score(self, query: str, passage_ids: Sequence[str]) -> list[float]:
        """What the query gives each of these passages, on the scale of `search`."""
        ...

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order."""
        ...


def open_retriever(name: str, folder: Path, **settings: Any) -> Retriever:
    """The retriever of this name, or "package.module:Class", over the index in a folder.

    Raises PluginError for an unknown name and IndexFolderError where there is no such index.
    """
    return resolve(name, RETRIEVERS, "retriever").open(folder, **settings)
