"""The pocket world: two small invented tasks, a rule-based teacher and tiny pretrained students, all offline."""

from __future__ import annotations

from pathlib import Path

from tutelage.errors import ModelError
from tutelage.plugins import unknown

CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAMES = ("nano", "mini", "causal-nano")


def checkpoint_path(name: str) -> Path:
    """The folder of a bundled checkpoint; "pocket/nano" and "nano" mean the same. Raises ModelError for other names."""
    short = name.removeprefix("pocket/")
    if short not in NAMES:
        raise ModelError(unknown("bundled checkpoint", name, [f"pocket/{known}" for known in NAMES]))
    return CHECKPOINTS / short
