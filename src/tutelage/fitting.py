"""Prompts that fit: passages give way to the question, the worst of them first.

Of three passages under a limit of tokens the last is dropped and the second shortened; question, choices and cue stay:

    Knowledge: Bank. A bank keeps money.                    Knowledge: Bank. A bank keeps money.
    Knowledge: Mint. A mint strikes coins of all kinds.     Knowledge: Mint. A mint strikes
    Knowledge: Purse. Purses are small.                     Question: Where is money kept?
    Question: Where is money kept?                          Explanation:
    Explanation:

Cutting the front off a row of tokens, as `models.cut_prompt` does with whatever is still too long, would take the best
passage first and begin in the middle of a word. Training and serving fit here, before they tokenize, so that a student
is shown in training what it is shown when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from tutelage.formats import Format
from tutelage.types import Passage, Question

Length = Callable[[str], int]
"""How long a prompt is, in the unit of the limit: `lambda text: len(lm.prompt_ids(text))` for tokens."""

_WORD = re.compile(r"\S{1,40}")
"""What is dropped at once: a word, or 40 characters of a script without spaces."""


class Fitted(NamedTuple):
    """A prompt with the passages that it has room for."""

    prompt: str
    passages: tuple[Passage, ...]
    """Those shown, best first; the last may be shortened."""
    dropped: int
    """Passages not shown at all."""
    words_cut: int
    """Words that the last passage shown has lost."""
    fits: bool
    """False where the prompt is too long even without passages. It is given whole: its question is never cut here."""


def fit(fmt: Format, question: Question, passages: Sequence[Passage], *, length: Length, limit: int) -> Fitted:
    """The prompt with as many words of the passages, in their order, as `limit` allows.

    Passages stand best first, so the end of the last one goes first. A prompt that fits is `fmt.prompt(question,
    passages)`; a larger limit never shows less. The prompt is measured about a dozen times, once if it fits.
    """

    def fits(words: int) -> bool:
        return length(fmt.prompt(question, _first_words(passages, words))) <= limit

    prompt = fmt.prompt(question, passages)
    if length(prompt) <= limit:
        return Fitted(prompt, tuple(passages), 0, 0, True)
    kept = _most(fits, sum(map(_words, passages)) + 1)  # all words may fit where a passage without text is left out
    shown = _first_words(passages, kept)
    prompt = fmt.prompt(question, shown)
    lost = sum(map(_words, passages[: len(shown)])) - kept
    return Fitted(prompt, tuple(shown), len(passages) - len(shown), lost, kept > 0 or length(prompt) <= limit)


def _most(fits: Callable[[int], bool], total: int) -> int:
    """The largest number below `total` that fits, by halving; 0 where none does."""
    fitting, too_many = 0, total
    while too_many - fitting > 1:
        half = (fitting + too_many) // 2
        fitting, too_many = (half, too_many) if fits(half) else (fitting, half)
    return fitting


def _first_words(passages: Sequence[Passage], words: int) -> list[Passage]:
    """Passages up to so many words of text in all, ending in a word. A title whose text has no room goes with it."""
    shown: list[Passage] = []
    for passage in passages:
        if words <= 0:
            break
        ends = [word.end() for word in _WORD.finditer(passage.text)]
        shown.append(passage if words > len(ends) else replace(passage, text=passage.text[: ends[words - 1]]))
        words -= len(ends)
    return shown


def _words(passage: Passage) -> int:
    return sum(1 for _ in _WORD.finditer(passage.text))
