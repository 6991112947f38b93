"""A teacher whose rationales were written down before: read from a file and joined to questions.

Six shapes of rows are known by their fields, each here with what it says of the answer:

    {"input": "...", "chain": "...", "answer": "B", "initial_correct": true}      Mentor-KD main/: vouched where true
    {"input": "...", "chain": "...", "completion": "B", "answer": "B", ...}       Mentor-KD aug/: concluded "B"
    {"instruction": "...", "output": ["...", "..."], "label": "B"}                Mentor-KD prompt/: says nothing
    {"id": "train-00000", "index": 0, "rationales": ["...", "..."]}               KARD: vouched, see below
    {"question": "...", "answer": "... #### 17"}                                  GSM8K's own: concluded "17"
    {"question_id": "q-...", "text": "...", "answer": "17"}                       this package's own, e.g. of a run

The own shape may name the question by `question_id`, `id` or `question`, hold one text (`text` or `rationale`) or
several (`rationales`), and say `"verdict": "correct"`. With `Columns` rationales come from rows of any other shape.

Nothing is judged here. A recorded conclusion is put in `Rationale.answer` as it stands, not yet canonical. "Vouched"
means that the file says the rationale belongs to the gold answer and does not say in which words: it gets the verdict
CORRECT and no answer, and grading uses that only where the text concludes nothing itself. KARD's teacher was shown the
gold answer, and a user's own rationales stand beside it, so both are vouched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from tutelage.decimals import as_text
from tutelage.errors import TaskError, all_problems
from tutelage.rows import Row, read_rows
from tutelage.types import Question, Rationale, Verdict


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the user's own rows hold the question and its rationale."""

    question: str
    rationale: str
    """A text or a list of texts. Of GSM8K's "... #### 18" what follows the mark is the recorded conclusion."""
    id: str | None = None


class Recorded(NamedTuple):
    """What a file gave."""

    rationales: tuple[Rationale, ...]
    """Not yet judged, in the order of the file; samples of a question are numbered from 0."""
    counts: Mapping[str, int]
    """Texts by what became of them: taken, over the limit, empty, of no question asked for, of an
    ambiguous one, or with an id and a question that disagree."""
    notes: tuple[str, ...]
    """The same as sentences, and what the file says of its answers."""


class _Written(NamedTuple):
    """What one row holds."""

    keys: tuple[tuple[str, str], ...]
    """Ways to name the question, the surest first: (kind, value)."""
    texts: tuple[str, ...]
    concluded: str | None
    vouched: bool


def read_recorded(
    path: str | Path,
    questions: Iterable[Question],
    *,
    name: str = "recorded",
    samples: int | None = None,
    columns: Columns | None = None,
) -> Recorded:
    """Rationales of the given questions, at most `samples` each in the order of the file, of source "teacher:<name>".

    A question is found by its id, by the id or row number it had in its data file, or by its text as shipped, white
    space apart. Rows of other questions are counted, never an error: they may belong to another split. Raises
    TaskError with every row that has none of the known shapes.
    """
    index = _Index(questions)
    problems: list[str] = []
    counts: Counter[str] = Counter()
    taken: dict[str, int] = defaultdict(int)
    rationales: list[Rationale] = []
    vouched = 0
    for row in read_rows(path, problems):
        written = _read(row, columns, problems)
        if written is None:
            continue
        found = index.find(written.keys)
        for text in written.texts:
            if not isinstance(found, Question):
                counts[found] += 1
            elif not text.strip():
                counts["empty"] += 1
            elif samples is not None and taken[found.id] >= samples:
                counts["over the limit"] += 1
            else:
                rationales.append(_rationale(found.id, f"teacher:{name}", taken[found.id], text, written))
                taken[found.id] += 1
                counts["taken"] += 1
                vouched += written.vouched
    if problems:
        raise TaskError(all_problems(f"{path}: {len(problems)} bad row(s), nothing was loaded:", problems, SHAPES))
    return Recorded(tuple(rationales), dict(counts), tuple(_notes(Path(path).name, counts, len(taken), index, vouched)))


SHAPES = (
    "Known rows: question_id, id or question, with text, rationale or rationales; or name your columns in `fields:`."
)


