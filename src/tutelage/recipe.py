"""Recipes: a whole study in one YAML file, checked before anything is loaded, run or paid for.

    # Two students side by side on the bundled steps task.   tutelage run pocket/steps
    task:    {name: pocket/steps}
    teacher: {backend: pocket, samples: 2}
    student: {model: pocket/nano, learning_rate: 2.0e-3, epochs: 8}
    arms:    [fine-tuning, reasoning-distillation]
    seeds:   [1, 2]

Every key is listed below with its default. Unknown keys are refused with the nearest known one, and all problems of a
recipe are told at once. `task.dev_fraction=0.2` on the command line changes one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tutelage.errors import RecipeError, all_problems
from tutelage.plugins import unknown

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, values are checked and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class FieldMap(Section):
    """Which columns of the user's own file hold what."""

    question: str = "question"
    answer: str = "answer"
    choices: str | list[str] | None = None
    """One column that holds a list, or one column for each choice."""
    rationale: str | None = None
    """A column with rationales written beforehand; `teacher: {backend: recorded}` without a path reads it."""
    id: str | None = None


class TaskSection(Section):
    """What is asked."""

    name: str
    """A built-in task (`tutelage tasks`), any name for your own file, or "package.module:load"."""
    data: str | None = None
    """Folder or file of a built-in task's data; without it, the folder in the variable TUTELAGE_DATA."""
    train: str | None = None
    """Your own file (JSONL, JSON, CSV, Parquet) or hub data set."""
    test: str | None = None
    """Your own test file; without it a part of `train` is held out, by question."""
    fields: FieldMap | None = None
    answers: Literal["letter", "yes_no", "number", "words"] | None = None
    """Answer type of your own task."""
    dev_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training questions held out for all choices."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of `train` held out for the test, where there is no test file."""
    limit: Positive | None = None
    """Use only so many training questions, chosen by the hash of their ids."""


class TeacherSection(Section):
    """Whose rationales are learnt from."""

    backend: str = "recorded"
    """`recorded` (a file), `pocket` (the bundled rule-based teacher), or "package.module:write"."""
    path: str | None = None
    """File of recorded rationales; without it those that came with the task's own data."""
    samples: Positive | None = None
    """Rationales for each question; without it every recorded one, and one of a teacher that writes."""
    keep: Positive | None = None
    """At most so many correct rationales are kept for each question; without it all of them."""
    error_rate: Share = 0.0
    """Chance that the pocket teacher goes wrong in a step."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the train and dev questions that the teacher is asked; chosen by the hash of their ids."""
    trust_file: bool = False
    """Take a recorded rationale for correct where its file says so, even where it concludes another answer."""
    seed: int = 0


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
    """A hub name, a local folder, or a bundled checkpoint: pocket/nano, pocket/mini, pocket/causal-nano."""
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
    """`auto` is bf16 on a GPU that has it, else fp32."""
    gradient_checkpointing: bool = False
    lora: LoraSection | None = None


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
    """One mentor of this seed for all students; without it each seed of the study has a mentor of its own."""
    mentor: MentorSection | None = None
    """Who mentored the mentor: a chain, the largest model innermost."""


SOFT_LOSSES = ("kl", "reverse-kl", "jsd", "soft-cross-entropy")
LIVE_LOSSES = ("logit-mse", "hidden-mse")
"""They need more of the mentor than probabilities, so it must run in every step."""
DRAWN_LOSSES = ("kl", "soft-cross-entropy")
"""Those that stay unbiased when tokens are drawn."""


