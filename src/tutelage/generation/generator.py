"""The protocol of everything that writes texts for prompts: a student, a mentor, a teacher behind a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol


class Written(NamedTuple):
    """One text that a model wrote."""

    text: str
    tokens: int
    """Tokens written, end mark included."""
    finished: bool
    """False when the text was cut at the length limit, or ended for another reason before it was whole."""
    reason: str = ""
    """In the engine's word; empty where there is none but whole or too long."""


class Generator(Protocol):
    """Something that writes `samples` texts for each prompt."""

    @property
    def name(self) -> str:
        """Who writes, for the source of a rationale."""
        ...

    def write(
        self,
        prompts: Sequence[str],
        *,
        samples: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        done: Collection[int] = (),
        on_done: Callable[[Mapping[int, list[Written]]], None] | None = None,
    ) -> list[list[Written]]:
        """For each prompt, in the order asked, its texts.

        `temperature` 0 is greedy; `top_p` 1 and `top_k` 0 cut nothing off. The same seed gives the same texts.
        `on_done` hears the texts of a batch by index as soon as the batch is finished, in any order.
        `done` are indices whose texts are known from a broken run. They take part in making the batches, so that these
        (and the rounding within them) are those of an unbroken run; a batch of nothing but such prompts is not
        written, and its lists are empty. A batch with one that is missing is written again whole.
        """
        ...
