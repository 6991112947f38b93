"""Recorded teachers: six shapes of rows, joined to questions by id or text, with nothing dropped in silence."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import TaskError
from tutelage.generation.recorded import Columns, read_recorded
from tutelage.types import Question, Verdict, rationale_from_json, to_json

STEM = "Tova has 12 beads and finds 5 more. How many?"


def question(text: str, *choices: str, id: str = "q-1", **meta: str) -> Question:
    return Question(id, "t", "train", text, choices, "17", meta)


BEADS = question(STEM, source_text=STEM + "\n", source_id="train-7", source_index="7")


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "texts", "answer", "verdict"),
    [
        (
            {"input": STEM + "\n", "chain": " 17. ", "answer": "17", "initial_correct": True},
            ["17."],
            None,
            Verdict.CORRECT,
        ),
        ({"input": STEM, "chain": "18.", "answer": "17", "initial_correct": False}, ["18."], None, None),
        (
            {"input": STEM, "chain": "12 + 5.", "completion": "17.0", "answer": "17", "initial_correct": True},
            ["12 + 5."],
            "17.0",
            None,
        ),
        ({"instruction": STEM, "output": ["a 17", "b 18"], "label": "17"}, ["a 17", "b 18"], None, None),
        ({"id": "train-7", "index": 3, "rationales": ["a", "b"]}, ["a", "b"], None, Verdict.CORRECT),
        ({"index": 7, "rationales": ["a"]}, ["a"], None, Verdict.CORRECT),
        ({"question": STEM, "answer": "12 + 5 = <<12+5=17>>17\n#### 17"}, ["12 + 5 = <<12+5=17>>17"], " 17", None),
        ({"question_id": "q-1", "text": "a", "answer": "17"}, ["a"], "17", None),
        ({"question": f"  {STEM} ", "rationales": ["a", "b"]}, ["a", "b"], None, None),
        ({"id": "train-7", "rationale": "a", "verdict": "correct"}, ["a"], None, Verdict.CORRECT),
        ({"question_id": "q-1", "text": "a", "answer": "18", "verdict": "correct"}, ["a"], "18", None),
    ],
)
def test_each_shape_says_what_its_file_says(
    tmp_path: Path, row: dict[str, Any], texts: list[str], answer: str | None, verdict: Verdict | None
):
    recorded = read_recorded(jsonl(tmp_path / "a.jsonl", row), [BEADS], name="gpt")
    assert [(r.text, r.sample) for r in recorded.rationales] == [(text, i) for i, text in enumerate(texts)]
    for rationale in recorded.rationales:
        assert (rationale.question_id, rationale.source) == ("q-1", "teacher:gpt")
        assert (rationale.answer, rationale.verdict) == (answer, verdict)


def test_gzip_and_a_json_list_are_read_too(tmp_path: Path):
    row = {"question_id": "q-1", "text": "a"}
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    (tmp_path / "a.json").write_text(json.dumps([row]), encoding="utf-8")
    for name in ("a.jsonl.gz", "a.json"):
        assert read_recorded(tmp_path / name, [BEADS]).rationales[0].text == "a"


def test_what_a_run_has_written_is_read_again(tmp_path: Path):
    first = read_recorded(jsonl(tmp_path / "a.jsonl", {"question_id": "q-1", "text": "a", "answer": "17"}), [BEADS])
    again = read_recorded(jsonl(tmp_path / "b.jsonl", *map(to_json, first.rationales)), [BEADS])
    assert again.rationales == first.rationales
    assert rationale_from_json(to_json(first.rationales[0])) == first.rationales[0]


def test_what_is_left_out_is_counted_and_told(tmp_path: Path):
    """A teacher who covers half of the questions must not look like one who covers all of them."""
    path = jsonl(
        tmp_path / "a.jsonl",
        {"question": STEM, "rationales": ["a", " ", "b", "c"]},
        {"question": "Another one?", "rationales": ["a", "b"]},
    )
    recorded = read_recorded(path, [BEADS, question("Unasked?", id="q-2")], samples=2)
    assert [r.text for r in recorded.rationales] == ["a", "b"]
    assert recorded.counts == {"taken": 2, "empty": 1, "over the limit": 1, "of no question asked for": 2}
    assert recorded.notes == (
        "a.jsonl: 2 rationales for 1 of 2 questions",
        "a.jsonl: 1 empty texts left out",
        "a.jsonl: 2 texts of no question asked for left out",
        "a.jsonl: 1 texts over the limit left out",
    )


def test_samples_count_over_all_rows_of_a_question(tmp_path: Path):
    rows = [{"input": STEM, "chain": f"{i}.", "initial_correct": True} for i in range(4)]
    recorded = read_recorded(jsonl(tmp_path / "a.jsonl", *rows), [BEADS], samples=3)
    assert [(r.sample, r.text) for r in recorded.rationales] == [(0, "0."), (1, "1."), (2, "2.")]


def test_a_text_that_two_questions_share_is_not_guessed(tmp_path: Path):
    """The same stem with other choices is another question with another answer."""
    pair = [
        question("Which?", "x", "y", id="q-1", source_id="1"),
        question("Which?", "x", "z", id="q-2", source_id="2"),
    ]
    path = jsonl(tmp_path / "a.jsonl", {"question": "Which?", "text": "a"}, {"id": 2, "text": "b"})
    recorded = read_recorded(path, pair)
    assert recorded.counts == {"of an ambiguous question": 1, "taken": 1}
    assert recorded.rationales[0].question_id == "q-2"


def test_an_unknown_id_gives_way_to_the_text(tmp_path: Path):
    path = jsonl(tmp_path / "a.jsonl", {"id": "elsewhere", "question": STEM, "text": "a"})
    assert read_recorded(path, [BEADS]).rationales[0].question_id == "q-1"


def test_the_users_own_columns(tmp_path: Path):
    rows = [
        {"nr": "train-7", "q": STEM, "why": "12 + 5", "gold": "17"},
        {"nr": "train-7", "q": "How many moons has Mars?", "why": "Mars has 2 moons."},
        {"nr": None, "q": STEM, "why": ["a", "b"]},
        {"nr": None, "q": STEM, "why": "12 + 5 = <<12+5=17>>17\n#### 17"},
    ]
    columns = Columns(question="q", rationale="why", id="nr")
    recorded = read_recorded(jsonl(tmp_path / "a.jsonl", *rows), [BEADS], columns=columns)
    assert [(r.text, r.answer, r.verdict) for r in recorded.rationales] == [
        ("12 + 5", None, Verdict.CORRECT),
        ("a", None, Verdict.CORRECT),
        ("b", None, Verdict.CORRECT),
        ("12 + 5 = <<12+5=17>>17", " 17", None),
    ]
    assert recorded.counts["whose id and question disagree"] == 1  # ids start again in every file


def test_every_bad_row_is_told_and_nothing_is_loaded(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    jsonl(path, {"question_id": "q-1", "text": "a"}, {"text": "a"}, {"question": STEM}, {"input": STEM, "chain": [1]})
    path.write_text(path.read_text(encoding="utf-8") + "{", encoding="utf-8")
    with pytest.raises(TaskError) as caught:
        read_recorded(path, [BEADS])
    message = str(caught.value)
    for said in (
        "4 bad row(s), nothing was loaded",
        "a.jsonl:2: no field names the question",
        "a.jsonl:3: expected a rationale",
        "a.jsonl:4: expected a rationale",
        "a.jsonl:5: not JSON",
        "name your columns in `fields:`",
    ):
        assert said in message


DATA = os.environ.get("TUTELAGE_DATA")


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="TUTELAGE_DATA names no folder of published data")
@pytest.mark.parametrize(
    ("file", "name", "counts", "shared"),
    [
        ("mentor_kd/main/svamp_3_train.json", "svamp", {"taken": 1953}, 0),
        ("mentor_kd/main/strategy_qa_3_train.json", "strategy_qa", {"taken": 4485, "of no question asked for": 3}, 3),
        ("mentor_kd/prompt/date_understanding_6.json", "date_understanding", {"taken": 1542}, 0),
        ("mentor_kd/aug/t5_large/svamp_rand3_aug3.json", "svamp", {"taken": 2100}, 0),
        ("kard/strategyqa_train_gpt35.jsonl.gz", "strategyqa", {"taken": 16_020, "of no question asked for": 10}, 0),
        ("kard/openbookqa_train_gpt35.jsonl.gz", "obqa", {"taken": 99_040, "of no question asked for": 100}, 0),
        ("kard/medqa_train_gpt35.jsonl.gz", "medqa_usmle_hf", {"taken": 16_460, "of no question asked for": 85_320}, 0),
    ],
)
def test_published_rationales_find_their_questions(file: str, name: str, counts: dict[str, int], shared: int):
    from tutelage.tasks import load_task

    assert DATA
    task = load_task(name, data=DATA)
    recorded = read_recorded(Path(DATA) / file, [*task.questions["train"], *task.questions["dev"]])
    assert recorded.counts == counts
    assert read_recorded(Path(DATA) / file, task.questions["test"]).counts.get("taken", 0) == shared
