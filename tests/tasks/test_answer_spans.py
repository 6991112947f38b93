"""Answer spans of all types, right value or None: written to trip readers that guess.

A wrong value in these tables is worse than None: an unread answer is counted and shown, a misread one is believed.
"""

# ruff: noqa: E501 - tables of spans read best as rows

from __future__ import annotations

import logging
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.answers import LETTER, NUMBER, YES_NO

CHOICES = ("carved", "melted", "ice cream", "antarctica", "sculptured")


@pytest.mark.parametrize(
    "span",
    [
        "%s", "%s.", "(%s)", "%s, {t}.", "%s; {t}", "%s: {t}", "%s - {t}", "%s – {t}", "%s — {t}", "(%s) {t}",
        "%s) {t}", "%s. {t}", "[%s] {t}", "option %s", "Option %s: {t}", "Option (%s)", "most likely %s",
        "probably %s.", "%s because it is hot", "%s, because it is hot", "%s since ice is cold", "(%s) is correct",
        "%s is correct", "%s is the right answer.", "I choose %s", "I would choose %s.", "it is %s", "It's %s.",
        "It must be %s", "the letter %s", "answer %s", "answer: %s", "the answer is %s, {t}",
        "the answer is option %s", "The best choice is %s.", "My final answer is (%s).", "%s\nBecause",
        "**%s**, {t}", "%s: **{t}**", "$%s$. {t}", "\\boxed{%s. {t}}", "\\boxed{\\text{(%s) {t}}}", "（%s）{t}",
        "Choice %s", "choice (%s) {t}", "%s!", "definitely %s", "%s, I think.", "%s (the ice has {t})", "%s/{t}",
        "**Answer:** %s) {t}", "The answer should be %s", "would be %s.", "so %s", "Therefore, %s.",
        "%s would be best", "%s seems right", "{t} (%s)", "The answer is {t} (%s).", "{t}, so %s", "{t} i.e. %s",
        "Answer is %s", "Select %s", "%s as it is hot", "%s due to heat", "Let's go with %s",
        "%s is the best answer because others are wrong", "%s, not the others", "It's option %s, {t}",
        "I believe it's %s", "the correct one is %s",
    ],
)  # fmt: skip
def test_a_letter_is_read_alike_for_every_choice_known_or_not(span: str):
    """Of real CommonsenseQA answers 9% read "B, melted." and were unread. No letter may be read where another is not."""
    for letter, choice in zip("ABCDE", CHOICES, strict=True):
        said = span.replace("%s", letter).replace("{t}", choice)
        assert (LETTER.canonical(said), LETTER.canonical(said, CHOICES)) == (letter, letter)


@pytest.mark.parametrize(
    "span",
    [
        "A and B", "A or B", "B/C", "(A), (B)", "Both A and B", "A, B and C", "A & B", "either (A) or (B)", "A B",
        "A; C", "A\\B", "All of A, B, C", "A, C, D", "not A", "isn't B", "B isn't", "B is not it", "it cannot be B",
        "B is false", "(B) is not the answer", "none", "neither A nor B", "unlike B", "except B", "B is ruled out",
        "I doubt B", "everything but B", "B? No.", "if B", "B unless A", "anything but B", "A person",
        "A melted cube", "vitamin C", "type B", "Plan B", "grade A", "hepatitis B", "B.C.", "U.S.A.", "I am sure",
        "I don't know", "the A team", "B-12", "C++", "E=mc2", "~B", "-B", "¬B", "≠B", "\\neg B", "\\not B", "2B",
        "Big", "AB negative", "A? B? C?", "A > B", "A -> B", "A vs B", "A versus B", "A, maybe B", "between A and B",
        "A+B", "A/B testing",
    ],
)  # fmt: skip
def test_two_letters_or_a_denied_one_are_unread_choices_known_or_not(span: str):
    assert (LETTER.canonical(span), LETTER.canonical(span, CHOICES)) == (None, None)


