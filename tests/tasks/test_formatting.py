r"""Formatting around an answer changes nothing, whatever the answer: no format may favour yes over no, or A over B."""

# ruff: noqa: E501 - tables of spans read best as rows

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.tasks.answers import ANSWER_TYPES, LETTER, NUMBER, WORDS, YES_NO
from tutelage.tasks.answers.formatting import boxed_answers, strip_formatting, strip_markup

INLINE = (
    r"\boxed{%s}", r"\\boxed{%s}", r"\fbox{%s}", r"\text{%s}", r"\textbf{%s}", r"\mathrm{%s}", r"\mathbf{%s}", r"\emph{%s}",
    r"\textcolor{red}{%s}", r"{\bf %s}", r"\left(%s\right)", r"\boxed{\text{%s}}", "$%s$", "$$%s$$", r"\(%s\)", r"\[%s\]",
    r"$\boxed{\textbf{%s}}$", r"\[ \boxed{ %s } \]", "<answer>%s</answer>", "<b>%s</b>", "<strong>%s</strong>", "<i>%s</i>",
    "<final_answer>%s</final_answer>", "<p>%s</p>", "<span class='x'>%s</span>", "**%s**", "__%s__", "*%s*", "_%s_", "`%s`",
    "***%s***", "**%s**.", "(%s)", "[%s]", "（%s）", "【%s】", '"%s"', "“%s”", "'%s'", "‘%s’", "「%s」", "%s.", "%s。", "%s．",
    "%s\u200b", "\ufeff%s", "\u00a0%s", "[%s](https://example.org)",
)  # fmt: skip
WHOLE = (
    "%s</s>", "<s> %s </s>", "%s<|im_end|>", "%s<|im_end|>\n<|im_start|>user\nmore", "<|im_start|>assistant\n%s<|im_end|>",
    "%s<|eot_id|>", "%s<|endoftext|>", "%s<|end_of_text|>", "%s<eos>", "%s<end_of_turn>", "%s [EOS]", "%s<｜end▁of▁sentence｜>",
    "<pad> %s</s>", "<|channel|>final<|message|>%s<|return|>", "<|start_header_id|>assistant<|end_header_id|>\n\n%s",
    "<think>hm</think>%s", "# %s", "#### %s", "* %s", "• %s", "> **%s**", ">\n> %s", "```\n%s\n```", "```text\n%s\n```",
    "The answer is %s", "The answer is %s.", "The answer is:\n%s", "The answer is: %s", "Answer: %s", "**Answer:** %s",
    "**Answer:**\n\n%s", "**Answer**: %s", "Answer:\n%s", "Final answer: %s", "**Final Answer:**\n%s", "## Answer\n%s",
    "### Final answer\n\n%s", "So the final answer is **%s**.", "The correct answer is %s.", "Therefore, the answer is %s.",
    "Answer = %s", "Answer：%s", "Answer - %s", "\n\n%s\n", "%s\n\nLet me explain.", "*Answer*: *%s*", "My answer: %s",
    "The final answer is $\\boxed{%s}$.", "The final answer is: $\\boxed{%s}$", "ANSWER: %s", "- Answer: %s", "> Answer: %s",
)  # fmt: skip
FORMATS = (*INLINE, *WHOLE)
LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("wrapper", FORMATS)
def test_every_answer_is_read_alike_in_every_format(wrapper: str):
    r"""Where \boxed{yes} was read and \boxed{no} was not, a teacher's yes alone was kept: 18 yes, no no."""
    assert [YES_NO.canonical(wrapper % word) for word in ("yes", "no", "Yes", "No", "true", "false")] == [
        "yes",
        "no",
    ] * 3
    assert [LETTER.canonical(wrapper % letter) for letter in LETTERS] == [*LETTERS]
    assert [LETTER.canonical(wrapper % word, ("yes", "no")) for word in ("yes", "no")] == ["A", "B"]
    assert [LETTER.canonical(wrapper % letter, ("red", "blue", "pink")) for letter in "ABC"] == [*"ABC"]
    assert [NUMBER.canonical(wrapper % number) for number in ("12", "0.5", "1,200")] == ["12", "0.5", "1200"]
    assert WORDS.canonical(wrapper % "rhubarb") == "rhubarb"


