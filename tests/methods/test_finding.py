"""How well passages were found, from the stages that found them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.methods import finding
from tutelage.methods.finding import Found, figures, searches, silver_passages
from tutelage.runs import Stage, write_json, write_jsonl
from tutelage.types import Hit, Question


def question(id: str, split: str) -> Question:
    return Question(id, "toy", split, id, (), "yes", {})  # type: ignore[arg-type]


def stage(folder: Path, name: str, hits: dict[str, list[str]], found: int | None = None) -> Stage:
    """A finished search: ids of passages, best first, by what they were found for."""
    rows = [{"of": of, "hits": [[id, 9.0 - n] for n, id in enumerate(ids)]} for of, ids in hits.items()]
    write_jsonl(folder / name / "hits.jsonl", rows)
    if found is not None:
        write_json(folder / name / "silver.json", {"found": found, "by_question": len(rows) - found})
    return Stage(name, name * 8, folder / name, True)


def hits(*ids: str) -> list[Hit]:
    return [Hit(id, 1.0, rank) for rank, id in enumerate(ids)]


def test_hits_are_shares_of_the_questions_that_all_searches_have():
    """A search judged on its own, easier questions looks better than one judged on all."""
    right = {"a": frozenset({"p1"}), "b": frozenset({"p2", "p3"}), "c": frozenset({"p9"})}
    by_question = Found("question", "test", {"a": hits("p5", "p1"), "b": hits("p3"), "c": hits("p9")})
    by_reranker = Found("reranker", "test", {"a": hits("p1"), "b": hits(*"wxyz", "p2")})
    first, second = figures([by_question, by_reranker], right)
    assert (first["n"], second["n"]) == (2, 2)
    assert [first["hits"][k]["value"] for k in ("1", "3", "5", "10")] == [0.5, 1, 1, 1]
    assert [second["hits"][k]["value"] for k in ("1", "3", "5", "10")] == [0.5, 0.5, 1, 1]
    # Wilson's interval of 1 in 2: (0.5 + z²/4) / (1 + z²/2) -+ z·sqrt(1/8 + z²/16) / (1 + z²/2), z = 1.96
    assert first["hits"]["1"]["low"] == pytest.approx(0.0945, abs=1e-3)
    assert first["hits"]["1"]["high"] == pytest.approx(0.9055, abs=1e-3)


def test_each_split_has_the_searches_made_for_it(tmp_path: Path):
    """Passages of training questions are no figure of a retriever; an oracle speaks for test alone."""
    questions = {"dev": [question("d", "dev")], "test": [question("t", "test")]}
    stages = [
        stage(tmp_path, "asked", {"d": ["p1"], "t": ["p2"], "x": ["p3"]}),
        stage(tmp_path, "silver", {"d": ["p1"], "t": ["p2"]}, found=2),
        stage(tmp_path, "beside", {"d#teacher#1": ["p4"], "d#teacher#0": ["p5"], "x#teacher#0": ["p6"]}),
    ]
    found = searches(stages, questions)  # type: ignore[arg-type]
    assert {(f.by, f.split, *f.hits) for f in found} == {
        ("question", "dev", "d"),
        ("question", "test", "t"),
        ("oracle", "test", "t"),
        ("rationale", "dev", "d"),
    }
    rationale = next(f for f in found if f.by == "rationale")
    assert [hit.passage_id for hit in rationale.hits["d"]] == ["p4"], "the first one kept"


def test_without_told_passages_what_rationales_find_is_right(tmp_path: Path):
    """What a reranker found for a question without a rationale must not make that reranker right."""
    stages = [
        stage(tmp_path, "beside", {"d#teacher#0": ["p4", "p5"], "d#teacher#1": ["p6"], "e#teacher#0": []}),
        stage(tmp_path, "silver", {"t": ["p2"], "u": ["p7"]}, found=1),
    ]
    assert silver_passages(stages) == {"d": frozenset({"p4"}), "t": frozenset({"p2"})}


def test_searches_that_need_no_rationale_are_among_all():
    """Only these can be judged by what a rationale finds; by itself it is always right."""
    assert set(finding.ALONE) <= set(finding.BY.values())
