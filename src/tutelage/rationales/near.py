"""Rationales that say nearly the same: two of a question that share most of their three-word sequences.

    Tova starts with 12. 12 + 5 = 17.              sequences shared 6, together 8: similarity 0.75
    Tova starts with 12 beads. 12 + 5 = 17.

A teacher at a low temperature writes one solution many times over. A student gains nothing from the copies, and they
crowd out the rare other ways when only so many a question are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from tutelage.rationales.diverse import Grams, grams, jaccard
from tutelage.types import Rationale

WORDS = 3
"""Length of the sequences that are compared."""


class Distinct(NamedTuple):
    """Rationales without those that come too near to an earlier one of their question."""

    rationales: tuple[Rationale, ...]
    dropped: int


def drop_near_duplicates(rationales: Sequence[Rationale], *, similarity: float) -> Distinct:
    """Keep a rationale unless its Jaccard similarity to one kept before it is `similarity` or more, in (0, 1].

    1 drops only what has the same sequences, whatever their order and punctuation.
    """
    seen: dict[str, list[Grams]] = defaultdict(list)
    kept: list[Rationale] = []
    for rationale in rationales:
        mine = grams(rationale.text, WORDS)
        others = seen[rationale.question_id]
        if all(jaccard(mine, other) < similarity for other in others):
            others.append(mine)
            kept.append(rationale)
    return Distinct(tuple(kept), len(rationales) - len(kept))
