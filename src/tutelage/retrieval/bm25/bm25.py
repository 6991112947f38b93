"""BM25 over an index on disk.

    index = Bm25.build(read_corpus("wiki.jsonl.gz"), Path("wiki-index"))
    index = Bm25.open(Path("wiki-index"))
    [[best, *rest]] = index.search(["Do woolly mammoths outlive forks?"], k=10)
    index.passages([best.passage_id])

tantivy fetches candidates by its own k1 and b; the exact scorer orders them by ours. `score` and `search` give a
passage the same score to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tutelage.errors import CorpusError
from tutelage.retrieval.bm25 import analysis
from tutelage.retrieval.bm25.building import build_shards, cores
from tutelage.retrieval.bm25.changing import Changes, put, take_out
from tutelage.retrieval.bm25.folder import FORMAT, new_generation, publish, writing
from tutelage.retrieval.bm25.snapshot import Snapshot
from tutelage.types import Hit, Passage


class Bm25:
    """An index of passages, as it was when it was opened or last changed through this object. Threads may share it."""

    LAYOUT = f"{FORMAT} {analysis.NAME}"
    """How it stands on disk and how texts are read: a run that kept an index of another layout makes it anew.

    An index that was made with an earlier analyser is opened, searched and changed with that.
    """

    def __init__(self, folder: Path, *, k1: float = 0.9, b: float = 0.4, candidates: int = 300) -> None:
        self.folder = Path(folder)
        self.k1, self.b, self.candidates = k1, b, candidates
        self._snapshot = self._open()

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        folder: Path,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        candidates: int = 300,
        workers: int | None = None,
    ) -> Bm25:
        """Index passages in a folder; an index that is there counts until the new one is whole, then is replaced.

        `workers` processes each build a shard of their own; None: as many as cores, or one for a small corpus.
        Raises CorpusError when no passage comes or two have one id, IndexFolderError when another process writes there.
        """
        with writing(folder), new_generation(folder, None) as partial:
            tallies = build_shards(passages, partial, workers=workers)
            if not any(t.passages for t in tallies):
                raise CorpusError("no passages to index: the corpus is empty.")
            publish(folder, partial, tallies, analysis.NAME)
        return cls(folder, k1=k1, b=b, candidates=candidates)

    @classmethod
    def open(cls, folder: Path, *, k1: float = 0.9, b: float = 0.4, candidates: int = 300) -> Bm25:
        """Open an index. `candidates` passages are fetched for the exact scorer, or three times k where that is more.

        Raises IndexFolderError where there is none, or one that is damaged or of another format.
        """
        return cls(folder, k1=k1, b=b, candidates=candidates)

    @property
    def fingerprint(self) -> str:
        """What is in the index and how texts are read, as 64 hex digits: the same however it was put together."""
        return self._snapshot.fingerprint

    def __len__(self) -> int:
        return self._snapshot.passages_count

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its best `k` passages, the best first; equal scores by passage id. On all cores.

        A passage that shares no term with the query is no hit, so that there may be fewer than `k`.
        """
        snapshot, depth = self._snapshot, max(self.candidates, 3 * k)
        with ThreadPoolExecutor(max_workers=cores()) as pool:
            return list(pool.map(lambda query: snapshot.search(query, k, depth), queries))

    def score(self, query: str, passage_ids: Sequence[str]) -> list[float]:
        """What the query gives each of these passages: by the same formula and on the same scale as `search`.

        Raises IndexFolderError for an id that is not in the index.
        """
        return self._snapshot.score(query, passage_ids)

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, in this order. Raises IndexFolderError for an id that is not in the index."""
        return self._snapshot.passages(ids)

    def add(self, passages: Iterable[Passage]) -> Changes:
        """Add passages, all or none. One that is there already is passed over; with another text it is a CorpusError.

        A change costs time in proportion to what changes; the files of the rest are shared with the old index.
        """
        return self._changed(put(self.folder, passages, replace=False))

    def update(self, passages: Iterable[Passage]) -> Changes:
        """Add passages and replace those whose id is there with another text, all or none."""
        return self._changed(put(self.folder, passages, replace=True))

    def delete(self, ids: Sequence[str]) -> int:
        """Delete passages, all or none; how many. Raises IndexFolderError for an id that is not in the index.

        Statistics are exact at once: a deleted passage counts in no term's frequency. Its text stays on disk until
        tantivy merges its part, its record until the index is built anew.
        """
        deleted = take_out(self.folder, ids)
        self._snapshot = self._open()
        return deleted

    def _changed(self, changes: Changes) -> Changes:
        self._snapshot = self._open()
        return changes

    def _open(self) -> Snapshot:
        return Snapshot(self.folder, k1=self.k1, b=self.b)
