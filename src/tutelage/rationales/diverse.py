"""Which two rationales of a question are compared in training: those that differ most.

Three rationales of one question, n-grams of 3 words; "a" and "c" have no n-gram in common, so they are a pair, and "b",
left over, joins the one it is least like:

    a   Tova starts with 12. 12 + 5 = 17.
    b   Tova starts with 12. Five more is 17.           a-b 2/11
    c   She finds 5 beads, so 5 + 12 = 17.              a-c 0/15   b-c 0/14
    pairs (a, c) and (b, c)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

from tutelage.rationales.keep import normalised
from tutelage.types import Rationale

Grams = frozenset[tuple[str, ...]]


class Pair(NamedTuple):
    """Two rationales of one question, by the ids of their examples."""

    first: str
    second: str
    similarity: float
    """Jaccard similarity of their n-grams, in [0, 1]."""


class Diverse(NamedTuple):
    """Every rationale once or more in a pair, or alone."""

    pairs: tuple[Pair, ...]
    singles: tuple[str, ...]
    """The only rationale of its question."""


def choose_pairs(rationales: Iterable[Rationale], *, ngram: int = 3) -> Diverse:
    """Pairs of rationales of the same question, the least similar first, each rationale in one.

    Where their number is odd, the last one joins the rationale that it is least like. The order in which rationales
    come changes nothing. MCC-KD chooses by Jaccard similarity of n-grams too; its selection was never published (only
    its outcome for one task, named "jaccard3"), so the greedy order is ours.
    """
    questions: dict[str, dict[str, Grams]] = {}
    for rationale in rationales:
        questions.setdefault(rationale.question_id, {})[example_id(rationale)] = grams(rationale.text, ngram)
    pairs: list[Pair] = []
    singles: list[str] = []
    for of_question in questions.values():
        pairs += _pairs(of_question)
        singles += of_question if len(of_question) == 1 else ()
    return Diverse(tuple(sorted(pairs)), tuple(sorted(singles)))


def example_id(rationale: Rationale) -> str:
    """The id of the example that teaches this rationale; see `Example.id`.

    That of a mentor's text is made of the text, since random draws depend on ids: a mentor trained anew that writes the
    same text must not change what is learnt from it. No question keeps a text twice.
    """
    writer, number = rationale.source, str(rationale.sample)
    if writer.startswith("mentor:"):
        writer, number = "mentor", hashlib.sha256(rationale.text.encode()).hexdigest()[:16]
    return f"{rationale.question_id}#{writer}#{number}"


def grams(text: str, n: int) -> Grams:
    """The different n-grams of a text's words, case folded; of a text with fewer words, all of them as one."""
    words = normalised(text).split()
    return frozenset(tuple(words[at : at + n]) for at in range(max(1, len(words) - n + 1)))


def jaccard(a: Grams, b: Grams) -> float:
    """What two sets have in common as a share of all they have, in [0, 1]."""
    return len(a & b) / len(a | b) if a or b else 1.0


def _pairs(texts: Mapping[str, Grams]) -> list[Pair]:
    """The pairs of one question."""
    ranked = sorted(
        (Pair(first, second, jaccard(texts[first], texts[second])) for first, second in combinations(sorted(texts), 2)),
        key=lambda pair: (pair.similarity, pair),
    )
    chosen: list[Pair] = []
    left = set(texts)
    for pair in ranked:
        if {pair.first, pair.second} <= left:
            left -= {pair.first, pair.second}
            chosen.append(pair)
    return chosen + [pair for pair in ranked if {pair.first, pair.second} & left][: len(left)]