@pytest.mark.parametrize(("outer", "inner"), [*itertools.product(INLINE, INLINE)])
def test_formats_nest(outer: str, inner: str):
    """A chat model writes bold inside of a box inside of dollar signs."""
    wrapped = [(outer % (inner % word)) for word in ("yes", "no")]
    assert [YES_NO.canonical(text) for text in wrapped] in (["yes", "no"], [None, None])
    if "'" not in outer + inner and "‘" not in outer + inner:
        assert [YES_NO.canonical(text) for text in wrapped] == ["yes", "no"]
        assert [LETTER.canonical(outer % (inner % letter)) for letter in "ABZ"] == [*"ABZ"]


@given(
    st.lists(st.sampled_from(INLINE), max_size=3), st.sampled_from(FORMATS), st.text(max_size=12), st.text(max_size=12)
)
def test_no_surroundings_favour_an_answer(inner: Sequence[str], outer: str, before: str, after: str):
    """Whatever stands around it: yes is read where no is, and a letter where another is.

    Texts are drawn without letters and digits, which would say something of their own.
    """
    before, after = ("".join(ch for ch in text if not ch.isalnum()) for text in (before, after))

    def wrapped(word: str) -> str:
        for wrapper in inner:
            word = wrapper % word
        return outer % f"{before}{word}{after}"

    assert {YES_NO.canonical(wrapped("yes")), YES_NO.canonical(wrapped("no"))} in ({"yes", "no"}, {None})
    letters = [LETTER.canonical(wrapped(letter)) for letter in "BCD"]
    assert letters in ([*"BCD"], [None] * 3)


@given(st.text(max_size=60))
def test_stripping_twice_changes_no_answer(text: str):
    for kind in ANSWER_TYPES.values():
        if kind.name != "math":
            once = kind.canonical(strip_formatting(text))
            assert once == kind.canonical(strip_formatting(strip_formatting(text))) or once is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\dfrac{3}{4}\,\text{cups}", "3/4\u202fcups"), (r"2\frac12", "2 1/2"), (r"\frac{\pi}{2}", "π/2"),
        (r"\sqrt[3]{8}", "√[3](8)"), (r"1{,}200", "1,200"), (r"1,\!200", "1,200"), (r"90^{\circ}", "90°"),
        (r"10^{-3}", "10^(-3)"), ("2<sup>3</sup>", "2^(3)"), ("$5 and $6", "$5 and $6"), (r"costs \$5", "costs $5"),
        ("5 * 3", "5 * 3"), ("2**3", "2**3"), ("x_1", "x_1"), ("snake_case_name", "snake_case_name"), ("- 3", "- 3"),
        ("> 3", "> 3"), ("3 < 4", "3 < 4"), ("~~A~~ B", "B"), (r"\cancel{A} B", "B"), ("2½", "2½"), ("x²", "x²"),
        ("<b>", "<b>"), ("*", "*"), ("</s>", ""), ("48/2 = <<48/2=24>>24", "48/2 = 24"), ("１２", "12"), ("Ⓑ", "B"),
        ("𝐁", "B"), ("isn’t", "isn't"), (r"\unknown{x}", r"\unknown x"), ("\x08oxed{B}", "B"), ("{{B", "B"), ("B}}", "B"),
    ],
)  # fmt: skip
def test_what_is_formatting_goes_and_what_has_a_meaning_stays(text: str, plain: str):
    """NFKC makes 21/2 of 2½, and braces without a sign 103 of ten to the power -3."""
    assert strip_formatting(text) == plain


def test_a_box_is_found_with_its_surroundings():
    assert boxed_answers(r"So $x = \boxed{\frac{1}{2}}$ cups") == [("So x =", "1/2", "cups")]
    assert boxed_answers("<answer> B </answer>\nmore") == [("", "B", "")]


def test_markup_goes_without_the_latex():
    assert strip_markup(r"**Answer:** $\frac{1}{2}$</s>") == r"Answer: $\frac{1}{2}$"


@pytest.mark.parametrize(
    "mark", ["\\", "{", "}", "\\frac{", "$", "*a ", "_", "<think>", "</think>", "~~", "[a](", "> ", "|", "&", "^{"]
)
@pytest.mark.timeout(30)
def test_a_long_text_of_marks_is_stripped_in_no_time(mark: str):
    """A pattern that looks back and forth takes minutes for 100 kB of backslashes."""
    import time

    began = time.process_time()
    strip_formatting(mark * (100_000 // len(mark)))
    assert time.process_time() - began < 5
