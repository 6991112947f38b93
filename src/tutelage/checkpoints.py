"""Where a named checkpoint is and what it amounts to, told without loading it: no torch, no network."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage.errors import ModelError
from tutelage.plugins import resolve

POCKET = "pocket/"
"""Names that begin so are bundled checkpoints."""

PACKAGE = "package:"
"""Names that begin so are checkpoints in installed Python packages."""

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

    "package:NAME" is the folder `model` of an installed Python package, for checkpoints that come through pip. Raises
    ModelError for an unknown bundled name, a path that is not there, and a folder without config.json.
    """
    if name.startswith(POCKET):
        folder: Path = resolve("tutelage.pocket:checkpoint_path", {}, "checkpoint")(name)
    elif name.startswith(PACKAGE):
        folder = _packaged(name)
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            if _is_hub_name(name):
                return None
            raise ModelError(f"model {name!r}: no such folder. Give a folder, a hub name (owner/name), or pocket/nano.")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model {name!r}: {folder.name} has no config.json, so it is no Hugging Face checkpoint.")
    return folder


def fingerprint(name: str) -> str:
    """SHA-256 of a local checkpoint's files in 64 hex digits; of a hub checkpoint "hub:" and its name.

    A hub checkpoint is not downloaded to find out; pin a commit by giving a local copy where that matters.
    """
    folder = locate(name)
    return digest(folder) if folder else f"hub:{name}"


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
    folder = locate(name)
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


def _config(name: str) -> dict[str, Any] | None:
    folder = locate(name)
    if folder is None:
        return None
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"model {name!r}: its config.json is not JSON ({error}).") from error


def _packaged(name: str) -> Path:
    found = find_spec(name.removeprefix(PACKAGE))
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"model {name!r}: no such Python package is installed. `pip install` it, or name a folder.")
    return Path(found.submodule_search_locations[0]) / "model"


def _is_hub_name(name: str) -> bool:
    return bool(name) and name[0] not in "./~" and name.count("/") <= 1
