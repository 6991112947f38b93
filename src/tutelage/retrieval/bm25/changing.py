"""Passages put into an index that is there, replaced or taken out: all of a call, or nothing of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import CorpusError, IndexFolderError, all_problems
from tutelage.retrieval.batches import batches, letters
from tutelage.retrieval.bm25.folder import new_generation, open_shards, publish, shard_name, writing
from tutelage.retrieval.bm25.shard import Shard, ShardWriter, shard_of
from tutelage.types import Passage

BATCH = 512
HEAP = 50_000_000


class Changes(NamedTuple):
    """What a change came to, in passages."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    """Were there already with the same title and text."""


class Pair(NamedTuple):
    """A shard that counts, and the writer of its successor."""

    old: Shard
    new: ShardWriter


def put(folder: Path, passages: Iterable[Passage], *, replace: bool) -> Changes:
    """Add passages. One whose id is there with another text is replaced or, without `replace`, raises CorpusError."""
    total = Changes()
    with _successor(folder) as pairs:
        for batch in batches(passages, letters, BATCH):
            for number, pair in enumerate(pairs):
                some = [p for p in batch if shard_of(p.id, len(pairs)) == number]
                total = Changes(*map(sum, zip(total, _put(pair, some, replace=replace), strict=True)))
    return total


def take_out(folder: Path, ids: Sequence[str]) -> int:
    """Delete passages; how many. Raises IndexFolderError where one is not there, and deletes none."""
    wanted = set(ids)
    with _successor(folder) as pairs:
        for number, pair in enumerate(pairs):
            mine = sorted(i for i in wanted if shard_of(i, len(pairs)) == number)
            places = pair.old.find(mine)
            if missing := sorted(set(mine) - places.keys()):
                raise IndexFolderError(
                    f"passage {missing[0]!r} is not in the index {str(folder)!r}, so nothing was deleted. Leave it out."
                )
            pair.new.delete((pair.old.passage(i, place), place.length) for i, place in places.items())
    return len(wanted)


def _put(pair: Pair, passages: Sequence[Passage], *, replace: bool) -> Changes:
    places = pair.old.find([p.id for p in passages])
    before = {i: pair.old.passage(i, place) for i, place in places.items()}
    changed = [p for p in passages if p.id in before and before[p.id] != p]
    if changed and not replace:
        problems = [f"id {p.id!r} is in the index with another text" for p in changed]
        raise CorpusError(all_problems("nothing was added:", problems, "Give new ids, or replace (`--replace`)."))
    pair.new.delete((before[p.id], places[p.id].length) for p in changed)
    pair.new.add([p for p in passages if p.id not in before] + changed)
    return Changes(len(passages) - len(before), len(changed), len(before) - len(changed))


@contextmanager
def _successor(folder: Path) -> Generator[list[Pair]]:
    """Writers of a next generation, which counts when the block ends without an error."""
    with writing(folder):
        manifest, shards = open_shards(folder)
        with new_generation(folder, manifest) as partial:
            with ExitStack() as stack:
                folders = [partial / shard_name(i) for i in range(len(shards))]
                writers = [
                    stack.enter_context(ShardWriter(path, copy(old.tally), analyser=manifest.analyser, heap=HEAP))
                    for path, old in zip(folders, shards, strict=True)
                ]
                yield [Pair(old, new) for old, new in zip(shards, writers, strict=True)]
            publish(folder, partial, [writer.tally for writer in writers], manifest.analyser)
