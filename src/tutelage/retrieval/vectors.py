"""Vectors of passages, made once and kept on disk, and the score of passages that are kept so.

    vectors/
      vectors.json        whose vectors these are: name and fingerprint of the reranker, numbers in a vector
      block-000000.npy    float16, one row a token, the passages of a block one after another, nothing padded
      block-000000.json   which passages those are, and how large the file is; written last, so it vouches for the other

Encoding is nearly all of the cost of late interaction. The published way (dense_retriever.py:44-45) encodes up to 100
passages, padded to 512 tokens, again for every question.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import ModelError, RunError
from tutelage.retrieval.reranker import passage_text
from tutelage.runs import locked, read_json, write_json
from tutelage.types import Passage

OWNER, LOCK = "vectors.json", ".lock"


class Ragged(NamedTuple):
    """Vectors of several texts one after another, without padding."""

    vectors_TH: NDArray[Any]  # noqa: N815
    """float32 or float16; T is the number of tokens of all texts together."""
    lengths: NDArray[np.int64]
    """Tokens of each text; at least 1."""


class PassageEncoder(Protocol):
    """A reranker whose vectors for a passage do not depend on the question."""

    @property
    def name(self) -> str:
        """What kind it is."""
        ...

    @property
    def fingerprint(self) -> str:
        """What decides its vectors."""
        ...

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text its vectors, one row a token."""
        ...


class Place(NamedTuple):
    """Where a passage's vectors are."""

    digest: str
    block: int
    start: int
    length: int


class PassageVectors:
    """Kept vectors of one reranker. Adding is the same as continuing after a crash: only what is missing is encoded.

    Raises RunError for a folder that holds another reranker's vectors.
    """

    def __init__(self, folder: str | Path, encoder: PassageEncoder, *, block: int = 512) -> None:
        self.folder, self.encoder, self.block = Path(folder), encoder, block
        self._claim()
        self._places: dict[str, Place] = {}
        self._files: dict[int, NDArray[np.float16]] = {}
        self._seen: set[int] = set()
        self._read_blocks()

    def __len__(self) -> int:
        """How many passages are kept."""
        return len(self._places)

    def __contains__(self, passage: Passage) -> bool:
        """Whether this passage is kept with the text that it has now."""
        place = self._places.get(passage.id)
        return place is not None and place.digest == text_digest(passage)

    def add(self, passages: Iterable[Passage], *, tell: Callable[[dict[str, Any]], None] | None = None) -> int:
        """Encode and keep the passages that are not kept yet, a block at a time; how many those were.

        A passage whose text has changed is encoded anew. Of two processes the second waits and finds the work done.
        """
        wanted = [passage for passage in passages if passage not in self]
        if not wanted:
            return 0
        added = 0
        with locked(self.folder / LOCK):
            self._read_blocks()
            self._remove_torn()
            missing = list({passage.id: passage for passage in wanted if passage not in self}.values())
            for start in range(0, len(missing), self.block):
                part = missing[start : start + self.block]
                self._write_block(part)
                added += len(part)
                if tell:
                    tell({"encoded": added, "passages": len(missing)})
        return added

    def of(self, passages: Sequence[Passage]) -> Ragged:
        """The vectors of these passages, in this order. Raises RunError for one that is not kept."""
        lost = next((passage for passage in passages if passage not in self), None)
        if lost is not None:
            raise RunError(f"no vectors of passage {lost.id!r} as it reads now in {self.folder}. Add it first.")
        places = [self._places[passage.id] for passage in passages]
        rows = [self._file(p.block)[p.start : p.start + p.length] for p in places]
        return Ragged(np.concatenate(rows), np.array([p.length for p in places], dtype=np.int64))

    def _claim(self) -> None:
        mine = {"reranker": self.encoder.name, "fingerprint": self.encoder.fingerprint, "width": self.encoder.width}
        path = self.folder / OWNER
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, mine)
        theirs = read_json(path)
        if theirs != mine:
            raise RunError(
                f"{self.folder} holds vectors of the reranker {_called(theirs)}, not of {_called(mine)}. Delete it, or "
                "keep this reranker's vectors in another folder."
            )

    def _read_blocks(self) -> None:
        """Take in blocks that are whole and not known yet, older ones first: a later one holds the newer text."""
        for path in sorted(self.folder.glob("block-*.json")):
            number = int(path.stem.removeprefix("block-"))
            if number in self._seen:
                continue
            rows = _whole_block(path)
            if rows is None:
                continue
            self._seen.add(number)
            start = 0
            for passage_id, digest, length in rows:
                self._places[passage_id] = Place(digest, number, start, length)
                start += length

    def _remove_torn(self) -> None:
        """Delete what a killed process left of a block; only with the lock held, so nobody is still writing it."""
        for path in self.folder.glob("*block-*"):
            digits = path.stem.rpartition("-")[2]
            if not digits.isdigit() or int(digits) not in self._seen:
                path.unlink()

    def _write_block(self, passages: Sequence[Passage]) -> None:
        number = max(self._seen, default=-1) + 1
        encoded = self.encoder.encode_passages([passage_text(passage) for passage in passages])
        with np.errstate(over="ignore"):
            vectors_TH = np.concatenate(encoded).astype(np.float16)
        if not np.isfinite(vectors_TH).all():
            raise ModelError("a passage's vector does not fit 16 bits. Train the reranker with `normalize: true`.")
        path = self._path(number)
        _write_array(path, vectors_TH)
        rows = [[p.id, text_digest(p), len(vectors)] for p, vectors in zip(passages, encoded, strict=True)]
        write_json(path.with_suffix(".json"), {"size": path.stat().st_size, "passages": rows})  # pyright: ignore[reportArgumentType]
        self._read_blocks()

    def _file(self, number: int) -> NDArray[np.float16]:
        if number not in self._files:
            self._files[number] = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
        return self._files[number]

    def _path(self, number: int) -> Path:
        return self.folder / f"block-{number:06d}.npy"


def maxsim(query_SH: NDArray[Any], passages: Ragged) -> NDArray[np.float32]:
    """The score of every passage for one query: for each query token the best passage token, summed.

    Nothing is padded: all tokens of all passages are compared in one product, then the best of each stretch is taken.
    """
    similarity_ST = query_SH.astype(np.float32, copy=False) @ passages.vectors_TH.astype(np.float32, copy=False).T
    starts = np.cumsum(passages.lengths) - passages.lengths
    return np.maximum.reduceat(similarity_ST, starts, axis=1).sum(axis=0)


def ragged(vectors: Sequence[NDArray[Any]]) -> Ragged:
    """Vectors of several texts, put one after another."""
    return Ragged(np.concatenate(vectors), np.array([len(rows) for rows in vectors], dtype=np.int64))


def text_digest(passage: Passage) -> str:
    """16 hex digits of what an encoder reads of a passage."""
    return hashlib.sha256(passage_text(passage).encode()).hexdigest()[:16]


def _called(owner: dict[str, Any]) -> str:
    return f"{owner.get('reranker')} {str(owner.get('fingerprint'))[:12]}"


def _whole_block(path: Path) -> Iterator[tuple[str, str, int]] | None:
    """The rows of a block whose two files are whole; None for one that is torn."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        block = json.loads(path.read_text(encoding="utf-8"))
        if path.with_suffix(".npy").stat().st_size == block["size"]:
            return iter([(str(i), str(digest), int(length)) for i, digest, length in block["passages"]])
    return None


def _write_array(path: Path, array: NDArray[Any]) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
