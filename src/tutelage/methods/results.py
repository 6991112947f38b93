"""What a finished study leaves for the report and the user: `results.json`, cited passages, a shelf of students."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from tutelage.methods import Outcome, Study
from tutelage.methods.jobs import Job, method_of, plan
from tutelage.methods.result_parts import lookups, origin, written
from tutelage.methods.result_parts.cited import write_cited
from tutelage.methods.result_parts.parts import trained_parts
from tutelage.methods.result_parts.shelf import shelve
from tutelage.methods.result_parts.titles import title_of
from tutelage.methods.result_parts.warnings import leaks
from tutelage.methods.result_parts.warnings import warnings as _warnings
from tutelage.recipe import Recipe
from tutelage.runs import Json, Stage, Workspace, read_json
from tutelage.tasks.task import Task

__all__ = ["_warnings", "results", "shelve", "title_of"]


def results(
    recipe: Recipe,
    recipe_text: str,
    task: Task,
    folder: Path,
    outcomes: Sequence[tuple[Job, Outcome]],
    *,
    name: str,
    command: str,
    started: datetime,
) -> dict[str, Json]:
    """Everything the report needs, with paths relative to the run folder; cited passages are written there as well."""
    questions = Study(recipe, task, Workspace(folder, planning=True)).questions()
    plans = [(job, list(plan(recipe, task, folder, job).values())) for job, _ in outcomes]
    stages = {stage.folder: stage for _, planned in plans for stage in planned}
    look_ups = lookups.look_ups(recipe, task, folder, plans)
    caches = written.soft_labels(recipe, plans)
    cited = write_cited(folder, look_ups, outcomes)
    return {
        "name": (called := Path(name).stem if Path(name).suffix in (".yaml", ".yml") else name),
        "title": recipe.title or called,
        "task": {
            "name": task.name,
            "answer_type": task.answer_type.name,
            "counts": {split: len(rows) for split, rows in task.questions.items()},
            "notes": list(task.notes),
        },
        "sources": written.sources(recipe, plans),
        "soft_labels": caches,
        "retrieval": lookups.retrieval(task, look_ups),
        "rerankers": lookups.rerankers(folder, plans),
        "gates": [lookups.gate(recipe, task, job, found) for job, found in outcomes if found.student.name == "gate"],
        "prompts": lookups.prompts(plans),
        "passages": cited.summary if cited else None,
        "arms": [
            {**_arm(recipe, folder, job, found, planned), "index": cited.indexes.get(job.arm.name) if cited else None}
            for (job, found), (_, planned) in zip(outcomes, plans, strict=True)
        ],
        "questions": _relative(questions.folder / "questions.jsonl", folder),
        "recipe": recipe.model_dump(mode="json"),
        "recipe_text": recipe_text,
        "command": command,
        "versions": origin.versions(),
        "commit": origin.commit(),
        "seeds": list(recipe.seeds),
        "seconds": round(sum(stage.seconds for stage in stages.values()), 1),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": origin.machine(recipe),
        "baseline": recipe.baseline or ("fine-tuning" if any(a.name == "fine-tuning" for a in recipe.arms) else None),
        "warnings": [*_warnings(recipe, outcomes, task), *written.missing(caches)],
    }


def _arm(recipe: Recipe, folder: Path, job: Job, found: Outcome, planned: Sequence[Stage]) -> dict[str, Json]:
    training: dict[str, Json] = read_json(found.student.folder / "training.json")  # type: ignore[assignment]
    return {
        "arm": job.arm.name,
        "title": title_of(job.arm),
        "reference": method_of(job.arm).reference,
        "leaks": leaks(recipe, job.arm),
        "seed": job.seed,
        "model": found.student.fingerprint[:12],
        "parts": cast(Json, trained_parts(found, planned)),
        "predictions": _relative(found.score.folder / "predictions.jsonl", folder),
        "history": _relative(found.student.folder / "history.jsonl", folder),
        "training": training,
        "seconds": {"train": _seconds(found.student), "score": found.score.seconds},
    }


def _seconds(student: Stage) -> float:
    """How long training took; behind a gate that of both students, and of the choice."""
    gate = student.folder / "gate.json"
    both: dict[str, Any] = read_json(gate) if gate.exists() else {}
    return student.seconds + both.get("seconds", 0.0)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
