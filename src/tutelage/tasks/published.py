"""The data sets of the two papers, read as their authors shipped them.

Mentor-KD (2hojae/mentor-kd at ec9ea11): `skeleton/<name>_{train,test}.json`, else `main/`, a JSON list of

    {"input": "Yesterday was April 30, 2021. ... Answer choices: (A) 05/01/2021, (B) 05/02/2021.", "answer": "B"}

`skeleton` comes first because its last-letter answers are mended; main/ has six wrong ones. KARD (Nardien/KARD at
b2e4ac0): one object a line, `label` counts from 0 and empty endings are no choices:

    {"id": "train-00000", "sent1": "Is Mixed martial arts totally ...?", "sent2": "", "ending0": "yes", "ending1": "no",
     "ending2": "", "ending3": "", "label": 1}

Both papers use StrategyQA, split differently: most test questions of KARD's `strategyqa` stand in the training file of
Mentor-KD's `strategy_qa`. A study uses one of the two, and its recorded rationales with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tutelage.errors import TaskError, all_problems
from tutelage.rows import read_rows
from tutelage.tasks.answers import LETTER, AnswerType
from tutelage.tasks.questions import Fields, read_item
from tutelage.tasks.task import Item, Task, make_task

DATA = "TUTELAGE_DATA"
"""Environment variable with the folder of the published data."""

MENTOR_KD = Fields(question="input", answer="answer")
KARD = Fields(question="sent1", answer="label", choices=("ending0", "ending1", "ending2", "ending3"), id="id")
MEDQA_SUBSET = Fields(question="question", answer="answer_idx", choices="options")


def load_mentor_kd(
    name: str, answer_type: AnswerType, data: str | Path | None, *, dev_fraction: float, limit: int | None
) -> Task:
    """A data set of Mentor-KD. It ships no dev split, so dev is held out of train."""
    train, test = (find_file(data, mentor_kd_paths(name, split)) for split in ("train", "test"))
    rows = read_files([train, test], MENTOR_KD, answer_type)
    return make_task(name, answer_type, *rows, dev_fraction=dev_fraction, limit=limit)


def load_kard(
    name: str, answer_type: AnswerType, data: str | Path | None, *, dev_fraction: float, limit: int | None
) -> Task:
    """A data set of KARD. The dev file is used where it is not the test file again."""
    notes: list[str] = []
    path = locate(data, _kard_paths(name, "train"))
    if path is None and name == "medqa_usmle_hf":
        train = _medqa_subset(find_file(data, ["medqa/us_4options_train_subset.jsonl", *_kard_paths(name, "train")]))
        notes.append(f"the full train file (10,178 questions) is absent; a subset of {len(train)} is used")
    else:
        path = path or find_file(data, _kard_paths(name, "train"))
        numbers = [row.number for row in read_rows(path, [])]
        items = read_items(path, KARD, answer_type)
        train = [_at(item, number) for item, number in zip(items, numbers, strict=True)]
    test = read_items(find_file(data, _kard_paths(name, "test")), KARD, answer_type)
    dev = read_items(find_file(data, _kard_paths(name, "dev")), KARD, answer_type)
    if {item.text for item in dev} == {item.text for item in test}:
        notes.append("dev as shipped is the test split again, so it is not used")
        dev = None
    return make_task(name, answer_type, train, test, dev, dev_fraction=dev_fraction, limit=limit, notes=notes)


def read_items(path: str | Path, fields: Fields, answer_type: AnswerType) -> list[Item]:
    """All rows of a file as items. Raises TaskError with every problem of the file."""
    problems: list[str] = []
    items = [read_item(row, fields, answer_type, problems) for row in read_rows(path, problems)]
    if problems:
        raise TaskError(all_problems(f"{path}: {len(problems)} bad row(s), nothing was loaded:", problems))
    if not items:
        raise TaskError(f"{path}: no rows")
    return [item for item in items if item is not None]


def read_files(paths: Sequence[str | Path], fields: Fields, answer_type: AnswerType) -> list[list[Item]]:
    """The items of several files. Raises one TaskError with the problems of all of them."""
    files: list[list[Item]] = []
    problems: list[str] = []
    for path in paths:
        try:
            files.append(read_items(path, fields, answer_type))
        except TaskError as error:
            problems.append(str(error))
    if problems:
        raise TaskError("\n".join(problems))
    return files


def data_folder(data: str | Path | None) -> Path:
    """Where published data is looked for: `data`, else the folder in TUTELAGE_DATA. Raises TaskError without either."""
    folder = data or os.environ.get(DATA)
    if not folder:
        raise TaskError(
            f"where is the data? Set `data:` in the task, or the environment variable {DATA}, to its folder."
        )
    return Path(folder)


def locate(data: str | Path | None, candidates: Iterable[str]) -> Path | None:
    """The first of these paths that exists in the data folder."""
    folder = data_folder(data)
    return next((folder / name for name in candidates if (folder / name).is_file()), None)


def find_file(data: str | Path | None, candidates: Sequence[str]) -> Path:
    """The first of these paths that exists in the data folder. Raises TaskError with what was looked for, and where."""
    path = locate(data, candidates)
    if path is None:
        files = ", ".join(dict.fromkeys(Path(name).name for name in candidates))
        folders = ", ".join(dict.fromkeys(Path(name).parent.as_posix() for name in candidates))
        raise TaskError(
            f"{data_folder(data)}: none of these is there: {files} (looked for in {folders}). "
            "Fetch the data, or mend `data:`."
        )
    return path


def mentor_kd_paths(name: str, split: str) -> list[str]:
    """Where a split may stand: in a folder of several data sets, in the authors' `data/`, or right in the folder."""
    folders = [f"{base}{part}" for part in ("skeleton/", "main/") for base in ("mentor_kd/", "", "data/")]
    names = [f"{name}_{split}.json", *([f"{name}_3_train.json"] if split == "train" else [])]
    return [folder + file for folder in [*folders, ""] for file in names]


def _kard_paths(name: str, split: str) -> list[str]:
    short = {"obqa": "openbookqa"}.get(name, name)
    flat = [f"{folder}{short}_{split}.jsonl" for folder in ("kard/", "medqa/", "")]
    return [*flat, *(f"{folder}{name}/{split}.json" for folder in ("", "data/"))]


def _at(item: Item, number: int) -> Item:
    """Remember the row in the train file: KARD's MedQA rationales have no other key."""
    return replace(item, meta={**item.meta, "source_index": str(number)})


def _medqa_subset(path: Path) -> list[Item]:
    items = read_items(path, MEDQA_SUBSET, LETTER)
    rows = read_rows(path, [])
    return [
        _at(item, row.values["kard_index"]) if row.values.get("kard_match_ok") else item
        for item, row in zip(items, rows, strict=True)
    ]


def recorded_paths(name: str) -> list[str]:
    """Where the teacher rationales that the papers' authors shipped for a task may stand."""
    mentor_kd = [f"{folder}{name}_3_train.json" for folder in ("mentor_kd/main/", "main/", "data/main/", "")]
    short = {"obqa": "openbookqa", "medqa_usmle_hf": "medqa"}.get(name, name)
    return [*mentor_kd, *(f"{folder}{short}_train_gpt35.jsonl.gz" for folder in ("kard/", ""))]
