"""Whose rationales are learnt from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tutelage.recipe.section import Positive, Section, Share


class TeacherSection(Section):
    """Whose rationales are learnt from."""

    backend: str = "recorded"
    """`recorded` (a file), `pocket` (the bundled rule-based teacher), or "package.module:write"."""
    path: str | None = None
    """File of recorded rationales; without it those that came with the task's own data."""
    samples: Positive | None = None
    """Rationales for each question; without it every recorded one, and one of a teacher that writes."""
    keep: Positive | None = None
    """At most so many correct rationales are kept for each question; without it all of them."""
    error_rate: Share = 0.0
    """Chance that the pocket teacher goes wrong in a step."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the train and dev questions that the teacher is asked; chosen by the hash of their ids."""
    trust_file: bool = False
    """Take a recorded rationale for correct where its file says so, even where it concludes another answer."""
    seed: int = 0
