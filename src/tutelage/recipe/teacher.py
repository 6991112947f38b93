"""Whose rationales are learnt from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tutelage.recipe.section import Positive, Section, Share


class PriceSection(Section):
    """What a model costs, for a million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    currency: str = "USD"


class MixedTeacher(Section):
    """One of several teachers, who is asked a part of the questions."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Its part; the parts of all teachers make 1."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of `teacher:` that are different for this one, e.g. {model: a-smaller-one, words: 60}."""


class TeacherSection(Section):
    """Whose rationales are learnt from."""

    backend: str = "recorded"
    """`recorded` (a file), `openai` (any OpenAI-compatible server), `local` (a Hugging Face checkpoint, on this
    machine), `vllm` (the same through vLLM), `pocket` (the bundled rule-based teacher), or "package.module:write"."""
    path: str | None = None
    """File of recorded rationales; without it those that came with the task's own data."""
    samples: Positive | None = None
    """Rationales for each question; without it every recorded one, and one of a teacher that writes."""
    keep: Positive | None = None
    """At most so many correct rationales are kept for each question; without it all of them."""
    choose: Literal["first", "shortest", "longest", "diverse", "mixed"] = "first"
    """Which ones `keep` takes: those written first, the shortest, the longest, or those least alike; `mixed` takes the
    longest for `long_share` of the questions and the shortest for the others. Ours."""
    long_share: Share = 0.2
    """For `choose: mixed`. A fifth of long chains among short ones did best for small students in Li et al. 2025,
    "Small Models Struggle to Learn from Strong Reasoners"."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = None
    """Drop a rationale that shares so large a part of its three-word sequences with a kept one of the same question
    (0.8 is a good start); without it only equal texts count as duplicates."""
    most_words: Positive | None = None
    """Drop longer rationales."""
    error_rate: Share = 0.0
    """Chance that the pocket teacher goes wrong in a step."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the train and dev questions that the teacher is asked; chosen by the hash of their ids."""
    trust_file: bool = False
    """Take a recorded rationale for correct where its file says so, even where it concludes another answer."""
    seed: int = 0
    mix: list[MixedTeacher] = Field(default_factory=list[MixedTeacher])
    """Several teachers, each asked a part of the questions. What is not said there is as it is here."""

    # --- who is asked, and how: openai, local, vllm
    model: str | None = None
    """As the server calls it; for `local` and `vllm` as a student: hub name, folder, GGUF file, package:NAME."""
    base_url: str | None = None
    """The server's address, ending in /v1; without it OpenAI's own."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; OPENAI_API_KEY for OpenAI, none for other servers."""
    endpoint: Literal["chat", "completion"] = "chat"
    temperature: Annotated[float, Field(ge=0)] | None = 0.7
    """null sends none, for models that take none."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Positive | None = 512
    """The longest text; what is cut off there is counted and not learnt from."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Further fields of the request that this server understands, e.g. {reasoning_effort: low}."""
    prompt: str | None = None
    """A Jinja file of your own, or one of ours: zero-shot, few-shot, hinted, few-shot-hinted; without it by `hint` and
    `shots`."""
    hint: bool = False
    """Show the teacher the gold answer (KARD). More rationales are correct then, and a match of answers says less."""
    shots: Annotated[int, Field(ge=0)] = 0
    """Solved questions before each, with a rationale: from `shots_file`, else of our own writing."""
    shots_file: str | None = None
    """JSONL, JSON, CSV or Parquet with question, rationale, answer, and choices if there are any."""
    passages: bool = False
    """Show the teacher the passages that the question finds, as many as `knowledge.passages`."""
    words: Positive | None = None
    """Ask for about so many words at most."""
    reads: str = "answer-line"
    """The format in which the teacher says its answer; ours ask for a last line "Answer: ..."."""
    reasoning_tags: list[str] | list[list[str]] = Field(default_factory=list[str])
    """[opening, closing] around what this model thinks aloud, or several such pairs, besides the many that are known
    (`<think>`, `[THINK]`, gpt-oss channels and so on). Thoughts are never taught."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """For `local`."""
    batch_tokens: Positive = 16384
    """For `local`: padded tokens in one batch."""

    # --- how fast, and for how much: changes no text
    concurrency: Positive = 16
    """Calls under way at once; fewer while the server asks for calm."""
    timeout: Annotated[float, Field(gt=0)] = 300.0
    """Seconds for one call."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further tries of a call that failed in a way that may pass."""
    backoff: Annotated[float, Field(gt=0)] = 1.0
    """Seconds before the first of them; doubled for each."""
    prices: str | PriceSection | None = None
    """{input: ..., output: ...} for a million tokens, or a YAML file with such a line for each model."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """Never spend more; what this run folder's teacher has cost before counts."""

    @field_validator("reasoning_tags")
    @classmethod
    def _paired(cls, given: list[str] | list[list[str]]) -> list[str] | list[list[str]]:
        for pair in _pairs(given):
            if len(pair) != 2 or not all(tag.strip() for tag in pair) or pair[0].strip() == pair[1].strip():
                raise ValueError(
                    f"{pair!r} is no pair of tags; write [opening, closing], e.g. ['<plan>', '</plan>'], or a list of "
                    "such pairs"
                )
        return given

    @model_validator(mode="after")
    def _whole(self) -> TeacherSection:
        if self.mix and abs(sum(each.share for each in self.mix) - 1) > 1e-6:
            raise ValueError(f"`mix`: the shares make {sum(each.share for each in self.mix):g}; expected 1")
        if self.budget is not None and self.prices is None and not self.mix:
            raise ValueError("`budget` without `prices`: nothing says what a token costs. Give prices, or no budget")
        return self

    @model_validator(mode="after")
    def _all_act(self) -> TeacherSection:
        if idle := sorted({key for each in self.mix for key in each.set} & TOGETHER):
            raise ValueError(f"`mix`: `{idle[0]}` is about all teachers together; set it in `teacher:` itself")
        if self.choose != "first" and self.keep is None:
            raise ValueError(
                f"`choose: {self.choose}` chooses what `keep` keeps, and without it all are kept; set `keep`"
            )
        if self.shots_file and not self.shots:
            raise ValueError("`shots_file` without `shots`: say how many of its solved questions are shown")
        for key, name, wanted in (("hint", "hinted", self.hint), ("shots", "few-shot", self.shots > 0)):
            if self.prompt in OUR_PROMPTS and wanted != (name in self.prompt):
                raise ValueError(
                    f"`prompt: {self.prompt}` {'lacks' if wanted else 'needs'} `{key}`; leave `prompt` out to have the "
                    "one that fits"
                )
        return self

    @property
    def reasoning_pairs(self) -> tuple[tuple[str, str], ...]:
        """`reasoning_tags` as pairs."""
        return tuple((opening.strip(), closing.strip()) for opening, closing in _pairs(self.reasoning_tags))

    @property
    def parts(self) -> list[tuple[float, TeacherSection]]:
        """The teachers of a mix with their shares; without a mix this one alone. Raises ValidationError."""
        if not self.mix:
            return [(1.0, self)]
        raw = self.model_dump(mode="json", exclude={"mix"})
        return [(each.share, TeacherSection.model_validate({**raw, **each.set})) for each in self.mix]


