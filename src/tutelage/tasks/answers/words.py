"""Short free texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.tasks.answers.spans import announced, boxed_spans, last_sentence, span_of
from tutelage.tasks.words import are_spelt_out, together, words


@dataclass(frozen=True, slots=True)
class Words:
    """A short free text: case folded, single spaces, no punctuation. Letters spelt out ("y-a-j-c") are joined.

    Signs that tell answers apart stay, so that "C++" is not "C", "-5" not "5", "3.5" neither "35" nor "3 5", and "5%"
    not "5" (see `words`). Equal spellings are equal answers: "1,200" and "1200", "e-mail" and "Email". Whether 3.0 is 3
    is not asked; numbers have a type of their own.
    """

    name: str = "words"
    expected: str = "a short text with at least one letter or digit"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`."""
        found = words(span_of(text))
        canonical = ("" if are_spelt_out(found) else " ").join(found)
        return canonical if any(ch.isalnum() for ch in canonical) else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The last boxed or announced answer, else what the last sentence ends on.

        That is what follows its last colon, equals sign, "is", "get", "gives" or "becomes": the first quoted words
        there, or all of it where it is short; else the sentence itself where it is a single word.
        """
        for span in boxed_spans(text):
            answer = self.canonical(span)
            if answer:
                return answer
        last = last_sentence(text)
        for span in (*announced(text), *_ENDS_ON.split(last)[:0:-1]):
            quoted = _QUOTED.search(span)
            answer = self.canonical(quoted[1] or quoted[2] if quoted else span)
            if answer and (quoted or len(words(span)) <= SHORT):
                return answer
        return self.canonical(last) if len(words(last)) == 1 else None

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`. White space is ignored: "new york" is "newyork"."""
        return together(words(first)) == together(words(second))


_QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]|(?<!\w)['‘]([^'‘’]+)['’](?!\w)")
_ENDS_ON = re.compile(r"[:=]|\b(?:get|gives|is|becomes|are)(?:\s+us)?\b")

SHORT = 5
"""Words that an unquoted answer of type `words` may have when no marker and no announcement stands before it."""
