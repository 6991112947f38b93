"""The records: ids from content, and every record to JSON and back."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.types import (
    Prediction,
    Question,
    Rationale,
    Score,
    Verdict,
    prediction_from_json,
    question_from_json,
    question_id,
    rationale_from_json,
    to_json,
)

WORDS = st.text(max_size=20)
RATIONALES = st.builds(
    Rationale,
    question_id=WORDS,
    source=WORDS,
    sample=st.integers(0, 9),
    text=WORDS,
    answer=st.none() | WORDS,
    verdict=st.none() | st.sampled_from(Verdict),
    passage_ids=st.lists(WORDS, max_size=3).map(tuple),
    tokens=st.integers(0, 99),
    finished=st.booleans(),
)


def test_an_id_never_changes():
    """Runs on disk are found by it: the value of release 0.1 is part of the format."""
    assert question_id("beads", "Tova has 12 beads.") == "q-4b843b6e14e7e76e"


def test_white_space_is_no_other_question_but_everything_else_is():
    ids = {
        question_id("t", "a b"),
        question_id("t", " a\n\tb "),
        question_id("t", "a b", ("x",)),
        question_id("t", "a b", ("x", "y")),
        question_id("t", "a b", ("x y",)),
        question_id("u", "a b"),
        question_id("t", "A b"),
        question_id("t", "a b x"),
    }
    assert len(ids) == 7


@given(RATIONALES)
def test_a_rationale_survives_json(rationale: Rationale):
    assert rationale_from_json(json.loads(json.dumps(to_json(rationale)))) == rationale


@given(
    st.builds(
        Prediction, WORDS, st.none() | WORDS, st.sampled_from(Verdict), st.lists(RATIONALES, max_size=3).map(tuple)
    )
)
def test_a_prediction_survives_json(prediction: Prediction):
    assert prediction_from_json(json.loads(json.dumps(to_json(prediction)))) == prediction


@given(
    st.builds(
        Question,
        WORDS,
        WORDS,
        st.sampled_from(["train", "dev", "test"]),
        WORDS,
        st.lists(WORDS, max_size=4).map(tuple),
        WORDS,
        st.dictionaries(WORDS, WORDS, max_size=3),
    )
)
def test_a_question_survives_json(question: Question):
    assert question_from_json(json.loads(json.dumps(to_json(question)))) == question


def test_an_older_rationale_without_counts_is_still_read():
    row = {"question_id": "q", "source": "teacher:x", "sample": 0, "text": "a", "answer": None, "verdict": None}
    assert rationale_from_json(row) == Rationale("q", "teacher:x", 0, "a", None, None)


def test_unread_answers_count_as_not_correct():
    verdicts = [Verdict.CORRECT, Verdict.WRONG, Verdict.UNREAD, Verdict.UNREAD]
    score = Score(tuple(Prediction(f"q-{i}", None, verdict, ()) for i, verdict in enumerate(verdicts)))
    assert (score.n, score.correct, score.unread, score.accuracy) == (4, 1, 2, 0.25)
    assert Score(()).accuracy == 0.0


def test_records_cannot_be_changed():
    """A stage that changed its input would make its fingerprint lie."""
    question = Question("q", "t", "train", "?", (), "1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        question.answer = "2"  # type: ignore[misc]
