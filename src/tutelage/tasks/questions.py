r"""From a row of a data file to an `Item`: which field holds what, choices out of the text, and the gold answer.

Choices stand in the text in two shapes (one row of Mentor-KD's date_understanding, one of its commonsense_qa):

    "... in MM/DD/YYYY?\nWhich choice is true? Answer choices: (A) 05/01/2021, (B) 05/02/2021."
    "... serves as a security measure at a what? Answer Choices:\nA. bank\nB. library\n"

Whatever is wrong with a row is told with its place; a row is taken whole or not at all.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from decimal import Decimal
from typing import Any, NamedTuple, cast

from tutelage.decimals import as_text, is_missing
from tutelage.errors import TaskError
from tutelage.formats import LETTERS
from tutelage.plugins import unknown
from tutelage.rows import Row
from tutelage.tasks.answers import LETTER, AnswerType
from tutelage.tasks.answers.formatting import strip_formatting
from tutelage.tasks.task import Item


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a row hold what."""

    question: str = "question"
    answer: str = "answer"
    choices: str | Sequence[str] | None = None
    """One field with a list, or one field for each choice (those left empty are no choices)."""
    id: str | None = None
    rationale: str | None = None
    document: str | None = None
    """The document that holds the answer, by its path within the corpus: see `read_documents`."""


class Choices(NamedTuple):
    """A question taken apart."""

    stem: str
    choices: tuple[str, ...]


_LISTED = re.compile(r"\s*(?:\bWhich choice is true\?\s*)?\bAnswer choices:\s*(?=\(?A[).])", re.IGNORECASE)


def split_choices(text: str) -> Choices:
    """The question and its choices, where a text lists them under "Answer choices:"; else the text alone."""
    heads = list(_LISTED.finditer(text))
    if not heads:
        return Choices(text.strip(), ())
    stem, listed = text[: heads[-1].start()].strip(), text[heads[-1].end() :].strip()
    brackets = listed.startswith("(")
    labels = [f"({letter})" if brackets else f"{letter}." for letter in LETTERS]
    pieces: list[str] = []
    rest = listed.removeprefix(labels[0])
    for label in labels[1:]:
        before, found, after = _before_label(rest, label, brackets=brackets)
        pieces.append(before)
        rest = after
        if not found:
            break
    if brackets and pieces:
        pieces[-1] = pieces[-1].removesuffix(".")
    choices = tuple(piece.strip() for piece in pieces)
    return Choices(stem, choices) if len(choices) > 1 and all(choices) else Choices(text.strip(), ())


def _before_label(text: str, label: str, *, brackets: bool) -> tuple[str, bool, str]:
    """What stands before the next label, whether there is one, and what follows it."""
    separator = rf",?\s+{re.escape(label)}\s*" if brackets else rf"\n\s*{re.escape(label)}\s*"
    match = re.search(separator, text)
    return (text[: match.start()], True, text[match.end() :]) if match else (text, False, "")


def read_item(row: Row, fields: Fields, answer_type: AnswerType, problems: list[str]) -> Item | None:
    """One row as an Item, or None with the reason in `problems`."""
    text = _string(row, fields.question, problems)
    raw = _gold(row, fields.answer, problems)
    listed = _choices(row, fields.choices, problems)
    if text is None or raw is None or listed is None:
        return None
    stem, choices = split_choices(text) if not listed and answer_type is LETTER else Choices(text.strip(), listed)
    if not stem:
        problems.append(f"{row.where}: {fields.question!r} holds choices and no question")
        return None
    answer = _canonical(row, raw, choices, answer_type, problems)
    if answer is None:
        return None
    meta = {"source_text": text}
    if fields.id is not None and row.values.get(fields.id) not in (None, ""):
        meta["source_id"] = str(row.values[fields.id])
    if fields.document is not None:
        documents = read_documents(row, fields.document, problems)
        if documents is None:
            return None
        meta |= {"gold_documents": "\n".join(documents)} if documents else {}
    return Item(row.where, stem, choices, answer, meta)


def read_documents(row: Row, name: str, problems: list[str]) -> list[str] | None:
    """The documents that a row names, [] where it names none; None, with the reason in `problems`, if unreadable.

    "hr/leave.md"        "hr/leave.md; it/vpn.html"        ["a; b.md", "it/vpn.html"]        "" or null
    """
    value: Any = row.values.get(name)
    if value is None and name in row.values:
        return []
    listed = value.split(";") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(path, str) for path in cast("list[Any]", listed)):
        problems.append(
            f"{row.where}: {name!r} is {_shown(value)}; expected a path within the corpus, or a list of them"
            if name in row.values
            else f"{row.where}: {unknown('field', name, row.values)}"
        )
        return None
    return [path.strip() for path in cast("list[str]", listed) if path.strip()]


