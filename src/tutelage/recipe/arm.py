"""One row of the result: a method, and what it does differently."""

from __future__ import annotations

from itertools import product
from typing import Any, cast

from pydantic import Field, field_validator, model_validator

from tutelage.recipe.overrides import override
from tutelage.recipe.published import contradicted
from tutelage.recipe.section import Section

SHARED = ("title", "task", "arms", "baseline", "seeds", "compute")
"""What an arm cannot change."""


class Arm(Section):
    """One row of the result: a method, and what it does differently from the rest of the recipe."""

    method: str
    name: str = ""
    """How the row is called; the method's name where there is only one arm of it."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys changed for this arm alone, e.g. {student.epochs: 4}. The task and `compute` are everybody's."""
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    """Dotted keys and the values each takes: one arm for every combination, e.g. {mentor.samples: [1, 2, 3]}."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"method": value, "name": value}
        if isinstance(value, dict):
            raw = cast("dict[str, Any]", value)
            return {"name": raw.get("method", ""), **raw}
        return value

    @field_validator("set", "sweep")
    @classmethod
    def _of_the_arm(cls, changes: dict[str, Any]) -> dict[str, Any]:
        shared = [key for key in changes if key.partition(".")[0] in SHARED]
        if shared:
            raise ValueError(f"{shared[0]!r} is the same for all arms of a study; they could not be compared otherwise")
        return changes

    @model_validator(mode="after")
    def _published_whole(self) -> Arm:
        if self.set.get("published") is True and (other := contradicted(override({}, self.set))):
            raise ValueError(f"`published: true` sets {other[0]!r}; leave it out, or name the others one by one")
        return self

    @property
    def swept(self) -> list[Arm]:
        """The arms that `sweep` stands for, or this one."""
        return [self._with(dict(zip(self.sweep, values, strict=True))) for values in product(*self.sweep.values())]

    def _with(self, changes: dict[str, Any]) -> Arm:
        named = " ".join([self.name, *(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items())])
        return Arm(method=self.method, name=named, set=self.set | changes)
