"""BM25, exactly, in float64: one formula and one scale for what a search finds and for passages that are given.

    score(q, d) = sum over the terms t of q:  count_q(t) * ln(1 + (N - df + 0.5) / (df + 0.5))
                                              * tf / (tf + k1 * (1 - b + b * length / mean length))

This is Lucene's form since version 8: without the factor (k1 + 1); but with exact lengths, which Lucene rounds.
The published code of KARD puts two formulas into one softmax (retriever_dataset.py:95-120): Lucene's for the passages a
rationale finds, and one that ignores how often a term stands in the rationale for the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.retrieval.bm25.records import Records, hashed

LAST = np.uint64(0xFFFF)


class Weighed(NamedTuple):
    """A query as the scorer reads it: its terms' hashes in ascending order, and what each is worth."""

    hashes: NDArray[np.uint64]
    weights: NDArray[np.float64]
    ends: NDArray[np.bool_]
    """Which 16 last bits of a hash are one of theirs: nine words in ten need no closer look."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """BM25 with its settings and the mean length of the passages."""

    k1: float
    b: float
    mean_length: float

    def scores(self, query: Weighed, records: Records) -> NDArray[np.float64]:
        """One score for each record; 0 where no term of the query stands in the passage.

        A passage's terms are added up in the order of their hashes, so that its score depends on nothing but itself.
        """
        n = len(records.starts)
        if not n or not len(query.hashes):
            return np.zeros(n)
        words = records.words
        at = np.flatnonzero(query.ends[(words >> np.uint64(16)) & LAST])
        hashes = words[at] >> np.uint64(16)
        found = np.searchsorted(query.hashes, hashes)
        found[found == len(query.hashes)] = 0
        same = query.hashes[found] == hashes
        at, found = at[same], found[same]
        owner = np.searchsorted(records.starts, at, side="right") - 1
        place = at - records.starts[owner]
        distinct = (words[records.starts[owner]] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        is_term = (place >= 1) & (place <= distinct)
        at, owner, found = at[is_term], owner[is_term], found[is_term]
        tf = (words[at] & np.uint64(0xFFFF)).astype(np.float64)
        norm = self.k1 * (1 - self.b + self.b * records.lengths_N / (self.mean_length or 1.0))
        parts = query.weights[found] * tf / (tf + norm[owner])
        return np.bincount(owner, weights=parts, minlength=n).astype(np.float64, copy=False)


def weigh(counts: Mapping[str, int], idfs: Mapping[str, float]) -> Weighed:
    """A query's terms with their weights: how often each stands in the query, times how rare it is."""
    pairs = sorted((hashed(term) >> 16, count * idfs[term]) for term, count in counts.items() if idfs[term] > 0)
    hashes = np.array([h for h, _ in pairs], dtype=np.uint64)
    ends = np.zeros(int(LAST) + 1, dtype=np.bool_)
    ends[hashes & LAST] = True
    return Weighed(hashes, np.array([w for _, w in pairs], dtype=np.float64), ends)


def idf(passages: int, frequency: int) -> float:
    """How rare a term is that stands in `frequency` of the passages; 0 for one that stands in none."""
    return math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5)) if frequency else 0.0
