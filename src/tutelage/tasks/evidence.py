"""The facts that published questions were written from: what a perfect search would look for.

    OpenbookQA    {"id": "8-343", "fact1": "using less resources usually causes money to be saved", ...}
    StrategyQA    {"question": "Will the Albany in Georgia ...?", "facts": ["Albany, GA has around 75,000 people", ...]}

They know the answer, so what is found with them is an upper bound and never a method.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tutelage.tasks.published import locate
from tutelage.types import Question


def evidence_of(task: str, data: str | Path | None, questions: Iterable[Question]) -> dict[str, tuple[str, ...]]:
    """The facts behind each question that has any, by question id; empty for a task without such a file."""
    read = READERS.get(task)
    if read is None:
        return {}
    known = read(data)
    found = {q.id: known.get(q.meta.get("source_id", ""), ()) or known.get(_key(q.text), ()) for q in questions}
    return {id: facts for id, facts in found.items() if facts}


def _openbookqa(data: str | Path | None) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    for split in ("train", "dev", "test"):
        folders = ("openbookqa/Data/Additional/", "Data/Additional/", "")
        path = locate(data, [f"{folder}{split}_complete.jsonl" for folder in folders])
        if path:
            rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
            known |= {row["id"]: (row["fact1"],) for row in rows}
    return known


def _strategyqa(data: str | Path | None) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    for split in ("train", "dev"):
        path = locate(data, [f"strategyqa/{split}.json"])
        if path:
            rows = json.loads(path.read_text(encoding="utf-8"))
            known |= {_key(row["question"]): tuple(row["facts"]) for row in rows}
    return known


def _key(text: str) -> str:
    return " ".join(text.split()).lower()


READERS: Mapping[str, Callable[[str | Path | None], dict[str, tuple[str, ...]]]] = {
    "obqa": _openbookqa,
    "strategyqa": _strategyqa,
}
"""How the facts of a task are read, by the task's name."""
