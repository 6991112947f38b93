"""Where in a written text the answer stands: its span, its sentences, and what announces or denies an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from tutelage.tasks.answers.formatting import boxed_answers, strip_formatting

LONGEST = 2_000
"""Characters of a span that are read. A longer one is a model that rambles or loops."""

ANNOUNCED = 8
"""Announcements looked at in one sentence, from its end: a model that loops writes thousands of them."""

_LEAD_IN = re.compile(
    r"^[\s\"'({]*(?:(?:so|thus|hence|therefore|ok(?:ay)?|finally|in\s+conclusion|i\s+(?:think|believe)(?:\s+that)?)[,:]?\s+)*"
    r"(?:(?:the|my|our|your)\s+)?(?:(?:final|correct|right|best|overall|predicted|most\s+likely)[\s_]+)*"
    r"(?:answer|result|conclusion|(?<=correct\s)(?:choice|option)|(?<=best\s)(?:choice|option)|(?<=right\s)(?:choice|option))"
    r"(?:\s+(?:choice|option|here|letter|to\s+(?:the|this)\s+(?:question|problem)))*"
    r"[\"']?\s*(?:(?:is|would\s+be|will\s+be|must\s+be|should\s+be|has\s+to\s+be)\b\s*:?|[:=]|[-–—](?=\s)|$)\s*",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"\b(?:(?:answer|choice|option|conclusion)(?:\s+(?:choice|option|here|to\s+(?:the|this|that|your|our)\s+(?:[\w-]+\s+){0,3}?question))?"
    r"\s*(?:(?:is|would\s+be|will\s+be|must\s+be|should\s+be)\b\s*:?|:)"
    r"|(?:final|concatenated)\s+(?:result|string|word|letters?)\s*(?:is|are|would\s+be|:))\s*",
    re.IGNORECASE,
)
_ANNOUNCED_BELOW = re.compile(
    r"(?:answer|choice|option|conclusion|result)(?:\s+(?:choice|option|here|to\s+(?:the|this)\s+question))?"
    r"\s*(?:is|would\s+be|will\s+be|must\s+be|should\s+be)[ \t]*:?[ \t]*\n\s*",
    re.IGNORECASE,
)
_HEADED = re.compile(
    r"^[ \t]*(?:(?:so|thus|hence|therefore),?[ \t]+)?(?:(?:the|my)[ \t]+)?(?:(?:final|correct)[ \t]+)*"
    r"answer[ \t]*[.:]?[ \t]*\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]*\s+|\n+")

DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|none|cannot|cant|isnt|wasnt|dont|doesnt|without|hardly|scarcely|barely|unlikely|unclear"
    r"|unknown|impossible|nothing|nobody|doubt(?:s|ful)?|doubting|deny|denies|den(?:y|ied)|reject(?:s|ed)?|rule[sd]?\s+out"
    r"|ruling\s+out|eliminat(?:e|es|ed|ing)|exclud(?:e|es|ed|ing)|except|(?:anything|everything|all|nothing)\s+but|far\s+from|rather\s+than"
    r"|instead\s+of|other\s+than|opposite\s+of|unlike|if|whether|unless|no\s+(?:longer|way|reason|evidence|means))\b"
    r"|n't\b|≠|¬|\bno\s+(?=[(\[]?[a-z])",
    re.IGNORECASE,
)
"""Words that turn an answer behind them into no answer: "not", "isn't", "whether"."""

_CLAUSE_END = re.compile(
    r"[.;:!?\n]\s|[,(]?\s\b(?:so|thus|hence|therefore|(?<!thing\s)(?<!all\s)but|however|which\s+means|meaning|instead|rather(?!\s+than)|making|"
    r"this\s+means)\b",
    re.IGNORECASE,
)
_COMMA = re.compile(r",\s*")
_COPULA = re.compile(
    r"\b(?:is|are|was|were|must|remains|becomes|would\s+be|will\s+be|should\s+be)\b|'s\b", re.IGNORECASE
)


def span_of(text: str) -> str:
    """The first line with an answer in it, without formatting, outer quotes and an opening such as "The answer is"."""
    first = ""
    for line in strip_formatting(text).split("\n"):
        line = _bare(line)
        first = first or line
        said = without_lead_in(line)
        if any(ch.isalnum() for ch in said):
            return said
    return without_lead_in(first) or first


def without_lead_in(line: str) -> str:
    """A line without "The answer is", "Final answer:" and the like before its answer."""
    for _ in range(3):
        rest = _bare(_LEAD_IN.sub("", line, count=1))
        if rest == line:
            break
        line = rest
    return line


def _bare(line: str) -> str:
    return line.strip("*_`\"'“”‘’ \t\u00a0\u202f")


def boxed_spans(text: str) -> Iterator[str]:
    r"""What each \boxed{} or <answer> tag of a text holds, the last one first; those that are denied are left out."""
    for before, inside, after in reversed(boxed_answers(text)[-ANNOUNCED:]):
        if not is_denied(before, after) and not re.search(r"[-−–±√^*/+×÷·]\s*$", before) and after[:1] not in "!^/*":
            yield inside


@lru_cache(maxsize=4)
def sentences_of(text: str) -> tuple[str, ...]:
    """The sentences of a text without its formatting; an answer below "The answer is:" belongs to that sentence."""
    plain = strip_formatting(text)
    plain = _HEADED.sub("Answer: ", _ANNOUNCED_BELOW.sub(lambda match: match[0].rstrip() + " ", plain))
    return tuple(part.strip() for part in _SENTENCE_END.split(plain) if part.strip())


def last_sentence(text: str) -> str:
    """The last sentence with a letter or digit in it."""
    return next((s for s in reversed(sentences_of(text)) if any(ch.isalnum() for ch in s)), "")


def announced(text: str) -> Iterator[str]:
    """What follows each "the answer is" of a text, the last one first."""
    for sentence in reversed(sentences_of(text)):
        yield from announced_in(sentence)


def announced_in(sentence: str) -> Iterator[str]:
    """What follows each "the answer is", up to the end of the sentence, the last one first."""
    for match in list(_ANNOUNCED.finditer(sentence))[: -ANNOUNCED - 1 : -1]:
        if sentence[match.end() :].strip():
            yield sentence[match.end() :]


def says_answer(sentence: str) -> bool:
    """Whether a sentence has an "the answer is"."""
    return bool(_ANNOUNCED.search(sentence))


def is_denied(before: str, after: str = "") -> bool:
    """Whether what stands between these two is denied: "it is not _", "_ is wrong", "_ can't be the answer"."""
    return _denied_before(before[-LONGEST:]) or denied_after(after[:LONGEST])


def _denied_before(before: str) -> bool:
    """A denial reaches to the end of its clause; a comma ends it only before a verb ("it isn't red, it is _")."""
    ends = [match.end() for match in _CLAUSE_END.finditer(before)]
    clause = before[ends[-1] if ends else 0 :]
    for comma in reversed(list(_COMMA.finditer(clause))):
        if _COPULA.search(clause[comma.end() :]):
            clause = clause[comma.end() :]
            break
    return bool(DENIAL.search(clause) or _THAN.search(clause))


_THAN = re.compile(r"\bthan\W*$", re.IGNORECASE)


_AFTER_END = re.compile(
    r"[.;:,()\[\]!?\n–—]|-\s|\b(?:because|since|as|but|while|so|for|whereas|and|or|if|due)\b", re.IGNORECASE
)
_DENYING = re.compile(
    r"^[\"')\]]*(?:(?:\s+[\w'-]+){0,6}?\s+(?:is|are|was|were|be|seems?|would|could|can|does|did|has)\b.*?\b"
    r"(?:not|never|wrong|incorrect|false|untrue|ruled\s+out|unlikely|impossible|excluded|eliminated|refuted|unsupported)\b"
    r"|(?:\s+[\w'-]+){0,6}?\s+(?:\w+n't|cannot|isnt|cant)\b|\s+not\b(?:\s+(?:correct|right|true|it|the|valid|possible|an?\s+(?:valid|good|possible|correct))\b|\W*$)"
    r"|\s*[:–—-]?\s*(?:incorrect|wrong)\b|\s+to\s+(?:say|claim|assume|think)\b)",
    re.IGNORECASE,
)
_DENYING_ASIDE = re.compile(
    r"^[\"')\]]*\s*\?\s*no\b|^[\"')\]]*\s*[,(:–—-]+\s*(?:(?:which|that|this|it)\s+)?(?:is\s+|was\s+|would\s+be\s+)?(?:n't\s+|not\s+(?:correct|right|true)|"
    r"wrong|incorrect|false\b(?!\s+\w))",
    re.IGNORECASE,
)


def denied_after(after: str) -> bool:
    """Whether a clause goes on to deny what stands before it."""
    if not after:
        return False
    end = _AFTER_END.search(after, 1)
    clause = after[: end.start()] if end else after
    return bool(_DENYING.match(clause[:300]) or _DENYING_ASIDE.match(after[:100]))


def only(found: Iterable[str | None]) -> str | None:
    """The one thing found, however often; None where nothing or several different things were."""
    distinct = set(found)
    return distinct.pop() if len(distinct) == 1 else None
