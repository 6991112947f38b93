"""What a model of a study writes for questions, with passages or solved questions before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.methods.knowledge import read_hits
from tutelage.recipe import LearnerSection
from tutelage.runs import Stage, read_jsonl
from tutelage.tasks.grading import Judgement, judge
from tutelage.types import Passage, Prediction, Question, question_from_json

if TYPE_CHECKING:
    from tutelage.few_shot import Shot
    from tutelage.methods.study import Study
    from tutelage.models import LanguageModel


def load(study: Study, trained: Stage) -> LanguageModel:
    """The model that a stage trained."""
    from tutelage import models

    return models.load(str((trained.folder / "model").resolve()), device=device_of(study.recipe.compute.device))


def predictions(
    study: Study,
    model: LanguageModel,
    questions: Sequence[Question],
    learner: LearnerSection,
    *,
    source: str,
    seed: int = 0,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    partial: Path | None = None,
    beside: Stage | None = None,
    shots: Stage | None = None,
) -> list[Prediction]:
    """One prediction a question, in their order, judged.

    `beside` are the passages found for the questions, cut to what the model has room for. With `shots` solved
    questions stand before each, for a model that was not taught.
    """
    from tutelage.evaluation.predict import predict
    from tutelage.generation.local import LocalGenerator
    from tutelage.models import in_precision

    model = in_precision(model, learner.precision)
    generator = LocalGenerator(
        model,
        max_new_tokens=learner.max_target_tokens,
        max_prompt_tokens=learner.max_prompt_tokens,
        batch_tokens=study.recipe.score.batch_tokens,
    )
    found = study.knowledge.passages(beside, [q.id for q in questions]) if beside else {}
    asking = Asking(study, model, learner, read_shots(shots.folder / SHOTS) if shots else ())
    written = predict(
        generator,
        questions,
        study.format,
        asking.judge,
        same=study.task.answer_type.same,
        votes=samples,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        source=source,
        passages={q.id: asking.fitted(q, found[q.id]) for q in questions} if beside else None,
        prompt=asking.prompt if shots else None,
        partial=partial,
        on_done=(lambda done, total: study.tell("writes", {"done": done, "total": total})) if partial else None,
    )
    if beside is None:
        return written
    hits = read_hits(beside)
    return [replace(p, hits=tuple(hits.get(p.question_id, ())[: len(p.rationales[0].passage_ids)])) for p in written]


class Asking:
    """How a model is asked and how its texts are read."""

    def __init__(self, study: Study, model: LanguageModel, learner: LearnerSection, shots: Sequence[Shot]) -> None:
        self.study, self.model, self.shots = study, model, shots
        self.limit = room(model, learner)

    def fitted(self, question: Question, passages: Sequence[Passage]) -> Sequence[Passage]:
        """The passages for which there is room beside a question."""
        from tutelage.fitting import fit

        return fit(self.study.format, question, passages, length=self._length, limit=self.limit).passages

    def prompt(self, question: Question, passages: Sequence[Passage]) -> str:
        """Solved questions, as many as there is room for, and then the question."""
        from tutelage.few_shot import pack

        lines = self.model.kind == "causal"
        fmt = self.study.format
        return pack(fmt, self.shots, question, passages, length=self._length, limit=self.limit, lines=lines).prompt

    def judge(self, question: Question, text: str) -> Judgement:
        """A verdict on what was written; of a model that was not taught to stop, on its first answer."""
        from tutelage.few_shot import until_next_question

        fmt = self.study.format
        return judge(question, self.study.task.answer_type, fmt, until_next_question(fmt, text) if self.shots else text)

    def _length(self, text: str) -> int:
        return len(self.model.prompt_ids(text))


def room(model: LanguageModel, learner: LearnerSection) -> int:
    """How many tokens a prompt may have, in training as in serving."""
    from tutelage.models import prompt_room

    limits = {"max_prompt_tokens": learner.max_prompt_tokens, "max_target_tokens": learner.max_target_tokens}
    return prompt_room(model, **limits) or learner.max_prompt_tokens


SHOTS = "shots.jsonl"
"""The file of a stage of solved questions."""


def read_shots(path: Path) -> tuple[Shot, ...]:
    """The solved questions in such a file."""
    from tutelage.few_shot import Shot

    rows = read_jsonl(path)
    return tuple(
        Shot(question_from_json(r["question"]), r["rationale"], tuple(Passage(**p) for p in r["passages"]))
        for r in rows
    )


def device_of(chosen: str) -> str:
    """The device that "auto" stands for here."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if chosen == "auto" else chosen
