"""Where a named checkpoint is and what it amounts to, told without loading it: no torch, no network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tutelage.errors import ModelError
from tutelage.plugins import resolve

POCKET = "pocket/"
"""Names that begin so are bundled checkpoints."""

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

    Raises ModelError for an unknown bundled name, a path that is not there, and a folder without config.json.
    """
    if name.startswith(POCKET):
        folder: Path = resolve("tutelage.pocket:checkpoint_path", {}, "checkpoint")(name)
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


def _is_hub_name(name: str) -> bool:
    return bool(name) and name[0] not in "./~" and name.count("/") <= 1
