"""Where recipes stand and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml

from tutelage.errors import RecipeError
from tutelage.plugins import unknown
from tutelage.recipe.overrides import choose_arms, override, read_override
from tutelage.recipe.recipe import Recipe, parse


def load(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[Recipe, str]:
    """A built-in recipe or one from a file, with `a.b=value` overrides, and its text as written.

    Raises RecipeError that tells every problem at once.
    """
    path = find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name_or_path}: not YAML in UTF-8. {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(
            f"{name_or_path}: a recipe is a mapping of sections such as `task:`; got {type(raw).__name__}"
        )
    changes = dict(read_override(text) for text in overrides)
    if "arms" in changes:
        changes["arms"] = choose_arms(cast("dict[str, Any]", raw).get("arms"), changes["arms"])
    changed = override(cast("dict[str, Any]", raw), changes)
    return parse(changed, where=name_or_path), text


def find(name_or_path: str) -> Path:
    """Where a recipe stands: a path if it looks like one, else a built-in name. Raises RecipeError."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError(f"no file {name_or_path!r}. `tutelage recipes` lists the built-in ones.")
    known = builtin()
    if name_or_path in known:
        return known[name_or_path]
    raise RecipeError(
        unknown("recipe", name_or_path, known) + ". A recipe of your own is named by its path, ending .yaml"
    )


def builtin() -> dict[str, Path]:
    """Built-in recipes by name, e.g. "pocket/steps"."""
    folder = Path(str(files("tutelage"))) / "recipes"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
