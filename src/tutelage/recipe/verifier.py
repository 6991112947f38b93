"""A second look at rationales: a model that must choose the gold answer after reading one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.recipe.section import Positive, Section


class VerifierSection(Section):
    """KARD's verification: a rationale is kept where a model, having read it, finds the gold option most likely.

    For tasks whose answers are options. It stands beside the match of answers.
    """

    model: str
    """A hub name, a folder or a bundled checkpoint; Flan-T5-large in KARD (verify_cot.py)."""
    place: Literal["read", "written"] = "read"
    """The rationale is part of the prompt, for a model not trained here; or as if the model had written it."""
    shots: int = Field(0, ge=0)
    """Solved training questions shown before each; KARD packs as many as fit."""
    match: bool = True
    """Keep a rationale only if its answer matches too. Without, the model alone decides, as in KARD, whose teacher saw
    the gold answer."""
    max_prompt_tokens: Positive = 512
    batch_tokens: Positive = 16384
