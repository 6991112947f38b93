"""Which rationales of a question are kept when there are more than are wanted."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.rationales.choose import By, choose, choose_kept, words
from tutelage.rationales.near import drop_near_duplicates
from tutelage.types import Rationale, Verdict

TEXTS = ("one two three four", "a b", "one two three five", "x y z v w u", "m n o")


def rationale(text: str, question: str = "q", sample: int = 0, verdict: Verdict = Verdict.CORRECT) -> Rationale:
    return Rationale(question, "teacher:t", sample, text, "1", verdict, (), 5, True)


def of(question: str = "q", texts: tuple[str, ...] = TEXTS) -> list[Rationale]:
    return [rationale(text, question, n) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("first", ["one two three four", "a b"]),
        ("shortest", ["a b", "m n o"]),
        ("longest", ["one two three four", "x y z v w u"]),
        ("diverse", ["one two three four", "a b"]),
    ],
)
def test_each_way_takes_its_own(by: By, expected: list[str]):
    """In the order they were written, whichever are taken."""
    assert [r.text for r in choose(of(), 2, by=by)] == expected


def test_the_unlike_are_taken_before_the_alike():
    """Three of one solution and one of another: of two, both solutions are kept."""
    texts = ("he has 12 and 5 more", "he has 12 and 5 more now", "he has 12 and 5 more then", "take five from the end")
    assert [r.text for r in choose(of(texts=texts), 2, by="diverse")] == [texts[0], texts[3]]


def test_a_share_of_the_questions_keeps_its_longest_chains():
    """The same ones in every process: chosen by the hash of their ids."""
    rationales = [r for n in range(400) for r in of(f"q-{n}")]
    chosen = choose(rationales, 1, by="mixed", long_share=0.25)
    lengths = Counter(words(r) for r in chosen)
    assert set(lengths) == {2, 6}
    assert 70 <= lengths[6] <= 130
    assert chosen == choose(rationales, 1, by="mixed", long_share=0.25)
    longer = {r.question_id for r in chosen if words(r) == 6}
    more = {r.question_id for r in choose(rationales, 1, by="mixed", long_share=0.5) if words(r) == 6}
    assert longer < more
    assert {words(r) for r in choose(rationales, 1, by="mixed", long_share=0.0)} == {2}
    assert {words(r) for r in choose(rationales, 1, by="mixed", long_share=1.0)} == {6}


def test_every_rationale_is_counted_by_its_reason():
    """What is dropped in silence cannot be questioned."""
    texts = ("one two three four five", "one two three four five", "one two three four six", "a b", "c d", "e " * 50)
    rationales = [*of(texts=texts), rationale("wrong", sample=9, verdict=Verdict.WRONG)]
    kept = choose_kept(rationales, per_question=2, near_duplicates=0.4, most_words=20)
    assert [r.text for r in kept.rationales] == ["one two three four five", "a b"]
    assert kept.counts == {
        "kept": 2,
        "wrong": 1,
        "duplicate": 1,
        "too long": 1,
        "near duplicate": 1,
        "over the limit": 1,
    }


def test_near_duplicates_by_hand():
    """Three-word sequences: 3 and 3, of which 2 are shared, are 2 of 4."""
    pair = of(texts=("a b c d e", "a b c d f"))
    assert drop_near_duplicates(pair, similarity=0.5).dropped == 1
    assert drop_near_duplicates(pair, similarity=0.51).dropped == 0
    apart = [rationale("a b c d e", "q-1"), rationale("a b c d e", "q-2")]
    assert drop_near_duplicates(apart, similarity=0.5).dropped == 0


@given(
    st.lists(st.tuples(st.sampled_from("pqr"), st.text("ab ", max_size=12)), max_size=25),
    st.sampled_from(["first", "shortest", "longest", "diverse", "mixed"]),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_a_choice_is_of_the_right_size_in_order_and_of_what_was_there(
    rows: list[tuple[str, str]], by: By, n: int, source: random.Random
):
    """Whatever the texts are."""
    rationales = [rationale(text, question, k) for k, (question, text) in enumerate(rows)]
    source.shuffle(rationales)
    chosen = choose(rationales, n, by=by)
    there = Counter(r.question_id for r in rationales)
    assert Counter(r.question_id for r in chosen) == {q: min(n, count) for q, count in there.items()}
    places = [next(k for k, r in enumerate(rationales) if r is taken) for taken in chosen]
    assert places == sorted(set(places))
