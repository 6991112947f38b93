"""Readers of answers: what counts, what does not, and that canonical forms are stable."""

# ruff: noqa: E501 - tables of spans read best as rows

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.answers import ANSWER_TYPES, LETTER, MATH, NUMBER, WORDS, YES_NO

MATH.canonical("1/2")  # imports math-verify, which takes longer than a test may take under hypothesis

BALLS = ("orange ball", "white ball", "blue ball")


@pytest.mark.parametrize(
    "span",
    ["C", "c", "(C)", "(c).", "C.", "C)", "C) blue", "(C) blue ball.", "C: blue", "option C", "Option (C)", "C blue ball",
     "choice (C) blue ball", "The answer is (C).", "the blue ball", "Blue  ball!", "**(C)**", "probably (C)", "[C]",
     "(C)\n(A) is what Alice started with"],
)  # fmt: skip
def test_every_way_to_name_a_choice_is_its_letter(span: str):
    """A right answer in other words must not be counted as wrong or unread."""
    assert LETTER.canonical(span, BALLS) == "C"


@pytest.mark.parametrize(
    "span",
    ["", "   ", "Alice", "Claire has it", "A ball", "a ball", "blue", "ball", "(A) and (B)", "A or B", "D", "(Z)",
     "not (C)", "neither", "I think so", "Catch-22", "B12", "CC"],
)  # fmt: skip
def test_letters_inside_words_and_two_letters_are_unread(span: str):
    """The published grader reads the C of Claire as choice C."""
    assert LETTER.canonical(span, BALLS) is None


def test_an_article_is_no_label_but_goes_with_its_noun():
    assert LETTER.canonical("A ball", ("cup", "ball")) == "B"
    assert LETTER.canonical("A ball", ("ball", "cup")) == "A"


def test_a_text_that_two_choices_share_names_neither():
    assert LETTER.canonical("red", ("red", "Red", "blue")) is None


def test_a_label_that_contradicts_its_text_is_unread():
    """As in "(D) 09/11/2020" where D is another date: a slip of the letter or of the date, and nobody knows which."""
    assert LETTER.canonical("(A) blue ball", BALLS) is None
    assert LETTER.find("So, the correct answer is (A) blue ball.", BALLS) is None
    assert LETTER.find("Therefore, at the end Alice has (A) blue ball.", BALLS) is None


def test_signs_tell_choices_apart():
    assert LETTER.canonical("-5", ("5", "-5")) == "B"
    assert LETTER.canonical("+", ("-", "+")) == "B"
    assert LETTER.canonical("?", ("+", "plus")) is None


def test_a_choice_that_holds_a_label_is_still_read_by_its_own():
    assert LETTER.canonical("(B) vitamin (A)", ("iron", "vitamin (A)")) == "B"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Bob has it first. Therefore, the correct answer is (B) white ball.", "B"),
        ("The answer is (A). No, wait: the answer is (C).", "C"),
        ("At the end of the game, Alice has the blue ball.", "C"),
        ("Therefore, at the end, Alice has (B) white ball.", "B"),
        ("Thus option (C) is the correct answer. Option (A) is incorrect because it was given away.", "C"),
        ("Options (A) and (B) are out. Option (C) is incorrect because nobody kept it.", None),
        ("Option (A) is a colour that Bob likes.", None),
        ("At the end, Alice has the blue ball and Bob the white ball.", None),
        ("Therefore Alice does not have the blue ball.", None),
        ("So Alice, Bob and Claire swap.", None),
        ("The answer is not (C).", None),
        ("", None),
    ],
)
def test_a_text_without_marker_is_read_only_where_it_concludes(text: str, letter: str | None):
    """Half of the explanations in KARD's files end on why another option is wrong: its letter is not the answer."""
    assert LETTER.find(text, BALLS) == letter


def test_yes_inside_a_sentence_is_no_choice_text():
    assert LETTER.find("Therefore, no evidence is left.", ("yes", "no")) is None


@pytest.mark.parametrize(
    ("span", "answer"),
    [
        ("yes", "yes"), ("No.", "no"), ("NO", "no"), ("no, a sophist would not", "no"), ("probably no.", "no"),
        ("Yes, but no boats came", "yes"), ("No it is not", "no"), ("no they would not, and yes it matters", "no"), ("true", "yes"), ("True, but no boats came", "yes"), ("False.", "no"), ("The answer is yes.", "yes"),
        ("**Yes**", "yes"), ("the statement is false", "no"), ("", None), ("it depends", None), ("not true", None),
        ("no one knows", None), ("yesterday", None), ("north", None), ("either yes or no.", None), ("unknown", None),
        ("not yes", None), ("nope", None),
    ],
)  # fmt: skip
def test_yes_and_no(span: str, answer: str | None):
    assert YES_NO.canonical(span) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Frost needs cold. Therefore, the answer is no.", "no"),
        ("Yes. Snow falls in May.", "yes"),
        ("One is less than five. So the statement is false.", "no"),
        ("It has a spring. There is no evidence for more.", None),
        ("", None),
    ],
)
def test_yes_and_no_without_marker(text: str, answer: str | None):
    assert YES_NO.find(text) == answer


