"""What the page's section "What was found" holds: searches with their plots, gates, and how rerankers learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.report.findings import listed
from tutelage.report.lookups import gates, learning
from tutelage.report.lookups.rerankers import Learnt, by_seeds
from tutelage.report.lookups.searches import Searches, are_several, counted, hits_plot
from tutelage.report.report import Report


def section(report: Report, *, first_panel: int) -> dict[str, Any]:
    """The names that found.html reads; its curves are counted from `first_panel` on."""
    several = are_several(report.searches)
    return {
        "searches": [_table(table, named=several) for table in report.searches],
        "gates": list(report.gates),
        "gates_about": gates.about(list(report.gates)),
        "rerankers": _rerankers(report, first_panel),
        "reranker_series": learning.SERIES,
    }


def _table(table: Searches, *, named: bool) -> dict[str, Any]:
    plot = hits_plot(table)
    return {
        "table": table,
        "arms": f"for {listed(table.arms)}" if named else "",
        "about": counted(table),
        "cutoffs": sorted({k for search in table.found for k in search.hits}),
        "plot": plot,
        "mark_looks": [[look] * len(path.marks) for path, look in zip(plot.paths, plot.looks, strict=True)],
    }


def _rerankers(report: Report, first_panel: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for group in by_seeds(report.run.rerankers):
        panels = learning.panels(group)
        rows.append({**_words(group), "panels": panels, "first": first_panel})
        first_panel += len(panels)
    return rows


def _words(group: Sequence[Learnt]) -> dict[str, Any]:
    return {"learnt": group[0], "arms": listed(group[0].arms), "sentence": learning.sentence(group)}
