"""Short free texts as answers: what is different stays different, what is formatting does not."""

# ruff: noqa: E501 - tables of answers read best as rows

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tutelage.formats import FORMATS
from tutelage.tasks.answers import LETTER, WORDS
from tutelage.tasks.grading import grade_file
from tutelage.tasks.words import words
from tutelage.types import Verdict


def same(one: str, other: str) -> bool:
    first, second = WORDS.canonical(one), WORDS.canonical(other)
    assert first
    assert second
    assert WORDS.same(first, second) == WORDS.same(second, first)
    return WORDS.same(first, second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("काला", "कील"), ("कोल", "काल"), ("ข้าว", "ขาว"), ("বাবা", "বব"), ("தமிழ்", "தமழ"), ("kız", "kiz"), ("ñ", "n")),
        *(("3.5 km", "35 km"), ("3.5", "3 5"), ("3 5", "35"), ("1,5", "15"), ("1,5", "1 5"), ("1,20", "1,200")),
        *(("-5", "5"), ("\u22125", "5"), ("(-5)", "5"), ("-.5", ".5"), (".5", "5"), ("2.10", "2.1"), ("v1.2", "v12")),
        *(("2-3", "23"), ("5 - 3", "5 3"), ("10:30", "1030"), ("1/2", "12"), ("2½", "21/2"), ("10²", "102")),
        *(("x²", "x2"), ("05/01/2021", "05012021"), ("5%", "5"), ("$5", "€5"), ("$5", "5"), ("20°", "20")),
        *(("C", "C++"), ("C", "C#"), ("C++", "C#"), ("A+", "A"), ("A-", "A"), ("O-", "O+"), ("Na⁺", "Na"), (".NET", "NET")),
        *(("m/s", "ms"), ("AT&T", "ATT"), ("p < 0.05", "p > 0.05"), ("2+3", "23"), ("x^2", "x2")),
    ],
)  # fmt: skip
def test_different_answers_are_not_the_same(one: str, other: str):
    """A wrong answer that passes is taught, and raises the score of every arm."""
    assert not same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("Paris", "PARIS."), ("**Paris**", "“Paris”"), ("(Paris)", "- Paris"), ("# Paris", "> Paris"), ("→ Paris", "Paris")),
        *(("e-mail", "Email"), ("e mail", "email"), ("U.S.A.", "USA"), ("don't", "don’t"), ("snake_case", "snake case")),
        *(("state-of-the-art", "State of the Art"), ("Paris (France)", "Paris, France"), ("covid-19", "COVID 19")),
        *(("Straße", "STRASSE"), ("ΟΔΟΣ", "οδος"), ("İstanbul", "istanbul"), ("Zu\u0308rich", "Zürich"), ("ＦＵＬＬ", "full")),
        *(("क्\u200dष", "क्ष"), ("می\u200cخواهم", "می خواهم"), ("\ufeffParis", "Pa\u00adris"), ("क\u093c", "\u0958")),
        *(("1,200", "1200"), ("1\u202f200", "1200"), ("\u22123", "-3"), ("– 3", "3"), ("+5", "5"), ("5 %", "5%"), ("12.", "12")),
        *(("½", "1/2"), ("2½", "2 1/2"), ("x²", "x^2"), ("CO₂", "CO2"), ("Na⁺", "Na+"), ("2–3", "2-3"), ("2 - 3", "2-3")),
        *(("$5$", "5"), ("$Paris$", "Paris"), ("$ 5", "$5"), ("5 km", "5km"), ("AC / DC", "AC/DC"), ("C ++", "C++")),
    ],
)  # fmt: skip
def test_formatting_makes_no_other_answer(one: str, other: str):
    """A right answer in another dress must not be counted as wrong."""
    assert same(one, other)


@pytest.mark.parametrize(
    ("span", "canonical"),
    [
        *(("C++", "c++"), ("The answer is .NET.", ".net"), ("salt & pepper", "salt & pepper"), ("A + B", "a + b")),
        *(("$1,200.50", "$1200.50"), ("3.5 km/h", "3.5 km/h"), ("y a j o", "yajo"), ("क ा ल", "कल"), ("1 2 3", "1 2 3")),
        *(("--", None), ("+", None), ("\u0301", None)),
    ],
)  # fmt: skip
def test_the_canonical_form_keeps_the_spaces_of_the_text(span: str, canonical: str | None):
    """It stands in targets: a student learns to write it."""
    assert WORDS.canonical(span) == canonical


def test_a_choice_is_known_by_its_marks():
    assert LETTER.canonical("कील", ("काला", "लाल")) is None
    assert LETTER.canonical("काला", ("कील", "काला")) == "B"


SIGNS = "aAbC 19 0.,:/-+#$%^²½()[]'’_*>=ßςσİıé\u0301\u0307\u200d\u200cकाคำไ้ৱা가𝔘ﬁ①Ω\u00ad\u0640\ufe0f"
TEXTS = st.text(st.sampled_from(SIGNS) | st.characters(), max_size=14)


@given(TEXTS)
def test_a_canonical_answer_stays_itself_in_every_normal_form(text: str):
    """Signs are read by what stands beside them; reading the canonical form again must find the same beside them."""
    canonical = WORDS.canonical(text)
    for form in ("NFC", "NFD"):
        assert WORDS.canonical(unicodedata.normalize(form, text)) == canonical
    if canonical is not None:
        assert WORDS.canonical(canonical) == canonical
        assert same(canonical, text)


@given(st.text(st.characters(categories=["Ll", "Lo", "Mn", "Mc", "Zs"], max_codepoint=0x1FFF), max_size=30))
def test_words_without_signs_are_cut_where_unicode_says(text: str):
    """`regex` has Unicode's categories of its own."""
    found = " ".join(words(text))
    assert found == " ".join(regex.findall(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}]*", found))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("loop", ["+ ", "+", "- 1 ", "$", "$5 ", "1,000", "\u0301", "क्", "¸+0", ". ", "> "])
def test_signs_in_a_loop_are_read_quickly(loop: str):
    """A weak model writes one sign until its text is full."""
    found = words(loop * (60_000 // len(loop)))
    assert words(" ".join(found)) == found


def test_a_file_of_words_that_differ_by_marks_and_signs(tmp_path: Path):
    """`tutelage grade` called each of these correct."""
    rows = [("काला", "कील"), ("ข้าว", "ขาว"), ("বাবা", "বব"), ("3.5 km", "35 km"), ("C", "C++"), ("काला", "काला")]
    path = tmp_path / "words.jsonl"
    path.write_text(
        "".join(json.dumps({"id": n, "answer": a, "text": f"--> {t}"}) + "\n" for n, (a, t) in enumerate(rows))
    )
    found = grade_file(path, WORDS, FORMATS["arrow"])
    assert [row.judgement.verdict for row in found.rows] == [Verdict.WRONG] * 5 + [Verdict.CORRECT]
