"""A study: the parts of a recipe as verbs that a method strings together.

Each verb gives back a finished `Stage` of the workspace, made once and shared by every arm whose settings agree.
While a study is only being planned, the same calls name the stages and make nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage import checkpoints
from tutelage.errors import RecipeError, all_problems
from tutelage.formats import Format, get_format
from tutelage.methods.sources import annotate, source_of
from tutelage.rationales.diverse import choose_pairs, example_id
from tutelage.rationales.keep import Kept, keep
from tutelage.recipe import LearnerSection, MentorSection, Recipe
from tutelage.runs import Json, Stage, Workspace, fingerprint, read_jsonl, write_json, write_jsonl
from tutelage.tasks.grading import graded, judge
from tutelage.tasks.task import Task
from tutelage.types import Example, Prediction, Question, Rationale, Split, rationale_from_json, to_json

if TYPE_CHECKING:
    from tutelage.models import LanguageModel

PREDICT, EXPLAIN = "predict: ", "explain: "
"""What a prompt begins with that wants the answer alone, or the rationale alone (Distilling step-by-step)."""

GOLD = "gold"
"""Stands in an example's id for who wrote its rationale, where there is only the gold answer."""

Tell = Callable[[str, dict[str, Any]], None]
"""How a long step reports: what is being done, and figures such as epoch, loss, done, total."""


class Outcome(NamedTuple):
    """What one arm gives for one seed."""

    student: Stage
    """Holds `model` (an ordinary Hugging Face folder), `history.jsonl` and `training.json`."""
    score: Stage
    """Holds `predictions.jsonl`, one Prediction a line."""


