"""Ask a trained student one question, in the words it was taught with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tutelage.errors import ModelError
from tutelage.formats import get_format
from tutelage.plugins import resolve
from tutelage.runs import read_json
from tutelage.tasks.answers import ANSWER_TYPES
from tutelage.tasks.grading import Judgement, judge
from tutelage.types import Question, question_id

CARD = "tutelage.json"


def ask(student: Path, text: str, choices: Sequence[str] = (), *, explain: bool = False) -> Judgement:
    """What the student writes for one question, split into rationale and answer; greedy.

    A student that answers without writing (Distilling step-by-step) can be asked to `explain` instead. Raises
    ModelError where the folder holds no student of tutelage, or one that learnt no such task.
    """
    from tutelage import models
    from tutelage.generation.local import LocalGenerator

    if not (student / CARD).is_file():
        raise ModelError(
            f"{student} holds no student (no {CARD}). Name a folder such as runs/<run>/students/<arm>-seed1."
        )
    card = read_json(student / CARD)
    prefix = card.get("explain_prefix") if explain else card.get("prefix", "")
    if prefix is None:
        raise ModelError(f"{student} learnt no explaining apart from answering. Ask it without --explain.")
    fmt, answers = get_format(card["format"]).prefixed(prefix), resolve(card["answers"], ANSWER_TYPES, "answer type")
    question = Question(question_id(card["task"], text, tuple(choices)), card["task"], "test", text, tuple(choices), "")
    generator = LocalGenerator(
        models.load(str(student.resolve())),
        max_new_tokens=card["max_target_tokens"],
        max_prompt_tokens=card["max_prompt_tokens"],
    )
    [[written]] = generator.write([fmt.prompt(question)])
    return judge(question, answers, fmt, written.text)
