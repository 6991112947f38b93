"""Every call and every answer of a teacher, on disk before anything else happens to it.

An SQLite file that waits for the disk at every commit; in WAL mode, or on a disk that machines share with a rollback
journal, which needs no memory in common. Three tables matter:

    answers   one row a sample: (request key, sample number), outcome, text, tokens, reason
    calls     one row a call to the server: its fate, the tokens it counted, what it cost, the body as it came
    claims    samples that some process is asking for right now, with the most that the call can cost

A claim is written before its call starts, and goes in the same transaction that stores the answer. So two processes
never pay for one sample twice, and a budget holds for all of them together. Each process holds a lock file while it
lives; the claims of one that was killed become calls with the fate `lost with its process`, at their highest price,
since the server may have charged for them.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from filelock import FileLock, Timeout

from tutelage.annotation.disk import is_shared
from tutelage.annotation.outcomes import Fate, Outcome, ending
from tutelage.annotation.requests import Endpoint, Request
from tutelage.errors import RunError

VERSION = 2
"""1 had no reasons in its answers: see `_add_reasons`."""
PATIENCE = 60
"""Seconds to wait while another process writes."""
FEW = 100
"""So many requests are looked up one by one."""

SCHEMA = """
CREATE TABLE requests (key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, samples TEXT NOT NULL, fate TEXT NOT NULL, at REAL NOT NULL,
    seconds REAL NOT NULL, tokens_read INTEGER NOT NULL, tokens_written INTEGER NOT NULL, spent INTEGER NOT NULL,
    perhaps INTEGER NOT NULL, detail TEXT NOT NULL, server TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE answers (
    key TEXT NOT NULL, sample INTEGER NOT NULL, outcome TEXT NOT NULL, text TEXT NOT NULL, tokens INTEGER NOT NULL,
    call INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (key, sample));
CREATE TABLE claims (
    key TEXT NOT NULL, sample INTEGER NOT NULL, owner TEXT NOT NULL, reserved INTEGER NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (key, sample)) WITHOUT ROWID;
CREATE TABLE ledger (one INTEGER PRIMARY KEY CHECK (one = 1), spent INTEGER NOT NULL, perhaps INTEGER NOT NULL);
INSERT INTO ledger VALUES (1, 0, 0);
"""


class Answer(NamedTuple):
    """What came of one sample."""

    sample: int
    outcome: Outcome
    text: str = ""
    tokens: int = 0
    """Tokens of the text; of several texts in one answer an equal part each."""
    reason: str = ""
    """Why the text is not whole, in the server's word; see `outcomes.Ending`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the server, ended."""

    fate: Fate
    seconds: float = 0.0
    tokens_read: int = 0
    tokens_written: int = 0
    spent: int = 0
    """What the server's own count of tokens comes to, in units of `budget.UNIT`."""
    perhaps: int = 0
    """What it may have cost besides, where no count came back: the highest price of the call."""
    detail: str = ""
    """What the server said of a fault, without secrets."""
    server: str = ""
    """Its address; empty for a model in this process."""
    body: str = ""
    """The answer as it came; packed where it is stored, as it holds every text a second time."""


class Claimed(NamedTuple):
    """What a process got of the samples it wanted to ask for."""

    granted: tuple[int, ...]
    answered: tuple[int, ...]
    elsewhere: tuple[int, ...]
    """Another process is asking for them."""
    too_dear: tuple[int, ...]
    """The budget has no room for the call."""


class Totals(NamedTuple):
    """The store in figures."""

    fates: Mapping[str, int]
    """Ended calls by what became of them."""
    tokens_read: int
    tokens_written: int
    spent: int
    perhaps: int
    reserved: int
    """Highest price of the calls that are under way."""


class Store:
    """An open store. It is used from one thread at a time; writes happen inside `writing()`."""

    def __init__(self, path: Path) -> None:
        """Open the store at `path` or make it. Raises RunError where the file is something else."""
        self.path = path
        self.owner = uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        self._locks = path.with_name(path.name + ".owners")
        self._lock = FileLock(self._locks / self.owner)
        self._locks.mkdir(exist_ok=True)
        self._lock.acquire()
        try:
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            with self._explained():
                self._prepare()
            with self.writing():
                self.take_over()
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Close. What is still claimed was asked and never ended, so it counts as lost."""
        try:
            with suppress(RunError), self.writing():  # where the disk is full, whoever opens the store next buries it
                self._bury(self.owner)
        finally:
            self._db.close()
            self._let_go()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing

    @contextmanager
    def writing(self) -> Generator[None]:
        """A transaction: all of it is on disk when it ends, or none of it. Raises RunError where the disk is full."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def claim(
        self,
        request: Request,
        samples: Sequence[int],
        *,
        price: Callable[[int], int] | None = None,
        budget: int | None = None,
        owner: str | None = None,
    ) -> Claimed:
        """Take those samples that nobody has, if the budget allows a call for them; within `writing`.

        `price` gives the most that a call for so many samples costs.
        """
        key = request.key
        answered = self._those_in("answers", key, samples)
        elsewhere = self._those_in("claims", key, samples) - answered
        free = tuple(s for s in samples if s not in answered | elsewhere)
        done = (tuple(sorted(answered)), tuple(sorted(elsewhere)))
        if not free:
            return Claimed((), *done, ())
        reserved = price(len(free)) if price else 0
        if budget is not None and self.committed() + reserved > budget:
            return Claimed((), *done, free)
        body, now = json.dumps(request.body, ensure_ascii=False), time.time()
        self._db.execute(
            "INSERT INTO requests VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", (key, request.endpoint, body)
        )
        self._db.executemany(
            "INSERT INTO claims VALUES (?, ?, ?, ?, ?)",
            [(key, s, owner or self.owner, reserved if s == free[0] else 0, now) for s in free],
        )
        return Claimed(free, *done, ())

    def record(self, key: str, samples: Sequence[int], call: Call, answers: Iterable[Answer] = ()) -> None:
        """Store a call that ended, and what it brought; its claims go. Within `writing`."""
        self._db.executemany("DELETE FROM claims WHERE key = ? AND sample = ?", [(key, s) for s in samples])
        cursor = self._db.execute(
            "INSERT INTO calls (key, samples, fate, at, seconds, tokens_read, tokens_written, spent, perhaps, detail,"
            " server, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, json.dumps(list(samples)), call.fate, time.time(), round(call.seconds, 3)),
                *(
                    call.tokens_read,
                    call.tokens_written,
                    call.spent,
                    call.perhaps,
                    call.detail,
                    call.server,
                    _packed(call.body),
                ),
            ),
        )
        self._db.execute("UPDATE ledger SET spent = spent + ?, perhaps = perhaps + ?", (call.spent, call.perhaps))
        self._db.executemany(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, sample) DO NOTHING",
            [(key, a.sample, a.outcome, a.text, a.tokens, cursor.lastrowid, a.reason) for a in answers],
        )

    def settle(self, key: str, answers: Iterable[Answer]) -> None:
        """Store the outcome of samples whose calls are stored already; within `writing`."""
        self._db.executemany(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT (key, sample) DO NOTHING",
            [(key, a.sample, a.outcome, a.text, a.tokens, a.reason) for a in answers],
        )

    def release(self, key: str, samples: Sequence[int]) -> None:
        """Give back samples that were claimed and never asked for; within `writing`."""
        self._db.executemany("DELETE FROM claims WHERE key = ? AND sample = ?", [(key, s) for s in samples])

    def forget(self, keys: Collection[str], outcomes: Collection[Outcome]) -> int:
        """Ask again for the samples of these requests that ended so; gives their number. Calls stay on the books."""
        wanted, found = set(keys), 0
        with self.writing():
            for outcome in outcomes:
                rows = self._db.execute("SELECT key, sample FROM answers WHERE outcome = ?", (outcome,)).fetchall()
                mine = [row for row in rows if row[0] in wanted]
                self._db.executemany("DELETE FROM answers WHERE key = ? AND sample = ?", mine)
                found += len(mine)
        return found

    def reprice(self, keys: Collection[str], price: Callable[[int, int], int]) -> int:
        """Put a price on answered calls for these requests that have none, as before prices were given; their sum.

        `price` is called with the tokens that were read and written.
        """
        wanted, added = set(keys), 0
        with self.writing():
            rows = self._db.execute(
                "SELECT id, key, tokens_read, tokens_written FROM calls WHERE fate = ? AND spent = 0 AND perhaps = 0",
                (Fate.ANSWERED,),
            ).fetchall()
            for id, key, read, written in rows:
                if key in wanted and (spent := price(read, written)):
                    self._db.execute("UPDATE calls SET spent = ? WHERE id = ?", (spent, id))
                    added += spent
            self._db.execute("UPDATE ledger SET spent = spent + ?", (added,))
        return added

    def take_over(self) -> int:
        """Write down as lost what killed processes were asking for; gives the number of calls. Within `writing`."""
        owners = [
            row[0] for row in self._db.execute("SELECT DISTINCT owner FROM claims WHERE owner != ?", (self.owner,))
        ]
        return sum(self._bury(owner) for owner in owners if ":" not in owner and not self._lives(owner))

    def _bury(self, owner: str) -> int:
        rows = self._db.execute(
            "SELECT key, sample, reserved, since FROM claims WHERE owner = ? ORDER BY key, sample", (owner,)
        ).fetchall()
        calls = list(_calls_of(rows))
        for key, samples, reserved in calls:
            self.record(key, samples, Call(Fate.LOST, perhaps=reserved))
        return len(calls)

    # --- reading

    def answers(self, keys: Collection[str]) -> dict[str, dict[int, Answer]]:
        """What is there of these requests, by key and sample."""
        wanted = set(keys)
        found: dict[str, dict[int, Answer]] = {}
        for key, sample, outcome, text, tokens, reason in self._answers(wanted):
            if key in wanted:
                found.setdefault(key, {})[sample] = Answer(sample, Outcome(outcome), text, tokens, reason)
        return found

    def _answers(self, wanted: Collection[str]) -> Iterator[tuple[Any, ...]]:
        """Rows with those that are wanted among them: a few are looked up, for many the table is read once."""
        query = "SELECT key, sample, outcome, text, tokens, reason FROM answers"
        if len(wanted) > FEW:
            yield from self._rows(query)
            return
        for key in wanted:
            yield from self._rows(f"{query} WHERE key = ?", (key,))

    def totals(self, keys: Collection[str] | None = None) -> Totals:
        """The books of the whole store, or of the calls for some requests."""
        wanted = None if keys is None else set(keys)
        fates: dict[str, int] = {}
        read = written = spent = perhaps = 0
        columns = "key, fate, tokens_read, tokens_written, spent, perhaps"
        for key, fate, *figures in self._rows(f"SELECT {columns} FROM calls ORDER BY id"):
            if wanted is None or key in wanted:
                fates[fate] = fates.get(fate, 0) + 1
                read, written = read + figures[0], written + figures[1]
                spent, perhaps = spent + figures[2], perhaps + figures[3]
        claimed = self._rows("SELECT key, reserved FROM claims")
        reserved = sum(row[1] for row in claimed if wanted is None or row[0] in wanted)
        return Totals(fates, read, written, spent, perhaps, reserved)

    def committed(self) -> int:
        """What was spent, what may have been, and what the calls under way can cost at most."""
        [(spent, perhaps)] = self._rows("SELECT spent, perhaps FROM ledger")
        [(reserved,)] = self._rows("SELECT coalesce(sum(reserved), 0) FROM claims")
        return spent + perhaps + reserved

    def endpoint(self, key: str) -> Endpoint:
        """How a request was asked, or is to be."""
        [(endpoint,)] = self._rows("SELECT endpoint FROM requests WHERE key = ?", (key,))
        return endpoint

    def bodies(self, keys: Collection[str]) -> dict[str, str]:
        """The answers as they came, the last of each request; for looking."""
        wanted = set(keys)
        rows = self._rows("SELECT key, body FROM calls ORDER BY id")
        return {key: zlib.decompress(body).decode() if body else "" for key, body in rows if key in wanted}

    def reserved(self, key: str, samples: Sequence[int]) -> int:
        """The most that a call under way for these samples can cost."""
        rows = self._rows("SELECT sample, reserved FROM claims WHERE key = ?", (key,))
        return sum(amount for sample, amount in rows if sample in samples)

    def servers(self, keys: Collection[str]) -> set[str]:
        """Where the answers to these requests came from."""
        wanted = set(keys)
        rows = self._rows("SELECT key, server FROM calls WHERE fate = ?", (Fate.ANSWERED,))
        return {server for key, server in rows if key in wanted}

    def commonest_fault(self, keys: Collection[str]) -> str:
        """What went wrong most often with calls for these requests, in the server's words; empty where nothing did."""
        wanted = set(keys)
        rows = self._rows("SELECT key, fate, detail FROM calls WHERE fate != ?", (Fate.ANSWERED,))
        counts = Counter(f"{fate} ({detail})" if detail else fate for key, fate, detail in rows if key in wanted)
        return counts.most_common(1)[0][0] if counts else ""

    def in_batches(self, keys: Collection[str]) -> dict[str, set[int]]:
        """The samples of these requests that a file of a batch has claimed: nobody's who could be killed."""
        found: dict[str, set[int]] = {}
        for key, sample in self._db.execute("SELECT key, sample FROM claims WHERE instr(owner, ':')"):
            if key in keys:
                found.setdefault(key, set()).add(sample)
        return found

    def owned(self, owner: str) -> dict[str, tuple[int, ...]]:
        """The samples that an owner has claimed, by request."""
        found: dict[str, tuple[int, ...]] = {}
        for key, sample in self._db.execute("SELECT key, sample FROM claims WHERE owner = ? ORDER BY sample", (owner,)):
            found[key] = (*found.get(key, ()), sample)
        return found

    # --- inside

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with self._explained():
            yield from self._db.execute(query, values)

    def _those_in(self, table: Literal["answers", "claims"], key: str, samples: Sequence[int]) -> set[int]:
        there = {row[0] for row in self._db.execute(f"SELECT sample FROM {table} WHERE key = ?", (key,))}
        return there & set(samples)

    def _prepare(self) -> None:
        self._db.execute(f"PRAGMA journal_mode = {'TRUNCATE' if is_shared(self.path) else 'WAL'}")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN IMMEDIATE")
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in SCHEMA.split(";\n"):
                self._db.execute(statement)
        elif version == 1:
            self._add_reasons()
        if version in (0, 1):
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("COMMIT")
        if version not in (0, 1, VERSION):
            raise RunError(f"{self.path}: written by another version ({version}, this one writes {VERSION}).")

    def _add_reasons(self) -> None:
        """Bring a store of version 1 up to date: why texts ended is read out of the answers as they came.

        Any reason but `length` had been taken for the end of a whole text.
        """
        self._db.execute("ALTER TABLE answers ADD COLUMN reason TEXT NOT NULL DEFAULT ''")
        for id, samples, body in self._db.execute("SELECT id, samples, body FROM calls WHERE length(body)"):
            for sample, reason in zip(json.loads(samples), _reasons(zlib.decompress(body)), strict=False):
                end = ending(reason)
                if end.outcome is not Outcome.WRITTEN:
                    self._db.execute(
                        "UPDATE answers SET outcome = ?, reason = ? WHERE call = ? AND sample = ? AND outcome != ?",
                        (end.outcome, end.reason, id, sample, Outcome.REFUSED),
                    )

    @contextmanager
    def _explained(self) -> Generator[None]:
        """SQLite's errors in words that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith("SQLITE_FULL"):
                raise RunError(
                    f"{self.path}: the disk is full. What was stored until now is safe; make room, run again."
                ) from error
            if name.startswith("SQLITE_NOTADB") or name.startswith("SQLITE_CORRUPT"):
                raise RunError(f"{self.path}: not a store of answers, or damaged ({error}). Move it away.") from error
            raise RunError(f"{self.path}: {error}") from error

    def _lives(self, owner: str) -> bool:
        """Whether the process of an owner still holds its lock. What it left is cleared away if not."""
        path = self._locks / owner
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    def _let_go(self) -> None:
        self._lock.release()
        (self._locks / self.owner).unlink(missing_ok=True)


def _reasons(body: bytes) -> list[object]:
    """The `finish_reason` of each choice of an answer; none where it is no such answer."""
    try:
        choices: Any = json.loads(body)["choices"]
        return [choice.get("finish_reason") for choice in choices]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _packed(body: str) -> bytes:
    return zlib.compress(body.encode(errors="replace")) if body else b""


def _calls_of(rows: Iterable[tuple[str, int, int, float]]) -> Iterator[tuple[str, list[int], int]]:
    """Claims put together into the calls that they were made for: same request, same moment."""
    calls: dict[tuple[str, float], tuple[list[int], int]] = {}
    for key, sample, reserved, since in rows:
        samples, sum_ = calls.get((key, since), ([], 0))
        calls[key, since] = ([*samples, sample], sum_ + reserved)
    for (key, _), (samples, reserved) in calls.items():
        yield key, samples, reserved
