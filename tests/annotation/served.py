"""`transformers serve` as a process of its own, with a bundled checkpoint: a compatible server that is not ours.

The checkpoint was pretrained on sums written down: "work out 12 + 5" gives "12 + 5 = 17", in most cases the right one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.request import urlopen

from tutelage.checkpoints import locate
from tutelage.formats import Format

TEMPLATE = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
"""The checkpoint reads a prompt up to a newline and goes on."""
SUM = 'work out {{ question.split() | map("int", -1) | reject("eq", -1) | join(" + ") }}'
"""A prompt of the user's own: the numbers of a question, in the words that this checkpoint knows."""
EQUALS = Format("equals", marker="=")
"""How its answers are read: `teacher.reads: served:EQUALS`."""
NAMES = ("Tova", "Bram", "Ida", "Olle", "Runa", "Falk")
THINGS = ("beads", "cards", "coins", "shells")


class Served(NamedTuple):
    """A server that runs."""

    url: str
    model: str


@contextmanager
def serve(folder: Path) -> Generator[Served]:
    """Start it, and stop it in the end."""
    model, port = _checkpoint(folder), _free_port()
    program = Path(sys.executable).with_name("transformers")
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", folder / "serve.log")
            yield Served(f"http://127.0.0.1:{port}/v1", str(model))
        finally:
            process.terminate()
            process.wait(20)


def _checkpoint(folder: Path) -> Path:
    """The bundled one with what a server needs besides: a chat template, and leave to sample."""
    source = locate("pocket/causal-nano")
    assert source
    model = Path(shutil.copytree(source, folder / "model"))
    _add(model / "tokenizer_config.json", chat_template=TEMPLATE)
    _add(model / "generation_config.json", do_sample=True)
    return model


def _add(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no server after two minutes: {log.read_text()}")


def sums(train: int, test: int, seed: int = 0) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows of a user's two files, each a story of one sum; no story comes twice, sums do."""
    rng, found = Random(seed), dict[str, str]()
    while len(found) < train + test:
        a, b, name, thing = rng.randint(2, 20), rng.randint(2, 9), rng.choice(NAMES), rng.choice(THINGS)
        found[f"{name} has {a} {thing} and finds {b} more. How many {thing} are there?"] = str(a + b)
    rows = [{"question": question, "answer": answer} for question, answer in found.items()]
    return rows[:train], rows[train:]