class SoftLabelSection(Section):
    """The mentor's token distributions: loss = (1 - weight) * rationale loss + weight * divergence."""

    loss: str = "kl"
    """kl (from mentor to student, the paper's), reverse-kl, jsd or soft-cross-entropy; with `live` also logit-mse and
    hidden-mse."""
    weight: Share = 0.3
    """λ of Mentor-KD, Eq. 5: 0 is the rationale loss alone, 1 the mentor alone."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    scaled: bool = True
    """Multiply the divergence by the temperature's square (Hinton et al. 2015), so that its gradient keeps its size."""
    top_k: Positive | None = 16
    """Most probable tokens kept for each position, with the mass of the rest; null keeps the whole vocabulary."""
    draws: Positive | None = None
    """Instead of the most probable: so many tokens drawn from the distribution, unbiased (arXiv 2503.16870)."""
    live: bool = False
    """Run the mentor in every step instead of once beforehand: slower, for losses that need more than probabilities."""
    layers: list[tuple[int, int]] | None = None
    """For hidden-mse: pairs of student and mentor layer; without it the last of each."""

    @model_validator(mode="after")
    def _possible(self) -> SoftLabelSection:
        if ":" not in self.loss and self.loss not in SOFT_LOSSES + LIVE_LOSSES:
            raise ValueError(unknown("loss of soft labels", self.loss, SOFT_LOSSES + LIVE_LOSSES))
        if self.loss in LIVE_LOSSES and not self.live:
            raise ValueError(f"loss {self.loss!r} needs the mentor itself; set `live: true`")
        if self.draws and (self.live or self.loss not in DRAWN_LOSSES):
            raise ValueError(f"`draws` goes with a cache (live: false) and with {' or '.join(DRAWN_LOSSES)}")
        if self.layers is not None and self.loss != "hidden-mse":
            raise ValueError("`layers` is for the loss hidden-mse")
        return self


class MccSection(Section):
    """MCC-KD: loss = rationale loss + weight * how far two rationales of a question lead to other answers."""

    weight: Annotated[float, Field(ge=0)] = 0.1
    """α; 0.1 in the published code (homzer/MCC-KD at 86d263e, train_mcc.py:30)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the compared distributions; 1.0 in the published code, 1.3 in Mentor-KD's runs of it."""
    ngram: Positive = 3
    """Rationales are unlike that share few n-grams of so many words; 3 in Mentor-KD's file of chosen pairs."""


class StepByStepSection(Section):
    """Distilling step-by-step: loss = answer_share * answer loss + (1 - answer_share) * rationale loss."""

    answer_share: Share = 0.5
    """α of the published code (google-research/distilling-step-by-step at ef94426, run.py), whose default this is."""


class ScoreSection(Section):
    """How a student is scored."""

    votes: Positive = 1
    """Answers written for each question; the majority counts. 1 is greedy decoding."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    """For `votes` above 1."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    batch_tokens: Positive = 16384
    """Padded tokens in one batch of generation."""
    dev_limit: Positive | None = 200
    """Dev questions looked at after an epoch; without it all of them."""


class ComputeSection(Section):
    """What the machine may give."""

    jobs: Positive | None = None
    """Students trained at the same time, each in a process of its own; without it one for each core, one on a GPU."""
    threads: Positive = 1
    """CPU threads of each process. Part of the fingerprint: sums in another order give other digits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


SHARED = ("title", "task", "arms", "baseline", "seeds", "compute")
"""What an arm cannot change."""


class Arm(Section):
    """One row of the result: a method, and what it does differently from the rest of the recipe."""

    method: str
    name: str = ""
    """How the row is called; the method's name where there is only one arm of it."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys changed for this arm alone, e.g. {student.epochs: 4}. The task and `compute` are everybody's."""
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    """Dotted keys and the values each takes: one arm for every combination, e.g. {mentor.samples: [1, 2, 3]}."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"method": value, "name": value}
        if isinstance(value, dict):
            raw = cast("dict[str, Any]", value)
            return {"name": raw.get("method", ""), **raw}
        return value

    @field_validator("set", "sweep")
    @classmethod
    def _of_the_arm(cls, changes: dict[str, Any]) -> dict[str, Any]:
        shared = [key for key in changes if key.partition(".")[0] in SHARED]
        if shared:
            raise ValueError(f"{shared[0]!r} is the same for all arms of a study; they could not be compared otherwise")
        return changes

    @model_validator(mode="after")
    def _published_whole(self) -> Arm:
        if self.set.get("published") is True:
            other = [key for key, value in self.set.items() if PUBLISHED.get(key, value) != value]
            if other:
                raise ValueError(f"`published: true` sets {other[0]!r}; leave it out, or name the others one by one")
        return self

    @property
    def swept(self) -> list[Arm]:
        """The arms that `sweep` stands for, or this one."""
        return [self._with(dict(zip(self.sweep, values, strict=True))) for values in product(*self.sweep.values())]

    def _with(self, changes: dict[str, Any]) -> Arm:
        named = " ".join([self.name, *(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items())])
        return Arm(method=self.method, name=named, set=self.set | changes)


