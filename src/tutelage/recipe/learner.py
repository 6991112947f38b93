"""Who learns, and how: the student, and a mentor between teacher and student."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from tutelage.recipe.section import Positive, Section, Share


class LoraSection(Section):
    """Low-rank adapters instead of full fine-tuning."""

    rank: Positive = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    targets: list[str] | None = None
    """Names of the adapted layers; without them peft's default for the architecture."""


class LearnerSection(Section):
    """A model that learns, and how."""

    model: str
    """A hub name, a local folder, a GGUF file, package:NAME for the model in an installed Python package, or a bundled
    checkpoint: pocket/nano, pocket/mini, pocket/causal-nano."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    epochs: Positive = 10
    batch_size: Positive = 8
    """Examples in one step, before accumulation."""
    batch_tokens: Positive | None = None
    """Instead of `batch_size`: padded tokens in one step."""
    accumulate: Positive = 1
    """Batches whose gradients are summed before a step."""
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup: Share = 0.05
    """Share of all steps over which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    decay_norms: bool = False
    """Let biases and norms decay too."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Longer gradients are cut to this length; null cuts none."""
    select: Literal["dev_accuracy", "dev_loss", "last", "test_accuracy"] = "dev_accuracy"
    """Which epoch's weights are kept. `test_accuracy` leaks the test split into the choice, as `published` does; its
    scores are marked so."""
    evaluate_every: Positive = 1
    """Epochs between two looks at the dev split."""
    patience: Positive | None = None
    """Stop after so many looks without a better one."""
    max_prompt_tokens: Positive = 512
    max_target_tokens: Positive = 512
    """Also the most a student writes when it is scored."""
    long_targets: Literal["drop", "raise"] = "drop"
    """What to do with an example whose target does not fit: leave it out and count it, or stop."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products; weights stay in fp32. `auto` is bf16 on a GPU that has it, and on a CPU that has instructions
    for it where a short measurement finds it faster, for models of 20 million weights or more."""
    gradient_checkpointing: bool = False
    lora: LoraSection | None = None

    @model_validator(mode="after")
    def _all_act(self) -> LearnerSection:
        if self.schedule == "constant" and self.warmup and self.differs(("warmup",)):
            raise ValueError("`schedule: constant` has no warm-up; choose constant_with_warmup, or leave `warmup` out")
        if self.select == "last" and self.patience:
            raise ValueError("`patience` waits for a better epoch, and `select: last` keeps the last whatever it is")
        return self


class StudentSection(LearnerSection):
    """The small model that is wanted in the end."""


class MentorSection(LearnerSection):
    """A mid-sized model between teacher and student (Mentor-KD).

    What is not said here is as the student's section has it, except `model` and `lora`.
    """

    samples: Annotated[int, Field(ge=0)] = 3
    """Rationales it writes for each training question, also where the teacher had none; 0 writes none."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    keep: Positive | None = None
    """At most so many of its correct, distinct rationales are kept for each question; without it all of them."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """One mentor of this seed for all students, and so whoever mentored it; without it each seed of the study has a
    mentor of its own."""
    mentor: MentorSection | None = None
    """Who mentored the mentor: a chain, the largest model innermost."""

    def seed_of(self, seed: int) -> int:
        """The seed that it and those who mentored it are trained with, in a study's run of this seed."""
        return seed if self.seed is None else self.seed


def taking_over(mentor: Any, student: Any) -> Any:
    """A raw mentor section, and those inside it, with the student's values where it has none of its own."""
    if not isinstance(mentor, dict) or not isinstance(student, dict):
        return cast("Any", mentor)
    own = cast("dict[str, Any]", mentor)
    taken = {k: v for k, v in cast("dict[str, Any]", student).items() if k not in ("model", "lora")}
    inner = {"mentor": taking_over(own["mentor"], cast("Any", student))} if own.get("mentor") else {}
    return {**taken, **own, **inner}


def writing(mentor: MentorSection) -> dict[str, Any]:
    """What decides the texts a mentor writes, apart from how many are wanted."""
    return mentor.model_dump(mode="json", exclude={"samples", "keep"})