class Study:
    """One task, its parts and a workspace; what every method is written in."""

    def __init__(
        self, recipe: Recipe, task: Task, workspace: Workspace, tell: Tell | None = None, *, whole: Recipe | None = None
    ) -> None:
        """`recipe` is as one arm sees it, `whole` as it was written: what its arms can share is made once."""
        self.recipe = recipe
        self.whole = whole or recipe
        self.task = task
        self.workspace = workspace
        self.tell: Tell = tell or (lambda what, figures: None)
        self.format: Format = get_format(recipe.format)

    def asking(self, prefix: str) -> Study:
        """The same study, but its students are asked with these first words."""
        study = copy(self)
        study.format = self.format.prefixed(prefix)
        return study

    # --- what is asked

    def questions(self) -> Stage:
        """All questions with their splits, as the data files have them today."""
        inputs: dict[str, Json] = {
            "task": self.task.name,
            "answers": self.task.answer_type.name,
            "rows": self._rows,
        }
        rows = (to_json(q) for split in self.task.questions.values() for q in split)
        return self.workspace.stage("questions", inputs, lambda folder: write_jsonl(folder / "questions.jsonl", rows))

    @cached_property
    def _rows(self) -> str:
        """What all questions amount to. Every stage asks for it, so it is reckoned once."""
        return fingerprint({"rows": [_content(q) for split in self.task.questions.values() for q in split]})

    def of(self, split: Split) -> tuple[Question, ...]:
        """The questions of one split."""
        return self.task.questions[split]

    # --- what is written

    def taught(self) -> Stage:
        """The teacher's rationales for train and dev questions, judged; correct, distinct ones are kept."""
        teacher = self.recipe.teacher
        if teacher is None:
            raise RecipeError("teacher: missing, and an arm of this recipe learns from rationales")
        inputs: dict[str, Json] = {
            "questions": self.questions().fingerprint,
            "teacher": teacher.model_dump(mode="json"),
            "source": source_of(teacher, self.recipe.task),
        }

        def make(folder: Path) -> None:
            questions = {q.id: q for q in (*self.of("train"), *self.of("dev"))}
            written = annotate(teacher, self.recipe.task, tuple(questions.values()))
            judged = [
                graded(r, questions[r.question_id], self.task.answer_type, trust_file=teacher.trust_file)
                for r in written.rationales
            ]
            kept = keep(judged, per_question=teacher.keep, questions=questions)
            if not kept.rationales:
                counts = [f"{count} {reason}" for reason, count in kept.counts.items()]
                advice = "Is it the file of this task, and are its answers read as `task.answers` says?"
                raise RecipeError(all_problems("teacher: no rationale was kept:", [*counts, *written.notes], advice))
            write_jsonl(folder / "rationales.jsonl", (to_json(r) for r in judged))
            write_jsonl(folder / "kept.jsonl", (to_json(r) for r in kept.rationales))
            write_json(
                folder / "yield.json",
                {
                    "counts": dict(kept.counts),
                    "questions": kept.questions,
                    "asked": written.asked,
                    "notes": list(written.notes),
                },
            )

        return self.workspace.stage("rationales", inputs, make)

    @property
    def mentor(self) -> MentorSection:
        """The student's mentor. Raises RecipeError where the recipe has none."""
        if self.recipe.mentor is None:
            raise RecipeError("mentor: missing, and an arm of this recipe learns from a mentor")
        return self.recipe.mentor

    def augmented(self, mentor: Stage, settings: MentorSection, seed: int, *, beside: Stage) -> Stage | None:
        """The correct, distinct rationales that a mentor adds to those in `beside`; None where it writes none."""
        if settings.samples == 0:
            return None
        written = self._written(mentor, settings, seed if settings.seed is None else settings.seed)
        inputs: dict[str, Json] = {
            "written": written.fingerprint,
            "samples": settings.samples,
            "keep": settings.keep,
            "beside": beside.fingerprint,
        }

        def make(folder: Path) -> None:
            rationales = [rationale_from_json(row) for row in read_jsonl(written.folder / "rationales.jsonl")]
            known = [rationale_from_json(row) for row in read_jsonl(beside.folder / "kept.jsonl")]
            used = [r for r in rationales if r.sample < settings.samples]
            kept = keep(used, per_question=settings.keep, known=known)
            write_jsonl(folder / "kept.jsonl", (to_json(r) for r in kept.rationales))
            write_json(folder / "yield.json", _yield(kept, used, known))

        return self.workspace.stage("augmented", inputs, make)

    def _written(self, mentor: Stage, settings: MentorSection, seed: int) -> Stage:
        """What a mentor writes for every training question, judged: as many samples as any arm of the study wants."""
        samples = self.whole.most_samples(settings)
        inputs: dict[str, Json] = {
            "mentor": mentor.fingerprint,
            "questions": self.questions().fingerprint,
            "samples": samples,
            "sampling": [settings.temperature, settings.top_p],
            "seed": seed,
        }

        def make(folder: Path) -> None:
            predictions = self._predict(
                self._load(mentor),
                self.of("train"),
                settings,
                source=f"mentor:{mentor.fingerprint[:12]}",
                seed=seed,
                samples=samples,
                temperature=settings.temperature,
                top_p=settings.top_p,
                partial=folder / "partial.jsonl",
            )
            write_jsonl(folder / "rationales.jsonl", (to_json(r) for p in predictions for r in p.rationales))
            (folder / "partial.jsonl").unlink(missing_ok=True)

        return self.workspace.stage("written", inputs, make)

    # --- what is learnt from

    def answers_only(self) -> Stage:
        """Examples that answer at once: the prompt, and the gold answer behind the marker."""
        inputs: dict[str, Json] = {"questions": self.questions().fingerprint, "format": self._wording}
        return self._examples({**inputs, "kind": "answers"}, lambda split: self._answers(split, self.format))

    def explained(self, *sources: Stage | None) -> Stage:
        """Examples that reason first: the prompt, a kept rationale, then its answer."""
        rationales = [source for source in sources if source]
        inputs: dict[str, Json] = {
            "rationales": [stage.fingerprint for stage in rationales],
            "format": self._wording,
            "kind": "rationales",
        }

        def examples(split: Split) -> list[Example]:
            return [
                Example(example_id(r), self.format.prompt(q), self.format.target(r.text, q.answer))
                for q, r in self._kept(rationales, split)
            ]

        return self._examples(inputs, examples)

    def answered_and_explained(self, *sources: Stage) -> Stage:
        """Examples of two tasks: after "predict: " the answer at once, after "explain: " a kept rationale alone."""
        inputs: dict[str, Json] = {
            "questions": self.questions().fingerprint,
            "rationales": [stage.fingerprint for stage in sources],
            "format": self.recipe.format,
            "kind": "answers and rationales",
            "prefixes": [PREDICT, EXPLAIN],
        }
        predict, explain = self.format.prefixed(PREDICT), self.format.prefixed(EXPLAIN)

        def examples(split: Split) -> list[Example]:
            explained = self._kept(sources, split)
            rationales = [Example(example_id(r), explain.prompt(q), r.text.strip()) for q, r in explained]
            return [*self._answers(split, predict), *rationales]

        return self._examples(inputs, examples)

    @property
    def _wording(self) -> str:
        """What decides the words of a prompt."""
        return self.format.prefix + self.recipe.format

    def _answers(self, split: Split, fmt: Format) -> list[Example]:
        return [Example(f"{q.id}#{GOLD}#0", fmt.prompt(q), fmt.target("", q.answer)) for q in self.of(split)]

    def _kept(self, sources: Sequence[Stage], split: Split) -> Iterator[tuple[Question, Rationale]]:
        """What was kept for the questions of a split."""
        questions = {q.id: q for q in self.of(split)}
        for stage in sources:
            for rationale in map(rationale_from_json, read_jsonl(stage.folder / "kept.jsonl")):
                if rationale.question_id in questions:
                    yield questions[rationale.question_id], rationale

    def unlike_pairs(self, *sources: Stage) -> Stage:
        """Pairs of a training question's kept rationales that differ most, for MCC-KD."""
        ngram = self.recipe.mcc.ngram
        inputs: dict[str, Json] = {"rationales": [stage.fingerprint for stage in sources], "ngram": ngram}

        def make(folder: Path) -> None:
            found = choose_pairs((r for _, r in self._kept(sources, "train")), ngram=ngram)
            if not found.pairs:
                raise RecipeError(
                    "teacher: no training question has two correct, distinct rationales, and MCC-KD compares two. "
                    "Raise teacher.samples, or leave teacher.keep out."
                )
            write_jsonl(folder / "pairs.jsonl", (pair._asdict() for pair in found.pairs))

        return self.workspace.stage("pairs", inputs, make)

    def _examples(self, inputs: dict[str, Json], examples: Callable[[Split], Sequence[Example]]) -> Stage:
        def make(folder: Path) -> None:
            for split in ("train", "dev"):
                write_jsonl(folder / f"{split}.jsonl", (to_json(e) for e in examples(split)))

        return self.workspace.stage("examples", inputs, make)

    # --- how a student learns

    def soft_labels(self, mentor: Stage, examples: Stage) -> Stage | None:
        """The mentor's token distributions over the targets of these examples, computed once; None where weight is 0.

        With `live` it is the mentor itself, to be run in every step.
        """
        soft, student = self.recipe.soft_labels, self.recipe.student
        if soft.weight == 0 or soft.live:
            return mentor if soft.weight else None
        limits = {"max_prompt_tokens": student.max_prompt_tokens, "max_target_tokens": student.max_target_tokens}
        stored = {"top_k": soft.top_k, "draws": soft.draws, "temperature": soft.temperature}
        inputs: dict[str, Json] = {"mentor": mentor.fingerprint, "examples": examples.fingerprint, **limits, **stored}

        def make(folder: Path) -> None:
            from tutelage.training.soft_labels import write_soft_labels

            write_soft_labels(
                self._load(mentor),
                [Example(**row) for row in read_jsonl(examples.folder / "train.jsonl")],
                folder,
                **limits,
                **stored,
                on_done=lambda done, total: self.tell("lends soft labels", {"done": done, "total": total}),
            )

        return self.workspace.stage("soft-labels", inputs, make)

    def train(
        self,
        examples: Stage,
        seed: int,
        learner: MentorSection | None = None,
        *,
        soft: Stage | None = None,
        pairs: Stage | None = None,
        answer_share: float | None = None,
    ) -> Stage:
        """A student of the recipe's settings, or a mentor of its own, trained on these examples.

        The best epoch is chosen on dev. `soft` adds a mentor's distributions, `pairs` the agreement of two rationales;
        with `answer_share` answers and rationales are two tasks of one student.
        """
        settings = learner or self.recipe.student
        seed = seed if learner is None or learner.seed is None else learner.seed
        inputs: dict[str, Json] = {
            "examples": examples.fingerprint,
            "student": settings.model_dump(mode="json", include=set(LearnerSection.model_fields)),
            "model": checkpoints.fingerprint(settings.model),
            "seed": seed,
            "dev_questions": self.questions().fingerprint if settings.select.endswith("accuracy") else None,
            "dev_limit": self.recipe.score.dev_limit,
            "threads": self.recipe.compute.threads,
            "device": self.recipe.compute.device,
        }
        if soft:
            inputs["soft"] = {"labels": soft.fingerprint, **self.recipe.soft_labels.model_dump(mode="json")}
        if pairs:
            inputs["pairs"] = {"chosen": pairs.fingerprint, **self.recipe.mcc.model_dump(mode="json")}
        if answer_share is not None:
            inputs["answer_share"] = answer_share

        def make(folder: Path) -> None:
            from tutelage.methods import learn

            rows = read_jsonl(examples.folder / "train.jsonl")
            teaching = None
            if soft:
                teaching = learn.from_mentor(soft, self.recipe.soft_labels)
            elif pairs:
                teaching = learn.from_pairs(pairs, self.recipe.mcc, self.format)
            elif answer_share is not None:
                answers = {row["id"] for row in rows if row["id"].split("#")[1] == GOLD}
                teaching = learn.from_tasks(rows, answers, answer_share)
            learn.train_model(
                rows,
                read_jsonl(examples.folder / "dev.jsonl"),
                settings,
                teaching=teaching,
                folder=folder,
                seed=seed,
                device=self.recipe.compute.device,
                accuracy=lambda model: self._accuracy(model, settings),
                tell=lambda figures: self.tell("trains", figures),
            )
            write_json(folder / "model" / "tutelage.json", self._serving_card(settings))

        return self.workspace.stage("mentor" if learner else "student", inputs, make)

    def _serving_card(self, settings: LearnerSection) -> dict[str, Json]:
        """What a server must know to ask this student as it was taught."""
        return {
            "task": self.task.name,
            "format": self.recipe.format,
            "prefix": self.format.prefix,
            "explain_prefix": EXPLAIN if self.format.prefix == PREDICT else None,
            "answers": self.task.answer_type.name,
            "max_prompt_tokens": settings.max_prompt_tokens,
            "max_target_tokens": settings.max_target_tokens,
        }

    # --- how well

    def score(self, student: Stage, seed: int, learner: LearnerSection | None = None) -> Outcome:
        """The student's answers to the test split, read once, with every rationale behind them."""
        settings = self.recipe.score
        inputs: dict[str, Json] = {
            "student": student.fingerprint,
            "questions": self.questions().fingerprint,
            "votes": settings.votes,
            "sampling": [settings.temperature, settings.top_p] if settings.votes > 1 else None,
            "seed": seed if settings.votes > 1 else None,
        }

        def make(folder: Path) -> None:
            predictions = self._predict(
                self._load(student),
                self.of("test"),
                learner or self.recipe.student,
                source=f"student:{student.fingerprint[:12]}",
                seed=seed,
                samples=settings.votes,
                temperature=settings.temperature if settings.votes > 1 else 0.0,
                top_p=settings.top_p,
                partial=folder / "partial.jsonl",
            )
            write_jsonl(folder / "predictions.jsonl", (to_json(p) for p in predictions))
            (folder / "partial.jsonl").unlink(missing_ok=True)

        return Outcome(student, self.workspace.stage("score", inputs, make))

    def _load(self, trained: Stage) -> LanguageModel:
        from tutelage import models

        return models.load(str((trained.folder / "model").resolve()), device=_device(self.recipe.compute.device))

    def _accuracy(self, model: LanguageModel, settings: LearnerSection) -> float:
        """Share of questions answered correctly by greedy decoding, the choice among epochs."""
        leaking = settings.select == "test_accuracy"
        questions = sorted(self.of("test" if leaking else "dev"), key=lambda q: q.id)
        looked_at = questions if leaking else questions[: self.recipe.score.dev_limit]
        predictions = self._predict(model, looked_at, settings, source="dev")
        return sum(p.verdict == "correct" for p in predictions) / len(predictions)

    def _predict(
        self,
        model: LanguageModel,
        questions: Sequence[Question],
        learner: LearnerSection,
        *,
        source: str,
        seed: int = 0,
        samples: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        partial: Path | None = None,
    ) -> list[Prediction]:
        from tutelage.evaluation.predict import predict
        from tutelage.generation.local import LocalGenerator

        generator = LocalGenerator(
            model,
            max_new_tokens=learner.max_target_tokens,
            max_prompt_tokens=learner.max_prompt_tokens,
            batch_tokens=self.recipe.score.batch_tokens,
        )
        return predict(
            generator,
            questions,
            self.format,
            lambda question, text: judge(question, self.task.answer_type, self.format, text),
            votes=samples,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            source=source,
            partial=partial,
            on_done=(lambda done, total: self.tell("writes", {"done": done, "total": total})) if partial else None,
        )


def _yield(kept: Kept, written: Sequence[Rationale], taught: Sequence[Rationale]) -> dict[str, Json]:
    """What became of a mentor's texts, and what they add for questions that the teacher left without."""
    lacking = {r.question_id for r in written} - {r.question_id for r in taught}
    asked = {r.question_id for r in written}
    return {
        "counts": dict(kept.counts),
        "questions": kept.questions,
        "asked": len(asked),
        "without_teacher": len(lacking),
        "gained": len(lacking & {r.question_id for r in kept.rationales}),
        "notes": [],
    }


def _content(question: Question) -> Json:
    """A question without the place it was read from: a file may be moved."""
    row: dict[str, Any] = {field.name: getattr(question, field.name) for field in fields(question)}
    return {**row, "meta": {key: value for key, value in question.meta.items() if key != "where"}}


def _device(chosen: str) -> str:
    """The device that "auto" stands for here."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if chosen == "auto" else chosen
