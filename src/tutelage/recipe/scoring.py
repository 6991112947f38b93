"""How a student is scored, and what the machine may give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tutelage.recipe.section import Positive, Section


class ScoreSection(Section):
    """How a student is scored."""

    votes: Positive = 1
    """Answers written for each question; the majority counts. 1 is greedy decoding."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    """For `votes` above 1."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from so many of the most probable tokens; 0 from all."""
    batch_tokens: Positive = 16384
    """Padded tokens in one batch of generation."""
    dev_limit: Positive | None = 200
    """Dev questions looked at after an epoch; without it all of them."""


class FewShotSection(Section):
    """Solved questions shown to a model that was not taught (the few-shot arms)."""

    shots: Positive = 4
    """Training questions shown; as many of the last ones as `student.max_prompt_tokens` has room for."""
    seed: Annotated[int, Field(ge=0)] = 0


class ComputeSection(Section):
    """What the machine may give."""

    jobs: Positive | None = None
    """Students trained at the same time, each in a process of its own; without it one for each core, one on a GPU."""
    threads: Positive = 1
    """CPU threads of each process. Part of the fingerprint: sums in another order give other digits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
