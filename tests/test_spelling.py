"""Spellings of one word, and which characters belong to it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tutelage.spelling import fold, is_mark, marks


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PARIS", "paris"),
        ("STRASSE", "straße"),
        ("ΛΟΓΟΣ", "λογος"),
        ("İSTANBUL", "istanbul"),
        ("Zu\u0308rich", "Zürich"),
        ("क\u093c", "\u0958"),
        ("می\u200cخواهم", "میخواهم"),
        ("क\u094d\u200dष", "क\u094dष"),
        ("co\u00adoperate", "cooperate"),
        ("ｆｕｌｌ ﬁsh", "full fish"),
        ("مـــكة", "مكة"),
        ("❤\ufe0f", "❤"),
    ],
)
def test_spellings_of_one_word_fold_to_one(one: str, other: str):
    """An editor's normal form or a joiner must not make a right answer wrong."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("kız", "kiz"), ("ή", "η"), ("काला", "काली"), ("ข้าว", "ขาว"), ("ñ", "n")])
def test_different_words_stay_different(one: str, other: str):
    """Marks tell words apart in most scripts of the world."""
    assert fold(one) != fold(other)


def test_folding_every_character_twice_changes_nothing_more():
    """A stored answer is folded again when it is compared; a second form would make it wrong."""
    characters = [chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000]
    assert [ch for ch in characters if fold(fold(ch)) != fold(ch)] == []
    assert [ch for ch in characters if fold(unicodedata.normalize("NFD", ch)) != fold(ch)] == []


@given(st.text(max_size=20))
def test_normal_forms_fold_alike(text: str):
    """Texts of macOS and of Windows differ in nothing else."""
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)


def test_marks_are_those_of_unicode():
    """A range too short would cut words of some script in pieces. `regex` has tables of its own, of another version."""
    ours = regex.compile(f"[{marks()}]")
    theirs = regex.compile(r"\p{M}")
    assigned = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) not in ("Cn", "Cs", "Co")]
    differing = [ch for ch in assigned if bool(ours.match(ch)) != bool(theirs.match(ch))]
    assert len(differing) <= 20
    assert all(is_mark(ch) == bool(ours.match(ch)) for ch in assigned)
