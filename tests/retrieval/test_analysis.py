"""How texts become terms."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tutelage.retrieval.bm25 import analysis
from tutelage.retrieval.bm25.analysis import LONGEST, terms
from tutelage.spelling import fold


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Zürich trams, running since 1882.", ["zürich", "tram", "run", "sinc", "1882"]),
        ("Don't stop!", ["don", "t", "stop"]),
        ("snake_case e-mail 3.14", ["snake", "case", "e", "mail", "3.14"]),
        ("10,000 of v1.2.3, 1,2 [3,4] and fig.3.", ["10000", "v1.2.3", "1", "2", "3", "4", "fig", "3"]),
        ("काला கால் বাবা", ["काला", "கால்", "বাবা"]),
        ("Straße İstanbul ΛΟΓΟΣ λόγος", ["strass", "istanbul", "λογοσ", "λόγοσ"]),
        ("สีขาว ข้าว", ["สี", "ข", "า", "ว", "ข้", "า", "ว"]),
        ("ខ្មែរ မြန်မာ", ["ខ្", "មែ", "រ", "မြ", "န်", "မာ"]),
        ("か\u3099・ガ", ["が", "ガ"]),
        ("北京 and Tōkyō", ["北", "京", "tōkyō"]),
        ("ｆｕｌｌ ﬁsh", ["full", "fish"]),
        ("to be or not to be", []),
        ("", []),
    ],
)
def test_terms_of_a_text(text: str, expected: list[str]):
    """Passages and queries must fall into the same terms, or nothing is found."""
    assert terms(text) == expected


def test_a_decomposed_letter_is_the_same_letter():
    """Files of macOS write ü as u and a mark; a search for the other spelling must find them."""
    assert terms("Zu\u0308rich") == terms("Zürich")


@pytest.mark.parametrize("text", ["Don't stop! snake_case", "北京 and Tōkyō", "ｆｕｌｌ ﬁsh", "a" * 300])
def test_where_nothing_was_wrong_the_first_analyser_has_the_same_terms(text: str):
    """An index of either kind then gives the same passages, with the same scores."""
    assert terms(text, "english-1") == terms(text)


def test_the_first_analyser_stays_as_it_was():
    """A query must fall into the terms that the passages of an old index fell into."""
    assert terms("काला 3.14 10,000", "english-1") == ["क", "ल", "3", "14", "10", "000"]
    assert terms("Straße, λόγος", "english-1") == ["straße", "λόγος"]


LETTERS = st.characters(categories=["Ll", "Lu", "Lo", "Mn", "Mc", "Nd", "Zs", "Po"], max_codepoint=0xDFF)


@given(st.lists(st.text(LETTERS, max_size=8), max_size=8).map(" ".join))
def test_words_are_cut_where_an_independent_tokenizer_cuts_them(text: str):
    """`regex` knows Unicode's categories by tables of its own. Numbers with points have a test above."""
    plain = regex.sub(r"[.,]", " ", fold(text))
    found = regex.findall(r"[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}])*", plain)
    assert analysis._english_2(plain) == found


def test_a_very_long_token_is_cut():
    """The index drops a term of more than 65,530 bytes without a word."""
    assert terms("a" * 100_000 + " cat") == ["a" * LONGEST, "cat"]


def test_forgetting_remembered_tokens_changes_no_term(monkeypatch: pytest.MonkeyPatch):
    """The memory of stems is bounded; a text must have the same terms when it starts afresh."""
    text = "Runners were running and ran the longest runs"
    before = terms(text)
    monkeypatch.setattr(analysis, "REMEMBERED", 2)
    monkeypatch.setattr(analysis, "_TERMS", type(analysis._TERMS)())
    assert terms(text) == before
