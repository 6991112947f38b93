"""OpenAI's Batch API: a file of requests today, a file of answers within a day, at half the price.

    write     batch-1.jsonl                      a line a request: {"custom_id": ..., "url": ..., "body": {...}}
    submit    uploads it and starts it           its samples are claimed, with their highest price, while it runs
    collect   reads the answers that are there   into the same store as any other answer

What became of each file stands in `batches.json` beside them. A batch carries the hash of its file, so that one whose
number was lost, because the process died at that moment, is found again and not started twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import openai

from tutelage.annotation.annotate import Wish
from tutelage.annotation.budget import Price
from tutelage.annotation.client import SHOWN, Fault, Reply, read_body, status_fault
from tutelage.annotation.outcomes import Fate, Outcome
from tutelage.annotation.requests import Request
from tutelage.annotation.secrets import NO_KEY, OFFICIAL, without
from tutelage.annotation.store import Answer, Call, Store
from tutelage.errors import TeacherError
from tutelage.runs import read_json, write_json, write_text

MOST_LINES = 50_000
MOST_BYTES = 150_000_000
"""OpenAI takes 50,000 requests and 200 MB a file."""
URLS = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
ENDED = ("completed", "failed", "expired", "cancelled")
BOOKS = "batches.json"
HASH = "tutelage_file"
"""Under which name a batch carries the hash of its file."""


class NoBatchesError(TeacherError):
    """The server knows of no batches."""


class Batches:
    """The batches of one store, in a folder beside it."""

    def __init__(
        self, store: Store, folder: Path, *, base_url: str | None = None, key: str | None = None, timeout: float = 600.0
    ) -> None:
        """`timeout` is for one call to the API, in seconds; files are large."""
        self.store, self.folder, self._key, self.address = store, folder, key, base_url or OFFICIAL
        self._sdk = openai.OpenAI(base_url=self.address, api_key=key or NO_KEY, timeout=timeout, max_retries=0)
        self.books: list[dict[str, Any]] = read_json(folder / BOOKS) if (folder / BOOKS).exists() else []

    def write(self, wishes: Sequence[Wish]) -> list[Path]:
        """Files of requests for all samples that are missing; files that were written before and not submitted go."""
        for book in self.books:
            if book["status"] == "written":
                self._release(book)
                (self.folder / book["file"]).unlink(missing_ok=True)
        self.books = [book for book in self.books if book["status"] != "written"]
        for lines in _parts(_lines(wishes, self.store)):
            self._write(lines)
        self._save()
        return [self.folder / book["file"] for book in self.books if book["status"] == "written"]

    def _write(self, lines: list[tuple[str, dict[str, Any]]]) -> None:
        taken = {book["file"] for book in self.books}
        name = next(name for n in range(1, len(taken) + 2) if (name := f"batch-{n}.jsonl") not in taken)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for _, line in lines)
        write_text(self.folder / name, text)
        asked = {line["custom_id"]: {"key": key, "samples": _samples(line["custom_id"])} for key, line in lines}
        sha = hashlib.sha256(text.encode()).hexdigest()
        self.books.append({"file": name, "sha256": sha, "status": "written", "url": lines[0][1]["url"], "asked": asked})

    def submit(self, wishes: Sequence[Wish], *, price: Price | None = None, budget: int | None = None) -> list[str]:
        """Start what was written; gives the ids of the batches. Raises TeacherError where the budget has no room."""
        requests = {wish.request.key: wish.request for wish in wishes}
        for book in self.books:
            if book["status"] == "written":
                self._claim(book, requests, price, budget)
                book["status"] = "claimed"
                self._save()
            if book["status"] == "claimed":
                self._start(book)
        return [str(book["batch"]) for book in self.books if book["status"] == "submitted"]

    def collect(self, *, price: Price | None = None) -> list[str]:
        """Store what is there; gives a sentence for each batch."""
        return [self._collect(book, price) for book in self.books if book["status"] == "submitted"]

    # --- starting

    def _start(self, book: dict[str, Any]) -> None:
        """Start a claimed file. Where the server says that it has no batches, none was started: the claim is let go."""
        try:
            book["batch"] = self._found(book) or self._started(book)
            book["status"] = "submitted"
        except NoBatchesError:
            self._release(book)
            book["status"] = "written"
            raise
        finally:
            self._save()

    def _claim(
        self, book: Mapping[str, Any], requests: Mapping[str, Request], price: Price | None, budget: int | None
    ) -> None:
        """Claim all samples of a file or none of them."""
        if self.store.owned(_owner(book)):
            return  # this was done, and then the process died
        with self.store.writing():
            for each in book["asked"].values():
                request = requests.get(each["key"])
                if request is None:
                    raise TeacherError(f"{book['file']} is not of this recipe any more. Write it again.")
                samples = tuple(each["samples"])
                most = partial(price.most, request) if price else None
                claimed = self.store.claim(request, samples, price=most, budget=budget, owner=_owner(book))
                if claimed.too_dear:
                    raise TeacherError(f"{book['file']}: the budget has no room for it at its highest price.")
                if claimed.granted != samples:
                    raise TeacherError(f"{book['file']}: some of it was asked for meanwhile. Write it again.")

    def _found(self, book: Mapping[str, Any]) -> str | None:
        """The batch that was started from this file and is not in the books: the process died before it was noted."""
        known: list[Any] = self._told(lambda: list(self._sdk.batches.list(limit=100)))
        noted = {each.get("batch") for each in self.books}
        mine = [batch.id for batch in known if batch.metadata and batch.metadata.get(HASH) == book["sha256"][:32]]
        return next((id for id in mine if id not in noted), None)

    def _started(self, book: Mapping[str, Any]) -> str:
        path = self.folder / book["file"]
        with path.open("rb") as file:
            uploaded = self._told(lambda: self._sdk.files.create(file=file, purpose="batch"))
        return self._told(
            lambda: self._sdk.batches.create(
                input_file_id=uploaded.id,
                endpoint=book["url"],
                completion_window="24h",
                metadata={HASH: book["sha256"][:32]},
            )
        ).id

    # --- reading

    def _collect(self, book: dict[str, Any], price: Price | None) -> str:
        batch = self._told(lambda: self._sdk.batches.retrieve(book["batch"]))
        if batch.status not in ENDED:
            done = batch.request_counts.completed if batch.request_counts else 0
            return f"{book['file']}: {batch.status}, {done:,} of {len(book['asked']):,} requests done"
        read = 0
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            text = self._told(lambda id_=file_id: self._sdk.files.content(id_)).text
            read += self._read(text, book, price)
        left = self._release(book)
        book["status"] = batch.status
        self._save()
        lost = f"; {left:,} came back without an answer and can be asked again" if left else ""
        return f"{book['file']}: {batch.status}, {read:,} answers stored{lost}{_why(batch)}"

    def _release(self, book: Mapping[str, Any]) -> int:
        """Give back what a file claimed and got no answer for; gives the number of requests."""
        left = self.store.owned(_owner(book))
        with self.store.writing():
            for key, samples in left.items():
                self.store.release(key, samples)
        return len(left)

    def _read(self, text: str, book: Mapping[str, Any], price: Price | None) -> int:
        """Store the answers of a file; whatever has one already is passed over. Gives how many were stored."""
        open_ = self.store.owned(_owner(book))
        read = 0
        with self.store.writing():
            for line in filter(None, text.split("\n")):
                row = _row(line)
                each = book["asked"].get(row.get("custom_id"))
                if each and each["key"] in open_:
                    read += self._store(each["key"], tuple(each["samples"]), row, price)
        return read

    def _store(self, key: str, samples: tuple[int, ...], row: Mapping[str, Any], price: Price | None) -> bool:
        found = _result(row, self.store.endpoint(key))
        most = self.store.reserved(key, samples)
        if isinstance(found, Fault):
            rejected = found.fate is Fate.REJECTED
            answers = [Answer(s, Outcome.REJECTED, found.detail) for s in samples] if rejected else []
            perhaps = 0 if found.fate.is_free else most
            self.store.record(
                key, samples, Call(found.fate, perhaps=perhaps, detail=found.detail, server=self.address), answers
            )
            return rejected
        usage = found.usage
        tokens = usage.written // len(found.choices) if usage else 0
        answers = [Answer(s, c.outcome, c.text, tokens, c.reason) for s, c in zip(samples, found.choices, strict=False)]
        spent = price.of(usage) if price and usage else 0
        perhaps = 0 if usage else most
        tokens_read, tokens_written = usage or (0, 0)
        call = Call(Fate.ANSWERED, 0.0, tokens_read, tokens_written, spent, perhaps, "", self.address, found.body)
        self.store.record(key, samples, call, answers)
        return True

    # --- inside

    def _told(self, act: Callable[[], Any]) -> Any:
        """What a call to the API gives; its errors in words, without the key."""
        try:
            return act()
        except openai.OpenAIError as error:
            lacks = isinstance(error, openai.APIStatusError) and error.status_code in (404, 405, 501)
            said = f"the server said: {without(str(error), self._key)[:SHOWN]}. Nothing was lost."
            if lacks:
                raise NoBatchesError(f"{said} It seems to have no Batch API; ask without --batch.") from None
            raise TeacherError(said) from None

    def _save(self) -> None:
        write_json(self.folder / BOOKS, cast("Any", self.books))


def _owner(book: Mapping[str, Any]) -> str:
    """Who claims the samples of a file: nobody who could be killed."""
    return f"batch:{book['sha256'][:32]}"


def _lines(wishes: Iterable[Wish], store: Store) -> Iterator[tuple[str, dict[str, Any]]]:
    wishes = list(wishes)
    keys = {wish.request.key for wish in wishes}
    known, under_way = store.answers(keys), store.in_batches(keys)
    for wish in wishes:
        key = wish.request.key
        there = known.get(key, {}).keys() | under_way.get(key, set())
        if samples := tuple(s for s in range(wish.samples) if s not in there):
            name = f"{key[:32]}:{','.join(map(str, samples))}"
            body = wish.request.asking(samples)
            yield key, {"custom_id": name, "method": "POST", "url": URLS[wish.request.endpoint], "body": body}


def _parts(lines: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    part: list[tuple[str, dict[str, Any]]] = []
    size = 0
    for key, line in lines:
        length = len(json.dumps(line, ensure_ascii=False).encode()) + 1
        if part and (len(part) == MOST_LINES or size + length > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append((key, line))
        size += length
    if part:
        yield part


def _samples(custom_id: str) -> list[int]:
    return [int(sample) for sample in custom_id.partition(":")[2].split(",")]


def _row(line: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", row) if isinstance(row, dict) else {}


def _result(row: Mapping[str, Any], endpoint: Any) -> Reply | Fault:
    """A line of an answer file: the answer, or why there is none."""
    response: Mapping[str, Any] = row.get("response") or {}
    body, status = response.get("body"), response.get("status_code")
    if status == 200:
        return read_body(body, json.dumps(body, ensure_ascii=False), endpoint)
    said = json.dumps(row.get("error") or body, ensure_ascii=False)[:SHOWN]
    return status_fault(status, {}, said) if isinstance(status, int) else Fault(Fate.BROKEN, said)


def _why(batch: Any) -> str:
    """What the server says against a whole file."""
    errors = [str(error.message) for error in (batch.errors.data or ())] if batch.errors else []
    return f". {errors[0]}" if errors else ""
