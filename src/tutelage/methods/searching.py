"""Many searches of one index, some at a time: progress is told, and a killed process loses at most one part.

    found = search_in_parts(index, ["Do woolly mammoths outlive forks?", ...], 10, partial=folder / "partial.jsonl")

Ten rationales for each of ten thousand questions against 36 million passages are a day's work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tutelage.retrieval.retriever import Retriever
from tutelage.runs import append_jsonl, read_partial
from tutelage.types import Hit

PART = 1024
"""Queries searched between two lines of progress."""

Progress = Callable[[int, int], None]
"""Hears how many of how many queries have been searched."""


def search_in_parts(
    retriever: Retriever,
    queries: Sequence[str],
    k: int,
    *,
    partial: Path,
    on_done: Progress | None = None,
    part: int = PART,
) -> dict[str, list[Hit]]:
    """The `k` best passages of each query, best first; each distinct query searches once.

    `partial` keeps what was found, one query a line; it must be used with the same retriever and `k` again. It is the
    caller's to delete.
    """
    wanted = list(dict.fromkeys(queries))
    known = {row["query"]: row["hits"] for row in read_partial(partial, keys=("query", "hits"))}
    found = {query: _hits(known[query]) for query in wanted if query in known}
    missing = [query for query in wanted if query not in found]
    for start in range(0, len(missing), part):
        if on_done:
            on_done(len(found), len(wanted))
        some = missing[start : start + part]
        new = dict(zip(some, retriever.search(some, k), strict=True))
        append_jsonl(
            partial, ({"query": q, "hits": [[h.passage_id, h.score] for h in hits]} for q, hits in new.items())
        )
        found |= new
    if on_done:
        on_done(len(found), len(wanted))
    return found


def _hits(rows: Sequence[tuple[str, float]]) -> list[Hit]:
    return [Hit(passage_id, score, rank) for rank, (passage_id, score) in enumerate(rows)]
