"""Few-shot prompts: solved training questions before the one that is asked, for models that were not taught the task.

Two shots with rationales (few-shot CoT) in the format `answer-line`; "|" marks the end of the prompt:

    Question: Tova has 12 beads and finds 5 more. How many?
    Explanation:
    12 + 5 = 17.
    Answer: 17

    Question: Arno had 9 coins and lost 2. How many?
    Explanation:
    9 - 2 = 7.
    Answer: 7

    Question: Ilse buys 3 pens and 4 more. How many?
    Explanation:|

Each shot may have passages of its own before its question (knowledge-augmented few-shot CoT), as the last question may.
A model that was never taught to stop goes on with questions of its own; `until_next_question` takes them off.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tutelage.errors import TaskError
from tutelage.fitting import Fitted, Length, fit
from tutelage.formats import Format
from tutelage.types import Passage, Question, Rationale, Verdict


@dataclass(frozen=True, slots=True)
class Shot:
    """One solved question."""

    question: Question
    rationale: str = ""
    """Empty: the answer alone is shown."""
    passages: tuple[Passage, ...] = ()


class Packed(NamedTuple):
    """A few-shot prompt that fits, and what had to go."""

    prompt: str
    shots: int
    """How many are shown."""
    dropped: int
    """Shots for which there was no room."""
    last: Fitted
    """The question that is asked, with what is left of its passages."""


def choose_shots(
    questions: Iterable[Question],
    k: int,
    *,
    seed: int = 0,
    rationales: Iterable[Rationale] | None = None,
    passages: Mapping[str, Sequence[Passage]] | None = None,
) -> tuple[Shot, ...]:
    """`k` training questions in an order made of the seed and their ids, so that more shots begin with the same ones.

    Questions of other splits are passed over: a shot shows a gold answer. With `rationales` each shot has the first
    correct one of its question, and questions without one are passed over. `passages` are by question id. Raises
    TaskError where there are fewer than `k`.
    """
    reasons = None if rationales is None else _first_correct(rationales)
    usable = [q for q in questions if q.split == "train" and (reasons is None or q.id in reasons)]
    if len(usable) < k:
        what = "training questions" if reasons is None else "training questions with a correct rationale"
        raise TaskError(f"{k} shots wanted, but there are {len(usable)} {what}. Ask for fewer shots.")
    drawn = sorted(usable, key=lambda q: hashlib.sha256(f"shots:{seed}:{q.id}".encode()).hexdigest())
    return tuple(Shot(q, (reasons or {}).get(q.id, ""), tuple((passages or {}).get(q.id, ()))) for q in drawn[:k])


def few_shot_prompt(
    fmt: Format, shots: Sequence[Shot], question: Question, passages: Sequence[Passage] = (), *, lines: bool = True
) -> str:
    """The shots in their order, then the question as `Format.prompt` puts it.

    A target stands on the line behind its prompt, as `LanguageModel.prompt_ids` has it for a causal model, and shots
    are a blank line apart. An instruction stands once, before the first shot. Without `lines` all pieces are joined by
    spaces: T5's vocabulary has no newline, so a T5 that was not trained here reads an escaped one as noise. A shot that
    is the question itself is left out.
    """
    fmt = (fmt if lines else fmt.in_line()).for_task(question.task)
    others = [shot for shot in shots if shot.question.id != question.id]
    if not others:
        return fmt.prompt(question, passages)
    opening, bare = fmt.opening(passages), fmt.without_instruction()
    solved = [_solved(bare, shot, "\n" if lines else " ") for shot in others]
    pieces = [*([opening] if opening else []), *solved, bare.prompt(question, passages)]
    return ("\n\n" if lines else " ").join(pieces)


def pack(
    fmt: Format,
    shots: Sequence[Shot],
    question: Question,
    passages: Sequence[Passage] = (),
    *,
    length: Length,
    limit: int,
    lines: bool = True,
) -> Packed:
    """The prompt with as many of the last shots as `limit` allows: the first are dropped first, always whole.

    The nearest to the question stay. Only where no shot is left do the question's own passages give way; see `fit`.
    """
    others = [shot for shot in shots if shot.question.id != question.id]
    for first in range(len(others)):
        prompt = few_shot_prompt(fmt, others[first:], question, passages, lines=lines)
        if length(prompt) <= limit:
            last = Fitted(prompt, tuple(passages), 0, 0, True)
            return Packed(prompt, len(others) - first, first, last)
    last = fit(fmt if lines else fmt.in_line(), question, passages, length=length, limit=limit)
    return Packed(last.prompt, 0, len(others), last)


def until_next_question(fmt: Format, text: str) -> str:
    """What a model wrote for the question it was asked, without the questions that it made up behind it.

    The text ends before a line that begins like a question, a passage or an instruction of the format, and behind the
    line of its first answer, or on that line before a second marker or words that begin like a question. So the first
    marker with an answer counts here, where `Format.read` takes the last: behind the first answer a model that cannot
    stop writes its next question, marker and all. Use `fmt.read(until_next_question(fmt, text))`, only for models that
    were not trained in the format: a trained one stops, and its rationale may hold the marker.
    """
    heads = "|".join(re.escape(head) for head in _heads(fmt))
    if heads:
        text = re.split(rf"(?:^|\n)[ \t]*(?:{heads})", text, maxsplit=1)[0]
    marker = re.escape(fmt.marker)
    answer = re.search(rf"{marker}\s*(?!{marker})[^\s].*", text)
    if not answer:
        return text
    said = answer[0].removeprefix(fmt.marker).partition(fmt.marker)[0]  # up to a second answer on the same line
    said = re.split(rf"\s(?:{heads})", said, maxsplit=1)[0] if heads else said
    return text[: answer.start()] + fmt.marker + said


def _heads(fmt: Format) -> list[str]:
    """The words that begin a question, passages or an instruction, where the format has such."""
    each = [fmt, *map(fmt.for_task, fmt.tasks)]
    templates = [
        t
        for f in each
        for t in (f.prefix + f.question, f.passages if f.behind is None else f.behind, f.instruction, f.with_passages)
    ]
    places = (re.split(r"\{(?:text|title|list)\}", t, maxsplit=1)[0].strip() for t in templates if t)
    return [head for head in dict.fromkeys(places) if head]


def _solved(fmt: Format, shot: Shot, behind: str) -> str:
    target = fmt.target(shot.rationale, shot.question.answer)
    return fmt.prompt(shot.question, shot.passages) + behind + target


def _first_correct(rationales: Iterable[Rationale]) -> dict[str, str]:
    """The text of each question's first rationale with a correct answer, by sample and source."""
    correct = [r for r in rationales if r.verdict is Verdict.CORRECT and r.text.strip() and r.finished]
    ordered = sorted(correct, key=lambda r: (r.sample, r.source), reverse=True)
    return {r.question_id: r.text for r in ordered}
