"""Where sentences end, and documents cut into passages of whole sentences.

    cut(["Dr. Ito left. It was late in Rome. Nobody came."], words=8)  ->  "Dr. Ito left. It was late in Rome." ...

A sentence ends at a full stop, question or exclamation mark (quotes and brackets behind it included) before white space
and a capital letter or digit, unless the stop belongs to an abbreviation or an initial; and at the marks of Chinese and
Japanese, which need no space. On Wikipedia these rules find what pysbd finds for more than nine in ten, some 80 times
faster (docs/retrieval.md); where they differ is mostly within quotations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST_WORD = 500
"""Letters; a longer run without a space is cut."""

_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CHARACTERS}]|[^\s{_CHARACTERS}]{{1,{LONGEST_WORD}}}")
_END = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s+["'“‘«(\[]*[^\W_a-zß-öø-ÿ])|[。！？]+[」』”）]*""")
_LAST_WORD = re.compile(r"[\w.]+$")
_INITIAL = re.compile(r"(?:[A-Z]\.)*[A-Za-z]")
_ABBREVIATIONS = (
    "mr mrs ms dr prof rev hon st sr jr gen col capt lt sgt maj cmdr gov sen rep pres supt "
    "vs cf eg ie e.g i.e viz al approx ca fig figs eq eqs sec ch vol vols no nos pp ed eds ref refs "
    "inc ltd co corp dept univ mt ft ave blvd jan feb mar apr jun jul aug sep sept oct nov dec "
    "op fl tr u.s u.k u.n a.k.a"
)
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, white space runs read as one space."""
    text = " ".join(text.split())
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if not _is_abbreviation(text, match):
            found.append(text[start : match.end()].strip())
            start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def cut(paragraphs: Iterable[str], *, words: int, overlap: int = 0) -> Iterator[str]:
    """Paragraphs as passages of whole sentences with at most `words` words; a longer sentence is cut.

    A passage begins with the last sentences of the one before, as many as fit into `overlap` words.
    A Chinese or Japanese character counts as a word.
    """
    held: list[tuple[str, int]] = []
    fresh = False
    for piece, size in _pieces(paragraphs, words):
        if held and sum(n for _, n in held) + size > words:
            if fresh:
                yield " ".join(text for text, _ in held)
            held = _last(held, min(overlap, words - size))
        held.append((piece, size))
        fresh = True
    if fresh:
        yield " ".join(text for text, _ in held)


def _pieces(paragraphs: Iterable[str], words: int) -> Iterator[tuple[str, int]]:
    """Sentences with their numbers of words, those with more than `words` in pieces."""
    for sentence in (s for paragraph in paragraphs for s in sentences(paragraph)):
        found = list(_WORD.finditer(sentence))
        for first in range(0, len(found), words):
            some = found[first : first + words]
            yield sentence[some[0].start() : some[-1].end()], len(some)


def _last(held: list[tuple[str, int]], words: int) -> list[tuple[str, int]]:
    """The last sentences that have at most so many words together."""
    kept: list[tuple[str, int]] = []
    for piece, size in reversed(held):
        words -= size
        if words < 0:
            break
        kept.insert(0, (piece, size))
    return kept


def _is_abbreviation(text: str, end: re.Match[str]) -> bool:
    if not end.group().startswith(".") or end.group().startswith(".."):
        return False
    word = _LAST_WORD.search(text, max(0, end.start() - 30), end.start())
    return bool(word) and (word.group().lower() in ABBREVIATIONS or bool(_INITIAL.fullmatch(word.group())))
