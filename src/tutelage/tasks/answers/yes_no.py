"""Yes and no."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.tasks.answers.formatting import strip_formatting
from tutelage.tasks.answers.spans import LONGEST, announced, boxed_spans, is_denied, last_sentence, only, span_of


@dataclass(frozen=True, slots=True)
class YesNo:
    """Yes or no; "true" and "false" are read as yes and no, for questions put as statements.

    Both words count in the same places only: before punctuation or the end, or opening a clause ("no it is not"), so
    "no one knows" is not an answer. "not true", "isn't false" and "I would not say yes" are unread.
    """

    name: str = "yes_no"
    expected: str = "yes or no"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`. A span that opens with yes or no is that, unless it goes on to take it back."""
        return _read(span_of(text)[:LONGEST])

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """Yes or no as last boxed or announced, else as the last sentence says, else as the text opens."""
        for span in (*boxed_spans(text), *announced(text)):
            answer = self.canonical(span)
            if answer or _WORD.search(span[:LONGEST]):
                return answer
        last = last_sentence(text)
        answer = self.canonical(last)
        if answer or _WORD.search(last[:LONGEST]):
            return answer
        return _opening(strip_formatting(text)[:LONGEST])

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`."""
        return first == second


_CLAUSE = (
    r"(?:i|it|its|he|she|we|you|they|this|that|these|those|there|the|a|an|because|since|as|but|and\s+(?!yes|no)|so|"
    r"is|was|would|given|due|although|though|while|for|in)\b"
)
_END = r"(?=\s*(?:[.,;:!?\"'’”)\]}>*…–—/]|-(?!\w)|$)|\s+(?:and|or)\s+(?:yes|no|true|false)\b)"
_REASON = r"(?=\s+(?:because|since|as|it|they|he|she|we|this|that|there)\b)"
_WORD = re.compile(rf"(?<![\w'-])(?:(?:yes|no)(?:{_END}|{_REASON})|(?:true|false|untrue)\b)", re.IGNORECASE)
_OPENING = re.compile(rf"(yes|no|true|false)\b(?:{_END}|(?=\s+{_CLAUSE}))", re.IGNORECASE)
_ABBREVIATION = re.compile(r"no\.\s*\d|(?:yes|no)-\w", re.IGNORECASE)
_BOTH = re.compile(
    r"\s*(?:,|\.|/|&|\||and|or|;|-|–|—|\?)*\s*(?:or|and|but)?\s*(?:yes|no|true|false)\s*(?:[.?!)\"']*$|[.,;/])",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"[.,;:!?…–—]\s*(?:(?:wait|actually|sorry|or|rather|hmm|well|i\s+mean|but|so|the\s+answer\s+is)[\s,:]*)*"
    r"(yes|no|true|false)\s*(?=[.,;!?]|$)",
    re.IGNORECASE,
)
_OWN_VERDICT = re.compile(
    r"\s*[.,;:–—-]\s*(?:that|it|this|the\s+(?:statement|claim|answer|assertion|premise))(?:\s+(?:is|was)|'s)\s+"
    r"(not\s+|n't\s+)?(true|correct|right|false|incorrect|untrue|wrong)\b",
    re.IGNORECASE,
)


def _read(span: str) -> str | None:
    opening = _opening(span)
    if opening or _OPENING.match(span):
        return opening
    found = [
        None if is_denied(span[: match.start()], span[match.end() :]) else _yes_no(match[0])
        for match in _WORD.finditer(span)
        if not _ABBREVIATION.match(span, match.start())
    ]
    return only(found)


def _opening(span: str) -> str | None:
    """The word that opens a span, where the rest of it does not say otherwise."""
    match = _OPENING.match(span)
    if match is None or _ABBREVIATION.match(span):
        return None
    answer, rest = _yes_no(match[0]), span[match.end() :]
    if _BOTH.match(rest) and _yes_no(re.findall(r"yes|no|true|false", _BOTH.match(rest)[0], re.I)[-1]) != answer:  # type: ignore[index]
        return None
    if any(_yes_no(alone[1]) != answer for alone in _ALONE.finditer(rest)):
        return None
    verdict = _OWN_VERDICT.match(rest)
    if verdict:
        affirmed = (verdict[2].lower() in ("true", "correct", "right")) != bool(verdict[1])
        return answer if affirmed == (answer == "yes") else None
    return None if re.match(r"\s+(?:is|was|would\s+be)\b", rest) and is_denied("", rest) else answer


def _yes_no(word: str) -> str:
    return "yes" if word.casefold() in ("yes", "true") else "no"
