"""What the tests of annotation share: wishes, a client of a server on loopback, and an annotation of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tutelage.annotation.annotate import Finished, Wish, annotate
from tutelage.annotation.budget import Price
from tutelage.annotation.client import Client
from tutelage.annotation.requests import Message, Request
from tutelage.annotation.round import Manner
from tutelage.annotation.store import Store

PRICE = Price(input=1.0, output=2.0)
FAST = Manner(concurrency=16, backoff=0.01)


def request(text: str = "Tova has 12 beads?", **sampling: Any) -> Request:
    return Request("m", (Message("user", text),), {"temperature": 0.7, "max_tokens": 50, **sampling})


def wishes(questions: int, samples: int = 3) -> list[Wish]:
    return [Wish(request(f"question {n}"), samples) for n in range(questions)]


def ask(
    url: str, path: Path, wanted: list[Wish], *, key: str | None = None, timeout: float = 20.0, **how: Any
) -> Finished:
    settings: dict[str, Any] = {"manner": FAST, "price": PRICE, **how}
    with Store(path) as store:
        return annotate(wanted, store, lambda: Client(base_url=url, key=key, timeout=timeout), **settings)
