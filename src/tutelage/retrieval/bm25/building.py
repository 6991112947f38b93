"""Passages into the shards of a new index: in this process, or each shard in a process of its own.

Building is almost all Python (cutting words, stemming), which is why more cores need more processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from tutelage.retrieval.batches import batches, letters
from tutelage.retrieval.bm25.folder import shard_name
from tutelage.retrieval.bm25.shard import ShardWriter, Tally
from tutelage.retrieval.bm25.workers import BATCH, build_in_processes
from tutelage.types import Passage

FEW, MUCH = 10_000, 20_000_000
"""Up to so many passages and letters one process is as fast as several."""
MOST = 8
"""Processes at most: reading JSON in one feeds no more than that."""


def build_shards(passages: Iterable[Passage], folder: Path, *, workers: int | None) -> list[Tally]:
    """Index passages into the shards of a new generation, one for each worker (default: cores)."""
    if workers is None:
        some = batches(passages, letters, FEW, MUCH)
        first, second = next(some, []), next(some, [])
        workers = min(cores(), MOST) if second else 1
        passages = chain(first, second, chain.from_iterable(some))
    if workers == 1:
        return [_build(passages, folder / shard_name(0))]
    return build_in_processes(passages, [folder / shard_name(i) for i in range(workers)])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _build(passages: Iterable[Passage], folder: Path) -> Tally:
    with ShardWriter(folder) as writer:
        for batch in batches(passages, letters, BATCH):
            writer.add(batch)
    return writer.tally