class Recipe(Section):
    """A study: one task, its parts, a list of arms and seeds."""

    title: str = ""
    task: TaskSection
    teacher: TeacherSection | None = None
    format: str = "arrow"
    """How prompts and targets are written: arrow, therefore, answer-line, or "package.module:FORMAT"."""
    mentor: MentorSection | None = None
    soft_labels: SoftLabelSection = SoftLabelSection()
    mcc: MccSection = MccSection()
    step_by_step: StepByStepSection = StepByStepSection()
    published: bool = False
    """Follow the published code of Mentor-KD where it differs in what changes results: see PUBLISHED. To measure the
    differences, not to report from: it chooses the epoch on the test split."""
    student: StudentSection
    arms: Annotated[list[Arm], Field(min_length=1)]
    baseline: str | None = None
    """Name of the arm that the report compares the others with; without it fine-tuning, where there is such an arm."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = [1]
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
    def _complete(cls, value: Any) -> Any:
        """Make published conventions explicit, and give mentors what they take over from the student."""
        if not isinstance(value, dict):
            return value
        raw = cast("dict[str, Any]", value)
        if raw.get("published") is True:
            absent = {name for name in ("teacher", "mentor") if not raw.get(name)}
            raw = override(raw, {key: v for key, v in PUBLISHED.items() if key.partition(".")[0] not in absent})
        return {**raw, "mentor": _taking_over(raw.get("mentor"), raw.get("student"))} if raw.get("mentor") else raw

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
        return parse(override(self.model_dump(mode="json"), arm.set), where=f"arm {arm.name!r}") if arm.set else self

    def most_samples(self, mentor: MentorSection) -> int:
        """The most samples that any arm wants of this mentor; written once, the first of them serve the other arms."""
        mentors = [m for arm in self.arms for m in self.for_arm(arm).mentors]
        return max([mentor.samples, *(m.samples for m in mentors if _writing(m) == _writing(mentor))])

    @property
    def mentors(self) -> list[MentorSection]:
        """The chain of mentors, the one nearest to the teacher first."""
        found: list[MentorSection] = []
        mentor = self.mentor
        while mentor:
            found.insert(0, mentor)
            mentor = mentor.mentor
        return found


PUBLISHED: dict[str, Any] = {
    "teacher.trust_file": True,  # mentor_kd.py:140 believes `initial_correct`
    "student.schedule": "constant",  # M24: plain AdamW
    "student.warmup": 0.0,
    "student.max_grad_norm": None,
    "student.decay_norms": True,  # M12: no_decay names "LayerNorm", T5 calls it "layer_norm"
    "student.select": "test_accuracy",  # Appendix B: "the best test accuracy per epoch"
    "mentor.schedule": "constant",
    "mentor.warmup": 0.0,
    "mentor.max_grad_norm": None,
    "mentor.decay_norms": True,
    "mentor.select": "last",  # M6: the weights saved as the best are those of the last epoch
    "soft_labels.scaled": False,  # M7
    "soft_labels.live": True,  # M10: the mentor's whole distribution, worked out in every step
}
"""What `published: true` sets, and where the published code of Mentor-KD (2hojae/mentor-kd at ec9ea11) does so."""


def _taking_over(mentor: Any, student: Any) -> Any:
    """A raw mentor section, and those inside it, with the student's values where it has none of its own."""
    if not isinstance(mentor, dict) or not isinstance(student, dict):
        return cast("Any", mentor)
    own = cast("dict[str, Any]", mentor)
    taken = {k: v for k, v in cast("dict[str, Any]", student).items() if k not in ("model", "lora")}
    inner = {"mentor": _taking_over(own["mentor"], cast("Any", student))} if own.get("mentor") else {}
    return {**taken, **own, **inner}


