"""What every part of a recipe is: unknown keys are refused, values are checked and frozen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, values are checked and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    def differs(self, keys: Iterable[str]) -> list[str]:
        """Which of these keys have another value than their default: what a person has set, and may expect to act."""
        return [key for key in keys if getattr(self, key) != type(self).model_fields[key].default]
