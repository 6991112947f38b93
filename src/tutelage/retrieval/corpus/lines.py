"""Lines of a file, also gzipped, in flat memory: a line of any length takes no more than `LONGEST` bytes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from tutelage.retrieval.corpus.report import Report

LONGEST = 16 * 2**20
"""Bytes of a line; a longer one is a problem, not a passage."""


class Line(NamedTuple):
    """One line without its end."""

    where: str
    """"notes/a.txt:17"."""
    text: str


def read_lines(path: Path, name: str, report: Report) -> Iterator[Line]:
    """The readable lines of a file; the others are told in the report. After a zero byte the file is given up."""
    number = 0
    try:
        with _open(path) as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                where = f"{name}:{number}"
                if len(raw) > LONGEST and not raw.endswith(b"\n"):
                    size = len(raw) + _pass_over(file)
                    report.problem(f"{where}: a line of {size:,} bytes; at most {LONGEST:,} are read. Break it up.")
                elif b"\0" in raw:
                    report.problem(f"{where}: a zero byte, so this is no text file. Take it out or give it its suffix.")
                    return
                elif (text := _decoded(where, raw.removeprefix(b"\xef\xbb\xbf"), report)) is not None:
                    yield Line(where, text.rstrip("\r\n"))
    except (OSError, EOFError, zlib.error) as error:
        kind = "not a whole gzip file" if path.suffix == ".gz" else "cannot be read"
        report.problem(f"{name}:{number + 1}: {kind} ({error}). Fetch it again.")


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _pass_over(file: IO[bytes]) -> int:
    """Read to the end of a line without keeping it; its remaining bytes."""
    size = 0
    while piece := file.readline(2**20):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _decoded(where: str, raw: bytes, report: Report) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        report.problem(f"{where}: byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8.")
        return None
