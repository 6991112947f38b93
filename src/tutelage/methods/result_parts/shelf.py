"""A shelf of students in the run folder, under names a person can type."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tutelage.methods import Outcome
from tutelage.methods.jobs import Job


def shelve(folder: Path, outcomes: Sequence[tuple[Job, Outcome]]) -> None:
    """Give every student a name a person can type: students/<arm>-seed<k>, a link to its Hugging Face folder."""
    shelf = folder / "students"
    shutil.rmtree(shelf, ignore_errors=True)
    shelf.mkdir(parents=True)
    taken: set[str] = set()
    for job, found in outcomes:
        name = re.sub(r"[^\w.=+-]+", "-", job.arm.name) + f"-seed{job.seed}"
        while name in taken:
            name += "-2"
        taken.add(name)
        (shelf / name).symlink_to(os.path.relpath(found.student.folder / "model", shelf))
