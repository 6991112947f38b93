"""How texts become terms."""

from __future__ import annotations

import pytest

from tutelage.retrieval.bm25 import analysis
from tutelage.retrieval.bm25.analysis import LONGEST, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Zürich trams, running since 1882.", ["zürich", "tram", "run", "sinc", "1882"]),
        ("Don't stop!", ["don", "t", "stop"]),
        ("snake_case e-mail 3.14", ["snake", "case", "e", "mail", "3", "14"]),
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