@pytest.mark.parametrize(
    ("span", "answer"),
    [
        ("5.0", "5"), ("5", "5"), ("1,200", "1200"), ("$18", "18"), ("$1,200.00", "1200"), ("-3", "-3"), ("\u22123", "-3"),
        ("-$3", "-3"), ("$-3", "-3"), ("\u20133", "-3"), ("+4", "4"), ("1/2", "0.5"), ("2/6", "1/3"), ("3 1/2", "3.5"),
        ("-1/3", "-1/3"), ("50%", "50"), ("18 dollars.", "18"), ("18kg", "18"), ("18.", "18"), (".5", "0.5"),
        ("007", "7"), ("0.10", "0.1"), ("-0", "0"), ("1e3", "1000"), ("1\u202f200", "1200"), ("5 + 3 = 8", "8"),
        ("x = 8 apples", "8"), ("The answer is 7 apples", "7"), ("about 12", "12"), ("18 (18.0)", "18"),
        ("18\nNext question: 4 + 4", "18"), ("0.0009765625", "0.0009765625"),
    ],
)  # fmt: skip
def test_equal_numbers_have_one_form(span: str, answer: str):
    """The published grader compares "5.0" and "5" as strings and calls them different."""
    assert NUMBER.canonical(span) == answer


@pytest.mark.parametrize(
    "span",
    ["", "x", "inf", "-Infinity", "nan", "1/0", "3,4", "1,20", "12:30", "05/01/2021", "1.2.3", "1.200,50", "5+3", "3 + 3",
     "5-7", "2 x 3", "2nd", "the 4th", "B12", "1 200", "- 3", "twelve", "2 dozen", "1e99",
     "not 5", "9" * 61, "9" * 5000, "3 boys and 4 girls", "1/" + "9" * 60],
)  # fmt: skip
def test_what_is_no_single_number_is_unread(span: str):
    assert NUMBER.canonical(span) is None


@given(st.fractions(max_denominator=10**6, min_value=-(10**9), max_value=10**9))
def test_a_canonical_number_is_the_number_itself(value: Fraction):
    """Python's own fractions are the independent reader."""
    text = NUMBER.canonical(f"{value.numerator}/{value.denominator}")
    assert text is not None
    assert Fraction(text) == value
    assert NUMBER.canonical(text) == text


@given(st.integers(-(10**12), 10**12))
def test_grouping_and_currency_change_nothing(value: int):
    assert NUMBER.canonical(f"{value:,}.00") == NUMBER.canonical(f"the answer is ${value} dollars.") == str(value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("He has 7. So 10 - 4 = 6 more than 3 others.", "6"),
        ("10 - 4 = 6\nThe answer is 6 apples. I used 2 steps.", "6"),
        ("First 3, then 4. She has 7 apples.\nThat is all.", "7"),
        ("She has 7 apples after giving away 3.", None),
        ("It was on 05/01/2021.", None),
        ("Nothing is known.", None),
    ],
)
def test_a_number_without_marker(text: str, answer: str | None):
    """A last sentence that names two numbers does not say which of them is the answer."""
    assert NUMBER.find(text) == answer


@pytest.mark.parametrize(
    ("span", "answer"),
    [
        ('"yajo".', "yajo"), ("Y-a-j-o", "yajo"), ("y a j o", "yajo"), ("New  York!", "new york"), ("don't", "dont"),
        ('The final answer is "eeei".', "eeei"), ("Zürich", "zürich"), ("42nd Street", "42nd street"), ("", None), ("...", None),
    ],
)  # fmt: skip
def test_words(span: str, answer: str | None):
    assert WORDS.canonical(span) == answer


def test_words_are_compared_without_spaces():
    assert WORDS.same("newyork", "new york")
    assert not WORDS.same("new york", "york new")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('We get "s", "a". So, the final result is "sa".', "sa"),
        ("1. Lucky - y\n2. Kc - c\n\nPutting them all together, we get: yc", "yc"),
        ("Step 2: Concatenate the last letters\n\nyead", "yead"),
        ('Therefore, the result is "eyae" from "Joyce Leroy".', "eyae"),
        ('So the last letters of "Isaac Reyes" when concatenated are "cs".', "cs"),
        ("They gave up a long way before the end of the road", None),
        ("", None),
    ],
)
def test_words_without_marker(text: str, answer: str | None):
    assert WORDS.find(text) == answer


@given(st.sampled_from(sorted(ANSWER_TYPES)), st.text(max_size=80))
def test_reading_a_canonical_answer_changes_nothing(name: str, text: str):
    """A gold answer is stored canonical and read again when it stands in a target."""
    kind = ANSWER_TYPES[name]
    answer = kind.canonical(text)
    if answer is not None:
        assert kind.canonical(answer) == answer
        assert kind.same(answer, answer)


@given(
    st.sampled_from(sorted(ANSWER_TYPES)), st.text(max_size=200), st.lists(st.text(min_size=1, max_size=9), max_size=6)
)
def test_no_text_breaks_a_reader(name: str, text: str, choices: list[str]):
    """A model writes anything; whatever a letter reader finds is one of the choices."""
    kind = ANSWER_TYPES[name]
    for answer in (kind.find(text, choices), kind.canonical(text, choices)):
        if name == "letter" and answer is not None and choices:
            assert answer in "ABCDEF"[: len(choices)]


def test_choices_give_way_only_to_whole_words():
    """The word "orange" must not be found in "oranges", nor a short choice inside a longer one."""
    assert LETTER.find("Therefore, she has oranges.", ("orange", "plum", "pear")) is None
    assert LETTER.find("Therefore, she has the blue ball.", ("blue", "blue ball", "ball")) == "B"


@pytest.mark.parametrize("loop", ["the answer is ", "(A) ", "1 + ", "= ", "no ", "a\n", "9", '"', "(A) is the best "])
@pytest.mark.parametrize("name", sorted(ANSWER_TYPES))
@pytest.mark.timeout(20)
def test_a_model_that_loops_is_read_in_no_time(name: str, loop: str):
    """Half of a weak student's texts end in a loop; reading them must not take longer than writing them."""
    text, began = loop * (60_000 // len(loop)), time.process_time()
    ANSWER_TYPES[name].find(text, ("red", "blue ball"))
    ANSWER_TYPES[name].canonical(text, ("red", "blue ball"))
    assert time.process_time() - began < 15
