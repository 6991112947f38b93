"""The passages that a run keeps for its report."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tutelage.methods.result_parts import cited
from tutelage.methods.result_parts.cited import Cited, write_cited
from tutelage.retrieval.bm25 import Bm25
from tutelage.runs import read_jsonl, write_jsonl
from tutelage.types import Hit, Passage, Prediction, Verdict, to_json

TEXTS = {"p1": "Lake Orr is deep.", "p2": "Port Ardan is home to many.", "p3": "Mount Zan stands alone."}


def made(folder: Path, cites: dict[str, list[str]], *, arm: str = "kard", corpus: dict[str, str] | None = None) -> Any:
    """A look-up with a real index, and an outcome whose predictions cite these passages."""
    texts = corpus or TEXTS
    index = Bm25.build([Passage(id, id.upper(), text) for id, text in texts.items()], folder / arm / "index")
    rows = [
        Prediction(q, "1", Verdict.CORRECT, (), tuple(Hit(id, 2.0, rank) for rank, id in enumerate(ids)))
        for q, ids in cites.items()
    ]
    write_jsonl(folder / arm / "predictions.jsonl", map(to_json, rows))
    job = SimpleNamespace(arm=SimpleNamespace(name=arm))
    where = SimpleNamespace(folder=folder / arm / "index", fingerprint=index.fingerprint)
    settings = SimpleNamespace(retriever="bm25", k1=0.9, b=0.4)
    knowledge = SimpleNamespace(settings=settings, index=lambda: where)
    looked = SimpleNamespace(knowledge=knowledge, jobs=[job], right={"a": frozenset({"p1"}), "b": frozenset({"p3"})})
    return looked, (job, SimpleNamespace(score=SimpleNamespace(folder=folder / arm)))


def write(folder: Path, *pairs: Any) -> Cited:
    found = write_cited(folder, [looked for looked, _ in pairs], [outcome for _, outcome in pairs])
    assert found is not None
    return found


def test_every_cited_passage_is_kept_once_with_its_words(tmp_path: Path):
    """The report is read where the index is not."""
    found = write(tmp_path, made(tmp_path, {"a": ["p2", "p1"], "b": ["p2", "p1"]}))
    rows = read_jsonl(tmp_path / "passages.jsonl")
    assert [(row["id"], row["title"], row["text"]) for row in rows] == [
        ("p2", "P2", TEXTS["p2"]),
        ("p1", "P1", TEXTS["p1"]),
    ]
    assert [row["right_for"] for row in rows] == [[], ["a"]]
    assert found.summary == {"path": "passages.jsonl", "cited": 2, "kept": 2}
    assert found.indexes == {"kard": rows[0]["index"]}


def test_one_id_of_two_corpora_is_kept_twice(tmp_path: Path):
    """A sweep over corpora cites p1 of each."""
    first = made(tmp_path, {"a": ["p1"]})
    second = made(tmp_path, {"a": ["p1"]}, arm="other", corpus={"p1": "Another text."})
    write(tmp_path, first, second)
    assert [row["text"] for row in read_jsonl(tmp_path / "passages.jsonl")] == [TEXTS["p1"], "Another text."]


def test_where_there_is_no_room_for_all_the_best_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A report of 200 MB is opened by nobody; what stood first is what an answer was read from."""
    monkeypatch.setattr(cited, "MOST_CHARACTERS", 60)
    found = write(tmp_path, made(tmp_path, {"a": ["p2", "p1"], "b": ["p3"]}))
    assert [row["id"] for row in read_jsonl(tmp_path / "passages.jsonl")] == ["p2", "p3"]
    assert (found.summary["cited"], found.summary["kept"]) == (3, 2)


def test_a_study_without_knowledge_leaves_no_file(tmp_path: Path):
    """An empty file would say that something was looked up."""
    assert write_cited(tmp_path, [], []) is None
    assert not (tmp_path / "passages.jsonl").exists()
