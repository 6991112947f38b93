"""Where a study's figures come from: versions, the commit of the source tree, and the kind of machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tutelage.methods.workers import cores, has_gpu
from tutelage.recipe import Recipe
from tutelage.runs import Json


def versions() -> dict[str, Json]:
    """Of what decides the figures."""
    packages: dict[str, Json] = {name: version(name) for name in ("torch", "transformers")}
    return {"tutelage": version("tutelage"), "python": platform.python_version(), **packages}


def machine(recipe: Recipe) -> str:
    """The kind of machine, for people who compare times."""
    if recipe.compute.device != "cpu" and has_gpu():
        import torch

        return torch.cuda.get_device_name()
    return f"{cores()} CPU cores ({platform.machine()}), {recipe.compute.threads} thread(s) a student"


def commit() -> str | None:
    """The commit of the source tree this package runs from, with "+" where it was changed; None outside of one."""
    source = Path(__file__).parent.parent
    try:

        def git(*words: str) -> str:
            return subprocess.run(
                ["git", "-C", str(source), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()

        if not git("ls-files", str(Path(__file__))):
            return None
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "--", str(source)) else "")
    except (OSError, subprocess.SubprocessError):
        return None