@pytest.mark.parametrize(
    ("span", "letter"),
    [
        ("B, not C", "B"), ("B (not A)", "B"), ("B rather than C", "B"), ("not A but B", "B"), ("A is wrong, so B", "B"),
        ("not (A), it is (B)", "B"), ("B because A and C are wrong", "B"), ("(B) because (A) is wrong", "B"),
        ("B (A is wrong)", "B"), ("B, as A cannot be right", "B"), ("B over C", "B"), ("B, a ball", "B"), ("B, I think", "B"),
    ],
)  # fmt: skip
def test_a_letter_that_is_denied_beside_the_answer_does_not_spoil_it(span: str, letter: str):
    assert LETTER.canonical(span) == letter


@pytest.mark.parametrize(
    ("span", "letter"),
    [
        ("melted", "B"), ("melted.", "B"), ("melted, because of the sun", "B"), ("the ice cream", "C"), ("melted (it is hot)", "B"),
        ("melted or carved", None), ("not melted", None), ("melted, carved", None), ("B, carved", None), ("(B) carved", None),
        ("B: carved, not melted", None), ("A ice cream", "C"), ("F", None), ("(F) melted", None), ("B, something else", "B"),
    ],
)  # fmt: skip
def test_the_text_of_a_choice_adds_evidence_and_may_contradict(span: str, letter: str | None):
    assert LETTER.canonical(span, CHOICES) == letter


@pytest.mark.parametrize(
    ("span", "letter"),
    [
        ("yes, they could", "A"), ("no, they could not", "B"), ("Yes.", "A"), ("no - it is not", "B"), ("(B) no, it is not", "B"),
        ("(B) no - a plane is not one", "B"), ("B", "B"), ("(A) no, they are not", None), ("(A) yes or (B) no", None),
        ("yes and no", None), ("not yes", None), ("no one knows", None), ('"no," since he died', "B"), ("(B) no it is not", "B"),
    ],
)  # fmt: skip
def test_yes_and_no_stand_for_their_letters_where_they_are_the_choices(span: str, letter: str | None):
    """805 of KARD's 16,030 StrategyQA rationales say "the answer is yes, they could" and were unread."""
    assert LETTER.canonical(span, ("yes", "no")) == letter
    assert LETTER.canonical(span.replace("(B)", "(X)").replace("(A)", "(B)").replace("(X)", "(A)"), ("no", "yes")) == (
        {"A": "B", "B": "A"}.get(letter or "") if span != "B" else "B"
    )


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Therefore, the answer is yes, they could.", "A"), ("So the answer to this question is no, it is not.", "B"),
        ("The answer to the given question is (B), no, it would not.", "B"), ("It rains, making option (A) the correct answer.", "A"),
        ("The answer is:\n\n(B) no", "B"), ("I don't think option (A) is correct.", None), ("Thus \\boxed{B}.", "B"),
        ("The answer is (A). No: the answer is not (A).", None), ("Therefore, no evidence is left.", None),
    ],
)  # fmt: skip
def test_an_announced_yes_or_no_is_found(text: str, letter: str | None):
    assert LETTER.find(text, ("yes", "no")) == letter


