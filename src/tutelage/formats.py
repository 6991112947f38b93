"""Every prompt and target string of the package: what trains a model is what serves it.

One `Format` per prompt style builds the prompt, builds the target and reads what a model wrote back into rationale and
answer. For the default style `arrow` (the label form of Mentor-KD, section 4 of its paper):

    prompt   Tova has 12 beads and finds 5 more. How many beads has Tova?
    target   Tova starts with 12. 12 + 5 = 17. --> 17

`read(target(rationale, answer)) == (rationale, answer)` holds for every rationale and every answer `target` accepts,
whatever the rationale contains; a property test holds it there.

`kard-published` and `mentor-kd-published` have the words of the papers' code. A question of MedQA, with a passage:

    The following are multiple-choice questions about medical knowledge. Generate a step-by-step explanations for each
    question with given medical knowledge.
    Question: Which vitamin prevents scurvy? A. vitamin A B. vitamin C
    Knowledge: Scurvy . Scurvy comes from a lack of vitamin C.
    Explanation:
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tutelage.errors import TextError
from tutelage.plugins import resolve
from tutelage.types import Passage, Question

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Reading(NamedTuple):
    """One written text, split at its answer marker."""

    rationale: str
    answer: str | None
    """The text behind the marker, not yet brought into canonical form; None when there is no marker."""


@dataclass(frozen=True, slots=True)
class Format:
    """A prompt style. All strings are joined by single spaces or, where `lines` is set, by newlines."""

    name: str
    marker: str
    """Stands between rationale and answer. The last one in a text counts, so a rationale may contain it."""
    closing: str = ""
    """Written after the answer and taken off again when reading."""
    question: str = "{text}"
    """How the question is introduced; `{text}` is its place."""
    options: str = "Answer choices: {list}."
    """How choices follow the question; `{list}` becomes "(A) first, (B) second"."""
    choice: str = "({letter}) {text}"
    """How each choice is written in the list."""
    between: str = ", "
    """What stands between two choices."""
    gap: str | None = None
    """What stands between question and choices; None for what stands between other pieces."""
    passages: str = "{text}"
    """How each passage is written, the best first; `{title}` and `{text}` are its places."""
    behind: str | None = None
    """Where the passages stand behind the question and its choices, what they stand in, all of them at `{list}` with
    spaces between. None puts them before the question."""
    instruction: str = ""
    """The first words of a prompt, before everything else."""
    with_passages: str | None = None
    """The instruction of a prompt with passages; None for the same."""
    cue: str = ""
    """The last words of the prompt. Cutting a prompt to length never touches them."""
    lines: bool = False
    prefix: str = ""
    """The first words before the question, which say what is wanted ("predict: "). Passages and the instruction stand
    before it, so that cutting a long prompt, which is done at the front, takes those first."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]], hash=False)
    """What is different for the questions of a task, by its name: fields of this class and their values."""

    def prefixed(self, prefix: str) -> Format:
        """The same format with these words before the question."""
        return replace(self, prefix=prefix)

    def for_task(self, name: str) -> Format:
        """The format as the questions of one task have it."""
        return replace(self, tasks={}, **self.tasks.get(name, {}))

    def in_line(self) -> Format:
        """The same format with a space wherever it breaks a line: T5's vocabulary has no newline."""
        flat = {name: _in_line(getattr(self, name)) for name in _TEMPLATES}
        tasks = {
            task: {name: _in_line(value) if name in _TEMPLATES else value for name, value in changes.items()}
            for task, changes in self.tasks.items()
        }
        return replace(self, **flat, lines=False, tasks=tasks)

    def without_instruction(self) -> Format:
        """The same format beginning with what comes behind the instruction; for the questions of one task."""
        return replace(self, instruction="", with_passages=None)

    @property
    def joint(self) -> str:
        """What stands between the pieces of a prompt and before the marker of a target."""
        return "\n" if self.lines else " "

    def opening(self, passages: Sequence[Passage] = ()) -> str:
        """The instruction of a prompt with these passages; empty where the format has none."""
        return self.with_passages if passages and self.with_passages is not None else self.instruction

    def prompt(self, question: Question, passages: Sequence[Passage] = ()) -> str:
        """Instruction, passages, prefix and question, choices, cue, in this order; or the passages behind the choices.

        Braces in the user's texts are safe: each template is filled by replacement, never by `str.format`.
        """
        return self.for_task(question.task)._prompt(question, passages)

    def _prompt(self, question: Question, passages: Sequence[Passage]) -> str:
        opening = self.opening(passages)
        shown = [_fill(self._passage(p), title=p.title, text=p.text) for p in passages]
        asked = self.prefix + _fill(self.question, text=question.text) + self._choices(question.choices)
        if self.behind is None:
            body = [*shown, asked]
        else:
            body = [asked, *([_fill(self.behind, list=" ".join(shown))] if shown else [])]
        return self.joint.join([*([opening] if opening else []), *body, *([self.cue] if self.cue else [])])

    def _choices(self, choices: Sequence[str]) -> str:
        """The choices with what parts them from the question; nothing for an open question."""
        if not choices:
            return ""
        listed = [_fill(self.choice, letter=letter, text=c) for letter, c in zip(LETTERS, choices, strict=False)]
        gap = self.joint if self.gap is None else self.gap
        return gap + _fill(self.options, list=self.between.join(listed))

    def _passage(self, passage: Passage) -> str:
        """The template of a passage. Without a title its place goes, with the punctuation and space behind it."""
        return self.passages if passage.title else re.sub(r"\{title\}[^\w{]*", "", self.passages)

    def target(self, rationale: str, answer: str) -> str:
        """What the student learns to write. An empty rationale gives the answer alone (plain fine-tuning).

        Raises TextError for an answer that `read` could not give back: one that is empty, has outer white space,
        holds the marker, or ends like the closing.
        """
        ending = f"{self.marker} {answer}{self.closing}"
        text = f"{rationale.strip()}{self.joint}{ending}" if rationale.strip() else ending
        if self.read(text) != Reading(rationale.strip(), answer):
            raise TextError(
                f"answer {answer!r} cannot be told apart from the marker {self.marker!r} of format {self.name!r}. "
                "Choose another `format:` in the recipe, or mend the answer."
            )
        return text

    def read(self, text: str) -> Reading:
        """Split a written text at its last marker. Without a marker all of it is rationale and the answer is None."""
        rationale, marker, answer = text.rpartition(self.marker)
        if not marker or not answer.strip():
            return Reading(text.strip(), None)
        return Reading(rationale.strip(), answer.strip().removesuffix(self.closing).strip())


