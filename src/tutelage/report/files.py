"""The files of a run folder, read with a word about what to do where one is missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tutelage.errors import RunError


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file; NaN and Infinity, which are no JSON, become None. Raises RunError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there. Is {path.parent} a run folder, and has its run finished?") from error
    except ValueError as error:
        raise RunError(f"{path}: not JSON ({error}). Run the recipe again.") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file, under the same rules."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there. Run the recipe again; what is finished is kept.") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(json.loads(line, parse_constant=lambda _: None))
            except ValueError as error:
                raise RunError(f"{path}:{number}: not JSON ({error}). Delete its folder and run again.") from error
    return rows