def _writing(mentor: MentorSection) -> dict[str, Any]:
    """What decides the texts a mentor writes, apart from how many are wanted."""
    return mentor.model_dump(mode="json", exclude={"samples", "keep"})


def load(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[Recipe, str]:
    """A built-in recipe or one from a file, with `a.b=value` overrides, and its text as written.

    Raises RecipeError that tells every problem at once.
    """
    path = find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name_or_path}: not YAML in UTF-8. {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(
            f"{name_or_path}: a recipe is a mapping of sections such as `task:`; got {type(raw).__name__}"
        )
    changed = override(cast("dict[str, Any]", raw), dict(_override(text) for text in overrides))
    return parse(changed, where=name_or_path), text


def find(name_or_path: str) -> Path:
    """Where a recipe stands: a path if it looks like one, else a built-in name. Raises RecipeError."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError(f"no file {name_or_path!r}. `tutelage recipes` lists the built-in ones.")
    known = builtin()
    if name_or_path in known:
        return known[name_or_path]
    raise RecipeError(
        unknown("recipe", name_or_path, known) + ". A recipe of your own is named by its path, ending .yaml"
    )


def builtin() -> dict[str, Path]:
    """Built-in recipes by name, e.g. "pocket/steps"."""
    folder = Path(str(files("tutelage"))) / "recipes"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def override(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a raw recipe in which dotted keys have new values: {"student.epochs": 4}."""
    result = dict(raw)
    for dotted, value in changes.items():
        head, _, tail = dotted.partition(".")
        if not tail:
            result[head] = value
            continue
        inner: Any = result.get(head)
        result[head] = override(cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}, {tail: value})
    return result


def parse(raw: Mapping[str, Any], *, where: str) -> Recipe:
    """A checked recipe. Raises RecipeError with every problem by its dotted key."""
    try:
        return Recipe.model_validate(dict(raw))
    except ValidationError as error:
        problems = [_problem(dict(details)) for details in error.errors()]
        raise RecipeError(all_problems(f"{where}: {len(problems)} problem(s):", problems)) from None


def _override(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise RecipeError(f"override {text!r}: expected KEY=VALUE, e.g. student.learning_rate=3e-4")
    try:
        return key.strip(), _number_or(yaml.safe_load(value))
    except yaml.YAMLError:
        raise RecipeError(f"override {text!r}: the value is not YAML. Quote it, e.g. 'title=\"a: b\"'") from None


def _number_or(value: Any) -> Any:
    """YAML 1.1 reads 3e-4 as a string, since it has no dot; people mean a number."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _problem(details: dict[str, Any]) -> str:
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        return f"{'.'.join(location[:-1]) or 'recipe'}: {unknown('key', location[-1], _keys_at(location[:-1]))}"
    if details["type"] == "missing":
        return f"{key}: missing"
    message = details["msg"].removeprefix("Value error, ")
    return f"{key}: {message}; got {details['input']!r}" if key else message


def _keys_at(location: Sequence[str]) -> list[str]:
    """The keys that a section knows; `location` are the names on the way to it."""
    model: type[BaseModel] = Recipe
    for name in location:
        if name.isdigit() or name not in model.model_fields:
            continue
        model = _section_in(model.model_fields[name].annotation) or model
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The Section inside an annotation such as `LoraSection | None` or `list[Arm]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _section_in(inner)
        if found:
            return found
    return None