_TEMPLATES = ("question", "options", "choice", "between", "gap", "passages", "behind", "instruction", "with_passages")
"""Fields that may break a line by themselves."""


def _in_line(template: str | None) -> str | None:
    return template if template is None else re.sub(r"[ \t]*\n[ \t\n]*", " ", template)


def _fill(template: str, **values: str) -> str:
    """Put values in their places at once, so that a value that looks like a place is left as it is."""
    pieces: list[str] = []
    rest = template
    while rest:
        at, key = min(((rest.find("{" + k + "}"), k) for k in values if "{" + k + "}" in rest), default=(-1, ""))
        if at < 0:
            break
        pieces += [rest[:at], values[key]]
        rest = rest[at + len(key) + 2 :]
    return "".join(pieces) + rest


def _kard(kind: str = "") -> dict[str, Any]:
    """KARD's instruction without and with passages, its grammar as published; `kind` of knowledge, if it names one."""
    about, given = (f" about {kind} knowledge", f" with given {kind} knowledge") if kind else ("", "")
    start = (
        f"The following are multiple-choice questions{about}. Generate a step-by-step explanations for each question"
    )
    return {"instruction": f"{start}:", "with_passages": f"{start}{given}."}


FORMATS: dict[str, Format] = {
    # Mentor-KD, Appendix B: the label is "{rationale} --> {answer}".
    "arrow": Format("arrow", marker="-->"),
    # Mentor-KD, section 4 (its largest models): natural words instead of a token.
    "therefore": Format("therefore", marker="Therefore, the answer is", closing="."),
    # KARD: the answer on a line of its own behind "Answer:".
    "answer-line": Format(
        "answer-line",
        marker="Answer:",
        question="Question: {text}",
        options="Options: {list}",
        passages="Knowledge: {title}. {text}",
        cue="Explanation:",
        lines=True,
    ),
    # Nardien/KARD at b2e4ac0, generate_predict.py:131-158 and :256: the words of every answer that was scored. Those of
    # training differ from them by data set (K3); for MedQA with passages they are the same. Other tasks have the line
    # of preprocess_cot_grounded.py:43, which names no field.
    "kard-published": Format(
        "kard-published",
        marker="Answer:",  # preprocess_cot.py:100
        question="Question: {text}",
        options="{list}",
        choice="{letter}. {text}",
        between=" ",
        gap=" ",
        passages="{title} . {text}",  # a paragraph of Pyserini's enwiki-paragraphs
        behind="Knowledge: {list}",
        cue="Explanation:",
        lines=True,
        tasks={"medqa_usmle_hf": _kard("medical"), "strategyqa": _kard("common"), "obqa": _kard("commonsense")},
        **_kard(),
    ),
    # 2hojae/mentor-kd at ec9ea11: `input` of its data files, and the label of src/dataset.py:50. It has no passages.
    "mentor-kd-published": Format(
        "mentor-kd-published",
        marker="-->",
        options="Which choice is true? Answer choices: {list}.",
        gap="\n",
        tasks={
            "tracking_shuffled_objects": {"gap": " \n"},  # its questions end in one blank or two: "Alice has the "
            "commonsense_qa": {
                "options": "Answer Choices:\n{list}",
                "choice": "{letter}. {text}",
                "between": "\n",
                "gap": " ",
            },
        },
    ),
}


def get_format(name: str) -> Format:
    """A format by its name in a recipe, or from outside by "package.module:ATTRIBUTE"."""
    return resolve(name, FORMATS, "format")
