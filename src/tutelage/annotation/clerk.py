"""A thread that writes into a store: whatever has come up since the last commit goes into the next one together.

A commit waits for the disk. With one commit an answer, a fast server would wait for the disk too.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tutelage.annotation.store import Store

T = TypeVar("T")
_Job = tuple[Callable[[Store], Any], "asyncio.Future[Any]"]


class Clerk:
    """Does what it is told inside transactions, in the order it was told. Made inside a running event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def do(self, act: Callable[[Store], T]) -> asyncio.Future[T]:
        """What `act` gives, once it is on disk. A failed commit fails everything that was to go with it."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((act, future))
        return future

    async def finish(self) -> None:
        """Wait until everything is on disk."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        ending = False
        while not ending:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            ending = None in jobs
            self._commit([job for job in jobs if job])

    def _commit(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            with self.store.writing():
                found = [act(self.store) for act, _ in jobs]
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
            for _, future in jobs:
                self._loop.call_soon_threadsafe(_fail, future, error)
        else:
            for (_, future), result in zip(jobs, found, strict=True):
                self._loop.call_soon_threadsafe(_succeed, future, result)


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
