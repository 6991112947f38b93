"""One part of an index: a tantivy index of terms and texts, and the records that the exact scorer reads.

    shard-000/
      tantivy/       fields: key (the id), body (the terms), at (where the record stands), stored (title and text)
      records.bin    see records.py

tantivy's own k1 and b cannot be set, so that it only fetches candidates.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import tantivy

from tutelage.errors import CorpusError
from tutelage.retrieval.bm25.analysis import NAME, terms
from tutelage.retrieval.bm25.records import RecordFile, Records, RecordWriter
from tutelage.retrieval.bm25.scoring import idf
from tutelage.retrieval.seen import Seen, digests
from tutelage.types import Passage

RECORDS, TANTIVY = "records.bin", "tantivy"
HEAP = 120_000_000
"""Bytes that tantivy gathers before it writes a segment."""
CONTENT_BITS = 256
DEEPEST = 100_000
"""Candidates at most when many passages have the same score at the cut."""


@dataclass(slots=True)
class Tally:
    """What a shard holds."""

    passages: int = 0
    length: int = 0
    """Tokens of all passages together."""
    content: int = 0
    """Sum of the SHA-256 of every passage modulo 2^256: the same for any order, and a passage can be taken out."""
    record_bytes: int = 0

    def count(self, passage: Passage, length: int, sign: int) -> None:
        """Put a passage in (1) or take it out (-1)."""
        self.passages += sign
        self.length += sign * length
        self.content = (self.content + sign * _content(passage)) % 2**CONTENT_BITS


class Place(NamedTuple):
    """Where a passage stands in its shard."""

    address: tantivy.DocAddress
    pointer: int
    length: int


class Shard:
    """A shard as it was when it was opened."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.tally = tally
        index = tantivy.Index.open(str(folder / TANTIVY))
        index.config_reader("manual")
        self._schema, self._searcher = index.schema, index.searcher()
        if self._searcher.num_docs != tally.passages:
            raise ValueError(f"{self._searcher.num_docs} passages where {tally.passages} were counted")
        self._records = RecordFile(folder / RECORDS, tally.record_bytes)
        self._with_deleted = self._searcher.doc_freq("every", "1")
        self._own_idfs: dict[str, float] = {}

    def frequency(self, term: str) -> int:
        """Passages with this term. tantivy's own figure counts deleted ones until their segment is merged."""
        if self._with_deleted == self.tally.passages:
            return self._searcher.doc_freq("body", term)
        found: Any = self._searcher.search(self._term("body", term), limit=1, count=True)
        return found.count

    def candidates(self, counts: Mapping[str, int], idfs: Mapping[str, float], k: int, depth: int) -> Records:
        """Records of the passages that tantivy likes best: `depth` of them, but whole groups of equal score, so that no
        choice hangs on the order in which passages were written. Where one group is most of them, more are fetched.
        """
        query = self._query(counts, idfs)
        enough = max(k, depth // 2)
        while True:
            hits = self._searcher.search(query, limit=depth, count=False).hits
            if len(hits) < depth or depth >= DEEPEST:
                break
            cut = hits[-1][0] * (1 + 1e-6)
            hits = [hit for hit in hits if hit[0] > cut]
            if len(hits) >= enough:
                break
            depth = min(4 * depth, DEEPEST)
        return self._read([address for _, address in hits])

    def find(self, ids: Sequence[str]) -> dict[str, Place]:
        """Where those of these passages stand that are here."""
        if not ids:
            return {}
        query = tantivy.Query.term_set_query(self._schema, "key", ids)
        addresses = [a for _, a in self._searcher.search(query, limit=len(ids), count=False).hits]
        pointers: list[Any] = self._searcher.fast_field_values("at", addresses)
        records = self._records.read(pointers)
        lengths = records.lengths_N
        return {
            records.id(i): Place(address, pointer, int(length))
            for i, (address, pointer, length) in enumerate(zip(addresses, pointers, lengths, strict=True))
        }

    def records(self, pointers: Sequence[int]) -> Records:
        """The records at these pointers."""
        return self._records.read(pointers)

    def passage(self, id: str, place: Place) -> Passage:
        """The passage itself."""
        title, _, text = bytes(self._searcher.doc(place.address)["stored"][0]).decode().partition("\0")
        return Passage(id, title, text)

    def _read(self, addresses: list[tantivy.DocAddress]) -> Records:
        return self._records.read(self._searcher.fast_field_values("at", addresses) if addresses else [])

    def _query(self, counts: Mapping[str, int], idfs: Mapping[str, float]) -> tantivy.Query:
        """The terms with their counts, tantivy's own weights turned into those of the whole index."""
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.boost_query(self._term("body", term), count * idfs[term] / own))
            for term, count in counts.items()
            if (own := self._own_idf(term))
        ]
        return tantivy.Query.boolean_query(clauses)

    def _own_idf(self, term: str) -> float:
        """How rare tantivy takes a term to be."""
        known = self._own_idfs.get(term)
        if known is None:
            known = self._own_idfs[term] = idf(self._with_deleted, self._searcher.doc_freq("body", term))
        return known

    def _term(self, field: str, value: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, value, "freq" if field == "body" else "basic")


