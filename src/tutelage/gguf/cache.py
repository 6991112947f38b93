"""A GGUF file as an ordinary folder, made once and kept in the user's cache under the fingerprint of the file.

    ~/.cache/tutelage/gguf/
      files/3f1c....json          the fingerprint of a file, so that gigabytes are not read again while it is unchanged
      8e5b2c0d1f47a9b3-1-5.23.0/  first digits of the fingerprint, version of the conversion, version of transformers
        description/              config.json and tokenizer, all that a check needs
        model/                    the same with the weights

Where the cache is: $TUTELAGE_CACHE, else $XDG_CACHE_HOME/tutelage, else ~/.cache/tutelage. All of it is safe to delete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from tutelage.errors import ModelError
from tutelage.gguf.header import DamagedError, Header, read_header
from tutelage.runs import Json, write_json

CONVERSION = 1
"""Raise it when folders made by an earlier version of this package must be made again."""
ORIGIN = "gguf.json"
"""In a folder that is whole: the file that it was made of, and the sizes of its own files."""
BYTES_PER_WEIGHT = 4


def cache_folder() -> Path:
    """The user's cache of this package."""
    if own := os.environ.get("TUTELAGE_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if Path(shared).is_absolute():  # the standard says that a relative one must be ignored
        return Path(shared) / "tutelage"
    try:
        return Path("~/.cache/tutelage").expanduser()
    except RuntimeError as error:
        raise ModelError("there is no home folder to keep it in. Set TUTELAGE_CACHE to another folder.") from error


def fingerprint(file: Path) -> str:
    """SHA-256 of a file's content in 64 hex digits; the content is read again only when the file has changed."""
    status = file.stat()
    path = str(file.absolute())
    state: list[Json] = [path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    note = cache_folder() / "gguf" / "files" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["state"] == state:
            return str(known["sha256"])
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    with suppress(OSError):  # only slower where nothing can be kept
        write_json(note, {"state": state, "sha256": found})
    return found


def description(file: Path) -> Path:
    """A folder with config.json and tokenizer of a GGUF file; no weights are read. Raises ModelError."""
    from tutelage.gguf.convert import write_description

    return _folder(file, "description", lambda header, folder: write_description(file, header, folder))


def model(file: Path) -> Path:
    """An ordinary Hugging Face folder with what a GGUF file holds, dequantised. Raises ModelError."""
    from tutelage.gguf.convert import write_weights

    described = description(file)

    def make(header: Header, folder: Path) -> None:
        needed, free = header.weights * BYTES_PER_WEIGHT, shutil.disk_usage(folder).free
        if needed > free:
            raise ModelError(
                f"dequantised it takes up to {needed / 1e9:.1f} GB, and {cache_folder()} has {free / 1e9:.1f} GB left. "
                "Make room, or set TUTELAGE_CACHE to a folder on a larger disk."
            )
        for path in described.iterdir():
            if path.name != ORIGIN:
                shutil.copyfile(path, folder / path.name)
        write_weights(file, header, folder)

    return _folder(file, "model", make)


def _folder(file: Path, name: str, make: Callable[[Header, Path], None]) -> Path:
    """The folder of this name that `make` fills, whole or not at all; one process makes it while others wait."""
    sha256 = fingerprint(file)
    parent = cache_folder() / "gguf" / f"{sha256[:16]}-{CONVERSION}-{version('transformers')}"
    folder = parent / name
    if _is_whole(folder, sha256):
        return folder
    header = _header(file)
    with _writing(parent, name):
        if _is_whole(folder, sha256):
            return folder
        partial = parent / f"{name}.partial"
        for leftover in (partial, folder):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(header, partial)
            if fingerprint(file) != sha256:
                raise ModelError("it changed while it was read. Try again when it is written.")
            _finish(partial, file, header, sha256)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _header(file: Path) -> Header:
    try:
        header = read_header(file)
    except DamagedError as error:
        raise ModelError(f"it is damaged or no GGUF file: {error}. Fetch it again.") from error
    if (parts := header.values.get("split.count", 1)) != 1:
        raise ModelError(
            f"it is one of {parts} parts, and such models are read from one file. Join them with llama.cpp: "
            "`llama-gguf-split --merge FIRST-PART joined.gguf`."
        )
    return header


@contextmanager
def _writing(parent: Path, name: str) -> Generator[None]:
    """Be the only process that makes this folder. Raises ModelError where the cache cannot be written."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f"{name}.lock"):
            yield
    except OSError as error:
        raise ModelError(
            f"it cannot be kept in {parent} ({error.strerror or error}). Set TUTELAGE_CACHE to a folder that can be "
            "written and has room."
        ) from error


def _finish(folder: Path, file: Path, header: Header, sha256: str) -> None:
    for path in folder.iterdir():
        with path.open("rb") as written:
            os.fsync(written.fileno())
    sizes: dict[str, Json] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    origin: dict[str, Json] = {
        "file": file.name,
        "sha256": sha256,
        "architecture": header.architecture,
        "quantisation": header.quantisation,
        "weights": header.weights,
        "files": sizes,
    }
    write_json(folder / ORIGIN, origin)


def _is_whole(folder: Path, sha256: str) -> bool:
    """Whether a folder was made of the file of this fingerprint and has all its files at their sizes."""
    try:
        origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        sizes = origin["files"].items()
        return origin["sha256"] == sha256 and all((folder / name).stat().st_size == size for name, size in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
