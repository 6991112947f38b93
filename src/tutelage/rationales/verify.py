"""Verification by a model: a small one reads question and rationale and must choose the gold answer, as in KARD.

What it reads in the format `answer-line` with the cue "So, the answer is", and how likely it then finds the options:

    Question: Where is money kept?
    Options: (A) in a bank, (B) in a shoe
    Explanation:
    Banks keep money safe.
    So, the answer is                                       A -0.11   B -2.31    chosen A, which is gold: correct

It stands beside the match of answers: a rationale may end on the right letter and give no reason for it, and one
written with the gold answer in view always ends on it. The published code has four options, so yes and no crash it
(verify_cot.py:143); here the options are those of the question, however many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol

from tutelage.errors import RecipeError, TaskError, all_problems
from tutelage.formats import LETTERS, Format
from tutelage.types import Question, Rationale, Verdict, to_json

Place = Literal["read", "written"]
"""Where the rationale stands.

"read": in the prompt, as KARD does with Flan-T5-large: for an encoder-decoder that was not trained here.
"written": behind the prompt, as if the model had written it: for a model trained in the format, and for a causal one.
"""


class Scorer(Protocol):
    """Log-probabilities of options behind a prompt and a beginning; None where the prompt does not fit.

    `functools.partial(option_log_probs, lm)` is one.
    """

    def __call__(
        self, prompts: Sequence[str], options: Sequence[Sequence[str]], *, beginnings: Sequence[str]
    ) -> Sequence[Sequence[float] | None]:
        """One log-probability for each option of each prompt."""
        ...


class Verified(NamedTuple):
    """One rationale with what the verifier made of it."""

    rationale: Rationale
    """Its verdict is still that of the match of answers."""
    options: tuple[str, ...]
    log_probs: tuple[float, ...]
    """One for each option; empty where question and rationale were too long to be read."""
    chosen: str | None
    """None where too long, or where two options are equally likely, as happens in bfloat16."""
    verdict: Verdict
    """The verifier's: UNREAD without a choice."""

    @property
    def outcome(self) -> str:
        """What became of it, for the report: see `counts`."""
        if self.chosen is None:
            return "undecided" if self.log_probs else "too long"
        accepted = self.verdict is Verdict.CORRECT
        if self.rationale.verdict is Verdict.CORRECT:
            return "agreed" if accepted else "refused"
        match = self.rationale.verdict or "not judged"
        return f"accepted though {match}" if accepted else f"refused and {match}"

    def row(self) -> dict[str, Any]:
        """As one JSON object: the rationale, and the verifier's part under names of its own."""
        said = {"options": self.options, "log_probs": self.log_probs, "chosen": self.chosen}
        return {**to_json(self.rationale), **said, "verified": self.verdict}


def verify(
    score: Scorer,
    fmt: Format,
    answers: str,
    pairs: Iterable[tuple[Question, Rationale]],
    *,
    place: Place = "read",
    cue: str | None = None,
    prompt: Callable[[Question, str], str] | None = None,
) -> list[Verified]:
    """Let a model choose an option for each question after reading its rationale, in the order of `pairs`.

    `answers` is the name of the task's answer type: the options are the letters of the choices for "letter", yes and
    no for "yes_no". Any other has none to compare, and is refused with a RecipeError; TaskError names every question
    whose choices leave nothing to choose. `cue` stands behind the rationale, the format's marker unless given.
    `prompt(question, behind)` builds what stands before the rationale, `fmt.prompt(question)` unless given; `behind` is
    the text to leave room for (a few-shot prompt under a budget). The whole text is read or none of it.

    For a T5 that was not trained here give `fmt.in_line()`: it never saw a newline.
    """
    pairs = list(pairs)
    choices = _choices(answers, pairs)
    texts = [_text(fmt, rationale, cue) for _, rationale in pairs]
    asked = [(question, text) for (question, _), text in zip(pairs, texts, strict=True)]
    before = [prompt(question, text) if prompt else fmt.prompt(question) for question, text in asked]
    if place == "read":
        prompts, beginnings = [fmt.joint.join(both) for both in zip(before, texts, strict=True)], [""] * len(pairs)
        wanted = choices
    else:
        prompts, beginnings = before, texts
        wanted = [tuple(f" {option}" for option in options) for options in choices]
    scores = score(prompts, wanted, beginnings=beginnings)
    return [
        _verified(question, rationale, options, tuple(found or ()))
        for (question, rationale), options, found in zip(pairs, choices, scores, strict=True)
    ]


def counts(verified: Iterable[Verified]) -> Mapping[str, int]:
    """Every rationale once, by what became of it.

    agreed (the answer matches and the model chose it), refused (it matches, the model chose another), accepted though
    wrong, refused and wrong, the same for unread and not judged, undecided, too long.
    """
    return dict(Counter(v.outcome for v in verified))


def combined(verified: Iterable[Verified], *, match: bool = True) -> list[Rationale]:
    """The rationales with a verdict that takes both into account, for `keep`.

    With `match` a rationale is correct where its answer matches and the model accepts it. Without, the model alone
    decides, as published: there the teacher saw the gold answer, so that a match says nothing.
    """
    return [
        v.rationale if match and v.rationale.verdict is not Verdict.CORRECT else replace(v.rationale, verdict=v.verdict)
        for v in verified
    ]


def check_options(answers: str) -> None:
    """Raise RecipeError for a type of answer that has no options to compare."""
    if answers not in ("letter", "yes_no"):
        raise RecipeError(
            f"verification by a model compares options, and answers of type {answers!r} have none. Expected letter or "
            "yes_no. Leave the verifier out for this task: its rationales are judged by their answers."
        )


def _choices(answers: str, pairs: Sequence[tuple[Question, Rationale]]) -> list[tuple[str, ...]]:
    """The options of each question."""
    check_options(answers)
    options = [("yes", "no") if answers == "yes_no" else tuple(LETTERS[: len(q.choices)]) for q, _ in pairs]
    problems = dict.fromkeys(_problems(pairs, options))
    if problems:
        raise TaskError(all_problems("these questions cannot be verified by a model:", list(problems), "Mend them."))
    return options


def _problems(pairs: Sequence[tuple[Question, Rationale]], options: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for (question, rationale), of_question in zip(pairs, options, strict=True):
        where = question.meta.get("where", question.id)
        if rationale.question_id != question.id:
            yield f"{where}: given with a rationale of {rationale.question_id}"
        if len(of_question) < 2 or len(question.choices) > len(LETTERS):
            yield f"{where}: {len(question.choices)} choices; expected 2 to {len(LETTERS)}"
        elif question.answer not in of_question:
            yield f"{where}: gold answer {question.answer!r}; expected one of {', '.join(of_question)}"


def _text(fmt: Format, rationale: Rationale, cue: str | None) -> str:
    """The rationale and the words that call for an answer."""
    return fmt.joint.join(piece for piece in (rationale.text.strip(), fmt.marker if cue is None else cue) if piece)


def _verified(
    question: Question, rationale: Rationale, options: tuple[str, ...], log_probs: tuple[float, ...]
) -> Verified:
    best = [option for option, p in zip(options, log_probs, strict=bool(log_probs)) if p == max(log_probs)]
    chosen = best[0] if len(best) == 1 else None
    verdict = Verdict.UNREAD if chosen is None else Verdict.CORRECT if chosen == question.answer else Verdict.WRONG
    return Verified(rationale, options, log_probs, chosen, verdict)
