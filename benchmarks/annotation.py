"""How busy an annotation keeps a server that takes 64 calls at once, beside a plain loop over the same SDK.

    python benchmarks/annotation.py                        # latencies of 0.05, 0.5 and 2 seconds
    python benchmarks/annotation.py --latency 0.5 --calls 2560

The server is a process of its own. It answers every call after a fixed time, and keeps the books: the share busy is the
time that its places were taken, over 64 times the time from the first call's arrival to the last one's end. It cannot
reach 100%: at the start the places fill up, and at the end they empty.

    ours        `annotate` with a store: each answer is on disk, each call claimed and priced before it starts
    plain       `asyncio.gather` over the SDK behind a semaphore of 64, answers kept in memory alone
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PLACES = 64
TEXT = "Tova starts with 12. She finds 5 more, and 12 + 5 = 17. " * 12 + "\nAnswer: 17"
"""As long as a rationale is."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = _parser().parse_args(arguments)
    if chosen.serve is not None:
        asyncio.run(_serve(chosen.serve))
        return
    if chosen.ask:
        print(json.dumps(ASKED[chosen.ask](chosen.url, chosen.calls, chosen.folder)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, openai {version('openai')}, {PLACES} places\n")
    print("| latency | calls | client | share busy | calls a second | most at once | client's processor |")
    print("|---|---|---|---|---|---|---|")
    for latency in chosen.latency:
        calls = chosen.calls or max(20 * PLACES, min(60 * PLACES, int(PLACES * 20 / latency)))
        for turn in range(chosen.repeat):
            for who in ("ours", "plain") if turn % 2 == 0 else ("plain", "ours"):
                _print(who, latency, _measured(who, latency, calls, chosen.folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.05, 0.5, 2.0], help="seconds of one call")
    parser.add_argument("--calls", type=int, help="calls of one measurement; default by latency, 20 to 60 for a place")
    parser.add_argument("--repeat", type=int, default=1, help="measurements of each; the order alternates")
    parser.add_argument("--folder", type=Path, help="where the store lies: its disk is waited for")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--ask", choices=("ours", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser


def _measured(who: str, latency: float, calls: int, folder: Path | None) -> dict[str, Any]:
    """One client against a fresh server, each in its own process."""
    program = [sys.executable, __file__]
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        subprocess.Popen([*program, "--serve", str(latency)], stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout
        url = server.stdout.readline().strip()
        try:
            asked = [*program, "--ask", who, "--url", url, "--calls", str(calls), "--folder", place]
            client = subprocess.run(asked, check=True, capture_output=True, text=True)
            with urlopen(f"{url}/books") as books:
                return {**json.load(books), **json.loads(client.stdout)}
        finally:
            server.terminate()


def _print(who: str, latency: float, found: dict[str, Any]) -> None:
    busy = found["taken"] / (PLACES * found["span"])
    print(
        f"| {latency:g} s | {found['calls']:,} | {who} | {100 * busy:.1f}% | {found['calls'] / found['span']:.0f} "
        f"| {found['most']} | {100 * found['processor'] / found['span']:.0f}% of a core |",
        flush=True,
    )


# --- clients


def _ours(url: str, calls: int, folder: Path) -> dict[str, Any]:
    from tutelage.annotation.annotate import Wish, annotate
    from tutelage.annotation.budget import Price
    from tutelage.annotation.client import Client
    from tutelage.annotation.requests import Message, Request
    from tutelage.annotation.round import Manner
    from tutelage.annotation.store import Store

    sampling = {"temperature": 0.7, "max_tokens": 512}
    wishes = [Wish(Request("m", (Message("user", _question(n)),), sampling), 1) for n in range(calls)]
    with Store(folder / "answers.sqlite") as store:
        done = annotate(
            wishes,
            store,
            lambda: Client(base_url=url),
            manner=Manner(concurrency=PLACES),
            price=Price(0.15, 0.60),
            budget=1000.0,
        )
        assert done.progress.done == len(store.answers([wish.request.key for wish in wishes])) == calls
    return {"processor": time.process_time()}


def _plain(url: str, calls: int, folder: Path) -> dict[str, Any]:
    from openai import AsyncOpenAI

    async def all_of_them() -> list[str | None]:
        gate = asyncio.Semaphore(PLACES)
        async with AsyncOpenAI(base_url=url, api_key="none") as sdk:

            async def one(n: int) -> str | None:
                async with gate:
                    said = await sdk.chat.completions.create(
                        model="m",
                        messages=[{"role": "user", "content": _question(n)}],
                        temperature=0.7,
                        max_tokens=512,
                    )
                return said.choices[0].message.content

            return await asyncio.gather(*(one(n) for n in range(calls)))

    assert len(asyncio.run(all_of_them())) == calls
    return {"processor": time.process_time()}


ASKED = {"ours": _ours, "plain": _plain}


def _question(n: int) -> str:
    return f"Work through the question step by step. Tova has {n} beads and finds 5 more. How many are there?"


# --- the server


async def _serve(latency: float) -> None:
    """Answer every call after `latency` seconds; GET /books gives what was counted."""
    books = {"calls": 0, "taken": 0.0, "first": 0.0, "last": 0.0, "now": 0, "most": 0}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
    usage = {"prompt_tokens": 30, "completion_tokens": 200, "total_tokens": 230}
    answer = json.dumps(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if head.startswith("get"):
                    writer.write(_http(json.dumps({**books, "span": books["last"] - books["first"]})))
                    continue
                length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
                await reader.readexactly(int(length.split(":")[1]))
                began = time.monotonic()
                books["first"] = books["first"] or began
                books["now"] += 1
                books["most"] = max(books["most"], books["now"])
                await asyncio.sleep(latency)
                ended = time.monotonic()
                books.update(last=ended, now=books["now"] - 1, calls=books["calls"] + 1)
                books["taken"] += ended - began
                writer.write(_http(answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.Event().wait()


def _http(body: str) -> bytes:
    data = body.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


if __name__ == "__main__":
    main()