class ShardWriter:
    """Puts passages into a shard and takes them out. Nothing counts before the block ends without an error."""

    def __init__(self, folder: Path, tally: Tally | None = None, *, analyser: str = NAME, heap: int = HEAP) -> None:
        self._analyser = analyser
        self.tally = tally or Tally()
        (folder / TANTIVY).mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(_schema(), path=str(folder / TANTIVY))
        self._writer = self._index.writer(heap, 1)
        self._records = RecordWriter(folder / RECORDS, self.tally.record_bytes)
        self._ids = Seen()

    def add(self, passages: Sequence[Passage]) -> None:
        """Index passages, at most 65,536 at once. An id that this writer was given before raises CorpusError."""
        again = self._ids.add(digests(p.id for p in passages))
        if again.any():
            raise CorpusError(f"two passages have the id {passages[int(again.argmax())].id!r}. Give each its own.")
        stored = [_stored(passage) for passage in passages]
        found = [terms(f"{passage.title} {passage.text}", self._analyser) for passage in passages]
        pointers = self._records.append([passage.id for passage in passages], found)
        for passage, text, words, pointer in zip(passages, stored, found, pointers, strict=True):
            self._writer.add_document(
                tantivy.Document(key=passage.id, body=" ".join(words), at=pointer, stored=text, every="1")
            )
            self.tally.count(passage, len(words), 1)

    def delete(self, passages: Iterable[tuple[Passage, int]]) -> None:
        """Take out passages of the committed index, each given with its length in tokens."""
        for passage, length in passages:
            self._writer.delete_documents_by_term("key", passage.id)
            self.tally.count(passage, length, -1)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.__exit__(kind, error, trace)
        self.tally.record_bytes = self._records.size
        if kind is None:
            self._writer.commit()
            self._writer.wait_merging_threads()
        else:
            self._writer.rollback()


def shard_of(id: str, shards: int) -> int:
    """The number of the shard that a passage goes to. It follows from the id, so that a change knows where to look."""
    return zlib.crc32(id.encode("utf-8", "surrogatepass")) % shards


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
    builder.add_text_field("every", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("at", fast=True)
    builder.add_bytes_field("stored", stored=True)
    return builder.build()


def _stored(passage: Passage) -> bytes:
    """Title and text. Raises CorpusError where they hold what would not come back."""
    try:
        passage.id.encode()
        raw = f"{passage.title}\0{passage.text}".encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"passage {passage.id!r} cannot be indexed: {error.reason}. Mend its text.") from error
    if "\0" in passage.id or "\0" in passage.title:
        raise CorpusError(f"passage {passage.id!r} has a zero byte in its id or title. Take it out.")
    return raw


def _content(passage: Passage) -> int:
    return int.from_bytes(hashlib.sha256(passage.id.encode() + b"\0" + _stored(passage)).digest())