@pytest.mark.parametrize(
    ("span", "answer"),
    [
        ("isn't true", None), ("isn’t true", None), ("can't be true", None), ("can’t be true", None),
        ("is never true", None), ("not necessarily true", None), ("I would not say yes", None), ("not yes", None),
        ("no, that is not false", None), ("It is not true that whales are fish", None),
        ("It's not the case that the answer is yes", None), ("I don't think the answer is yes", None),
        ("the answer can't be no", None), ("neither yes nor no", None), ("yes and no", None), ("yes/no", None),
        ("Yes or no", None), ("yes, no", None), ("true or false", None), ("it is hardly true", None),
        ("far from true", None), ("anything but true", None), ("isn't false", None), ("not false", None),
        ("untrue", "no"), ("that's untrue", "no"), ("the claim is false", "no"),
        ("The statement is not true.", None), ("I wouldn't say yes", None), ("I would say yes", "yes"),
        ("I'd say no", "no"), ("I say yes because it is", "yes"), ("I say no because it is", "no"),
        ("yes - it is", "yes"), ("no - it is not", "no"), ("Yes—they do", "yes"), ("No—they don't", "no"),
        ("no. 5", None), ("No-one knows", None), ("no one", None), ("No Englishman would", None), ("yes!", "yes"),
        ("NO!", "no"), ("Yes; indeed", "yes"), ("(yes)", "yes"), ("'no'", "no"), ("answer: NO", "no"),
        ("it is true", "yes"), ("That is true.", "yes"), ("It is definitely true that he did", "yes"),
        ("if true, then x", None), ("whether this is true is unknown", None), ("unlikely to be true", None),
        ("Yes, it is not false.", "yes"), ("No, it is not true.", "no"), ("No, it is true.", None),
        ("Yes, that is false.", None), ("yes? no", None), ("Yes. Wait, no.", None), ("No... actually yes", None),
        ("yes is wrong", None), ("no is incorrect", None), ("The answer yes is not correct", None),
        ("the opposite of yes", None), ("true is not", None), ("rather yes than no", None), ("probably yes", "yes"),
        ("Most likely no.", "no"), ("definitely not true", None), ("does not hold", None),
        ("true, not false", "yes"), ("false, not true", "no"), ("No, not necessarily", "no"),
        ("not at all true", None), ("couldn't be true", None), ("it could never be true", None),
        ("It is no longer true", None), ("nothing is true", None), ("There is no evidence, so no.", "no"),
        ("it isn't raining, so the answer is yes", "yes"), ("I would not, under any circumstances, say yes", None),
        ("without doubt yes", None), ("no doubt, yes", None), ("Yes, there is no doubt", "yes"),
        ("no because they can't", "no"), ("yes because they can", "yes"), ("No they can't", "no"),
        ("Yes they can", "yes"), ("No, they could not have.", "no"), ("it's a yes", "yes"), ("it's a no", "no"),
        ("a clear yes.", "yes"), ("a clear no.", "no"), ("the answer is a resounding no", "no"), ("True", "yes"),
        ("FALSE", "no"), ("yesno", None), ("noyes", None), ("yes yes", "yes"), ("y", None), ("n", None), ("否", None),
        ("the answer is: no, since he died", "no"), ("so the answer must be yes, since", "yes"), ("True.", "yes"),
        ("it would be false to say no", None), ("No; the answer is yes", None), ("yes, but the answer is no", None),
    ],
)  # fmt: skip
def test_yes_and_no_with_denials(span: str, answer: str | None):
    """A reader that looks for the word alone takes "isn't true" for yes."""
    assert YES_NO.canonical(span) == answer


