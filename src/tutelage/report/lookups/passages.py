"""The passages that stood beside test questions: their texts, and how the page refers to them.

One row of `passages.jsonl` in the run folder:

    {"index": "0fb4b777888e", "id": "p-01692", "title": "Port Ardan", "text": "...", "right_for": ["q-aaeb7bf66b686"]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.report.files import read_rows
from tutelage.types import Prediction, Rationale

Key = tuple[str, str]
"""Index and id: one id may name two passages in two indexes."""


class Cited(NamedTuple):
    """A passage as the run left it."""

    title: str
    text: str
    right_for: frozenset[str]
    """Test questions that it answers, as far as the data says so."""


def read_cited(folder: Path, results: Mapping[str, Any]) -> dict[Key, Cited]:
    """The cited passages; none for a run that looked nothing up, or of before they were kept."""
    told = results.get("passages")
    rows = read_rows(folder / told["path"]) if told else []
    return {(r["index"], r["id"]): Cited(r["title"], r["text"], frozenset(r.get("right_for") or ())) for r in rows}


class Numbered:
    """Passages by numbers, so that each stands on the page once, however many answers cite it."""

    def __init__(self, known: Mapping[Key, Cited]) -> None:
        self.known = known
        self.numbers: dict[Key, int] = {}

    def number(self, index: str | None, id: str) -> int:
        """The number of a passage, given out when it is first met."""
        return self.numbers.setdefault((index or "", id), len(self.numbers))

    def shown(self, index: str | None, rationale: Rationale) -> list[int]:
        """What stood before one rationale."""
        return [self.number(index, id) for id in rationale.passage_ids]

    def found(self, index: str | None, prediction: Prediction) -> list[list[Any]]:
        """What was found for a question, best first: number, score, and 1 where it is known to be right."""
        return [
            [
                self.number(index, hit.passage_id),
                round(hit.score, 4),
                int(self._is_right(index, hit.passage_id, prediction)),
            ]
            for hit in prediction.hits
        ]

    def _is_right(self, index: str | None, id: str, prediction: Prediction) -> bool:
        cited = self.known.get((index or "", id))
        return cited is not None and prediction.question_id in cited.right_for

    @property
    def rows(self) -> list[list[str | None]]:
        """Id, title and text of each number; no text where there was no room for it."""
        found = [(id, self.known.get((index, id))) for index, id in self.numbers]
        return [[id, cited.title, cited.text] if cited else [id, "", None] for id, cited in found]
