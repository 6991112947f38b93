"""What was looked up: how well each search found passages, how rerankers learnt, what dev said, what had no room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from tutelage.methods import Outcome, Study, finding
from tutelage.methods.jobs import Job
from tutelage.methods.knowledge import Knowledge
from tutelage.methods.result_parts.plans import Plans, shared, titles
from tutelage.methods.result_parts.titles import title_of
from tutelage.recipe import KnowledgeSection, Recipe
from tutelage.runs import Json, Stage, Workspace, read_json, read_jsonl
from tutelage.tasks.task import Task


class LookUp(NamedTuple):
    """Some jobs that look things up with the same settings."""

    knowledge: Knowledge
    jobs: list[Job]
    plans: Plans
    right: Mapping[str, frozenset[str]]
    """Passages that answer a dev or test question, as far as the data says so."""


def look_ups(recipe: Recipe, task: Task, folder: Path, plans: Plans) -> list[LookUp]:
    """The jobs that look something up, by the settings they do it with."""
    sections: dict[str, tuple[KnowledgeSection, list[tuple[Job, Sequence[Stage]]]]] = {}
    for job, planned in plans:
        section = recipe.for_arm(job.arm).knowledge
        if section and any(stage.name in ("asked", "beside") for stage in planned):
            sections.setdefault(section.model_dump_json(), (section, []))[1].append((job, planned))
    known: dict[str, dict[str, frozenset[str]]] = {}
    found: list[LookUp] = []
    for section, mine in sections.values():
        study = Study(recipe.model_copy(update={"knowledge": section}), task, Workspace(folder, planning=True))
        corpus = section.model_dump_json(include={"corpus", "index", "words", "overlap"})
        if corpus not in known:  # reading a corpus takes its time
            known[corpus] = finding.right_passages(study.knowledge, [*study.of("dev"), *study.of("test")])
        found.append(LookUp(study.knowledge, [job for job, _ in mine], mine, known[corpus]))
    return found


def retrieval(task: Task, found: Sequence[LookUp]) -> list[Json]:
    """How often each search of the study found a right passage.

    Where the data does not say what is right, it is what the rationales find best, and only other searches are judged.
    """
    return [cast(Json, row) for looked in found for row in _retrieval(task, looked)]


def _retrieval(task: Task, looked: LookUp) -> list[dict[str, Any]]:
    stages = [use.stage for use in shared(looked.plans, *finding.BY)]
    mentored = {use.stage.fingerprint for use in shared(looked.plans, "reranker") if _learnt_from_a_mentor(use.stage)}
    searches = finding.searches(stages, {split: task.questions[split] for split in ("dev", "test")}, mentored)
    if not looked.right:
        searches = [search for search in searches if search.by in finding.ALONE]
    right = looked.right or finding.silver_passages(stages)
    about = {
        "right": "data" if looked.right else "rationale",
        "retriever": looked.knowledge.settings.retriever,
        "arms": titles(looked.jobs),
    }
    return [{**row, **about} for row in finding.figures(searches, right)]


def rerankers(folder: Path, plans: Plans) -> list[Json]:
    """How each reranker learnt, an epoch a row."""
    return [
        {
            "history": (use.stage.folder / "history.jsonl").relative_to(folder).as_posix(),
            "training": read_json(use.stage.folder / "reranker.json"),
            **_trained_as(use.stage.folder),
            "dev": _dev_rationales(use.stage),
            "arms": cast(Json, use.arms),
        }
        for use in shared(plans, "reranker")
    ]


def _learnt_from_a_mentor(reranker: Stage) -> bool:
    return len(read_json(reranker.folder / "stage.json")["inputs"]["rationales"]) > 1


def _dev_rationales(reranker: Stage) -> int:
    """What its epochs were chosen by."""
    space = read_json(reranker.folder / "stage.json")["inputs"]["space"]
    return len(read_jsonl(reranker.folder.with_name(f"search-space-{space[:12]}") / "dev.jsonl"))


def _trained_as(folder: Path) -> dict[str, Json]:
    """What a reranker was made from and chosen by."""
    settings: dict[str, Json] = read_json(folder / "stage.json")["inputs"]["reranker"]
    return {key: settings[key] for key in ("kind", "base", "select", "seed")}


def gate(recipe: Recipe, task: Task, job: Job, found: Outcome) -> Json:
    """What dev said of an arm's passages."""
    return {
        "arm": job.arm.name,
        "title": title_of(job.arm),
        "seed": job.seed,
        "n": len(task.questions["dev"][: recipe.for_arm(job.arm).score.dev_limit]),
        **read_json(found.student.folder / "gate.json"),
    }


def prompts(plans: Plans) -> list[Json]:
    """How many training prompts there were with passages, and for how many of those there was no room.

    One entry for all the students and mentors of the same arms: prompts, those without any passage, passages dropped,
    prompts whose last passage was shortened.
    """
    found: dict[tuple[str, ...], Counter[str]] = {}
    for use in shared(plans, "examples"):
        if (counts := use.stage.folder / "passages.json").exists():
            found.setdefault(tuple(use.arms), Counter()).update(cast("dict[str, Any]", read_json(counts)))
    return [{"arms": list(arms), **counts} for arms, counts in found.items()]
