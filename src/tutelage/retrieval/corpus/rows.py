r"""Rows as passages: JSON lines, Parquet and hub data sets, each row a passage as it stands.

{"id": "w-17", "title": "Woolly mammoth", "text": "The woolly mammoth lived ..."}
{"_id": "w-17", "contents": "Woolly mammoth\nThe woolly mammoth lived ..."}          BEIR, Pyserini
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from tutelage.errors import CorpusError
from tutelage.retrieval.corpus.lines import read_lines
from tutelage.retrieval.corpus.report import Report
from tutelage.types import Passage

IDS = ("id", "_id", "docid", "passage_id")
TITLES = ("title",)
TEXTS = ("text", "contents", "content", "passage")
LONGEST_ID = 1000
ROWS = 1024
"""Rows of a Parquet file or a data set in memory at once."""


class Fields(NamedTuple):
    """Which fields of a row are which; None: the first of the usual names that the row has."""

    id: str | None = None
    title: str | None = None
    text: str | None = None


class Located(NamedTuple):
    """A passage and where it came from."""

    where: str
    passage: Passage


def read_json_lines(path: Path, name: str, fields: Fields, report: Report) -> Iterator[Located]:
    """One object a line; blank lines are passed over."""
    for line in read_lines(path, name, report):
        if line.text.strip():
            yield from _located(line.where, _object(line.where, line.text, report), fields, report)


def read_parquet(path: Path, name: str, fields: Fields, report: Report) -> Iterator[Located]:
    """Rows of a Parquet file, a few at a time."""
    parquet: Any = importlib.import_module("pyarrow.parquet")  # pyarrow ships no types
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield from _located(f"{name}: row {number}", values, fields, report)
    except (OSError, ValueError) as error:
        report.problem(f"{name}: row {number + 1}: not Parquet that can be read ({error}). Fetch it again.")


def read_hub(source: str, fields: Fields, report: Report) -> Iterator[Located]:
    """Rows of a hub data set "owner/name", with config and split as in "owner/name:config@train"."""
    from datasets import load_dataset

    rest, _, split = source.partition("@")
    name, _, config = rest.partition(":")
    try:
        loaded: Any = load_dataset(name, config or None, split=split or "train")
    except Exception as error:
        raise CorpusError(
            f"no file or folder {source!r}, and no data set of that name can be loaded: {error}. "
            "Check the path; or the name, the split and the network."
        ) from error
    for number, values in enumerate(loaded, start=1):
        yield from _located(f"{source}: row {number}", values, fields, report)


def _object(where: str, text: str, report: Report) -> Mapping[str, Any] | None:
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        report.problem(f"{where}: not JSON ({error}). Mend the line.")
        return None
    if not isinstance(values, dict):
        report.problem(f"{where}: expected an object {{...}} on each line, got {type(values).__name__}. Mend the line.")
        return None
    return cast("dict[str, Any]", values)


def _located(where: str, row: Mapping[str, Any] | None, fields: Fields, report: Report) -> Iterator[Located]:
    if row is None:
        return
    fault, passage = _passage(row, fields)
    if passage:
        yield Located(where, passage)
    else:
        report.problem(f"{where}: {fault}")


def _passage(row: Mapping[str, Any], fields: Fields) -> tuple[str, Passage | None]:
    """What is wrong with a row, or its passage. A row without an id gets one made from its content."""
    name = _field(row, fields.text, TEXTS)
    if name is None:
        known = ", ".join(map(repr, list(row)[:8]))
        return (
            f"no field {fields.text or ' or '.join(TEXTS)!r} for the text among {known}. Name it by `--fields text=`.",
            None,
        )
    id_name, title_name = _field(row, fields.id, IDS), _field(row, fields.title, TITLES)
    if fields.id and id_name is None:
        return f"no field {fields.id!r} for the id. Name it by `--fields id=`.", None
    text, title = row[name], (row[title_name] if title_name else None)
    title = "" if title is None else title
    for field, value in ((name, text), (title_name, title)):
        if not isinstance(value, str):
            return f"{field!r} is {type(value).__name__}, expected a text. Mend the row.", None
    if not text.strip():
        return f"{name!r} is empty. Take the row out.", None
    return _named(row[id_name] if id_name else None, title.strip(), text.strip())


def _named(id: Any, title: str, text: str) -> tuple[str, Passage | None]:
    try:
        content = f"{title}\0{text}".encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which no file can hold. Mend the text.", None
    if id is None:
        id = "p-" + hashlib.sha256(content).hexdigest()[:16]
    if isinstance(id, bool) or not isinstance(id, str | int):
        return f"the id is {type(id).__name__}, expected a text or a whole number. Mend the row.", None
    id = str(id)
    if not id.strip() or "\0" in id or len(id) > LONGEST_ID or not _encodes(id):
        return f"the id {id[:50]!r} is empty, longer than {LONGEST_ID} letters or holds a zero byte. Mend it.", None
    return "", Passage(id, title, text)


def _encodes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _field(row: Mapping[str, Any], wanted: str | None, usual: tuple[str, ...]) -> str | None:
    return next((name for name in ((wanted,) if wanted else usual) if name in row), None)
