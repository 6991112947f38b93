"""How often each search put a right passage among its first k, in words, rows and a plot (KARD, Figure 4c).

One entry of `retrieval` in results.json (shortened):

    {"by": "reranker", "split": "test", "n": 400, "hits": {"1": {"value": 0.84, "low": 0.801, "high": 0.873}},
     "right": "data", "retriever": "bm25", "arms": ["KARD (reranker)"]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tutelage.report.findings import interval, listed, percent, points
from tutelage.report.plots import Axis, Tick, share_label, ticks
from tutelage.report.sweeps import BESIDE, Mark, Path

ORDER = ("question", "reranker", "mentored", "rationale", "oracle")
SPLITS = ("test", "dev")
"""In the order shown."""


class Share(NamedTuple):
    """Of questions with a right passage among the first k, with a 95% interval."""

    value: float
    low: float
    high: float


class Search(NamedTuple):
    """One way of finding passages for the questions of one split."""

    by: str
    """question, reranker, mentored (a reranker that learnt from a mentor too), rationale or oracle."""
    n: int
    hits: Mapping[int, Share]
    """By k."""


class Searches(NamedTuple):
    """The searches of some arms over one split, for the same questions."""

    split: str
    right: str
    """What makes a passage right: data, or rationale where the data does not say."""
    retriever: str
    arms: tuple[str, ...]
    """Titles."""
    found: tuple[Search, ...]

    @property
    def n(self) -> int:
        """Questions counted: those that every search was made for and whose right passage is known."""
        return self.found[0].n

    def by(self, kind: str) -> Search | None:
        """The search of one kind."""
        return next((search for search in self.found if search.by == kind), None)

    def title(self, search: Search) -> str:
        """What a search is called in tables."""
        name = "BM25" if self.retriever == "bm25" else self.retriever
        return {
            "question": f"{name} by the question",
            "reranker": "Reranker",
            "mentored": "Reranker taught by the mentor too",
            "rationale": f"{name} by the teacher’s rationale",
            "oracle": f"{name} by words that know the answer (leaks)",
        }.get(search.by, search.by)


def read_searches(results: Mapping[str, Any]) -> list[Searches]:
    """Every table of searches, the test split first; arms whose searches came out alike share one."""
    tables: dict[tuple[Any, ...], list[Search]] = {}
    for row in results.get("retrieval") or ():
        key = (row["split"], row.get("right") or "data", row.get("retriever") or "bm25", tuple(row.get("arms") or ()))
        tables.setdefault(key, []).append(_search(row))
    alike: dict[tuple[Any, ...], list[str]] = {}
    for (*about, arms), found in tables.items():
        found.sort(key=lambda search: ORDER.index(search.by) if search.by in ORDER else len(ORDER))
        content = (*about, tuple((search.by, search.n, tuple(search.hits.items())) for search in found))
        alike.setdefault(content, []).extend(arms)
    made = [
        Searches(
            split, right, retriever, tuple(dict.fromkeys(arms)), tuple(Search(by, n, dict(h)) for by, n, h in found)
        )
        for (split, right, retriever, found), arms in alike.items()
    ]
    return sorted(made, key=lambda table: SPLITS.index(table.split) if table.split in SPLITS else len(SPLITS))


def _search(row: Mapping[str, Any]) -> Search:
    return Search(row["by"], row["n"], {int(k): Share(**share) for k, share in row["hits"].items()})


def are_several(tables: Sequence[Searches]) -> bool:
    """Whether a table must say whose it is: arms of one study may search in different ways."""
    return len(tables) > len({table.split for table in tables})


# --- in words


def sentences(tables: Sequence[Searches]) -> list[str]:
    """What to take away, for each table of the test split or, where there is none, of dev."""
    split = next((table.split for table in tables), None)
    mine = [table for table in tables if table.split == split]
    return [_sentence(table, among_several=len(mine) > 1) for table in mine]


def _sentence(table: Searches, *, among_several: bool) -> str:
    whose = f"{listed(table.arms)}: " if among_several else ""
    right = "a right passage" if table.right == "data" else "the passage that the rationale finds"
    searches = [search for kind in ("mentored", "reranker", "question") if (search := table.by(kind))] or list(
        table.found[:1]
    )
    first, *others = searches
    questions = f"{table.n:,} {table.split} questions"
    said = (
        f"{_actor(table, first)} puts {right} first for {percent(first.hits[1].value)} of {questions} {_bounds(first)}"
    )
    more = [f"{_actor(table, other)} for {percent(other.hits[1].value)} {_bounds(other)}" for other in others]
    said = f"{whose}{', '.join([said, *more])}."
    return said if whose else said[:1].upper() + said[1:]


def _actor(table: Searches, search: Search) -> str:
    named = {"reranker": "the reranker", "mentored": "the reranker taught by the mentor too"}
    return named.get(search.by) or table.title(search)


def _bounds(search: Search) -> str:
    return interval(search.hits[1].low, search.hits[1].high)


def counted(table: Searches) -> str:
    """What was counted, for under the title of a table."""
    what = (
        "A passage is right where the data says that it answers the question."
        if table.right == "data"
        else "The data does not say which passage is right: here it is the one that the teacher’s rationale finds best."
    )
    which = "those that every search was made for and whose right passage is known"
    return f"{table.n:,} {table.split} questions, {which}. {what}"


# --- as a plot


class HitsPlot(NamedTuple):
    """Hits@k of every search with intervals."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    paths: list[Path]
    looks: list[str]
    """The class of each path."""
    label: str
    level: None = None
    """No search stands outside of the plot."""


def hits_plot(table: Searches) -> HitsPlot:
    """One line a search; k stands at equal distances, since 1, 3, 5 and 10 are choices and no scale."""
    cutoffs = sorted({k for search in table.found for k in search.hits})
    across = Axis(-0.35, len(cutoffs) - 0.65, 1.0)
    up = Axis(0.0, 1.0, 0.25)
    places = {k: across.place(float(n)) for n, k in enumerate(cutoffs)}
    paths = [
        _path(table, search, places, up, BESIDE * (n - (len(table.found) - 1) / 2))
        for n, search in enumerate(table.found)
    ]
    return HitsPlot(
        [Tick(place, str(k)) for k, place in places.items()],
        ticks(up, share_label),
        paths,
        [f"by-{search.by}" for search in table.found],
        f"Hits by k, {table.split}: " + "; ".join(f"{p.label} {', '.join(m.label for m in p.marks)}" for p in paths),
    )


def _path(table: Searches, search: Search, places: Mapping[int, float], up: Axis, aside: float) -> Path:
    marks = [_mark(k, share, places[k] + aside, up) for k, share in sorted(search.hits.items())]
    return Path(table.title(search), " ".join(f"{mark.x},{mark.y}" for mark in marks), marks)


def _mark(k: int, share: Share, x: float, up: Axis) -> Mark:
    y, low, high = (round(100 - up.place(value), 3) for value in share)
    label = f"Hits@{k}: {percent(share.value)}, interval {points(share.low)} to {points(share.high)}"
    return Mark(k, round(x, 3), y, low, high, label)
