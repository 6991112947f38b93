"""Has this been seen before? A set of 64-bit digests that costs 8 bytes each, for corpora that do not fit into memory.

Digests lie in a few sorted arrays, each at least twice as long as the next; a batch is looked up in all of them and
becomes the last. While arrays merge it takes up to twice that. A Python set of as many integers takes 60 bytes each.
Among 36 million texts the chance that any two different ones share a digest is 1 in 28,000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]


class Seen:
    """Digests seen so far."""

    def __init__(self) -> None:
        self._runs: list[Digests] = []

    def add(self, batch: Digests) -> NDArray[np.bool_]:
        """For each digest whether it was seen before, earlier in this batch included; then all of them are."""
        first = np.zeros(len(batch), dtype=np.bool_)
        unique, at = np.unique(batch, return_index=True)
        first[at] = True
        before = np.zeros(len(batch), dtype=np.bool_)
        for run in self._runs:
            before |= _contains(run, batch)
        self._keep(unique[~before[at]])
        return before | ~first

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def _keep(self, new: Digests) -> None:
        if len(new):
            self._runs.append(new)
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) > len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.concatenate([self._runs[-1], last])
            self._runs[-1].sort(kind="stable")


def digests(texts: Iterable[str]) -> Digests:
    """A digest of each text. Half of a surrogate pair, which no file can hold, counts by its number."""
    raw = b"".join(hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=8).digest() for t in texts)
    return np.frombuffer(raw, dtype=np.uint64)


def _contains(run: Digests, batch: Digests) -> NDArray[np.bool_]:
    at = np.searchsorted(run, batch)
    at[at == len(run)] = 0
    return run[at] == batch
