"""Every prompt and target string of the package: what trains a model is what serves it.

One `Format` per prompt style builds the prompt, builds the target and reads what a model wrote back into rationale and
answer. For the default style `arrow` (the label form of Mentor-KD, section 4 of its paper):

    prompt   Tova has 12 beads and finds 5 more. How many beads has Tova?
    target   Tova starts with 12. 12 + 5 = 17. --> 17

`read(target(rationale, answer)) == (rationale, answer)` holds for every rationale and every answer `target` accepts,
whatever the rationale contains; a property test holds it there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

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
    passages: str = "{text}"
    """How each passage is written before the question, the best first; `{title}` and `{text}` are its places."""
    cue: str = ""
    """The last words of the prompt. Cutting a prompt to length never touches them."""
    lines: bool = False
    prefix: str = ""
    """The first words before the question, which say what is wanted ("predict: "). Passages stand before it, so that
    cutting a long prompt, which is done at the front, takes passages first."""

    def prefixed(self, prefix: str) -> Format:
        """The same format with these words before the question."""
        return replace(self, prefix=prefix)

    @property
    def joint(self) -> str:
        """What stands between the pieces of a prompt and before the marker of a target."""
        return "\n" if self.lines else " "

    def prompt(self, question: Question, passages: Sequence[Passage] = ()) -> str:
        """Passages, prefix and question, choices, cue, in this order.

        Braces in the user's texts are safe: each template is filled by replacement, never by `str.format`.
        """
        pieces = [_fill(self._passage(p), title=p.title, text=p.text) for p in passages]
        pieces.append(self.prefix + _fill(self.question, text=question.text))
        if question.choices:
            listed = ", ".join(f"({letter}) {c}" for letter, c in zip(LETTERS, question.choices, strict=False))
            pieces.append(_fill(self.options, list=listed))
        if self.cue:
            pieces.append(self.cue)
        return self.joint.join(pieces)

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
}


def get_format(name: str) -> Format:
    """A format by its name in a recipe, or from outside by "package.module:ATTRIBUTE"."""
    return resolve(name, FORMATS, "format")
