"""A study: the parts of a recipe as verbs that a method strings together.

Each verb gives back a finished `Stage` of the workspace, made once and shared by every arm whose settings agree.
While a study is only being planned, the same calls name the stages and make nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage import checkpoints
from tutelage.errors import RecipeError
from tutelage.formats import Format, get_format
from tutelage.methods.annotating import annotated
from tutelage.methods.knowledge import Knowledge
from tutelage.methods.lessons import EXPLAIN, GOLD, PREDICT, Lessons
from tutelage.methods.predicting import SHOTS, device_of, load, predictions
from tutelage.methods.verifying import verified
from tutelage.rationales.keep import Kept, keep
from tutelage.recipe import LearnerSection, MentorSection, Recipe
from tutelage.runs import Json, Stage, Workspace, fingerprint, read_json, read_jsonl, write_json, write_jsonl
from tutelage.tasks.task import Task
from tutelage.types import Example, Question, Rationale, Split, rationale_from_json, to_json

if TYPE_CHECKING:
    from tutelage.methods.learn import Teaching
    from tutelage.models import LanguageModel

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

    @property
    def lessons(self) -> Lessons:
        """What there is to learn from, as examples."""
        return Lessons(self)

    @property
    def knowledge(self) -> Knowledge:
        """What can be looked up. Raises RecipeError where the recipe has no `knowledge:` section."""
        if self.recipe.knowledge is None:
            raise RecipeError("knowledge: missing, and an arm of this recipe looks something up")
        return Knowledge(self, self.recipe.knowledge)

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
        """The teacher's rationales that are learnt from: correct, distinct and, with a verifier, convincing."""
        written = annotated(self)
        return verified(self, written, self.recipe.verifier) if self.recipe.verifier else written

    @property
    def mentor(self) -> MentorSection:
        """The student's mentor. Raises RecipeError where the recipe has none."""
        if self.recipe.mentor is None:
            raise RecipeError("mentor: missing, and an arm of this recipe learns from a mentor")
        return self.recipe.mentor

    def augmented(
        self, mentor: Stage, settings: MentorSection, seed: int, *, taught: Stage, beside: Stage | None = None
    ) -> Stage | None:
        """The correct, distinct rationales that a mentor adds to those in `taught`; None where it writes none.

        `beside` are the passages that it reads before each question.
        """
        if settings.samples == 0:
            return None
        written = self._written(mentor, settings, settings.seed_of(seed), beside)
        inputs: dict[str, Json] = {
            "written": written.fingerprint,
            "samples": settings.samples,
            "keep": settings.keep,
            "taught": taught.fingerprint,
        }

        def make(folder: Path) -> None:
            rationales = [rationale_from_json(row) for row in read_jsonl(written.folder / "rationales.jsonl")]
            known = [rationale_from_json(row) for row in read_jsonl(taught.folder / "kept.jsonl")]
            used = [r for r in rationales if r.sample < settings.samples]
            kept = keep(used, per_question=settings.keep, known=known)
            write_jsonl(folder / "kept.jsonl", (to_json(r) for r in kept.rationales))
            write_json(folder / "yield.json", _yield(kept, used, known))

        return self.workspace.stage("augmented", inputs, make)

    def _written(self, mentor: Stage, settings: MentorSection, seed: int, beside: Stage | None) -> Stage:
        """What a mentor writes for every training question, judged: as many samples as any arm of the study wants."""
        samples = self.whole.most_samples(settings)
        inputs: dict[str, Json] = {
            "mentor": mentor.fingerprint,
            "questions": self.questions().fingerprint,
            "samples": samples,
            "sampling": [settings.temperature, settings.top_p],
            "seed": seed,
            **self._shown(beside),
        }

        def make(folder: Path) -> None:
            written = predictions(
                self,
                load(self, mentor),
                self.of("train"),
                settings,
                source=f"mentor:{mentor.fingerprint[:12]}",
                seed=seed,
                samples=samples,
                temperature=settings.temperature,
                top_p=settings.top_p,
                partial=folder / "partial.jsonl",
                beside=beside,
            )
            write_jsonl(folder / "rationales.jsonl", (to_json(r) for p in written for r in p.rationales))
            (folder / "partial.jsonl").unlink(missing_ok=True)

        return self.workspace.stage("written", inputs, make)

    # --- how a student learns

    def soft_labels(self, mentor: Stage, examples: Stage, learner: LearnerSection | None = None) -> Stage | None:
        """The mentor's token distributions over the targets of these examples, computed once; None where weight is 0.

        They are for the student, or for another `learner` with token limits of its own.
        With `live` it is the mentor itself, to be run in every step.
        """
        soft, reader = self.recipe.soft_labels, learner or self.recipe.student
        if soft.weight == 0 or soft.live:
            return mentor if soft.weight else None
        limits = {"max_prompt_tokens": reader.max_prompt_tokens, "max_target_tokens": reader.max_target_tokens}
        stored = {"top_k": soft.top_k, "draws": soft.draws, "temperature": soft.temperature}
        inputs: dict[str, Json] = {"mentor": mentor.fingerprint, "examples": examples.fingerprint, **limits, **stored}
        if soft.top_k == "auto":
            inputs |= {"max_missed": soft.max_missed, "against": checkpoints.fingerprint(reader.model)}

        def make(folder: Path) -> None:
            from tutelage import models
            from tutelage.training.soft_labels import write_soft_labels

            uses_tail = soft.draws is None and soft.top_k is not None
            device = device_of(self.recipe.compute.device)
            write_soft_labels(
                load(self, mentor),
                [Example(**row) for row in read_jsonl(examples.folder / "train.jsonl")],
                folder,
                **limits,
                **stored,
                max_missed=soft.max_missed,
                against=models.load(reader.model, device=device) if uses_tail else None,
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
        beside: Stage | None = None,
    ) -> Stage:
        """A student of the recipe's settings, or a mentor of its own, trained on these examples.

        The best epoch is chosen on dev, with the passages in `beside` before its questions. `soft` adds a mentor's
        distributions, `pairs` the agreement of two rationales; with `answer_share` answers and rationales are two
        tasks of one student.
        """
        settings = learner or self.recipe.student
        seed = learner.seed_of(seed) if learner else seed
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
            inputs["soft"] = {
                "labels": soft.fingerprint,
                **self.recipe.soft_labels.model_dump(mode="json", exclude={"max_missed"}),
            }
        if pairs:
            inputs["pairs"] = {"chosen": pairs.fingerprint, **self.recipe.mcc.model_dump(mode="json")}
        if answer_share is not None:
            inputs["answer_share"] = answer_share
        if settings.select.endswith("accuracy"):
            inputs |= self._shown(beside)

        def make(folder: Path) -> None:
            from tutelage.methods import learn

            rows = read_jsonl(examples.folder / "train.jsonl")
            learn.train_model(
                rows,
                read_jsonl(examples.folder / "dev.jsonl"),
                settings,
                teaching=self._teaching(rows, soft, pairs, answer_share),
                folder=folder,
                seed=seed,
                device=self.recipe.compute.device,
                accuracy=lambda model: self._accuracy(model, settings, beside),
                tell=lambda figures: self.tell("trains", figures),
            )
            write_json(folder / "model" / "tutelage.json", self._serving_card(settings))

        return self.workspace.stage("mentor" if learner else "student", inputs, make)

    def _teaching(
        self, rows: Sequence[Mapping[str, Any]], soft: Stage | None, pairs: Stage | None, answer_share: float | None
    ) -> Teaching | None:
        """What a student learns from besides its rows; see `train`."""
        from tutelage.methods import learn

        if soft:
            return learn.from_mentor(soft, self.recipe.soft_labels)
        if pairs:
            return learn.from_pairs(pairs, self.recipe.mcc, self.format)
        if answer_share is None:
            return None
        answers = {row["id"] for row in rows if row["id"].split("#")[1] == GOLD}
        return learn.from_tasks(rows, answers, answer_share)

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
            "precision": settings.precision,
        }

    def untrained(self) -> Stage:
        """The student's model as it comes, for arms that only ask it."""
        settings = self.recipe.student
        card = self._serving_card(settings)
        inputs: dict[str, Json] = {"model": checkpoints.fingerprint(settings.model), "card": card}

        def make(folder: Path) -> None:
            from tutelage import models

            models.save(models.load(settings.model, device="cpu"), folder / "model")
            write_json(folder / "model" / "tutelage.json", card)
            write_jsonl(folder / "history.jsonl", [])
            cut: Json = {"prompts": 0, "targets": 0}
            write_json(folder / "training.json", {"best_epoch": 0, "steps": 0, "tokens": 0, "seconds": 0.0, "cut": cut})

        return self.workspace.stage("untrained", inputs, make)

    def shots(self, taught: Stage | None = None, *, beside: Stage | None = None) -> Stage:
        """A few solved training questions: with a kept rationale where there is `taught`, with passages `beside`."""
        settings = self.recipe.few_shot
        inputs: dict[str, Json] = {
            "questions": self.questions().fingerprint,
            "rationales": taught.fingerprint if taught else None,
            "shots": settings.shots,
            "seed": settings.seed,
            **self._shown(beside),
        }

        def make(folder: Path) -> None:
            from tutelage.few_shot import choose_shots

            train = self.of("train")
            kept = read_jsonl(taught.folder / "kept.jsonl") if taught else None
            shots = choose_shots(
                train,
                settings.shots,
                seed=settings.seed,
                rationales=None if kept is None else [rationale_from_json(row) for row in kept],
                passages=self.knowledge.passages(beside, [q.id for q in train]) if beside else None,
            )
            write_jsonl(folder / SHOTS, (asdict(shot) for shot in shots))

        return self.workspace.stage("shots", inputs, make)

    def gate(self, student: Stage, *, beside: Stage, plain: Stage) -> Stage:
        """The one of two students that answers more dev questions: with its passages, or one taught without any.

        They may be one and the same, asked with passages and without.
        Where both answer equally many it is the one without: it needs no index.
        """
        settings = self.recipe.student.model_copy(update={"select": "dev_accuracy"})
        inputs: dict[str, Json] = {
            "student": student.fingerprint,
            "plain": plain.fingerprint,
            "questions": self.questions().fingerprint,
            "dev_limit": self.recipe.score.dev_limit,
            **self._shown(beside),
        }

        def make(folder: Path) -> None:
            shown = self._accuracy(load(self, student), settings, beside)
            without = self._accuracy(load(self, plain), settings, None)
            is_open = shown > without
            chosen = student if is_open else plain
            for name in ("history.jsonl", "training.json"):
                (folder / name).write_bytes((chosen.folder / name).read_bytes())
            (folder / "model").unlink(missing_ok=True)
            (folder / "model").symlink_to(Path("..") / chosen.folder.name / "model")
            seconds = {stage.fingerprint: stage.seconds for stage in (student, plain)}  # of one that is both, once
            figures: dict[str, Json] = {
                **{"with": shown, "without": without, "open": is_open},
                "seconds": sum(seconds.values()),
            }
            write_json(folder / "gate.json", figures)

        return self.workspace.stage("gate", inputs, make)

    # --- how well

    def score(
        self,
        student: Stage,
        seed: int,
        learner: LearnerSection | None = None,
        *,
        beside: Stage | None = None,
        shots: Stage | None = None,
    ) -> Outcome:
        """The student's answers to the test split, read once, with every rationale behind them.

        `beside` are the passages found for the questions; a student from behind a gate is shown them if it is open.
        """
        settings = self.recipe.score
        inputs: dict[str, Json] = {
            "student": student.fingerprint,
            "questions": self.questions().fingerprint,
            "votes": settings.votes,
            "sampling": [settings.temperature, settings.top_p, settings.top_k] if settings.votes > 1 else None,
            "seed": seed if settings.votes > 1 else None,
            **self._shown(beside),
        }
        if shots:
            inputs["shots"] = shots.fingerprint

        def make(folder: Path) -> None:
            closed = (student.folder / "gate.json").exists() and not read_json(student.folder / "gate.json")["open"]
            written = predictions(
                self,
                load(self, student),
                self.of("test"),
                learner or self.recipe.student,
                source=f"student:{student.fingerprint[:12]}",
                seed=seed,
                samples=settings.votes,
                temperature=settings.temperature if settings.votes > 1 else 0.0,
                top_p=settings.top_p,
                top_k=settings.top_k,
                partial=folder / "partial.jsonl",
                beside=None if closed else beside,
                shots=shots,
            )
            write_jsonl(folder / "predictions.jsonl", (to_json(p) for p in written))
            (folder / "partial.jsonl").unlink(missing_ok=True)

        return Outcome(student, self.workspace.stage("score", inputs, make))

    def _shown(self, beside: Stage | None) -> dict[str, Json]:
        """What decides which passages a model reads."""
        if beside is None:
            return {}
        return {"beside": beside.fingerprint, "passages": self.knowledge.settings.passages}

    def _accuracy(self, model: LanguageModel, settings: LearnerSection, beside: Stage | None) -> float:
        """Share of questions answered correctly by greedy decoding, the choice among epochs."""
        leaking = settings.select == "test_accuracy"
        questions = sorted(self.of("test" if leaking else "dev"), key=lambda q: q.id)
        looked_at = questions if leaking else questions[: self.recipe.score.dev_limit]
        written = predictions(self, model, looked_at, settings, source="dev", beside=beside)
        return sum(p.verdict == "correct" for p in written) / len(written)


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
