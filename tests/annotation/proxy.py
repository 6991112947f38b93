"""A proxy on loopback that stands before a real server and spoils a share of the calls, in the ways networks do.

slow       the answer comes later                    dropped    the connection closes before or after the answer
429        too many, with Retry-After                garbage    status 200 and no JSON, or JSON that is no answer
500        a fault of the server                     cut        a true answer whose finish_reason becomes "length"
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from peer import Answer, Received, Server, as_json, read_message

KINDS = ("slow", "429", "500", "dropped before", "dropped after", "garbage", "cut")


class Proxy(Server):
    """Spoils a share of the calls, each kind as often as the others."""

    def __init__(self, upstream: str, *, share: float = 0.3, seed: int = 0, kinds: tuple[str, ...] = KINDS) -> None:
        super().__init__()
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._share, self._kinds = share, kinds
        self._rng = random.Random(seed)
        self.spoilt: Counter[str] = Counter()

    async def answer(self, request: Received) -> Answer:
        kind = self._rng.choice(self._kinds) if self._rng.random() < self._share else ""
        self.spoilt[kind] += bool(kind)
        if kind == "slow":
            await asyncio.sleep(0.05)
        if kind == "429":
            return as_json({"error": {"message": "slow down"}}, 429, **{"retry-after-ms": "20"})
        if kind == "500":
            return as_json({"error": {"message": "out of luck"}}, 500)
        if kind == "dropped before":
            return Answer(drop=True)
        found = await self._forward(request)
        if kind == "dropped after":
            return Answer(drop=True)
        if kind == "garbage":
            return self._rng.choice(
                [Answer(200, b"<html>gateway</html>"), as_json({"ok": True}), Answer(200, b'{"cho')]
            )
        return _cut(found) if kind == "cut" else found

    async def _forward(self, request: Received) -> Answer:
        reader, writer = await asyncio.open_connection(*self._upstream)
        kept = {k: v for k, v in request.headers.items() if k not in ("host", "connection", "content-length")}
        headers = {**kept, "host": f"{self._upstream[0]}:{self._upstream[1]}", "content-length": str(len(request.body))}
        lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + request.body)
        message = await read_message(reader)
        writer.close()
        assert message
        return Answer(int(message[0].split(" ")[1]), message[2])


def _cut(answer: Answer) -> Answer:
    body: Any = json.loads(answer.body)
    for choice in body["choices"]:
        choice["finish_reason"] = "length"
    return as_json(body)
