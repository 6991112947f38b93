"""Rows of a data file with the place of each, and every problem of the file at once.

JSON (a list, or one object a line, also gzipped), CSV, TSV, Parquet and hub data sets all come out as `Row`s. Reading
never stops at the first bad row: problems are collected, so that a person mends a file once.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from tutelage.decimals import at_own_precision
from tutelage.errors import TaskError


class Row(NamedTuple):
    """One row as the file has it."""

    where: str
    """"questions.jsonl:17", or "questions.json: row 17" where lines say nothing."""
    number: int
    """0-based among the rows of the file."""
    values: Mapping[str, Any]


def read_rows(source: str | Path, problems: list[str]) -> list[Row]:
    """All rows of a file or hub data set; what cannot be read is told in `problems`. A missing file raises TaskError.

    A hub data set is "owner/name", "owner/name:config" or with a split: "owner/name:config@test". Without a split it
    is "train".
    """
    path = Path(source)
    if not path.is_file():
        if _looks_like_hub(str(source)):
            return _hub(str(source))
        raise TaskError(f"no file {str(source)!r}. Give a JSONL, JSON, CSV, TSV or Parquet file, or a hub data set.")
    suffixes = path.suffixes
    if path.suffix == ".parquet":
        return _parquet(path, problems)
    content = _content(path)
    if path.suffix in (".csv", ".tsv"):
        return list(_csv(path, content, problems))
    if content.lstrip()[:1] == b"[":
        return list(_json_list(path, content, problems))
    if set(suffixes) & {".json", ".jsonl", ".ndjson"}:
        return list(_json_lines(path, content, problems))
    raise TaskError(
        f"{path}: unknown kind of file; expected .jsonl, .json, .csv, .tsv or .parquet (.gz for the first two)"
    )


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise TaskError(f"{path.name}: not a whole gzip file ({error}). Fetch it again.") from error
    return raw.removeprefix(b"\xef\xbb\xbf")


def _json_lines(path: Path, content: bytes, problems: list[str]) -> Iterator[Row]:
    number = 0
    for line, raw in enumerate(content.split(b"\n"), start=1):
        if raw.strip():
            where = f"{path.name}:{line}"
            values = _object(where, raw, problems)
            if values is not None:
                yield Row(where, number, values)
            number += 1


def _object(where: str, raw: bytes, problems: list[str]) -> Mapping[str, Any] | None:
    try:
        values: Any = json.loads(raw)
    except UnicodeDecodeError as error:
        problems.append(f"{where}: byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8.")
    except ValueError as error:
        problems.append(f"{where}: not JSON ({error})")
    else:
        if _has_half_character(values):
            problems.append(f"{where}: {HALF}")
        elif isinstance(values, dict):
            return cast("dict[str, Any]", values)
        else:
            problems.append(f"{where}: expected an object {{...}}, got {type(values).__name__}")
    return None


HALF = "holds half of a character (such as \\ud83d without its other half), which is no text. Mend or drop the row."


def _has_half_character(value: Any) -> bool:
    """Whether something out of JSON cannot be written again: its escapes can spell half a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _json_list(path: Path, content: bytes, problems: list[str]) -> Iterator[Row]:
    try:
        rows: Any = json.loads(_text(path, content))
    except ValueError as error:
        problems.append(f"{path.name}: not JSON ({error})")
        return
    for number, values in enumerate(cast("list[Any]", rows)):
        where = f"{path.name}: row {number + 1}"
        if _has_half_character(values):
            problems.append(f"{where}: {HALF}")
        elif isinstance(values, dict):
            yield Row(where, number, cast("dict[str, Any]", values))
        else:
            problems.append(f"{where}: expected an object {{...}}, got {type(values).__name__}")


def _csv(path: Path, content: bytes, problems: list[str]) -> Iterator[Row]:
    reader = csv.reader(
        io.StringIO(_text(path, content), newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
    )
    line, number = 1, 0
    try:
        header = next(reader, list[str]())
        twice = sorted({name for name in header if header.count(name) > 1})
        if not header or twice:
            problems.append(f"{path.name}:1: {f'column {twice[0]!r} stands twice' if twice else 'no header'}")
            return
        line = reader.line_num + 1
        for cells in reader:
            where = f"{path.name}:{line}"
            line = reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                problems.append(
                    f"{where}: {len(cells)} cells, but the header has {len(header)}. Quote commas in cells."
                )
            else:
                yield Row(where, number, dict(zip(header, cells, strict=True)))
            number += 1
    except csv.Error as error:
        problems.append(f"{path.name}:{line}: not CSV ({error})")


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{path.name}:{line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from error


def _parquet(path: Path, problems: list[str]) -> list[Row]:
    # Imported by name: pyarrow ships no types.
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        table: Any = parquet.read_table(path)
        rows: list[dict[str, Any]] = table.to_pylist()
    except (OSError, ValueError) as error:
        problems.append(f"{path.name}: not Parquet ({error})")
        return []
    floats = _short_floats(table.schema)
    return [
        Row(f"{path.name}: row {number + 1}", number, _with_own_precision(values, floats))
        for number, values in enumerate(rows)
    ]


def _short_floats(schema: Any) -> dict[str, Any]:
    """Arrow's types of the columns that hold floats of 16 or 32 bits, by name."""
    types = {str(field.name): field.type for field in schema}
    return {name: kind for name, kind in types.items() if re.search(r"\b(?:half)?float\b", str(kind))}


def _with_own_precision(values: Mapping[str, Any], floats: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose short floats are the decimals they stand for: Python's own floats have 64 bits."""
    return {**values, **{name: at_own_precision(values[name], kind) for name, kind in floats.items()}}


def _looks_like_hub(source: str) -> bool:
    name = source.partition("@")[0].partition(":")[0]
    return Path(name).is_dir() or (
        name.count("/") == 1
        and not name.startswith((".", "/", "~"))
        and not {".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".gz"} & set(Path(name).suffixes)
    )


def _hub(source: str) -> list[Row]:
    from datasets import load_dataset  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    rest, _, split = source.partition("@")
    name, _, config = rest.partition(":")
    try:
        loaded: Any = load_dataset(name, config or None, split=split or "train")
    except Exception as error:
        raise TaskError(
            f"data set {source!r} cannot be loaded: {error}. Check its name and split, and the network."
        ) from error
    features = getattr(loaded, "features", None)
    floats = _short_floats(features.arrow_schema) if features else {}
    return [
        Row(f"{source}: row {number + 1}", number, _with_own_precision(dict(values), floats))
        for number, values in enumerate(loaded)
    ]
