"""Readers of answers: from the words a model or a data file wrote to one canonical string, or to None.

    letter    "(C) blue ball."  -> "C"          yes_no    "No, a sophist would not." -> "no"
    number    "$1,200.00"       -> "1200"       words     '"Y-a-j-c".'               -> "yajc"

Each type has two readers. `canonical` reads an answer span: what stands behind the marker of a `Format`, or a gold
answer. Of a span of several lines only the first that is not empty is read, since models ramble on after the answer.
`find` is the fallback for a text without a marker: first a sentence that announces an answer ("the answer is ..."),
then the last sentence, and only where it points at one answer. Both give None rather than guess: a span that names two
different answers is unread. The published graders take whatever stands last, so a capital inside a name counts as a
letter and "5.0" is not "5" (Mentor-KD's evaluator at ec9ea11).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from tutelage.formats import LETTERS
from tutelage.tasks.words import are_spelt_out, together
from tutelage.tasks.words import words as _words


class AnswerType(Protocol):
    """How answers of one kind are read and compared. Every method is pure."""

    @property
    def name(self) -> str:
        """The name in a recipe."""
        ...

    @property
    def expected(self) -> str:
        """What a person should write as gold answer, for error messages."""
        ...

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The one form of the answer in a short span, or None. Reading a canonical answer changes nothing."""
        ...

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The answer that a text without a marker ends on, or None."""
        ...

    def same(self, first: str, second: str) -> bool:
        """Whether two canonical answers are the same answer."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """The letter of one of the choices.

    A label is "(C)", or "C" alone, before ".", ")" or ":", after "option", "choice" or "answer is", or before its own
    choice's text. So neither the A of "Alice" nor that of "A ball" is one. The full text of a choice stands for its
    letter where no other choice reads the same. Where label and text name different choices ("(A) red" though red is B)
    the answer is unread; the published graders take the label. A letter beyond the known choices is unread too.
    """

    name: str = "letter"
    expected: str = "the letter of a choice, or a choice's full text"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`."""
        span = _span(text)
        bare = re.fullmatch(r"[(\[]?([A-Za-z])[)\]]?[.:)]?", span)
        if bare:
            return _known(bare[1].upper(), choices)
        labelled = _LEADING_LABEL.match(span)
        if labelled:
            own = _choice(labelled[1], choices)
            behind = _plain(span[labelled.end() :])
            if behind in map(_plain, own):
                return labelled[1].upper()
            marked = labelled[0].strip() != labelled[1]  # "(A) ball", unlike "A ball"
            if marked and own and behind in map(_plain, choices):
                return None
        for same_text in (_exact, _plain):
            by_text = [letter for letter, c in zip(LETTERS, choices, strict=False) if same_text(c) == same_text(span)]
            if len(by_text) == 1:
                return by_text[0]
        return None if _DENIED.match(span) else _known(_only(_labels(span)), choices)

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The letter of the last sentence that announces an answer ("the answer is (B)", "(B) is correct").

        Without one it is that of the last sentence, if this concludes ("therefore", "at the end"), denies nothing, and
        holds one label only, or no label and the text of one choice only.
        """
        for sentence in reversed(_sentences(text)):
            for span in _announced_in(sentence):
                answer = self.canonical(span, choices)
                if answer or any(_labels(span)):
                    return answer
                mentioned = None if _DENIED.match(span) else _only(_mentioned(span, choices))
                if mentioned:
                    return mentioned
            praised = _known(_only(match[1] or match[2] for match in _PRAISED.finditer(sentence)), choices)
            if praised:
                return praised
        last = _last_sentence(text)
        if not _CONCLUDES.search(last) or _DENIES.search(last):
            return None
        label = _LABEL.search(last)
        return self.canonical(last[label.start() :], choices) if label else _only(_mentioned(last, choices))

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`."""
        return first == second


