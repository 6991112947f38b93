"""The folder of an index on disk: always one whole generation, whatever is killed when.

    wiki-index/
      index.json           which generation counts, what it holds, and the size of each file; replaced in one step
      g000003/shard-000/   see shard.py
      g000004.partial/     begun by a writer; nobody reads it, and the next writer clears it away
      .lock                held by the one writer

A change never touches what is there: it links the files of the old generation into a new one (they are only ever added
to), writes there, and then points index.json at it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tutelage.errors import IndexFolderError
from tutelage.retrieval.bm25.analysis import ANALYSERS
from tutelage.retrieval.bm25.shard import RECORDS, Shard, Tally
from tutelage.runs import read_json, write_json

FORMAT = 1
MANIFEST, LOCK = "index.json", ".lock"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What index.json says."""

    generation: str
    analyser: str
    """How its texts were cut into terms, and how queries must be."""
    tallies: tuple[Tally, ...]
    """Of each shard."""
    files: dict[str, int]
    """Bytes of each file of the generation."""


def read_manifest(folder: Path) -> Manifest:
    """What stands in an index's folder. Raises IndexFolderError for a folder that is none, or one of another format."""
    try:
        found: Any = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise IndexFolderError(
            f"no index in {str(folder)!r}. Make one with `tutelage index CORPUS --out {folder}`."
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{MANIFEST} cannot be read ({error})") from error
    try:
        if found["format"] != FORMAT or found["analysis"] not in ANALYSERS:
            raise IndexFolderError(
                f"the index in {str(folder)!r} has format {found['format']} with analysis {found['analysis']!r}; this "
                f"version reads format {FORMAT} with {' or '.join(map(repr, ANALYSERS))}. Make it anew with "
                f"`tutelage index CORPUS --out {folder}`."
            )
        tallies = tuple(Tally(**{**t, "content": int(t["content"], 16)}) for t in found["shards"])
        return Manifest(found["generation"], found["analysis"], tallies, dict(found["files"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder, f"{MANIFEST} is not an index's ({error!r})") from error


def open_shards(folder: Path) -> tuple[Manifest, list[Shard]]:
    """The shards of the generation that counts. A writer may finish meanwhile, so that a first failure is tried again.

    Raises IndexFolderError for a folder that is missing, damaged or of another format.
    """
    manifest = read_manifest(folder)
    try:
        return manifest, _open(folder, manifest)
    except IndexFolderError:
        again = read_manifest(folder)
        if again.generation == manifest.generation:
            raise
        return again, _open(folder, again)


def damaged(folder: Path, why: str) -> IndexFolderError:
    """The error for an index that cannot be what it was when it was finished."""
    return IndexFolderError(
        f"the index in {str(folder)!r} is damaged: {why}. Delete the folder and make it anew with `tutelage index`."
    )


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Be the one writer of an index. Raises IndexFolderError where another is, or the folder holds other files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexFolderError(
            f"{str(folder)!r} cannot be made ({error.strerror}). Give an index a folder of its own."
        ) from error
    others = [p.name for p in folder.iterdir() if p.name not in (LOCK, MANIFEST) and not _is_ours(p)]
    if others and not (folder / MANIFEST).exists():
        raise IndexFolderError(
            f"{str(folder)!r} holds other things ({', '.join(sorted(others)[:3])}). Give an index a folder of its own."
        )
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise IndexFolderError(
            f"another process is writing the index in {str(folder)!r}. Wait for it to end, or choose another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def new_generation(folder: Path, old: Manifest | None) -> Generator[Path]:
    """A folder to write the next generation in, beside what counts; filled with `old` where that is to be changed."""
    path = folder / f"g{_last(folder) + 1:06d}.partial"
    for leftover in [p for p in folder.glob("*.partial") if _is_generation(p)]:
        shutil.rmtree(leftover)
    path.mkdir()
    if old:
        _link(folder / old.generation, path, old)
    try:
        yield path
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def publish(folder: Path, partial: Path, tallies: Sequence[Tally], analyser: str) -> None:
    """Make a written generation the one that counts, and clear away the others."""
    final = partial.with_suffix("")
    files = {p.relative_to(partial).as_posix(): p.stat().st_size for p in sorted(partial.rglob("*")) if _is_content(p)}
    partial.rename(final)
    _sync(folder)
    shards = [
        {"passages": t.passages, "length": t.length, "content": f"{t.content:064x}", "record_bytes": t.record_bytes}
        for t in tallies
    ]
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "analysis": analyser,
            "generation": final.name,
            "passages": sum(t.passages for t in tallies),
            "shards": [dict(shard) for shard in shards],
            "files": dict(files),
        },
    )
    _sync(folder)
    for other in folder.iterdir():
        if _is_generation(other) and other != final:
            shutil.rmtree(other, ignore_errors=True)


def _open(folder: Path, manifest: Manifest) -> list[Shard]:
    generation = folder / manifest.generation
    for name, size in manifest.files.items():
        path = generation / name
        found = path.stat().st_size if path.is_file() else -1
        # Records may be followed by those of a writer that was killed.
        if found != size and not (path.name == RECORDS and found > size):
            what = "is missing" if found < 0 else f"has {found} bytes instead of {size}"
            raise damaged(folder, f"{manifest.generation}/{name} {what}")
    try:
        return [Shard(generation / shard_name(i), tally) for i, tally in enumerate(manifest.tallies)]
    except (OSError, ValueError) as error:
        raise damaged(folder, str(error)) from error


def shard_name(number: int) -> str:
    """The folder of a shard within its generation."""
    return f"shard-{number:03d}"


def _link(source: Path, target: Path, manifest: Manifest) -> None:
    for name in manifest.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".json"):
            shutil.copyfile(source / name, target / name)  # tantivy writes its own lists anew, and they are small
            continue
        try:
            os.link(source / name, target / name)
        except OSError:
            shutil.copyfile(source / name, target / name)  # a file system without links


def _is_content(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(".lock")


def _is_generation(path: Path) -> bool:
    return path.is_dir() and bool(re.fullmatch(r"g\d{6}(\.partial)?", path.name))


def _is_ours(path: Path) -> bool:
    """Whether a folder is a generation by what is in it too: somebody's own may be called so."""
    return _is_generation(path) and all(inner.name.startswith("shard-") for inner in path.iterdir())


def _last(folder: Path) -> int:
    return max((int(p.name[1:7]) for p in folder.iterdir() if _is_generation(p)), default=0)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