class _Index:
    """Questions by every name a recorded row may use."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self.size = 0
        self._by: dict[tuple[str, str], list[Question]] = defaultdict(list)
        for question in questions:
            self.size += 1
            keys = {("question_id", question.id), ("text", _plain(question.text))}
            keys |= {
                (kind, _plain(question.meta[kind])) for kind in ("source_id", "source_index") if kind in question.meta
            }
            if "source_text" in question.meta:
                keys.add(("text", _plain(question.meta["source_text"])))
            for key in keys:
                self._by[key].append(question)

    def find(self, keys: Sequence[tuple[str, str]]) -> Question | str:
        """The question, or why there is none."""
        named = [self._by.get(key, []) for key in keys]
        first = next((found for found in named if found), [])
        if not first:
            return "of no question asked for"
        if len(first) > 1:
            return "of an ambiguous question"
        told = [found for (kind, _), found in zip(keys, named, strict=True) if found or kind == "text"]
        return first[0] if all(first[0] in found for found in told) else "whose id and question disagree"


def _read(row: Row, columns: Columns | None, problems: list[str]) -> _Written | None:
    values = row.values
    if columns is not None:
        return _from_columns(row, columns, problems)
    if "chain" in values and "input" in values:
        concluded = values.get("completion")
        vouched = concluded is None and values.get("initial_correct") is True
        return _written(row, [("text", values["input"])], values["chain"], concluded, vouched, problems)
    if "instruction" in values and "output" in values:
        return _written(row, [("text", values["instruction"])], values["output"], None, False, problems)
    if "rationales" in values and "index" in values:
        key = ("source_id", values["id"]) if "id" in values else ("source_index", values["index"])
        return _written(row, [key], values["rationales"], None, True, problems)
    kinds = {"question_id": "question_id", "id": "source_id", "question": "text"}
    keys = [(kind, values[name]) for name, kind in kinds.items() if values.get(name) is not None]
    texts = next((values[name] for name in ("text", "rationale", "rationales") if name in values), None)
    concluded = values.get("answer")
    if texts is None:
        texts, concluded = _solved(concluded)
    vouched = concluded is None and values.get("verdict") == Verdict.CORRECT
    return _written(row, keys, texts, concluded, vouched, problems)


def _solved(answer: Any) -> tuple[Any, Any]:
    """GSM8K's worked solution and what it concludes behind its mark; (None, the answer) where there is no mark."""
    if not isinstance(answer, str) or "####" not in answer:
        return None, answer
    text, _, concluded = answer.rpartition("####")
    return text, concluded


def _from_columns(row: Row, columns: Columns, problems: list[str]) -> _Written | None:
    texts = row.values.get(columns.rationale)
    keys = [("text", row.values.get(columns.question))]
    if columns.id is not None:
        keys.insert(0, ("source_id", row.values.get(columns.id)))
    concluded = None
    if isinstance(texts, str) and "####" in texts:
        texts, concluded = _solved(texts)
    keys = [(kind, value) for kind, value in keys if value is not None]
    return _written(row, keys, texts, concluded, concluded is None, problems)


def _written(
    row: Row, keys: Sequence[tuple[str, Any]], texts: Any, concluded: Any, vouched: bool, problems: list[str]
) -> _Written | None:
    listed = [texts] if isinstance(texts, str) else texts
    if not keys:
        problems.append(f"{row.where}: no field names the question; the row has {', '.join(row.values)}")
    elif not isinstance(listed, list) or not all(isinstance(text, str) for text in cast("list[Any]", listed)):
        problems.append(f"{row.where}: expected a rationale, or a list of them; the row has {', '.join(row.values)}")
    else:
        named = tuple((kind, _plain(str(value))) for kind, value in keys)
        return _Written(
            named, tuple(cast("list[str]", listed)), None if concluded is None else as_text(concluded), vouched
        )
    return None


def _rationale(question_id: str, source: str, sample: int, text: str, written: _Written) -> Rationale:
    verdict = Verdict.CORRECT if written.vouched else None
    return Rationale(question_id, source, sample, text.strip(), written.concluded, verdict)


def _notes(file: str, counts: Mapping[str, int], covered: int, index: _Index, vouched: int) -> Iterable[str]:
    taken = counts.get("taken", 0)
    yield f"{file}: {taken} rationales for {covered} of {index.size} questions"
    for reason, count in sorted(counts.items()):
        if reason != "taken":
            yield (
                f"{file}: {count} texts {reason} left out"
                if reason != "empty"
                else f"{file}: {count} empty texts left out"
            )
    if vouched:
        yield f"{file}: the file vouches for {vouched} of them without saying what they concluded"


def _plain(text: str) -> str:
    return " ".join(text.split())