@dataclass(frozen=True, slots=True)
class YesNo:
    """Yes or no; "true" and "false" are read as yes and no, for questions put as statements.

    "no" counts only before punctuation or the end, or opening a clause ("no it is not"), so "no one knows" is not an
    answer. "not true" is unread.
    """

    name: str = "yes_no"
    expected: str = "yes or no"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`. A span that opens with yes or no is that, whatever follows."""
        span = _span(text)
        if _DENIED.match(span):
            return None
        opening = _YES_NO.match(span)
        if opening and any(opening.groups()):
            return _yes_no(opening)
        return _only(_yes_no(match) for match in _YES_NO.finditer(span))

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """Yes or no as last announced, else as the last sentence says, else as the text opens."""
        for span in _announced(text):
            answer = self.canonical(span)
            if answer:
                return answer
        return self.canonical(_last_sentence(text)) or _yes_no(_YES_NO.match(text.strip()))

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`."""
        return first == second


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number: "5.0" is "5", "1,200" is "1200", "1/2" is "0.5", "2/6" is "1/3".

    Currency signs, units and a percent sign are left out: "50%" is "50", as the published gold answers have it. Commas
    group by three; "3,4" is no number. Ordinals, times, dates, powers and digits behind a letter are none either, nor
    are infinity, division by zero and numbers of more than 60 digits. Number words ("twelve",
    "1.5 million") are not read.
    """

    name: str = "number"
    expected: str = "a number such as 17, -3, 1,200.50 or 1/3"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`. Of "5 + 3 = 8" what follows the last equals sign is read."""
        span = _span(text).rpartition("=")[2]
        return None if _SUM.search(span) or _DENIED.match(span) else _only(_numbers(span))

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The number last announced, else that of the last sentence with a number in it.

        There the number behind the last equals sign counts ("10 - 4 = 6 more than 3" is 6), or else the only number.
        """
        for span in _announced(text):
            answer = self.canonical(span)
            if answer:
                return answer
        for sentence in reversed(_sentences(text)):
            result = [*_numbers(sentence.rpartition("=")[2])][:1] if "=" in sentence else []
            if result or any(_numbers(sentence)):
                return result[0] if result else _only(_numbers(sentence))
        return None

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`. Equal as numbers."""
        one, other = _value(first), _value(second)
        return first == second if one is None or other is None else one == other


@dataclass(frozen=True, slots=True)
class Words:
    """A short free text: case folded, single spaces, no punctuation. Letters spelt out ("y-a-j-c") are joined.

    Signs that tell answers apart stay, so that "C++" is not "C", "-5" not "5", "3.5" neither "35" nor "3 5", and "5%"
    not "5" (see `words`). Equal spellings are equal answers: "1,200" and "1200", "e-mail" and "Email". Whether 3.0 is 3
    is not asked; numbers have a type of their own.
    """

    name: str = "words"
    expected: str = "a short text with at least one letter or digit"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`."""
        found = _words(_span(text))
        canonical = ("" if are_spelt_out(found) else " ").join(found)
        return canonical if any(ch.isalnum() for ch in canonical) else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The last announced answer, else what the last sentence ends on.

        That is what follows its last colon, equals sign, "is", "get", "gives" or "becomes": the first quoted words
        there, or all of it where it is short; else the sentence itself where it is a single word.
        """
        for span in (*_announced(text), *_ENDS_ON.split(_last_sentence(text))[:0:-1]):
            quoted = _QUOTED.search(span)
            answer = self.canonical(quoted[1] or quoted[2] if quoted else span)
            if answer and (quoted or len(_words(span)) <= SHORT):
                return answer
        last = _last_sentence(text)
        return self.canonical(last) if len(_words(last)) == 1 else None

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`. White space is ignored: "new york" is "newyork"."""
        return together(_words(first)) == together(_words(second))


_QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]|(?<!\w)['‘]([^'‘’]+)['’](?!\w)")
_ENDS_ON = re.compile(r"[:=]|\b(?:get|gives|is|becomes|are)(?:\s+us)?\b")

ANNOUNCED = 8
"""Announcements looked at in one sentence, from its end: a model that loops writes thousands of them."""

SHORTEST = 3
"""Characters that each choice must have before one is looked for inside a sentence: "no" is said too often."""

SHORT = 5
"""Words that an unquoted answer of type `words` may have when no marker and no announcement stands before it."""

LETTER, YES_NO, NUMBER, WORDS = Letter(), YesNo(), Number(), Words()

ANSWER_TYPES: dict[str, AnswerType] = {kind.name: kind for kind in (LETTER, YES_NO, NUMBER, WORDS)}


def announces(sentence: str) -> bool:
    """Whether a sentence says what the answer is, right or wrong: "the answer is (B)", "(B) is the best choice"."""
    return bool(_ANNOUNCED.search(sentence) or _PRAISED.search(sentence))


# Spans and sentences

_LEAD_IN = re.compile(
    r"^(?:(?:so|thus|hence|therefore),?\s+)?(?:the\s+)?(?:(?:final|correct|right|best)\s+)*"
    r"(?:answer|result)(?:\s+(?:choice|option))?\s*(?:is|would\s+be|will\s+be|:)\s*:?\s*",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"\b(?:(?:answer|choice|option|conclusion)(?:\s+(?:choice|option|here|to\s+(?:the|this)\s+question))?"
    r"\s*(?:(?:is|would\s+be|will\s+be|must\s+be|should\s+be)\b\s*:?|:)"
    r"|(?:final|concatenated)\s+(?:result|string|word|letters?)\s*(?:is|are|would\s+be|:))\s*",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|consequently|finally|in conclusion|overall|at the end|in the end|this means)\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:not|neither|none|never|unclear|unknown|cannot)\b", re.IGNORECASE)
_DENIES = re.compile(
    r"\b(?:not|no|nor|neither|never|none|cannot|incorrect|wrong|unrelated|irrelevant|unlikely|other|rather|instead)\b"
    r"|n['’]t\b|\b(?:eliminat|exclud|rul(?:e|ed|ing) out|contraindicat)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]*\s+|\n+")


def _span(text: str) -> str:
    """The first line that is not empty, without outer quotes, stars and an opening such as "The answer is"."""
    line = next((line.strip() for line in unicodedata.normalize("NFC", text).splitlines() if line.strip()), "")
    return _LEAD_IN.sub("", line.strip("*_`\"'“”‘’ \t")).strip("*_`\"'“”‘’ \t")


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(unicodedata.normalize("NFC", text)) if part.strip()]


def _last_sentence(text: str) -> str:
    """The last sentence with a letter or digit in it."""
    return next((s for s in reversed(_sentences(text)) if any(ch.isalnum() for ch in s)), "")


def _announced(text: str) -> Iterator[str]:
    """What follows each "the answer is" of a text, the last one first."""
    for sentence in reversed(_sentences(text)):
        yield from _announced_in(sentence)


def _announced_in(sentence: str) -> Iterator[str]:
    """What follows each "the answer is", up to the end of the sentence, the last one first."""
    for match in list(_ANNOUNCED.finditer(sentence))[: -ANNOUNCED - 1 : -1]:
        if sentence[match.end() :].strip():
            yield sentence[match.end() :]


def _only(found: Iterable[str | None]) -> str | None:
    """The one thing found, however often; None where nothing or several different things were."""
    distinct = set(found)
    return distinct.pop() if len(distinct) == 1 else None


# Letters

_LEADING_LABEL = re.compile(r"^[(\[]?([A-Za-z])(?:[)\]][.:]?|[.:]|(?=\s))\s*")
_LABEL = re.compile(
    r"[(\[]([A-Z])[)\]]"
    r"|(?<!\w)(?:option|choice|answer(?:\s+is)?|[Oo]ption|[Cc]hoice|[Aa]nswer(?:\s+is)?)\s*:?\s+([A-Z])(?=[\s.,:;)!]|$)"
    r"(?!\s+[a-z])"
    r"|^([A-Z])[.:)](?=\s|$)"
)

_PRAISED = re.compile(
    r"(?:[(\[]([A-Z])[)\]]|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer) ([A-Z]))(?:[^.()\[\]]{0,60}?),?"
    r"\s(?:is|would be|must be)\s(?:(?:thus|therefore|hence|indeed),?\s)?(?:the\s)?"
    r"(?:(?:only|most|best|likely|appropriate)\s)*(?:correct|right|best|appropriate)\b"
)


def _labels(text: str) -> Iterator[str]:
    """Letters that stand as labels in a text."""
    for match in _LABEL.finditer(text):
        yield match[1] or match[2] or match[3]


def _known(letter: str | None, choices: Sequence[str]) -> str | None:
    return letter if letter and (not choices or letter in LETTERS[: len(choices)]) else None


