"""Tasks by name: the table of the built-in ones, the user's own files, and tasks from other packages.

    load_task("svamp")                                                       # published data, from TUTELAGE_DATA
    load_task("svamp", train="more.json", test="mine.json")                  # the same grader on other files
    load_task("birds", train="birds.csv", answers="words", fields={"question": "q", "answer": "a"})
    load_task("my_lab.tasks:load")                                           # load(name, **settings) -> Task

A loader from outside is called with the name and the keywords data, dev_fraction, test_fraction and limit. It gives a
`Task`; `tutelage.tasks.task.make_task` builds one from rows, splits included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tutelage.errors import TaskError, TutelageError
from tutelage.plugins import resolve, unknown
from tutelage.tasks.answers import ANSWER_TYPES, LETTER, NUMBER, WORDS, YES_NO, AnswerType
from tutelage.tasks.published import MENTOR_KD, load_kard, load_mentor_kd, read_files
from tutelage.tasks.questions import Fields, fields_from
from tutelage.tasks.task import Task, make_task
from tutelage.types import SPLITS, Question, Split


@dataclass(frozen=True, slots=True)
class Known:
    """A built-in task."""

    answer_type: AnswerType
    source: Literal["mentor-kd", "kard", "own file"] | str
    """Whose layout the files have; "package.module:load" is a loader elsewhere, imported when asked for."""
    licence: str


_MENTOR_KD = "code Apache-2.0; see the licence of the data set itself"
_KARD = "MIT; rationales are OpenAI model output"

TASKS: dict[str, Known] = {
    "pocket/steps": Known(NUMBER, "tutelage.pocket.tasks:load", "bundled, Apache-2.0"),
    "pocket/atlas": Known(WORDS, "tutelage.pocket.tasks:load", "bundled, Apache-2.0"),
    "pocket/atlas-pairs": Known(LETTER, "tutelage.pocket.tasks:load", "bundled, Apache-2.0"),
    "pocket/atlas-memory": Known(WORDS, "tutelage.pocket.tasks:load", "bundled, Apache-2.0"),
    "gsm8k": Known(NUMBER, "mentor-kd", _MENTOR_KD),
    "asdiv": Known(NUMBER, "mentor-kd", _MENTOR_KD),
    "svamp": Known(NUMBER, "mentor-kd", _MENTOR_KD),
    "commonsense_qa": Known(LETTER, "mentor-kd", _MENTOR_KD),
    "strategy_qa": Known(YES_NO, "mentor-kd", _MENTOR_KD),
    "tracking_shuffled_objects": Known(LETTER, "mentor-kd", _MENTOR_KD),
    "date_understanding": Known(LETTER, "mentor-kd", _MENTOR_KD),
    "last_letter_concatenation": Known(WORDS, "mentor-kd", _MENTOR_KD),
    "addsub": Known(NUMBER, "own file", "not shipped by the papers' authors"),
    "multiarith": Known(NUMBER, "own file", "not shipped by the papers' authors"),
    "single_eq": Known(NUMBER, "own file", "not shipped by the papers' authors"),
    "aqua": Known(LETTER, "own file", "not shipped by the papers' authors"),
    "coin_flip": Known(YES_NO, "own file", "not shipped by the papers' authors"),
    "medqa_usmle_hf": Known(LETTER, "kard", _KARD),
    "strategyqa": Known(LETTER, "kard", _KARD + ". Not the split of strategy_qa: never mix the two"),
    "obqa": Known(LETTER, "kard", _KARD),
}


def load_task(
    name: str,
    *,
    data: str | Path | None = None,
    train: str | Path | None = None,
    test: str | Path | None = None,
    fields: Fields | Mapping[str, Any] | None = None,
    answers: str | None = None,
    dev_fraction: float = 0.1,
    test_fraction: float = 0.2,
    limit: int | None = None,
) -> Task:
    """A task with its three splits.

    `train` is a file or hub data set of the user's own (`test` too; without it `test_fraction` of train is held out);
    a built-in name then lends its answer type. `data` is the folder of a built-in task, or one file in the shape of
    Mentor-KD. Raises TaskError with every bad row, PluginError for a name that stands for nothing.
    """
    known = TASKS.get(name)
    if train is not None:
        answer_type = _answer_type(name, answers)
        default = MENTOR_KD if known and fields is None else Fields()
        mapping = default if fields is None else fields if isinstance(fields, Fields) else fields_from(fields)
        rows = read_files([train] if test is None else [train, test], mapping, answer_type)
        return make_task(
            name,
            answer_type,
            rows[0],
            None if test is None else rows[1],
            dev_fraction=dev_fraction,
            test_fraction=test_fraction,
            limit=limit,
        )
    if test is not None:
        raise TaskError(f"task {name!r}: `test:` without `train:`. Give both files, or neither.")
    if known is None and ":" not in name:
        raise TaskError(
            f"{unknown('task', name, TASKS)}. A task of your own needs `train:`, the file of its questions."
        )
    if known is not None and ":" not in known.source:
        if data is not None and Path(data).is_file():
            return load_task(
                name,
                train=data,
                fields=fields,
                answers=answers,
                dev_fraction=dev_fraction,
                test_fraction=test_fraction,
                limit=limit,
            )
        if fields is not None or answers is not None:
            raise TaskError(
                f"task {name!r}: `fields:` and `answers:` describe a file of your own. Give it as `train:`."
            )
        load = load_kard if known.source == "kard" else load_mentor_kd
        return load(name, known.answer_type, data, dev_fraction=dev_fraction, limit=limit)
    loader: Callable[..., Task] = resolve(known.source if known else name, {}, "task")
    return loader(name, data=data, dev_fraction=dev_fraction, test_fraction=test_fraction, limit=limit)


def _answer_type(name: str, answers: str | None) -> AnswerType:
    known = TASKS.get(name)
    if answers is not None:
        return resolve(answers, ANSWER_TYPES, "answer type")
    if known is None:
        raise TaskError(
            f"task {name!r}: what are its answers? Set `answers:` to one of {', '.join(ANSWER_TYPES)}, "
            'or to "package.module:TYPE".'
        )
    return known.answer_type


class Described(NamedTuple):
    """One line of `tutelage tasks`."""

    name: str
    answers: str
    source: str
    counts: Mapping[Split, int] | None
    """Questions of each split; None where the data is absent."""
    problem: str
    """Why there are no counts."""
    licence: str


def describe_tasks(data: str | Path | None = None) -> list[Described]:
    """Every built-in task, with counts where its data is at hand."""
    lines: list[Described] = []
    for name, known in TASKS.items():
        counts: dict[Split, int] | None = None
        problem = ""
        try:
            task = load_task(name, data=None if ":" in known.source else data)
            counts = {split: len(task.questions[split]) for split in SPLITS}
        except TutelageError as error:
            problem = str(error).splitlines()[0]
        source = "bundled" if ":" in known.source else known.source
        lines.append(Described(name, known.answer_type.name, source, counts, problem, known.licence))
    return lines


def find_grader(name: str) -> tuple[AnswerType, tuple[Question, ...]]:
    """How answers of a task, or of an answer type, are read, and its questions where its data is at hand.

    Raises TaskError naming the nearest task for a name that stands for nothing.
    """
    if name in ANSWER_TYPES:
        return ANSWER_TYPES[name], ()
    if name not in TASKS and ":" not in name:
        raise TaskError(unknown("task or answer type", name, [*TASKS, *ANSWER_TYPES]))
    try:
        task = load_task(name)
    except TaskError:
        if name not in TASKS:
            raise
        return TASKS[name].answer_type, ()
    return task.answer_type, tuple(q for split in task.questions.values() for q in split)
