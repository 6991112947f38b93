"""The workspace of a run: stages keyed by the fingerprint of their inputs, whole or not there at all.

    runs/pocket-steps/
      stages/student-3f9c2a71b0de/        finished: has stage.json, was renamed into place as the last act
      stages/score-77aa01c4f2e9.partial/  begun: what it holds lets the stage resume
      stages/.locks/score-77aa01c4f2e9    held by the process that works on it

A fingerprint covers the settings of a stage and the fingerprints of the stages it reads, never what they contain.
The whole plan of a study is therefore known before anything runs, and a changed setting redoes exactly what depends
on it. Deleting a stage's folder is always safe: it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from filelock import FileLock, Timeout

from tutelage.errors import RunError

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

MANIFEST = "stage.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """A finished or planned piece of work: where its files are and what its inputs amount to."""

    name: str
    fingerprint: str
    folder: Path
    cached: bool
    """Whether it was already there when asked for."""

    @property
    def seconds(self) -> float:
        """How long making it took, in seconds, with interrupted tries; one that was killed outright counts nothing."""
        return float(json.loads((self.folder / MANIFEST).read_text())["seconds"])


class Workspace:
    """The folder of a run. With `planning`, stages are only looked up and noted in `plan`, never made."""

    def __init__(self, folder: Path, *, planning: bool = False) -> None:
        self.folder = folder
        self.planning = planning
        self.plan: dict[str, Stage] = {}
        """Every stage asked for so far, in order, by folder name."""

    def stage(self, name: str, inputs: Mapping[str, Json], make: Callable[[Path], None]) -> Stage:
        """The stage with these inputs: found if finished, else made by `make` in a folder that survives a crash.

        `make` gets the working folder and may find its own earlier work there. Two processes that want the same stage
        take turns: the second finds it finished. Raises whatever `make` raises; the working folder then stays.
        """
        print_ = fingerprint({"stage": name, **inputs})
        folder = self.folder / "stages" / f"{name}-{print_[:12]}"
        cached = is_finished(folder)
        if not cached and not self.planning:
            with locked(folder.parent / ".locks" / folder.name):
                if not is_finished(folder):
                    _make(folder, name, print_, inputs, make)
        stage = Stage(name, print_, folder, cached)
        self.plan.setdefault(folder.name, stage)
        return stage


def fingerprint(inputs: Mapping[str, Json]) -> str:
    """SHA-256 of the inputs as canonical JSON: 64 hex digits, the same for any order of keys."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_finished(folder: Path) -> bool:
    """Whether a stage's folder is there with every file at the size it was finished with."""
    try:
        sizes: dict[str, int] = json.loads((folder / MANIFEST).read_text())["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return False


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Generator[None]:
    """Hold the lock file at `path`: wait for another live process, or with wait=False raise RunError. A killed process
    holds nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(f"another run is at work in {path.parent}. Wait for it, or choose another --out.") from None
    try:
        yield
    finally:
        lock.release()


def _make(folder: Path, name: str, print_: str, inputs: Mapping[str, Json], make: Callable[[Path], None]) -> None:
    if folder.exists():
        shutil.rmtree(folder)  # damaged: a file is missing or has another size than when it was finished
    working = folder.with_name(folder.name + ".partial")
    working.mkdir(parents=True, exist_ok=True)
    with _stopwatch(working / "seconds.json") as seconds:
        make(working)
    sizes: dict[str, Json] = {
        path.relative_to(working).as_posix(): path.stat().st_size
        for path in sorted(working.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(
        working / MANIFEST,
        {"name": name, "fingerprint": print_, "inputs": dict(inputs), "seconds": seconds(), "files": sizes},
    )
    _sync_folder(working)
    working.rename(folder)
    _sync_folder(folder.parent)


@contextmanager
def _stopwatch(path: Path) -> Generator[Callable[[], float]]:
    """Count seconds on top of what an earlier, interrupted try left in the file at `path`."""
    try:
        before = float(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        before = 0.0
    start = time.monotonic()

    def seconds() -> float:
        return round(before + time.monotonic() - start, 3)

    try:
        yield seconds
    except BaseException:
        write_json(path, seconds())
        raise
    path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Json) -> None:
    """Write one JSON value, indented, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a file that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that `write_jsonl` wrote. Raises RunError with file and line where it is damaged."""
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise RunError(f"{path}:{number}: not JSON ({error.msg}). Delete its folder and run again.") from error
    return rows


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to the file of unfinished work; a torn last line of an earlier try is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with path.open("a+b") as file:
        file.seek(max(file.tell() - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + lines.encode())
        file.flush()
        os.fsync(file.fileno())


def read_partial(path: Path, *, keys: Iterable[str] = ()) -> list[dict[str, Any]]:
    """What an interrupted try left in a file of `append_jsonl`: rows with all of `keys`; torn lines are passed over."""
    wanted, rows = set(keys), list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and wanted <= row.keys():
            rows.append(cast("dict[str, Any]", row))
    return rows


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
