"""Which rationales stand together: by hand, and that nothing depends on the order in which they come."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.rationales.diverse import Pair, choose_pairs, example_id, grams, jaccard
from tutelage.types import Rationale, Verdict

TEXTS = {
    0: "Tova starts with 12. 12 + 5 = 17.",
    1: "Tova starts with 12. Five more is 17.",
    2: "She finds 5 beads, so 5 + 12 = 17.",
}


def rationale(sample: int, text: str, question: str = "q") -> Rationale:
    return Rationale(question, "teacher:t", sample, text, "17", Verdict.CORRECT)


def test_the_id_of_a_mentors_text_hangs_on_the_text_alone():
    """Draws hang on ids: a mentor trained anew that wrote the same would otherwise teach another student."""
    old, new = (replace(rationale(n, TEXTS[0]), source=f"mentor:{made}") for n, made in ((0, "82c4"), (3, "f00d")))
    assert example_id(old) == example_id(new)
    assert example_id(old).startswith("q#mentor#")
    assert example_id(replace(old, text=TEXTS[1])) != example_id(old)
    assert example_id(replace(old, question_id="r")) != example_id(old)
    assert example_id(rationale(2, TEXTS[0])) == "q#teacher:t#2"


def test_n_grams_and_jaccard_by_hand():
    """Words, not letters; each n-gram once."""
    assert grams("A b  a B a b", 2) == {("a", "b"), ("b", "a")}
    assert grams("one two", 3) == {("one", "two")}
    a, b, c = (grams(TEXTS[n], 3) for n in range(3))
    assert (len(a), len(b), len(c)) == (7, 6, 8)  # of 9, 8 and 10 words, none twice
    assert jaccard(a, b) == 2 / 11  # "tova starts with", "starts with 12."
    assert jaccard(a, c) == jaccard(b, c) == 0.0
    assert jaccard(a, a) == 1.0


def test_the_least_similar_stand_together_and_nobody_is_left_out():
    """A rationale without a partner would be taught by half of the method."""
    found = choose_pairs([rationale(n, text) for n, text in TEXTS.items()])
    a, b, c = (f"q#teacher:t#{n}" for n in range(3))
    assert found.pairs == (Pair(a, c, 0.0), Pair(b, c, 0.0))
    assert found.singles == ()


def test_pairs_are_chosen_greedily():
    """Four texts whose first choice (w, z) leaves (x, y), although x is less like z than like y."""
    texts = {"w": "a b c d", "x": "a b e f", "y": "a b e g", "z": "e f h i"}
    found = choose_pairs([rationale(n, text) for n, text in enumerate(texts.values())], ngram=1)
    w, x, y, z = (f"q#teacher:t#{n}" for n in range(4))
    assert found.pairs == (Pair(w, z, 0.0), Pair(x, y, 3 / 5))


def test_a_single_rationale_stays_alone_and_questions_never_mix():
    found = choose_pairs([rationale(0, "one", "p"), rationale(0, "one", "q"), rationale(1, "two", "q")])
    assert found.singles == ("p#teacher:t#0",)
    assert found.pairs == (Pair("q#teacher:t#0", "q#teacher:t#1", 0.0),)


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.text("abc ", max_size=20)), max_size=12), st.randoms())
def test_every_rationale_is_there_whatever_the_order(texts: list[tuple[str, str]], source: random.Random):
    """A file written in another order must not train another student."""
    rationales = [rationale(n, text, question) for n, (question, text) in enumerate(texts)]
    shuffled = source.sample(rationales, len(rationales))
    found = choose_pairs(rationales)
    assert choose_pairs(shuffled) == found
    paired = [id for pair in found.pairs for id in pair[:2]]
    assert {*paired, *found.singles} == {f"{r.question_id}#teacher:t#{r.sample}" for r in rationales}
    assert not {*paired} & {*found.singles}
    for question in "pqr":
        of_question = [id for id in paired if id.startswith(question)]
        assert len(of_question) - len(set(of_question)) in (0, 1)  # one is asked twice where their number is odd
    assert all(pair.first[0] == pair.second[0] for pair in found.pairs)


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_alike_texts_have_similarity_one(ngram: int):
    found = choose_pairs([rationale(0, "Same words here."), rationale(1, "same  WORDS here.")], ngram=ngram)
    assert [pair.similarity for pair in found.pairs] == [1.0]