def _choice(letter: str, choices: Sequence[str]) -> Sequence[str]:
    """The choice of a letter as a sequence of one; empty where there is none."""
    at = LETTERS.index(letter.upper())
    return choices[at : at + 1]


def _plain(text: str) -> str:
    """A choice's text as compared: words without a leading article, signs inside numbers and dates kept apart."""
    words = _words(text)
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words) or text.strip()


def _exact(text: str) -> str:
    return " ".join(text.casefold().split())


def _mentioned(text: str, choices: Sequence[str]) -> Iterator[str]:
    """Letters of the choices whose full text stands in a text as whole words; a longer choice hides a shorter one."""
    if any(len(choice) < SHORTEST for choice in choices):
        return
    rest = f" {' '.join(_words(text))} "
    for letter, choice in sorted(zip(LETTERS, choices, strict=False), key=lambda pair: -len(pair[1])):
        wanted = f" {_plain(choice)} "
        if wanted in rest:
            rest = rest.replace(wanted, " | ")
            yield letter


# Yes and no

_YES_NO = re.compile(
    r"\b(yes|no)\b(?=\s*(?:[.,;:!?\"'’”)\]*–—-]|$))"
    r"|^(yes|no)\b(?=\s(?:i|it|he|she|we|you|they|this|that|there|the|because)\b)"
    r"|\byes\b|(?<!not )\b(true|false)\b",
    re.IGNORECASE,
)


def _yes_no(match: re.Match[str] | None) -> str | None:
    return None if match is None else "yes" if match[0].casefold() in ("yes", "true") else "no"


# Numbers

_NUMBER = re.compile(
    r"(?<![\w.,/:])"  # not behind a letter, nor inside a date or a version
    r"(?P<sign>[-–+−])?(?:[$€£¥₹]\s?)?(?P<inner>[-–+−])?"
    r"(?P<body>(?:[0-9]|\.[0-9])[0-9.,/:]*(?:[eE][-+]?[0-9]+)?(?:\s[0-9]+/[0-9]+(?![0-9/]))?)"
    r"(?P<no>(?:st|nd|rd|th)\b|\s?\^|[²³⁰-⁹]|\s(?:hundred|thousand|[mbtr]+illion|dozen)\b)?"
)
_BODY = re.compile(
    r"(?:(?P<whole>[0-9]+)\s)?(?P<top>[0-9]+)/(?P<bottom>[0-9]+)"
    r"|(?P<plain>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?)"
)
_SUM = re.compile(r"[0-9)]\s*[+*×·÷]\s*[($]?[0-9]|[0-9)]\s+[-−–/x]\s+[($]?[0-9]|[0-9]\s?[-−–x][0-9]|^[-−–]\s")
_THOUSANDS = re.compile(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
DIGITS = 60
"""Longer numbers are refused: nobody asks for them, and a model that loops writes them."""


def _numbers(text: str) -> Iterator[str | None]:
    """Numbers of a text in order, canonical; None for what looks like a number and is none ("3,4", "12:30", "1/0")."""
    for match in _NUMBER.finditer(_THOUSANDS.sub("", text)):
        value = None if match["no"] else _unsigned(match["body"].rstrip(".,:/"))
        minus = sum(match[group] in ("-", "–", "−") for group in ("sign", "inner"))
        yield None if value is None else _number_text(-value if minus == 1 else value)


def _unsigned(body: str) -> Fraction | None:
    match = _BODY.fullmatch(body)
    if not match or not 0 < len(body) <= DIGITS:
        return None
    if match["top"]:
        if int(match["bottom"]) == 0:
            return None
        return int(match["whole"] or 0) + Fraction(int(match["top"]), int(match["bottom"]))
    return Fraction(match["plain"].replace(",", ""))


def _value(text: str) -> Fraction | None:
    """The number that a canonical text is."""
    value = _unsigned(text.removeprefix("-"))
    return -value if value is not None and text.startswith("-") else value


def _number_text(value: Fraction) -> str | None:
    """An integer, else a decimal where one is exact within 20 places, else a fraction in lowest terms."""
    text = str(value)  # "17", "-3", "1/3"
    for places in range(1, 21) if value.denominator != 1 else ():
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            text = f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
            break
    return text if len(text.removeprefix("-")) <= DIGITS else None
