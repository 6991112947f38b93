"""The facts behind published questions: found by id or by words, and never for another task."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tutelage.tasks import load_task
from tutelage.tasks.evidence import READERS, evidence_of
from tutelage.types import Question


def question(id: str, text: str = "", **meta: str) -> Question:
    return Question(id, "t", "test", text, (), "A", meta)


def openbook(folder: Path, split: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}_complete.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")


@pytest.mark.parametrize("inside", ["openbookqa/Data/Additional", "Data/Additional", ""])
def test_openbookqa_facts_are_found_by_the_id_of_their_question_wherever_the_data_lies(tmp_path: Path, inside: str):
    """Official archive, its inner folder, or the bare files: people unpack as they like."""
    openbook(tmp_path / inside, "train", [{"id": "7-1", "fact1": "stars are far"}])
    openbook(tmp_path / inside, "test", [{"id": "8-2", "fact1": "bees sting"}])
    asked = [question("q1", source_id="7-1"), question("q2", source_id="8-2"), question("q3", source_id="9-9")]
    assert evidence_of("obqa", tmp_path, asked) == {"q1": ("stars are far",), "q2": ("bees sting",)}


def test_strategyqa_facts_are_found_by_the_words_of_their_question(tmp_path: Path):
    """KARD's files have ids of their own, and other capitals and spaces."""
    (tmp_path / "strategyqa").mkdir()
    rows = [{"question": "Is  Albany big?", "facts": ["Albany has 75,000 people", "That is little"]}]
    (tmp_path / "strategyqa" / "dev.json").write_text(json.dumps(rows))
    found = evidence_of("strategyqa", tmp_path, [question("q", "is Albany big? "), question("p", "Is Rome big?")])
    assert found == {"q": ("Albany has 75,000 people", "That is little")}


def test_a_question_without_facts_is_left_out(tmp_path: Path):
    """An empty query finds nothing, and an oracle that searches with it is worse than none."""
    (tmp_path / "strategyqa").mkdir()
    (tmp_path / "strategyqa" / "train.json").write_text(json.dumps([{"question": "Is it?", "facts": []}]))
    assert evidence_of("strategyqa", tmp_path, [question("q", "Is it?")]) == {}


def test_a_question_without_a_source_id_is_not_taken_for_one_of_no_id(tmp_path: Path):
    openbook(tmp_path, "train", [{"id": "7-1", "fact1": "stars are far"}])
    assert evidence_of("obqa", tmp_path, [question("q", "Which?")]) == {}


@pytest.mark.parametrize("task", ["gsm8k", "pocket/atlas", "my own"])
def test_other_tasks_have_no_facts_and_need_no_data(task: str):
    assert evidence_of(task, None, [question("q")]) == {}


@pytest.mark.parametrize("task", sorted(READERS))
def test_without_data_there_are_no_facts_and_no_fault(task: str, tmp_path: Path):
    """A check of a recipe must not fail for what only makes a report better."""
    assert evidence_of(task, tmp_path, [question("q", "Is it?")]) == {}


@pytest.mark.data
@pytest.mark.parametrize(("task", "share"), [("obqa", 1.0), ("strategyqa", 0.99)])
def test_the_published_questions_have_their_facts(task: str, share: float):
    """KARD's files and the official ones are joined; a join that loses half makes an oracle of half."""
    data = os.environ.get("TUTELAGE_DATA")
    if not data:
        pytest.skip("TUTELAGE_DATA is not set")
    questions = load_task(task, data=data).questions
    for split in ("train", "dev", "test"):
        found = evidence_of(task, data, questions[split])
        assert len(found) >= share * len(questions[split])
        assert all(fact.strip() for facts in found.values() for fact in facts)