def _pairs(given: list[str] | list[list[str]]) -> list[list[str]]:
    """One pair or several as several."""
    one = [tag for tag in given if isinstance(tag, str)]
    return [one] if one else [tag for tag in given if not isinstance(tag, str)]


OUR_PROMPTS = ("zero-shot", "few-shot", "hinted", "few-shot-hinted")
TOGETHER = frozenset({"keep", "choose", "long_share", "near_duplicates", "most_words", "trust_file", "share", "mix"})
"""Keys that part of a mix cannot have for itself."""

VOLATILE = frozenset(
    {"base_url", "api_key_env", "concurrency", "timeout", "retries", "backoff", "prices", "budget"}
    | {"device", "batch_tokens"}
)
"""Keys that change no text: they are no part of a stage's fingerprint."""

ASKING = frozenset(
    {"model", "endpoint", "temperature", "top_p", "max_tokens", "extra", "prompt", "hint", "shots", "shots_file"}
    | {"passages", "words", "reads", "mix", "choose", "long_share", "near_duplicates", "most_words"}
    | {"reasoning_tags"}
)
"""Keys that came later than the first recipes: where they say nothing new they are no part of a fingerprint either."""


def told(section: TeacherSection) -> dict[str, Any]:
    """What a teacher's words and their choice depend on, for a fingerprint."""
    dumped = section.model_dump(mode="json", exclude=set(VOLATILE))
    new = section.model_dump(mode="json", include=set(ASKING), exclude_defaults=True)
    mixed = {"mix": [_lasting(each) for each in new["mix"]]} if "mix" in new else {}
    return {key: value for key, value in dumped.items() if key not in ASKING} | new | mixed


def _lasting(part: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in part.get("set", {}).items() if key not in VOLATILE}
    return {"share": part["share"], "set": kept}
