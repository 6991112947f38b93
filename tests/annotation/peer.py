"""A small HTTP server on loopback in a thread of its own, and an OpenAI-compatible model that answers by rule."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many", 500: "Error"}


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    drop: bool = False
    """Close the connection without a word."""

    def raw(self) -> bytes:
        headers = {"content-type": "application/json", **self.headers, "content-length": str(len(self.body))}
        lines = [
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Other')}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(value).encode(), headers)


async def read_message(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    """First line, headers and body of a request or an answer; None at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return first, headers, body
    return first, headers, await reader.readexactly(int(headers.get("content-length", 0)))


class Server:
    """Answers requests by `answer`, each connection by itself, in a thread of its own."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.under_way = 0
        self.most_at_once = 0
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: Received) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while message := await read_message(reader):
                first, headers, body = message
                method, path, _ = first.split(" ", 2)
                request = Received(method, path, headers, body)
                self.received.append(request)
                answer = await self._counted(request)
                if answer.drop:
                    break
                writer.write(answer.raw())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _counted(self, request: Received) -> Answer:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self.answer(request)
        finally:
            self.under_way -= 1


def prompt_of(body: dict[str, Any]) -> str:
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


class FakeModel(Server):
    """A model that answers at once, or after `latency` seconds, and keeps the books of what it charged."""

    def __init__(
        self,
        say: Callable[[str, int], str | tuple[str, str]] = lambda prompt, number: f"{prompt}: text {number}. Answer: 1",
        *,
        latency: float = 0.0,
        writes_several: bool = True,
        counts: bool = True,
        before: Callable[[Received], Awaitable[Answer | None]] | None = None,
    ) -> None:
        """`say(prompt, number of this text for the prompt)` gives the text, or the text and the reason it ended."""
        super().__init__()
        self.say, self.latency, self.counts, self.before = say, latency, counts, before
        self.writes_several = writes_several
        self.texts: Counter[str] = Counter()
        """Texts written, by prompt."""
        self.charged_read = 0
        self.charged_written = 0

    async def answer(self, request: Received) -> Answer:
        if self.before and (early := await self.before(request)):
            return early
        if self.latency:
            await asyncio.sleep(self.latency)
        body, chat = request.json, request.path.endswith("/chat/completions")
        choices = [self._choice(prompt_of(body), chat) for _ in range(body.get("n", 1) if self.writes_several else 1)]
        read = len(prompt_of(body)) // 4 + 1
        written = sum(len(c["message"]["content"] if chat else c["text"]) // 4 + 1 for c in choices)
        self.charged_read += read
        self.charged_written += written
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return as_json({"id": "x", "choices": choices, **({"usage": usage} if self.counts else {})})

    def _choice(self, prompt: str, chat: bool) -> dict[str, Any]:
        said = self.say(prompt, self.texts[prompt])
        self.texts[prompt] += 1
        text, reason = said if isinstance(said, tuple) else (said, "stop")
        body = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return {"index": 0, "finish_reason": reason, **body}

    @property
    def calls(self) -> int:
        return len(self.received)
