"""What is wrong with a recipe, told by its dotted key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from tutelage.plugins import unknown


def problem(details: dict[str, Any], root: type[BaseModel]) -> str:
    """One of pydantic's errors as a sentence that begins with the key; `root` is the model that was checked."""
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        return f"{'.'.join(location[:-1]) or 'recipe'}: {unknown('key', location[-1], _keys_at(root, location[:-1]))}"
    if details["type"] == "missing":
        return f"{key}: missing"
    message = details["msg"].removeprefix("Value error, ")
    if not key or isinstance(details["input"], dict):  # a whole section says too much, and may hold a misplaced key
        return f"{key}: {message}" if key else message
    return f"{key}: {message}; got {details['input']!r}"


def _keys_at(root: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The keys that a section knows; `location` are the names on the way to it."""
    model = root
    for name in location:
        if name.isdigit() or name not in model.model_fields:
            continue
        model = _section_in(model.model_fields[name].annotation) or model
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The Section inside an annotation such as `LoraSection | None` or `list[Arm]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _section_in(inner)
        if found:
            return found
    return None
