"""What is kept for a student, and that every rationale is accounted for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tutelage.rationales.keep import keep, normalised
from tutelage.types import Rationale, Verdict

CORRECT, WRONG, UNREAD = Verdict.CORRECT, Verdict.WRONG, Verdict.UNREAD


def rationale(
    text: str = "12 + 5 = 17.",
    verdict: Verdict | None = CORRECT,
    id: str = "q-1",
    sample: int = 0,
    finished: bool = True,
) -> Rationale:
    return Rationale(id, "teacher:x", sample, text, None if verdict is UNREAD else "17", verdict, finished=finished)


def test_only_correct_rationales_are_taught():
    kept = keep([rationale("a", WRONG), rationale("b", UNREAD), rationale("c"), rationale("d", None)])
    assert [r.text for r in kept.rationales] == ["c"]
    assert kept.counts == {"wrong": 1, "unread": 1, "kept": 1, "not judged": 1}
    assert (kept.questions, kept.yield_share) == (1, 0.25)


def test_copies_are_taught_once():
    """189 of 1,558 kept SVAMP rationales of the published mentor are copies: they weigh their questions twice."""
    kept = keep([rationale("A  ball."), rationale("a ball.\n", sample=1), rationale("a ball.", id="q-2")])
    assert [(r.question_id, r.sample) for r in kept.rationales] == [("q-1", 0), ("q-2", 0)]
    assert kept.counts == {"kept": 2, "duplicate": 1}


def test_the_limit_counts_what_is_kept_not_what_was_seen():
    texts = [rationale("a", WRONG), rationale("b"), rationale("b"), rationale("c"), rationale("d")]
    kept = keep(texts, per_question=2)
    assert [r.text for r in kept.rationales] == ["b", "c"]
    assert kept.counts == {"wrong": 1, "kept": 2, "duplicate": 1, "over the limit": 1}


def test_held_out_questions_are_never_taught():
    kept = keep([rationale("a"), rationale("b", id="q-dev")], questions={"q-1"})
    assert [r.question_id for r in kept.rationales] == ["q-1"]
    assert kept.counts == {"kept": 1, "no question": 1}


def test_empty_and_cut_texts_are_not_taught():
    kept = keep([rationale(" \n"), rationale("and then", finished=False)])
    assert kept.counts == {"empty": 1, "cut off": 1}
    assert keep([rationale("and then", finished=False)], cut_off=True).counts == {"kept": 1}


def test_nothing_gives_nothing():
    kept = keep([])
    assert (kept.rationales, kept.counts, kept.questions, kept.yield_share) == ((), {}, 0, 0.0)


MANY = st.lists(
    st.builds(
        rationale,
        st.sampled_from(["a", "A", "b ", "b", "c", ""]),
        st.sampled_from([CORRECT, WRONG, UNREAD, None]),
        st.sampled_from(["q-1", "q-2", "q-3"]),
        finished=st.booleans(),
    ),
    max_size=40,
)


@given(MANY, st.none() | st.integers(1, 3), st.none() | st.sets(st.sampled_from(["q-1", "q-2"])))
def test_every_rationale_is_counted_once_and_keeping_again_changes_nothing(
    rationales: list[Rationale], limit: int | None, questions: set[str] | None
):
    kept = keep(rationales, per_question=limit, questions=questions)
    assert sum(kept.counts.values()) == len(rationales)
    assert kept.counts.get("kept", 0) == len(kept.rationales)
    assert keep(kept.rationales, per_question=limit, questions=questions).rationales == kept.rationales
    texts = [(r.question_id, normalised(r.text)) for r in kept.rationales]
    assert len(set(texts)) == len(texts)
    if limit is not None:
        assert all([r.question_id for r in kept.rationales].count(id) <= limit for id, _ in texts)
