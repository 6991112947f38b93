"""Ask a trained student one question, in the words it was taught with and with the passages it would be tested with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage.errors import ModelError
from tutelage.few_shot import Packed, Shot, pack, until_next_question
from tutelage.formats import Format, get_format
from tutelage.methods.predicting import read_shots
from tutelage.plugins import resolve
from tutelage.runs import read_json
from tutelage.tasks.answers import ANSWER_TYPES
from tutelage.tasks.grading import judge
from tutelage.types import Passage, Question, question_id

if TYPE_CHECKING:
    from tutelage.models import LanguageModel

CARD = "tutelage.json"


class Reply(NamedTuple):
    """What a student wrote, and what it was shown."""

    rationale: str
    answer: str | None
    """In canonical form; None when none could be read."""
    passages: tuple[Passage, ...]
    """Those that stood before the question, best first; the last may be shortened to fit."""
    documents: tuple[str | None, ...] = ()
    """For each passage the path of the document that it was cut from; None for a row of a file."""


def ask(student: Path, text: str, choices: Sequence[str] = (), *, explain: bool = False) -> Reply:
    """What the student writes for one question, split into rationale and answer; greedy.

    A student that answers without writing (Distilling step-by-step) can be asked to `explain` instead. Raises
    ModelError where the folder holds no student of tutelage, or one that learnt no such task.
    """
    from tutelage import models
    from tutelage.evaluation.predict import predict
    from tutelage.generation.local import LocalGenerator
    from tutelage.methods.looking_up import LookUp

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
    look_up = LookUp(student, card["knowledge"]) if "knowledge" in card else None
    found = look_up.passages(question) if look_up else []
    model = models.in_precision(models.load(str(student.resolve())), card.get("precision", "auto"))
    limits = {"max_prompt_tokens": card["max_prompt_tokens"], "max_target_tokens": card["max_target_tokens"]}
    room = models.prompt_room(model, **limits) or card["max_prompt_tokens"]
    shots = _shots(student, card)
    shown = _packed(model, fmt, shots, question, found, room)
    generator = LocalGenerator(model, max_new_tokens=card["max_target_tokens"], max_prompt_tokens=room)
    [prediction] = predict(
        generator,
        [question],
        fmt,
        lambda asked, said: judge(asked, answers, fmt, until_next_question(fmt, said) if shots else said),
        source="student",
        same=answers.same,
        passages={question.id: shown.last.passages},
        prompt=lambda asked, passages: shown.prompt,
    )
    passages = shown.last.passages
    documents = look_up.documents(passages) if look_up else []
    return Reply(prediction.rationales[0].text, prediction.answer, passages, tuple(documents))


def _shots(student: Path, card: Mapping[str, Any]) -> tuple[Shot, ...]:
    """The solved questions that the model is shown; none for one that was taught."""
    if "shots" not in card:
        return ()
    path = student.resolve() / card["shots"]
    if not path.is_file():
        raise ModelError(
            f"{student} is shown the solved questions in {path.resolve()}, which is not there. A student stays in the "
            "folder of its run; move or copy the whole of it."
        )
    return read_shots(path)


def _packed(
    model: LanguageModel,
    fmt: Format,
    shots: Sequence[Shot],
    question: Question,
    passages: Sequence[Passage],
    room: int,
) -> Packed:
    """The prompt with what there is room for; what was not taught to read lines is shown none, as at its test."""

    def length(prompt: str) -> int:
        return len(model.prompt_ids(prompt))

    lines = model.kind == "causal" if shots else True
    return pack(fmt, shots, question, passages, length=length, limit=room, lines=lines)
