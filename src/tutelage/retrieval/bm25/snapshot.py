"""An index as it was at one moment: what searches and scores, with one set of statistics for all shards.

How many passages there are, how long they are on average and how many have a term are counted over the whole index.
Every passage therefore gets the score it would get in one shard, and the shards' best can be put together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import IndexFolderError
from tutelage.retrieval.bm25.analysis import terms
from tutelage.retrieval.bm25.folder import open_shards
from tutelage.retrieval.bm25.records import Records
from tutelage.retrieval.bm25.scoring import Scorer, Weighed, idf, weigh
from tutelage.retrieval.bm25.shard import CONTENT_BITS, Place, shard_of
from tutelage.types import Hit, Passage

SPARE = 100
"""Candidates of each shard beyond its share: the best passages are not spread evenly."""


class Query(NamedTuple):
    """A query's terms that stand in the index."""

    counts: dict[str, int]
    """How often in the query."""
    idfs: dict[str, float]
    """How rare in the index."""
    weighed: Weighed
    """The same as the scorer reads it."""


class Snapshot:
    """An opened index. Threads may share it."""

    def __init__(self, folder: Path, *, k1: float, b: float) -> None:
        self._folder = folder
        manifest, self._shards = open_shards(folder)
        self.passages_count = sum(t.passages for t in manifest.tallies)
        length = sum(t.length for t in manifest.tallies)
        self._scorer = Scorer(k1, b, length / self.passages_count if self.passages_count else 0.0)
        self._frequencies: dict[str, int] = {}
        content = sum(t.content for t in manifest.tallies) % 2**CONTENT_BITS
        self._analyser = manifest.analyser
        told = f"{self._analyser} {self.passages_count} {content:064x}"
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()

    def search(self, text: str, k: int, candidates: int) -> list[Hit]:
        """The best `k` passages for a text, chosen among at least so many candidates of the whole index."""
        query = self._query(text)
        if not query.counts or k < 1:
            return []
        shards = len(self._shards)
        depth = candidates if shards == 1 else max(3 * k, min(candidates, candidates // shards + SPARE))
        found = [shard.candidates(query.counts, query.idfs, k, depth) for shard in self._shards]
        return _best(found, [self._scorer.scores(query.weighed, records) for records in found], k)

    def score(self, text: str, ids: Sequence[str]) -> list[float]:
        """What a text gives these passages. Raises IndexFolderError for an id that is not here."""
        weighed = self._query(text).weighed
        scores: dict[str, float] = {}
        for number, places in self._find(ids).items():
            records = self._shards[number].records([place.pointer for place in places.values()])
            scores.update(zip(places, self._scorer.scores(weighed, records).tolist(), strict=True))
        return [scores[i] for i in ids]

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """These passages, in this order. Raises IndexFolderError for an id that is not here."""
        found = {
            i: self._shards[number].passage(i, place)
            for number, places in self._find(ids).items()
            for i, place in places.items()
        }
        return [found[i] for i in ids]

    def _query(self, text: str) -> Query:
        counts = Counter(terms(text, self._analyser))
        idfs = {term: idf(self.passages_count, f) for term in counts if (f := self._frequency(term))}
        known = {term: counts[term] for term in idfs}
        return Query(known, idfs, weigh(known, idfs))

    def _frequency(self, term: str) -> int:
        known = self._frequencies.get(term)
        if known is None:
            known = self._frequencies[term] = sum(shard.frequency(term) for shard in self._shards)
        return known

    def _find(self, ids: Sequence[str]) -> dict[int, dict[str, Place]]:
        """Places of these passages, by shard."""
        asked: dict[int, list[str]] = {}
        for i in dict.fromkeys(ids):
            asked.setdefault(shard_of(i, len(self._shards)), []).append(i)
        found = {number: self._shards[number].find(some) for number, some in asked.items()}
        missing = sorted(set(ids) - {i for places in found.values() for i in places})
        if missing:
            raise IndexFolderError(
                f"{len(missing)} passages are not in the index {str(self._folder)!r}, e.g. {missing[0]!r}. "
                "Ask for passages of this index."
            )
        return found


def _best(found: Sequence[Records], scores: Sequence[NDArray[np.float64]], k: int) -> list[Hit]:
    """The `k` best of all shards. Ids are read only of passages that may be among them."""
    together = np.concatenate(scores)
    together = together[together > 0]
    if not len(together):
        return []
    wanted = min(k, len(together))
    cut = np.partition(together, -wanted)[-wanted]
    pairs = [
        (-float(row[i]), records.id(int(i)))
        for records, row in zip(found, scores, strict=True)
        for i in np.flatnonzero(row >= cut)
    ]
    return [Hit(id, -negative, rank) for rank, (negative, id) in enumerate(sorted(pairs)[:k])]
