"""The stages that every job of a study consists of, and who shares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.methods.jobs import Job
from tutelage.methods.result_parts.titles import title_of
from tutelage.runs import Stage

Plans = Sequence[tuple[Job, Sequence[Stage]]]
"""The stages of every job."""


class Shared(NamedTuple):
    """A stage with the jobs it is part of."""

    stage: Stage
    jobs: list[Job]

    @property
    def arms(self) -> list[str]:
        """Titles of the arms that it is part of."""
        return titles(self.jobs)


def shared(plans: Plans, *names: str) -> list[Shared]:
    """Every distinct stage of one of these names, in the order first met."""
    found: dict[Path, Shared] = {}
    for job, planned in plans:
        for stage in planned:
            if stage.name in names:
                found.setdefault(stage.folder, Shared(stage, [])).jobs.append(job)
    return list(found.values())


def titles(jobs: Sequence[Job]) -> list[str]:
    """The titles of these jobs' arms, each once."""
    return list(dict.fromkeys(title_of(job.arm) for job in jobs))
