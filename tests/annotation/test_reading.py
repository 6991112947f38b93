"""What a teacher meant by its last line, whatever it dressed it in."""

from __future__ import annotations

import pytest

from tutelage.annotation.reading import read_teacher
from tutelage.formats import FORMATS, Format, Reading

LINE = FORMATS["answer-line"]
WHY = "2 + 10 = 12."


@pytest.mark.parametrize(
    "line",
    [
        "Answer: 12",
        "**Answer:** 12",
        "**Answer: 12**",
        "**Answer**: 12",
        "### Answer: 12",
        "Final Answer: 12",
        "**Final answer:** 12",
        "answer: 12",
        "The answer: 12",
        "- Answer: 12",
        "> *Answer:* 12",
        "---\n**Answer:** 12",
        "**Answer:**\n\n12",
        "Therefore, the correct answer: 12",
    ],
)
def test_a_last_line_in_any_dress_is_an_answer_line(line: str):
    """What is left of it would be taught as a reason, behind every rationale of a chat model."""
    assert read_teacher(f"{WHY}\n{line}", LINE) == Reading(WHY, "12")


def test_the_last_of_two_lines_counts():
    assert read_teacher(f"**Answer:** 7\nNo. {WHY}\n**Answer:** 12", LINE) == Reading(f"**Answer:** 7\nNo. {WHY}", "12")
    assert read_teacher(f"**Answer:** 7\nNo. {WHY} Answer: 12", LINE).answer == "12"


@pytest.mark.parametrize(
    "text", [f"{WHY} Answer: 12", WHY, f"{WHY}\nThe answer is 12.", f"{WHY}\n**Answer:**", "Answers: 3\n" + WHY]
)
def test_what_is_no_such_line_is_read_to_the_letter(text: str):
    assert read_teacher(text, LINE) == LINE.read(text)


def test_other_markers_are_read_to_the_letter():
    """A sign is not dressed up."""
    for fmt in (FORMATS["arrow"], Format("equals", marker="=")):
        for text in ("a --> 5", "x = 5", "Answer: 5"):
            assert read_teacher(text, fmt) == fmt.read(text)


def test_emphasis_inside_of_a_rationale_stays():
    assert read_teacher("It is **12**\nAnswer: 12", LINE) == Reading("It is **12**", "12")
