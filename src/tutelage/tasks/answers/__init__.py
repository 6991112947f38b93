r"""Readers of answers: from the words a model or a data file wrote to one canonical string, or to None.

    letter    "(C) blue ball."  -> "C"          yes_no    "No, a sophist would not." -> "no"
    number    "$1,200.00"       -> "1200"       words     '"Y-a-j-c".'               -> "yajc"
    math      "$\frac{\sqrt{8}}{2}$"  -> "\frac{\sqrt{8}}{2}", the same answer as "\sqrt{2}"

Each type has two readers. `canonical` reads an answer span: what stands behind the marker of a `Format`, or a gold
answer. Of a span of several lines only the first that holds an answer is read, since models ramble on after it. `find`
is the fallback for a text without a marker: first a boxed answer or a sentence that announces one ("the answer is
..."), then the last sentence, and only where it points at one answer. Both remove formatting first (`formatting`), and
both give None rather than guess: a span that names two different answers, or denies the one it names, is unread. The
published graders take whatever stands last, so a capital inside a name counts as a letter and "5.0" is not "5"
(Mentor-KD's evaluator at ec9ea11).
"""

from __future__ import annotations

from tutelage.tasks.answers.letter import Letter, praises
from tutelage.tasks.answers.math import Math
from tutelage.tasks.answers.number import Number
from tutelage.tasks.answers.protocol import AnswerType
from tutelage.tasks.answers.spans import says_answer
from tutelage.tasks.answers.words import Words
from tutelage.tasks.answers.yes_no import YesNo

__all__ = [
    "ANSWER_TYPES",
    "LETTER",
    "MATH",
    "NUMBER",
    "WORDS",
    "YES_NO",
    "AnswerType",
    "Letter",
    "Math",
    "Number",
    "Words",
    "YesNo",
    "announces",
]

LETTER, YES_NO, NUMBER, WORDS, MATH = Letter(), YesNo(), Number(), Words(), Math()

ANSWER_TYPES: dict[str, AnswerType] = {kind.name: kind for kind in (LETTER, YES_NO, NUMBER, WORDS, MATH)}


def announces(sentence: str) -> bool:
    """Whether a sentence says what the answer is, right or wrong: "the answer is (B)", "(B) is the best choice"."""
    return says_answer(sentence) or praises(sentence)