@pytest.mark.parametrize(
    ("span", "number"),
    [
        ("−3", "-3"), ("–3", "-3"), ("negative 5", "-5"), ("minus 5", "-5"), ("2½", "2.5"), ("½", "0.5"),
        ("2 ½", "2.5"), ("-½", "-0.5"), ("5 and a half", "5.5"), ("5 and a quarter cups", "5.25"),
        ("5 and 1/2", "5.5"), ("$1.2M", "1200000"), ("$1.2 million", "1200000"), ("1.5 million", "1500000"),
        ("3 lakh", "300000"), ("2 crore rupees", "20000000"), ("5k", "5000"), ("$5k", "5000"), ("10K", "10000"),
        ("$3bn", "3000000000"), ("$3 B", "3000000000"), ("3 thousand", "3000"), ("5 hundred", "500"), ("√16", "4"),
        ("√(16)", "4"), ("sqrt(16)", "4"), ("square root of 16", "4"), ("∛27", "3"), ("\\sqrt{16}", "4"),
        ("\\sqrt[3]{27}", "3"), ("2^3", "8"), ("2³", "8"), ("10^{-3}", "0.001"), ("3 \\times 10^{5}", "300000"),
        ("3 x 10^5", "300000"), ("3×10⁵", "300000"), ("5²", "25"), ("5^2", "25"), ("12 apples", "12"),
        ("12 meters per second", "12"), ("$1,200.00 in total", "1200"), ("5 years old", "5"), ("12 m²", "12"),
        ("25 square meters", "25"), ("12 m/s", "12"), ("12 km/h", "12"), ("$5/day", "5"), ("5-year-old", "5"),
        ("5 cm^2", "5"), ("100 m2", "100"), ("\\frac{3}{4}", "0.75"), ("2\\frac{1}{2}", "2.5"),
        ("-\\frac{1}{2}", "-0.5"), ("\\boxed{12}", "12"), ("$\\boxed{\\$18}$", "18"), ("**12**", "12"),
        ("#### 12", "12"), ("12 dollars and something else", "12"), ("She has 12 apples.", "12"),
        ("there are 12 apples left", "12"), ("only 5", "5"), ("exactly 5", "5"), ("5 more apples", "5"),
        ("5 more than Bob", "5"), ("3 times", "3"), ("5 times as many", "5"), ("90°", "90"), ("25 °C", "25"),
        ("US$5", "5"), ("5 USD", "5"), ("Rs. 500", "500"), ("5 €", "5"), ("5 percent", "5"), ("(5)", "5"),
        ("5,000,000", "5000000"), ("12 in.", "12"), ("12 inches", "12"), ("No, it is 5", "5"), ("x is 5", "5"),
        ("n = 12", "12"), ("5 or so", "5"), ("12 per person", "12"), ("12 each", "12"), ("5 hours", "5"),
        ("8 pm", "8"), ("the total is 30 dollars", "30"), ("approximately 3.14", "3.14"), ("~5", "5"), ("≈ 5", "5"),
        ("12", "12"), ("5 рублей", "5"), ("5个", "5"), ("$ 5", "5"), ("5 feet tall", "5"), ("1,200 students", "1200"),
        ("4 pairs of shoes", "4"), ("3.0 hours per day", "3"), ("A: 18", "18"), ("$2.50.", "2.5"),
        ("10 cents", "10"), ("5m", "5"), ("5 m tall", "5"), ("20% off", "20"), ("12.", "12"), ("12?", "12"),
    ],
)  # fmt: skip
def test_numbers_are_evaluated_exactly(span: str, number: str):
    """A reader that takes the digits alone makes 5 of "negative 5", 2 of "2½" and 1.2 of "$1.2M"."""
    assert NUMBER.canonical(span) == number


@pytest.mark.parametrize(
    "span",
    [
        "", "x", "inf", "-Infinity", "nan", "1/0", "3,4", "1,20", "12:30", "05/01/2021", "1.2.3", "1.200,50", "5+3",
        "3 + 3", "5-7", "2 x 3", "2nd", "the 4th", "B12", "1 200", "- 3", "twelve", "2 dozen", "1e99", "not 5",
        "3 boys and 4 girls", "5!", "±5", "2π", "π/2", "2 pi", "√2", "2\\sqrt{2}", "\\sqrt{5}", "3 or x = 3y", "3y",
        "5x", "no more than 5", "all but 3", "3 out of 5", "3 of 5", "5 x 3", "3:2", "10-12", "less than 5", "1st",
        "5 less than", "5 doubled", "half of 5", "twice 5", "half", "one dozen 5", "5 dozen", "at least 5",
        "at most 5", "more than 5", "over 5", "under 5", "up to 5", "5+", "> 5", "< 5", "≥ 5", "x ≠ 5", "isn't 5",
        "5 is wrong", "not 5 but 6", "5 or 6", "5 to 6", "10 to 12", "between 5 and 7", "5 times 3", "times 5",
        "5 squared", "5 factorial", "log 5", "3.333...", "3.33…", "0.(3)", "1'200", "1_000", "COVID-19", "Catch-22",
        "5 minus", "5 million or more", "5万", "five 5", "ten minus 5", "5i", "2 n", "5 mod 3", "-(-5)", "--5",
        "5 degrees below zero", "5 halves", "3 quarters", "a dozen", "5M", "5m people", "1/2/3", "50 ± 2", "+/-5",
        "5 plus", "e^5", "2^x", "5^(1/2)", "10^100", "\\frac{\\pi}{2}", "\\frac{1}{\\sqrt{2}}", "5‰", "x-5", "5@3",
        "12:30 pm", "5 less than twice", "|-5|", "१२", "\\pm 2021", "5 score", "4 gross", "5!!", "2*3", "3 x",
        "5 ÷ 2", "1-1/2", "the cube root of 16", "5 million 3", "nine hundred", "x=3, y=4", "x = 2 or x = 3", "3/4ths", "1990s", "5, 6", "5; 6", "5 and 6",
    ],
)  # fmt: skip
def test_a_number_in_an_expression_is_unread(span: str):
    """2√2 was 2, "5!" was 5, "3 out of 5" is neither."""
    assert NUMBER.canonical(span) is None


