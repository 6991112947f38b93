"""What people call an arm."""

from __future__ import annotations

from tutelage.methods import METHODS
from tutelage.recipe import Arm


def title_of(arm: Arm) -> str:
    """What people call an arm: its method's title where it is named after its method, with what a sweep added."""
    added = arm.name.removeprefix(arm.method)
    named = arm.method in METHODS and arm.name.startswith(arm.method) and added[:1] in ("", " ")
    return METHODS[arm.method].title + added if named else arm.name
