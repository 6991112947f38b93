r"""Mathematical expressions, read and compared by math-verify (Hugging Face).

    "$\frac{\sqrt{8}}{2}$" and "\sqrt{2}" are the same answer; so are "x^2 - 1" and "(x-1)(x+1)", "(0, 1]" and itself.

Our own reader of numbers gives a second opinion. Where both read a number and the two differ ("negative 5" is 5 to
math-verify), the answer is unread and the disagreement is listed by `tutelage grade`: neither is taken on trust.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, cast

from tutelage.tasks.answers.formatting import strip_markup, word_set
from tutelage.tasks.answers.number import Number
from tutelage.tasks.answers.spans import DENIAL, announced_in, last_sentence, without_lead_in

LONGEST = 300
"""Characters of an expression. math-verify's own time limit is a signal, which only a main thread can receive."""

DEPTH = 20
"""Brackets within brackets: the parser takes exponential time in them."""

BOXES = 8
"""Boxes looked at, from the end of a text: a model that loops writes thousands of them."""

EXPONENT, SYMBOLIC_EXPONENT = 1_000, 40
"""The largest product of exponents in a number and in a formula: sympy would write 10^(10^9) out."""


class Readings(NamedTuple):
    """What the two readers make of one span, as text."""

    math_verify: str
    number: str


@dataclass(frozen=True, slots=True)
class Math:
    """A mathematical expression: a number, a formula, an interval, a set, an equation.

    The canonical form is the expression as it was written, without formatting around it; an exact number has the form
    that `Number` gives it. Equality is math-verify's, asked in both directions.
    """

    name: str = "math"
    expected: str = r"an expression such as 17, 3/4, \sqrt{2}, x^2 + 1 or (0, 1]"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`. Words around an expression are left to the reader of numbers ("12 apples")."""
        span, number = _span(text), _NUMBER.canonical(text)
        if _is_prose(span):
            return number
        parsed = _parsed(span)
        if not parsed or _span(span) != span:
            return None
        if number is None:
            return span
        if not _same(parsed, _parsed(number)):
            return None
        return number if parsed[0].is_number and "%" not in span else span

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The expression last boxed or announced, else the number of the last sentence (`Number.find`)."""
        box = _last_box(text)
        if box is not None:
            return self.canonical(box)
        for sentence in reversed(_SENTENCE_END.split(strip_markup(text))):
            for span in announced_in(sentence):
                answer = self.canonical(span)
                if answer or self.disagreement(span):
                    return answer
        return _NUMBER.find(last_sentence(text))

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`. math-verify treats gold and answer differently: either order may find them equal."""
        if first == second:
            return True
        one, other = _parsed(first), _parsed(second)
        return _same(one, other)

    def disagreement(self, text: str) -> Readings | None:
        """What the two readers make of a span where they contradict each other."""
        span, number = _span(text), _NUMBER.canonical(text)
        parsed = () if number is None or _is_prose(span) else _parsed(span)
        if number is None or not parsed or _same(parsed, _parsed(number)):
            return None
        return Readings(str(parsed[0]), number)


_NUMBER = Number()

_BOXED = re.compile(r"^\$*\s*\\(?:boxed|fbox)\s*\{(?P<inside>.*)\}\s*\$*[.,]?$", re.DOTALL)
_DELIMITED = re.compile(
    r"^(?:\$\$?(?P<dollars>[^$]*)\$\$?|\\\((?P<round>.*)\\\)|\\\[(?P<square>.*)\\\])[.,]?$", re.DOTALL
)
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*[{(]*\s*[-+]?(\d+)")
_TOWER = re.compile(r"(?:\^|\*\*)[\s{(]*\d+[\s})]*(?:\^|\*\*)|\d{4,}\s*\)?\s*!|![\s)]*!|\d{60}")
_COMMAND = re.compile(
    r"\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}|\\(?:begin|end)\s*\{[^{}]*\}(?:\{[^{}]*\})?|\\[A-Za-z]+"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_PROSE = re.compile(r"[^\W\d_]{2,}")
_FUNCTIONS = word_set(
    "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln exp sqrt pi max min mod gcd lcm deg "
    "det dim ker lim sup inf infty and or in frac dfrac text left right cdot times div pm cup cap le ge leq "
    "geq neq emptyset mathbb "
)


def _span(text: str) -> str:
    """The first line with an expression in it, without delimiters, a box, or "The answer is" around it."""
    line = next(
        (line.strip() for line in strip_markup(text).split("\n") if any(map(str.isalnum, without_lead_in(line)))), ""
    )
    for _ in range(6):
        bare = without_lead_in(line).strip().removesuffix(".").strip()
        boxed, delimited = _BOXED.match(bare), _DELIMITED.match(bare)
        if boxed and _balanced(boxed["inside"]):
            bare = boxed["inside"].strip()
        elif delimited and (delimited["dollars"] or delimited["round"] or delimited["square"]):
            bare = next(part for part in delimited.groups() if part).strip()
        if bare == line:
            break
        line = bare
    return line


def _balanced(text: str) -> bool:
    depth = 0
    for ch in text:
        depth += (ch == "{") - (ch == "}")
        if depth < 0:
            return False
    return depth == 0


def _last_box(text: str) -> str | None:
    r"""What the last whole \boxed{...} of a text holds, its LaTeX untouched."""
    for match in list(re.finditer(r"\\boxed\s*\{", text))[: -BOXES - 1 : -1]:
        depth = 1
        for at in range(match.end(), min(len(text), match.end() + 4 * LONGEST)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                return text[match.end() : at]
    return None


def _is_prose(span: str) -> bool:
    """Whether a span holds words that are no functions and stand in no LaTeX command."""
    return any(word.lower() not in _FUNCTIONS for word in _PROSE.findall(_COMMAND.sub(" ", span)))


def _readable(span: str) -> bool:
    """Whether a span is an expression that can be parsed and compared quickly."""
    if not 0 < len(span) <= LONGEST or _TOWER.search(span) or _is_prose(span) or DENIAL.search(span):
        return False
    formula = bool(re.search(r"[a-zA-Z]", _COMMAND.sub(" ", span)))
    if prod(max(1, int(digits[:9])) for digits in _EXPONENT.findall(span)) > (
        SYMBOLIC_EXPONENT if formula else EXPONENT
    ):
        return False
    depth = deepest = 0
    for ch in span:
        depth += (ch in "([{") - (ch in ")]}")
        deepest = max(deepest, depth)
    return deepest <= DEPTH


@lru_cache(maxsize=1024)
def _parsed(span: str) -> tuple[Any, ...]:
    """math-verify's reading: the expression, and the text it was read from; empty where there is none."""
    if not _readable(span):
        return ()
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    from math_verify import parse  # pyright: ignore[reportMissingTypeStubs]

    without_limit: Any = None
    try:
        found = cast("list[Any]", parse(f"${span}$", parsing_timeout=without_limit))
    except RecursionError:
        return ()
    if not found or isinstance(found[0], str) or {"zoo", "nan"} & {str(found[0])}:
        return ()
    return tuple(found)


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return bool(one and other) and (_equal(one, other) or _equal(other, one))


def _equal(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    from math_verify import verify  # pyright: ignore[reportMissingTypeStubs]

    try:
        return verify(list(first), list(second), timeout_seconds=None)
    except RecursionError:
        return False
