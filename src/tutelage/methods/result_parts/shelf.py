"""A shelf of students in the run folder, under names a person can type.

    students/reasoning-distillation-seed1      a link to the Hugging Face folder of its stage
    students/kard-seed1/                       a folder of links to its files, with a card that says where passages are
    students/few-shot-seed1/                   the same, with a card that says which solved questions it is shown

One student may serve several arms that look passages up differently, so what an arm looks up stands on its own card.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.methods import Outcome, Study
from tutelage.methods.ask import CARD
from tutelage.methods.jobs import Job, plan
from tutelage.methods.knowledge import Indexed
from tutelage.methods.predicting import SHOTS
from tutelage.recipe import Recipe
from tutelage.runs import Json, Stage, Workspace, read_json, write_json
from tutelage.tasks.task import Task


def shelve(recipe: Recipe, task: Task, folder: Path, outcomes: Sequence[tuple[Job, Outcome]]) -> None:
    """Give every student a name a person can type: students/<arm>-seed<k>, with what it has to look up."""
    shelf = folder / "students"
    shutil.rmtree(shelf, ignore_errors=True)
    shelf.mkdir(parents=True)
    for (job, found), name in zip(outcomes, _names([job for job, _ in outcomes]), strict=True):
        model, place = found.student.folder / "model", shelf / name
        stages = {stage.fingerprint: stage for stage in plan(recipe, task, folder, job).values()}
        if shown := {
            **_looked_up(recipe, task, folder, job, found, stages, place),
            **_solved(found, stages, place),
        }:
            _copy_by_links(model, place)
            write_json(place / CARD, {**read_json(model / CARD), **shown})
        else:
            place.symlink_to(os.path.relpath(model, shelf))


def _names(jobs: Sequence[Job]) -> list[str]:
    """A name for each job that is a file name and nobody else's."""
    names: list[str] = []
    for job in jobs:
        name = re.sub(r"[^\w.=+-]+", "-", job.arm.name) + f"-seed{job.seed}"
        while name in names:
            name += "-2"
        names.append(name)
    return names


def _looked_up(
    recipe: Recipe, task: Task, folder: Path, job: Job, found: Outcome, stages: Mapping[str, Stage], place: Path
) -> dict[str, Json]:
    """Where this student's passages come from; nothing where it was scored without any.

    What an oracle found is out of reach when a student is asked; whoever is served takes what needs no rationale.
    """
    gate = found.student.folder / "gate.json"
    by = stages.get(_scored_with(found, "beside"))
    if by is None or (gate.exists() and not read_json(gate)["open"]):
        return {}
    knowledge = Study(recipe.for_arm(job.arm), task, Workspace(folder, planning=True)).knowledge
    if by.name == "asked" or knowledge.settings.reranker is None:
        return {"knowledge": knowledge.card(place, None)}
    mine = stages.get(read_json(by.folder / "stage.json")["inputs"].get("reranker") or "")
    ordered_by = Indexed(mine.folder / "model", mine.fingerprint) if mine else knowledge.reranker()
    return {"knowledge": knowledge.card(place, ordered_by)}


def _solved(found: Outcome, stages: Mapping[str, Stage], place: Path) -> dict[str, Json]:
    """Where the solved questions lie that this model is shown; nothing for one that was taught."""
    shots = stages.get(_scored_with(found, "shots"))
    return {"shots": os.path.relpath(shots.folder / SHOTS, place)} if shots else {}


def _scored_with(found: Outcome, what: str) -> str:
    """The fingerprint of a stage that the score was read with."""
    return read_json(found.score.folder / "stage.json")["inputs"].get(what) or ""


def _copy_by_links(model: Path, place: Path) -> None:
    """A folder with a link to each file of a model but its card."""
    place.mkdir()
    for path in model.iterdir():
        if path.name != CARD:
            (place / path.name).symlink_to(os.path.relpath(path, place))
