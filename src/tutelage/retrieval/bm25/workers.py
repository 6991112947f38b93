"""Shards built by processes of their own (`__main__.py`), each fed with passages as JSON lines through a pipe.

A process of its own kind rather than a fork: forking a process that runs tantivy's or torch's threads can hang, and
multiprocessing's other ways run the user's script again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tutelage.errors import CorpusError, IndexFolderError
from tutelage.retrieval.batches import LETTERS, letters
from tutelage.retrieval.bm25.shard import Tally, shard_of
from tutelage.types import Passage

BATCH = 512
END = b"null\n"
"""Says that the passages are complete; without it a worker throws its shard away."""


def build_in_processes(passages: Iterable[Passage], folders: Sequence[Path]) -> list[Tally]:
    """Index passages into these shards at the same time. Raises what a worker came upon; all of them then stop."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(folder)) for folder in folders]
        for passage in passages:
            workers[shard_of(passage.id, len(workers))].add(passage)
        for worker in workers:
            worker.end()
        return [worker.tally() for worker in workers]


class Worker:
    """A process that builds one shard. It is killed when the block ends before it does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tutelage.retrieval.bm25", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._batch: list[tuple[str, str, str]] = []
        self._letters = 0

    def add(self, passage: Passage) -> None:
        """Hand over a passage; waits while the worker is behind."""
        self._batch.append((passage.id, passage.title, passage.text))
        self._letters += letters(passage)
        if len(self._batch) == BATCH or self._letters >= LETTERS:
            self._flush()

    def end(self) -> None:
        """Say that there are no more passages."""
        self._flush()
        self._send(END)

    def tally(self) -> Tally:
        """Wait for the shard to be whole."""
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.read() or b"{}")
        code = self._process.wait()
        if "error" in said:
            raise CorpusError(said["error"])
        if code or not said:
            raise IndexFolderError(
                f"the process that built {self.folder.name} ended with code {code}. "
                "Its last words stand above; -9 means that memory ran out: build with fewer `workers`."
            )
        return Tally(**said)

    def _flush(self) -> None:
        if self._batch:
            self._send(json.dumps(self._batch).encode() + b"\n")
            self._batch.clear()
            self._letters = 0

    def _send(self, raw: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(raw)
            self._process.stdin.flush()
        except BrokenPipeError:
            self.tally()  # raises what it came upon
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def said(tally: Tally) -> str:
    """A tally as a worker writes it."""
    return json.dumps(asdict(tally))
