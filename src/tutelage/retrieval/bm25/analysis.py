"""How a text becomes terms, the same for passages and for queries.

    "The Zürich trams, running since 1882."  ->  ["zürich", "tram", "run", "sinc", "1882"]

Lower case; runs of letters and digits, each Chinese or Japanese character by itself; without Lucene's 33 English stop
words; stemmed by Snowball's English rules. Anserini, which KARD used, stems by Porter's older rules; on SciFact the two
differ by less than 0.01 (docs/retrieval.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

import Stemmer

NAME = "english-1"
"""Written into every index; another name means other terms, and an index made anew."""
LONGEST = 100
"""Letters of a token; what is longer (an address, a sequence of bases) is cut, so that no term overfills the index."""
REMEMBERED = 300_000
"""Tokens whose terms are kept in memory, about 40 MB; then it starts afresh."""

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

_ASCII = re.compile(r"[a-z0-9]+")
_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_UNICODE = re.compile(rf"[{_CHARACTERS}]|[^\W_{_CHARACTERS}]+")


def terms(text: str) -> list[str]:
    """The terms of a text in order, with repetitions."""
    lower = text.lower()
    tokens = _ASCII.findall(lower) if lower.isascii() else _UNICODE.findall(unicodedata.normalize("NFKC", lower))
    return list(filter(None, map(_TERMS.__getitem__, tokens)))


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
