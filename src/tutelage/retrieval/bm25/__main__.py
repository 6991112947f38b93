"""Build one shard from the passages on standard input; started by `workers.py`, never by hand.

In: a JSON list of [id, title, text] a line, then `null`. Out: what the shard holds, or {"error": ...}.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tutelage.errors import CorpusError
from tutelage.retrieval.bm25.shard import ShardWriter
from tutelage.retrieval.bm25.workers import END, said
from tutelage.types import Passage


class _Cut(Exception):  # noqa: N818
    """The input ended without its end mark: whoever sent it is gone."""


def _build(folder: Path) -> str:
    with ShardWriter(folder) as writer:
        while (line := sys.stdin.buffer.readline()) != END:
            if not line.endswith(b"\n"):
                raise _Cut
            writer.add([Passage(*fields) for fields in json.loads(line)])
    return said(writer.tally)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sender's to answer
    try:
        print(_build(Path(sys.argv[1])))
    except CorpusError as error:
        print(json.dumps({"error": str(error)}))
    except _Cut:
        sys.exit(1)
