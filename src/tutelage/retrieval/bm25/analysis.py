"""How a text becomes terms, the same for passages and for queries.

    "The Zürich trams, running since 1882."  ->  ["zürich", "tram", "run", "sinc", "1882"]
    "काला 10,000 × 3.14"                      ->  ["काला", "10000", "3.14"]

Case folded; runs of letters, their marks and digits, with the point of a number and without the commas of its
thousands. Chinese and Japanese, and Thai, Lao, Khmer and Burmese, which write no spaces between words, are taken letter
by letter, each with its marks. Without Lucene's 33 English stop words; stemmed by Snowball's English rules. Anserini,
which KARD used, stems by Porter's older rules; on SciFact the two differ by less than 0.01 (docs/retrieval.md).

An index names the analyser it was made with. Those of "english-1" go on with it: it cuts words at their marks, which
tears Hindi and Thai to pieces, and numbers at their point; what is pure English without numbers is the same in both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

import Stemmer

from tutelage.spelling import fold, marks

NAME = "english-2"
"""The analyser of a new index."""
LONGEST = 100
"""Letters of a token; what is longer (an address, a sequence of bases) is cut, so that no term overfills the index."""
REMEMBERED = 300_000
"""Tokens whose terms are kept in memory, about 40 MB; then it starts afresh."""

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Thai and Lao, Burmese, Khmer, and more of Burmese."""
_THOUSANDS = re.compile(r",(?<=[0-9],)(?=[0-9]{3}(?![0-9]))")
_ASCII = re.compile(r"[a-z0-9]+(?:\.(?<=[0-9]\.)(?=[0-9])[a-z0-9]+)*")
_ASCII_1 = re.compile(r"[a-z0-9]+")
_UNICODE_1 = re.compile(rf"[{_CHARACTERS}]|[^\W_{_CHARACTERS}]+")


def terms(text: str, analyser: str = NAME) -> list[str]:
    """The terms of a text in order, with repetitions."""
    return list(filter(None, map(_TERMS.__getitem__, ANALYSERS[analyser](text))))


def _english_1(text: str) -> list[str]:
    lower = text.lower()
    return _ASCII_1.findall(lower) if lower.isascii() else _UNICODE_1.findall(unicodedata.normalize("NFKC", lower))


def _english_2(text: str) -> list[str]:
    folded = _THOUSANDS.sub("", fold(text))
    return (_ASCII if folded.isascii() else _unicode()).findall(folded)


@cache
def _unicode() -> re.Pattern[str]:
    """Plain words of English first: most words of most texts are such, and the rest takes three times as long."""
    alone, mark = _CHARACTERS + _SPACELESS, f"[{marks()}]"
    run = rf"[^\W_{alone}]+(?:{mark}+[^\W_{alone}]*)*"
    return re.compile(
        rf"[a-z0-9]++(?![^\x00-\x7f]|\.[0-9])|{run}(?:\.(?<=[0-9]\.)(?=[0-9]){run})*|(?=[^\W_])[{alone}]{mark}*"
    )


ANALYSERS: dict[str, Callable[[str], list[str]]] = {"english-1": _english_1, "english-2": _english_2}
"""How each cuts a text into tokens."""


class _Terms(dict[str, str]):
    """Token to term, found once; the empty string for a stop word."""

    def __missing__(self, token: str) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        term = "" if token in STOP_WORDS else _stem()(token[:LONGEST])
        self[token] = term
        return term


@cache
def _stem() -> Callable[[str], str]:
    return Stemmer.Stemmer("english", 0).stemWord


_TERMS = _Terms()