@given(st.integers(-999, 999), st.sampled_from(["negative ", "minus ", "-", "−"]))
def test_a_sign_is_one_whatever_its_form(value: int, sign: str):
    assert NUMBER.canonical(f"{sign}{abs(value)} apples") == str(-abs(value))


@given(
    st.integers(0, 99),
    st.sampled_from(sorted({"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅛": "1/8"}.items())),
)
def test_a_mixed_number_is_a_sum(whole: int, part: tuple[str, str]):
    sign, fraction = part
    expected = whole + Fraction(fraction)
    for span in (f"{whole}{sign}", f"{whole} {sign}", f"{whole} {fraction}", f"{whole} and {fraction}"):
        assert NUMBER.same(NUMBER.canonical(span) or "", NUMBER.canonical(str(expected)) or "?")


@given(st.integers(2, 99), st.integers(2, 3), st.integers(0, 12))
def test_powers_and_roots_are_exact(base: int, degree: int, exponent: int):
    """Python's integers are the independent reader; a root that does not come out even is unread."""
    assert NUMBER.canonical(f"{base}^{exponent}") == NUMBER.canonical(f"{base}^{{{exponent}}}") == str(base**exponent)
    root = "√" if degree == 2 else "∛"
    assert (
        NUMBER.canonical(f"{root}{base**degree}")
        == NUMBER.canonical(rf"\sqrt[{degree}]{{{base**degree}}}")
        == str(base)
    )
    assert NUMBER.canonical(f"{root}{base**degree + 1}") is None


# math-verify as a peer

DIFFERENT = {
    # spans that math-verify, given the bare text, takes for another number than we do, and why ours is right
    "negative 5": "-5: the word is left out", "minus 5": "-5: the word is left out", "2½": "2.5: the fraction is left out",
    "$1.2M": "1200000: the scale is left out", "5!": "a factorial or an exclamation",
    "3 lakh": "300000: the scale is left out", "2 dozen": "24, or 2 of them", "3 out of 5": "no number", "1st": "an ordinal",
    "not 5": "denied", "10^{5}": "100000: only the base is read", "5 and a half": "5.5: the half is left out",
    "at least 5": "a bound",
}  # fmt: skip


@pytest.mark.parametrize("span", DIFFERENT)
def test_where_we_differ_from_math_verify_it_has_a_reason(span: str):
    """It was made for mathematics, not for prose: of a text it takes the number and leaves the words."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify

    peer = parse(span, parsing_timeout=None)  # pyright: ignore[reportArgumentType]
    ours = NUMBER.canonical(span)
    assert peer
    assert ours is None or not verify(parse(ours, parsing_timeout=None), peer, timeout_seconds=None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "span",
    ["5", "5.0", "1,200", "-3", "1/2", "2/6", "$18", "18 dollars", "12 apples", "0.10", "1,200.50", "-1/3", "$1,200.00", "007",
     r"\frac{3}{4}", r"\dfrac{3}{4}", r"$\frac{1}{3}$", r"\boxed{12}", r"$\boxed{\frac{5}{6}}$", r"-\frac{1}{2}", r"2\frac{1}{2}",
     r"$\sqrt{16}$", r"$2^{10}$", r"$3 \times 10^{5}$", r"$10^{-3}$", "The answer is 7", "12 km", r"5\text{ cm}", "3.25"],
)  # fmt: skip
def test_math_verify_reads_the_same_number(span: str):
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse, verify

    ours = NUMBER.canonical(span)
    assert ours is not None
    dollars = span if "$" in span or "\\" not in span else f"${span}$"
    peer = parse(dollars, parsing_timeout=None)  # pyright: ignore[reportArgumentType]
    assert verify(parse(f"${ours}$", parsing_timeout=None), peer, timeout_seconds=None)  # pyright: ignore[reportArgumentType]
