"""The examples that students and mentors of a study learn from, each a prompt and what to write after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import checkpoints
from tutelage.errors import RecipeError
from tutelage.methods.knowledge import read_hits
from tutelage.methods.predicting import room
from tutelage.rationales.diverse import choose_pairs, example_id
from tutelage.recipe import LearnerSection
from tutelage.runs import Json, Stage, read_jsonl, write_json, write_jsonl
from tutelage.types import Example, Question, Rationale, Split, rationale_from_json, to_json

if TYPE_CHECKING:
    from tutelage.methods.study import Study

PREDICT, EXPLAIN = "predict: ", "explain: "
"""What a prompt begins with that wants the answer alone, or the rationale alone (Distilling step-by-step)."""

GOLD = "gold"
"""Stands in an example's id for who wrote its rationale, where there is only the gold answer."""

Prompt = Callable[[Question, str], str]
"""Builds the prompt of a question for the example of this id."""


class Lessons:
    """What a study's rationales, answers and passages become before anyone learns from them."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def answers(self, *, beside: Stage | None = None) -> Stage:
        """Examples that answer at once: the prompt, and the gold answer behind the marker.

        `beside` are the passages found for each question, shown before it.
        """
        inputs: dict[str, Json] = {"questions": self.study.questions().fingerprint, "format": self._wording}
        return self._stage({**inputs, "kind": "answers"}, self._answers, beside, self.study.recipe.student)

    def rationales(
        self, *sources: Stage | None, beside: Stage | None = None, learner: LearnerSection | None = None
    ) -> Stage:
        """Examples that reason first: the prompt, a kept rationale, then its answer.

        `beside` are the passages found for each example, or for its question; they are cut to the learner's limit.
        """
        stages = [source for source in sources if source]
        inputs: dict[str, Json] = {
            "rationales": [stage.fingerprint for stage in stages],
            "format": self._wording,
            "kind": "rationales",
        }
        fmt = self.study.format

        def examples(split: Split, prompt: Prompt) -> list[Example]:
            return [
                Example(id := example_id(r), prompt(q, id), fmt.target(r.text, q.answer))
                for q, r in self._kept(stages, split)
            ]

        return self._stage(inputs, examples, beside, learner or self.study.recipe.student)

    def two_tasks(self, *sources: Stage) -> Stage:
        """Examples of two tasks: after "predict: " the answer at once, after "explain: " a kept rationale alone."""
        inputs: dict[str, Json] = {
            "questions": self.study.questions().fingerprint,
            "rationales": [stage.fingerprint for stage in sources],
            "format": self.study.recipe.format,
            "kind": "answers and rationales",
            "prefixes": [PREDICT, EXPLAIN],
        }
        predict, explain = self.study.format.prefixed(PREDICT), self.study.format.prefixed(EXPLAIN)

        def examples(split: Split, prompt: Prompt) -> list[Example]:
            answers = self._answers(split, lambda question, id: predict.prompt(question))
            rationales = [
                Example(example_id(r), explain.prompt(q), r.text.strip()) for q, r in self._kept(sources, split)
            ]
            return [*answers, *rationales]

        return self._stage(inputs, examples, None, self.study.recipe.student)

    def unlike_pairs(self, *sources: Stage) -> Stage:
        """Pairs of a training question's kept rationales that differ most, for MCC-KD."""
        ngram = self.study.recipe.mcc.ngram
        inputs: dict[str, Json] = {"rationales": [stage.fingerprint for stage in sources], "ngram": ngram}

        def make(folder: Path) -> None:
            found = choose_pairs((r for _, r in self._kept(sources, "train")), ngram=ngram)
            if not found.pairs:
                raise RecipeError(
                    "teacher: no training question has two correct, distinct rationales, and MCC-KD compares two. "
                    "Raise teacher.samples, or leave teacher.keep out."
                )
            write_jsonl(folder / "pairs.jsonl", (pair._asdict() for pair in found.pairs))

        return self.study.workspace.stage("pairs", inputs, make)

    @property
    def _wording(self) -> str:
        """What decides the words of a prompt."""
        return self.study.format.prefix + self.study.recipe.format

    def _answers(self, split: Split, prompt: Prompt) -> list[Example]:
        fmt = self.study.format
        return [
            Example(id := f"{q.id}#{GOLD}#0", prompt(q, id), fmt.target("", q.answer)) for q in self.study.of(split)
        ]

    def _kept(self, sources: Sequence[Stage], split: Split) -> Iterator[tuple[Question, Rationale]]:
        """What was kept for the questions of a split."""
        questions = {q.id: q for q in self.study.of(split)}
        for stage in sources:
            for rationale in map(rationale_from_json, read_jsonl(stage.folder / "kept.jsonl")):
                if rationale.question_id in questions:
                    yield questions[rationale.question_id], rationale

    def _stage(
        self,
        inputs: dict[str, Json],
        examples: Callable[[Split, Prompt], Sequence[Example]],
        beside: Stage | None,
        learner: LearnerSection,
    ) -> Stage:
        if beside:
            inputs |= {
                "beside": beside.fingerprint,
                "passages": self.study.knowledge.settings.passages,
                "fitted_to": [
                    checkpoints.fingerprint(learner.model),
                    learner.max_prompt_tokens,
                    learner.max_target_tokens,
                ],
            }

        def make(folder: Path) -> None:
            shown = Shown(self.study, beside, learner) if beside else None
            for split in ("train", "dev"):
                prompt: Prompt = shown.prompt if shown else lambda question, id: self.study.format.prompt(question)
                write_jsonl(folder / f"{split}.jsonl", (to_json(e) for e in examples(split, prompt)))
            if shown:
                write_json(folder / "passages.json", dict(shown.counts))

        return self.study.workspace.stage("examples", inputs, make)


class Shown:
    """Prompts with as much of their passages as a learner has room for."""

    def __init__(self, study: Study, found: Stage, learner: LearnerSection) -> None:
        from tutelage.models import load_tokenizer

        self.format, self.reader = study.format, load_tokenizer(learner.model)
        self.limit = room(self.reader, learner)
        self.passages = study.knowledge.passages(found, read_hits(found))
        self.counts: Counter[str] = Counter(prompts=0, without=0, dropped=0, shortened=0)
        """Prompts, those shown no passage, passages dropped, and prompts whose last passage was shortened."""

    def prompt(self, question: Question, id: str) -> str:
        """The prompt for an example of this id: its own passages, else those of its question."""
        from tutelage.fitting import fit

        passages = self.passages.get(id) or self.passages.get(question.id, [])
        fitted = fit(
            self.format,
            question,
            passages,
            length=lambda text: len(self.reader.prompt_ids(text)),
            limit=self.limit,
        )
        self.counts.update(
            prompts=1,
            without=not fitted.passages,
            dropped=fitted.dropped,
            shortened=fitted.words_cut > 0,
        )
        return fitted.prompt
