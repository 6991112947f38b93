"""The letter of a choice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tutelage.formats import LETTERS
from tutelage.tasks.answers.spans import (
    LONGEST,
    announced_in,
    boxed_spans,
    denied_after,
    is_denied,
    last_sentence,
    only,
    sentences_of,
    span_of,
)
from tutelage.tasks.answers.yes_no import YesNo
from tutelage.tasks.words import words as plain_words


@dataclass(frozen=True, slots=True)
class Letter:
    """The letter of one of the choices.

    A label is "(C)", or a "C" that opens the span before punctuation, a reason or the end, or that follows "option",
    "choice", "most likely" and the like. So neither the A of "Alice" nor that of "A ball" is one. A label that is
    denied ("not (C)", "C is wrong") names nothing; two labels that are not denied leave the answer unread.

    The full text of a choice stands for its letter where no other choice reads the same, and "yes" or "no" for theirs
    where these are the choices. Where label and text name different choices ("(A) red" though red is B) the answer is
    unread; the published graders take the label. A letter beyond the known choices is unread too.
    """

    name: str = "letter"
    expected: str = "the letter of a choice, or a choice's full text"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`."""
        span = span_of(text)[:LONGEST]
        bare = _BARE.fullmatch(span)
        if bare:
            return _known(bare[1].upper(), choices)
        labels = list(_labels(span))
        asserted = {label.letter for label in labels if not label.denied}
        labelled = _LEADING_LABEL.match(span)
        if labelled:
            own, behind = _choice(labelled[1], choices), span[labelled.end() :]
            if _plain(behind) in map(_plain, own):
                return labelled[1].upper()
            marked = labelled[0].strip() != labelled[1]  # "(A) ball", unlike "A ball"
            said = {_plain(behind), *map(_plain, _first_clauses(behind))}
            if said & {*map(_plain, own)} and not denied_after(" " + behind):
                asserted.add(labelled[1].upper())
                return asserted.pop() if len(asserted) == 1 else None
            if marked and own and said & {*map(_plain, choices)}:
                return None
        by_text = _by_text(text, choices) or _by_text(span, choices)
        if by_text:
            return by_text
        by_yes_no = _by_yes_no(span, choices)
        if labels and by_yes_no and {label.letter for label in labels} == {by_yes_no}:
            return by_yes_no
        if labels:
            denied = {label.letter for label in labels if label.denied}
            if len(asserted) != 1 or asserted & denied or (by_yes_no and by_yes_no not in asserted):
                return None
            return _known(asserted.pop(), choices)
        return by_yes_no if _yes_or_no(choices) else _by_clause(span, choices)

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        r"""The letter in the last \boxed{}, else of the last sentence that announces one ("the answer is (B)").

        "(B) is correct" announces too. Without one it is that of the last sentence, if this concludes ("therefore",
        "at the end"), denies nothing, and holds one label only, or no label and the text of one choice only.
        """
        for span in boxed_spans(text):
            answer = self.canonical(span, choices)
            if answer:
                return answer
        sentences = sentences_of(text)
        for sentence in reversed(sentences):
            for span in announced_in(sentence):
                answer = self.canonical(span, choices)
                if answer or any(True for _ in _labels(span[:LONGEST])):
                    return answer
                mentioned = None if _DENIED.match(span) else only(_mentioned(span, choices))
                if mentioned:
                    return mentioned
            praised = _known(only(_praised(sentence)), choices)
            if praised:
                return praised
        last = last_sentence(text)
        if not _CONCLUDES.search(last) or _DENIES.search(last):
            return None
        label = _LABEL.search(last)
        return self.canonical(last[label.start() :], choices) if label else only(_mentioned(last, choices))

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`."""
        return first == second


SHORTEST = 3
"""Characters that each choice must have before one is looked for inside a sentence: "no" is said too often."""

MOST_LABELS = 40
"""Labels of a span that are looked at."""

_BARE = re.compile(r"[\s()\[\]{}\"'“”‘’.:,;!]*([A-Za-z])[\s()\[\]{}\"'“”‘’.:,;!]*")
_LEADING_LABEL = re.compile(r"^[(\[]?([A-Za-z])(?:[)\]][.:,;]?|[.:,;]|\s+[-–—](?=\s)|(?=\s))\s*")

_REASON = (
    r"(?:because|since|as|is|isn't|are|aren't|were|might|may|will|was|wasn't|would|wouldn't|must|seems|should|could|can|can't|cannot|for|due|and|or|but|"
    r"not|over|rather|instead|than|which|given|based|if|so|hence|being)\b"
)
_END = rf"(?!\.[A-Za-z]\b|'\w|[.:]\d)(?=\s*(?:[.,;:!?()\[\]\"'/&}}…–—]|$)|\s+[-–—]\s|\s+{_REASON})"
"""What may follow a letter that is a label: punctuation, the end, or a word that no noun phrase goes on with."""
_CUE = (
    r"(?i:likely|probably|definitely|clearly|certainly|surely|obviously|maybe|perhaps|presumably|is|be|it's|that's|are|"
    r"choose|chose|choosing|pick|picked|select|selected|say|with|guess|think|believe|so|hence|thus|therefore|"
    r"both|either|neither|nor|not|but|isn't|wasn't|answered|conclude)"
)
_NAMED = r"(?<!\w)(?i:options?|choices?|letters?|answer(?:\s+is)?)\s*:?\s+[\"']?"
_LABEL = re.compile(
    rf"(?<!\w)[(\[]\s*(?P<bracket>[A-Z](?=\s*[)\]])|[a-z](?=\s*[)\]](?!\w)))"
    rf"|{_NAMED}(?P<named>[B-HJ-Z](?=[\"']?(?:[\s.,:;)!?/&]|$))|[A-HJ-Zb-hj-za]{_END})"
    rf"|(?<![\w-]){_CUE}[,:]?\s+[\"']?(?P<cued>[A-HJ-Z]){_END}"
    rf"|(?:^|(?<=[;:!?]\s)|(?<=(?<![A-Z])\.\s)|(?<=\s[-–—]\s))[\"']?(?P<opening>[A-HJ-Z])"
    rf"(?!\.\s+[A-Z]\.)(?:{_END}|(?=[.,;:)][a-z]{{2}}))"
    rf"|^[\"']?(?P<small>[b-hj-z]{_END}|a(?=[.):,;]|\s+because))"
    r"|^(?P<i>I)(?=[.)\]:](?:\s|$)|$)"
)
_NEXT = re.compile(
    rf"[\"')\]]*\s*(?:,|/|&|\||\+|\band\b|\bor\b)+\s*(?:and|or)?\s*[\"'(\[]?(?P<next>[B-HJ-Z](?![\w'])|A{_END})"
)

_PRAISED = re.compile(
    r"(?:[(\[]([A-Z])[)\]]|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer) ([A-Z]))(?:[^.()\[\]]{0,60}?),?"
    r"\s(?:is|would be|must be)\s(?:(?:thus|therefore|hence|indeed),?\s)?(?:the\s)?"
    r"(?:(?:only|most|best|likely|appropriate)\s)*(?:correct|right|best|appropriate)\b"
    r"|\b(?:making|makes)\s(?:(?:answer|option|choice)\s){0,2}[(\[]?([A-Z])[)\]]?\s(?:the\s)(?:only\s|most\s)?(?:correct|right|best)\b"
)
_PART_END = re.compile(r",|\b(?:and|because|since|as|while)\b", re.IGNORECASE)
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
_CLAUSE_END = re.compile(
    r"\s*[.,;:(–—]|\s+(?:because|since|as|which|due|given|is\s+(?:the\s+)?(?:correct|right|best))\b|\s-\s", re.I
)


class _Label(NamedTuple):
    letter: str
    denied: bool


def praises(sentence: str) -> bool:
    """Whether a sentence says of a letter that it is the right one: "(B) is the best choice"."""
    return bool(_PRAISED.search(sentence))


def _praised(sentence: str) -> Iterator[str]:
    for match in list(_PRAISED.finditer(sentence))[-MOST_LABELS:]:
        before = sentence[max(0, match.start() - LONGEST) : match.start()]
        supposed = "would" in match[0] and re.search(r"\b(?:if|had|were)\b", before, re.IGNORECASE)
        if not supposed and not is_denied(_PART_END.split(before)[-1]):
            yield match[1] or match[2] or match[3]


def _labels(text: str) -> Iterator[_Label]:
    """Letters that stand as labels in a text, and whether it denies them."""
    at = count = 0
    while count < MOST_LABELS and (match := _LABEL.search(text, at)):
        start, end = match.span(match.lastgroup or 0)
        found = [text[start:end]]
        at = end
        while following := _NEXT.match(text, at):
            found.append(following["next"])
            at = following.end()
        denied = is_denied(text[:start], text[at:])
        for letter in found:
            yield _Label(letter.upper(), denied)
        count += 1


def _known(letter: str | None, choices: Sequence[str]) -> str | None:
    return letter if letter and (not choices or letter in LETTERS[: len(choices)]) else None


def _choice(letter: str, choices: Sequence[str]) -> Sequence[str]:
    """The choice of a letter as a sequence of one; empty where there is none."""
    at = LETTERS.index(letter.upper())
    return choices[at : at + 1]


def _plain(text: str) -> str:
    """A choice's text as compared: words without a leading article, signs inside numbers and dates kept apart."""
    words = plain_words(text)
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words) or text.strip()


def _exact(text: str) -> str:
    return " ".join(text.casefold().split())


def _by_text(span: str, choices: Sequence[str]) -> str | None:
    """The letter of the one choice that the span is word for word."""
    for same_text in (_exact, _plain):
        found = [letter for letter, c in zip(LETTERS, choices, strict=False) if same_text(c) == same_text(span)]
        if len(found) == 1:
            return found[0]
    return None


def _first_clauses(text: str) -> Iterator[str]:
    """What stands before the first sign or reason of a text, before the second, and so on."""
    for _, end in zip(range(6), _CLAUSE_END.finditer(text), strict=False):
        if text[: end.start()].strip():
            yield text[: end.start()]


def _by_clause(span: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that opens the span before a reason: "melted, because of the sun"."""
    found = {letter for clause in _first_clauses(span) if (letter := _by_text(clause, choices))}
    others = {letter for part in _CLAUSE_END.split(span) if (letter := _by_text(part, choices))}
    return found.pop() if len(found) == 1 and len(others | found) == 1 else None


def _yes_or_no(choices: Sequence[str]) -> dict[str, str]:
    """The letters of "yes" and "no" where these are the choices, or "true" and "false"."""
    texts = {_plain(choice): letter for letter, choice in zip(LETTERS, choices, strict=False)}
    if len(choices) == 2 and texts.keys() == {"true", "false"}:
        return {"yes": texts["true"], "no": texts["false"]}
    return texts if len(choices) == 2 and texts.keys() == {"yes", "no"} else {}


def _by_yes_no(span: str, choices: Sequence[str]) -> str | None:
    letters = _yes_or_no(choices)
    label = _LEADING_LABEL.match(span) if letters else None
    said = span[label.end() :] if label and label[0].strip() != label[1] else span
    return letters.get(_YES_NO.canonical(said) or "") if letters else None


_YES_NO = YesNo()


def _mentioned(text: str, choices: Sequence[str]) -> Iterator[str]:
    """Letters of the choices whose full text stands in a text as whole words; a longer choice hides a shorter one."""
    if any(len(choice) < SHORTEST for choice in choices):
        return
    rest = f" {' '.join(plain_words(text))} "
    for letter, choice in sorted(zip(LETTERS, choices, strict=False), key=lambda pair: -len(pair[1])):
        wanted = f" {_plain(choice)} "
        if wanted in rest:
            rest = rest.replace(wanted, " | ")
            yield letter
