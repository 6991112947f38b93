"""Published rationales from file to kept: what the authors counted, and where text and file say different things."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tutelage.generation.recorded import read_recorded
from tutelage.rationales.keep import keep
from tutelage.tasks import graded, load_task
from tutelage.types import Question, Rationale, Verdict

DATA = os.environ.get("TUTELAGE_DATA")

pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA, reason="TUTELAGE_DATA names no folder of published data")]

NAMES = {"openbookqa": "obqa", "medqa": "medqa_usmle_hf"}


def read(
    file: str, *, samples: int | None = None, trust_file: bool = False
) -> tuple[dict[str, Question], list[Rationale]]:
    assert DATA
    stem = Path(file).name.split("_rand3")[0].split("_3_train")[0].split("_train_gpt35")[0]
    task = load_task(NAMES.get(stem, stem), data=DATA)
    # All questions, also the one that stands in both files and is dropped from train: the authors counted it.
    questions = {question.id: question for split in task.questions.values() for question in split}
    recorded = read_recorded(Path(DATA) / file, questions.values(), samples=samples)
    return questions, [
        graded(rationale, questions[rationale.question_id], task.answer_type, trust_file=trust_file)
        for rationale in recorded.rationales
    ]


@pytest.mark.parametrize(
    ("name", "correct", "copies", "alike"),
    [
        # correct: Mentor-KD, Table 7; copies: the same text twice; alike: the same but for case and white space
        ("tracking_shuffled_objects", 1392, 22, 22),
        ("date_understanding", 763, 61, 61),
        ("svamp", 1558, 189, 190),
        ("last_letter_concatenation", 1029, 96, 101),
    ],
)
def test_the_mentors_yield_is_that_of_the_paper(name: str, correct: int, copies: int, alike: int):
    _, rationales = read(f"mentor_kd/aug/flan-t5_large/{name}_rand3_aug3.json")
    right = [r for r in rationales if r.verdict is Verdict.CORRECT]
    assert len(right) == correct
    assert len(right) - len({(r.question_id, r.text) for r in right}) == copies
    kept = keep(rationales)
    assert (kept.counts["duplicate"], kept.counts["kept"]) == (alike, correct - alike)


@pytest.mark.parametrize(
    ("file", "correct", "wrong"),
    [
        ("mentor_kd/main/svamp_3_train.json", 1738, 215),
        ("mentor_kd/main/tracking_shuffled_objects_3_train.json", 1523, 13),
        ("mentor_kd/main/date_understanding_3_train.json", 765, 3),
        ("mentor_kd/main/last_letter_concatenation_3_train.json", 1046, 4),
        ("mentor_kd/main/strategy_qa_3_train.json", 4472, 16),
        ("kard/strategyqa_train_gpt35.jsonl.gz", 6299, 109),
        ("kard/openbookqa_train_gpt35.jsonl.gz", 19_719, 89),
        ("kard/medqa_train_gpt35.jsonl.gz", 6576, 8),
    ],
)
def test_a_vouched_rationale_is_wrong_only_where_its_text_says_another_answer(file: str, correct: int, wrong: int):
    """Every file vouches for every row; a change of a reader that moves one of them must be seen."""
    questions, rationales = read(file, samples=4)
    assert Counter(r.verdict for r in rationales) == {Verdict.CORRECT: correct, Verdict.WRONG: wrong}
    assert all(r.answer != questions[r.question_id].answer for r in rationales if r.verdict is Verdict.WRONG)


def test_the_published_reader_took_letters_out_of_names():
    """As in "So, the correct answer is (B) Catch-22.": read as C, and C happened to be the gold answer."""
    questions, rationales = read("mentor_kd/main/tracking_shuffled_objects_3_train.json")
    wrong = [rationale for rationale in rationales if rationale.verdict is Verdict.WRONG]
    assert len(wrong) == 13
    for rationale in wrong:
        last = rationale.text.split("\n")[-1]
        assert f"({rationale.answer})" in last
        # The last capital of the text stands inside "Catch-22" or "Baskervilles".
        assert [ch for ch in last if ch in "ABCDEF"][-1] == questions[rationale.question_id].answer


def test_the_file_can_be_trusted_instead():
    """To train on exactly the published rows."""
    _, rationales = read("mentor_kd/main/svamp_3_train.json", trust_file=True)
    assert {r.verdict for r in rationales} == {Verdict.CORRECT}