def _canonical(
    row: Row, raw: str | int | bool, choices: Sequence[str], answer_type: AnswerType, problems: list[str]
) -> str | None:
    if isinstance(raw, bool):
        raw = "yes" if raw else "no"
    if isinstance(raw, int) and choices and answer_type is LETTER:
        # Hub data sets and KARD's `label` count choices from 0.
        answer = LETTERS[raw] if 0 <= raw < len(choices) else None
    else:
        text = str(raw).rpartition("####")[2].strip()  # GSM8K's own files: worked solution, then "#### 18"
        answer = answer_type.canonical(text, choices) if "\n" not in strip_formatting(text) else None
    if answer is None:
        among = f" (choices A to {LETTERS[len(choices) - 1]})" if choices else ""
        problems.append(
            f"{row.where}: answer {_shown(raw)}; expected {answer_type.expected}{among}. "
            "Fix the row or set `answers:` in the task."
        )
    return answer


def _value(row: Row, name: str, problems: list[str]) -> Any:
    value = row.values.get(name)
    if is_missing(value):
        value = None
        problems.append(
            f"{row.where}: {name!r} is null"
            if name in row.values
            else f"{row.where}: {unknown('field', name, row.values)}"
        )
    return value


def _string(row: Row, name: str, problems: list[str]) -> str | None:
    value = _value(row, name, problems)
    if value is None:
        return None
    if not isinstance(value, str):
        problems.append(f"{row.where}: {name!r} is {_shown(value)}; expected a text")
        return None
    if not value.strip():
        problems.append(f"{row.where}: {name!r} is empty")
        return None
    return value


def _gold(row: Row, name: str, problems: list[str]) -> str | int | bool | None:
    value = _value(row, name, problems)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a scalar of numpy's, from a loader of the user's
        value = as_text(value) if str(value.dtype) == "float32" else value.item()
    if value is None or isinstance(value, (int, bool)):
        return value
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        problems.append(f"{row.where}: {name!r} is {value}, which is no answer")
        return None
    if isinstance(value, float | Decimal):
        return int(value) if value == int(value) else as_text(value)
    if isinstance(value, (str, datetime.date)):
        return as_text(value)
    problems.append(f"{row.where}: {name!r} is {_shown(value)}; expected a text, a number or a date")
    return None


def _choices(row: Row, names: str | Sequence[str] | None, problems: list[str]) -> tuple[str, ...] | None:
    """The choices of a row, () where the fields name none, None where they cannot be read."""
    if names is None:
        return ()
    if not isinstance(names, str):
        values = [row.values.get(name) for name in names]
        missing = [name for name in names if name not in row.values]
        if missing:
            problems.append(f"{row.where}: {unknown('field', missing[0], row.values)}")
            return None
        return _texts(row, values, problems)
    value = _value(row, names, problems)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        value = table["text"] if "text" in table else [table[key] for key in sorted(table)]
    if isinstance(value, (list, tuple)):
        return _texts(row, list(cast("Sequence[Any]", value)), problems)
    if row.values.get(names) is not None:
        problems.append(
            f"{row.where}: {names!r} is {_shown(row.values[names])}; expected a list of texts. "
            "With one column for each choice write choices: [column1, column2]."
        )
    return None


def _texts(row: Row, values: list[Any], problems: list[str]) -> tuple[str, ...] | None:
    while values and values[-1] in (None, ""):
        values.pop()
    texts = tuple(as_text(value).strip() for value in values if value is not None)
    if len(texts) < 2 or len(texts) < len(values) or not all(texts) or len(texts) > len(LETTERS):
        problems.append(
            f"{row.where}: choices {_shown(values)}; expected 2 to {len(LETTERS)} texts, none of them empty"
        )
        return None
    return texts


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def fields_from(mapping: Mapping[str, Any]) -> Fields:
    """A field map as a recipe has it. Raises TaskError for an unknown key."""
    known = [field.name for field in dataclass_fields(Fields)]
    strange = [key for key in mapping if key not in known]
    if strange:
        raise TaskError(f"task.fields: {unknown('field', strange[0], known)}")
    return Fields(**{key: value for key, value in mapping.items() if value is not None})
