"""A whole study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from tutelage.errors import RecipeError, all_problems
from tutelage.plugins import unknown
from tutelage.recipe.arm import Arm
from tutelage.recipe.knowledge import KnowledgeSection
from tutelage.recipe.learner import MentorSection, StudentSection, taking_over, writing
from tutelage.recipe.objectives import MccSection, SoftLabelSection, StepByStepSection
from tutelage.recipe.overrides import override
from tutelage.recipe.problems import problem
from tutelage.recipe.published import contradicted, conventions
from tutelage.recipe.scoring import ComputeSection, FewShotSection, ScoreSection
from tutelage.recipe.section import Section
from tutelage.recipe.task import TaskSection
from tutelage.recipe.teacher import TeacherSection
from tutelage.recipe.verifier import VerifierSection

COMPLETE = "complete"
"""Said of a raw recipe in which the published conventions stand already."""


class Recipe(Section):
    """A study: one task, its parts, a list of arms and seeds."""

    title: str = ""
    task: TaskSection
    teacher: TeacherSection | None = None
    format: str = "arrow"
    """How prompts and targets are written: arrow, therefore, answer-line; kard-published, mentor-kd-published, the
    words of the papers' code; or "package.module:FORMAT"."""
    verifier: VerifierSection | None = None
    knowledge: KnowledgeSection | None = None
    mentor: MentorSection | None = None
    soft_labels: SoftLabelSection = SoftLabelSection()
    mcc: MccSection = MccSection()
    step_by_step: StepByStepSection = StepByStepSection()
    published: bool = False
    """Follow the published code of Mentor-KD where it differs in what changes results: see PUBLISHED. To measure the
    differences, not to report from: it chooses the epoch on the test split. An arm may change single ones."""
    student: StudentSection
    arms: Annotated[list[Arm], Field(min_length=1)]
    baseline: str | None = None
    """Name of the arm that the report compares the others with; without it fine-tuning, where there is such an arm."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field([1], min_length=1)
    few_shot: FewShotSection = FewShotSection()
    score: ScoreSection = ScoreSection()
    compute: ComputeSection = ComputeSection()

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice; the same run twice is no second run")
        return seeds

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any, info: ValidationInfo[Any]) -> Any:
        """Make published conventions explicit, and give mentors what they take over from the student."""
        if not isinstance(value, dict):
            return value
        raw = cast("dict[str, Any]", value)
        if raw.get("published") is True and info.context != COMPLETE:
            if other := contradicted(raw):
                raise ValueError(f"`published: true` sets {other[0]!r}; leave it out, or name the others one by one")
            raw = override(raw, conventions(raw))
        return {**raw, "mentor": taking_over(raw.get("mentor"), raw.get("student"))} if raw.get("mentor") else raw

    @model_validator(mode="after")
    def _can_be_distilled(self) -> Recipe:
        learners = [("student", self.student), *(("mentor", m) for m in self.mentors[1:])]
        adapted = [key for key, learner in learners if learner.lora]
        if self.mentor and self.soft_labels.weight and self.soft_labels.loss == "hidden-mse" and adapted:
            raise ValueError(
                f"soft_labels.loss: hidden-mse cannot train adapters, and {adapted[0]}.lora asks for them. Leave it "
                "out, or choose kl"
            )
        return self

    @field_validator("arms")
    @classmethod
    def _sweeps(cls, arms: list[Arm]) -> list[Arm]:
        return [swept for arm in arms for swept in arm.swept]

    @model_validator(mode="after")
    def _arms_differ(self) -> Recipe:
        names = [arm.name for arm in self.arms]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"arms: {', '.join(map(repr, twice))} stands twice; give each arm a `name:` of its own")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: {unknown('arm', self.baseline, names)}")
        return self

    def for_arm(self, arm: Arm) -> Recipe:
        """The recipe as this arm sees it, with its own changes made."""
        if not arm.set:
            return self
        where, raw = f"arm {arm.name!r}", self.model_dump(mode="json")
        if arm.set.get("published") is True:
            raw = override(raw, conventions(override(raw, arm.set)))
        elif self.published and arm.set.get("published") is False:
            raise RecipeError(
                f"{where}: `published: false` under `published: true`: what it would undo is not known any more. Take "
                "the latter out of the recipe, and give it to the arms that are to have it."
            )
        return parse(override(raw, arm.set), where=where, complete=True)

    def most_samples(self, mentor: MentorSection) -> int:
        """The most samples that any arm wants of this mentor; written once, the first of them serve the other arms."""
        mentors = [m for arm in self.arms for m in self.for_arm(arm).mentors]
        return max([mentor.samples, *(m.samples for m in mentors if writing(m) == writing(mentor))])

    @property
    def mentors(self) -> list[MentorSection]:
        """The chain of mentors, the one nearest to the teacher first."""
        found: list[MentorSection] = []
        mentor = self.mentor
        while mentor:
            found.insert(0, mentor)
            mentor = mentor.mentor
        return found


def parse(raw: Mapping[str, Any], *, where: str, complete: bool = False) -> Recipe:
    """A checked recipe. Raises RecipeError with every problem by its dotted key.

    A `complete` one has the published conventions in it where they are wanted, and what was changed after them counts.
    """
    try:
        return Recipe.model_validate(dict(raw), context=COMPLETE if complete else None)
    except ValidationError as error:
        problems = [problem(dict(details), Recipe) for details in error.errors()]
        raise RecipeError(all_problems(f"{where}: {len(problems)} problem(s):", problems)) from None
