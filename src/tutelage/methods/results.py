"""What a finished study leaves for the report and the user: `results.json` and a shelf of students."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tutelage.methods import METHODS, Outcome, Study
from tutelage.methods.jobs import Job, method_of, plan
from tutelage.methods.workers import cores, has_gpu
from tutelage.recipe import Arm, KnowledgeSection, LearnerSection, Recipe
from tutelage.runs import Json, Stage, Workspace, read_json
from tutelage.tasks.task import Task

Plans = Sequence[tuple[Job, Sequence[Stage]]]
"""The stages of every job."""


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
    """Everything the report needs, with paths relative to the run folder."""
    questions = Study(recipe, task, Workspace(folder, planning=True)).questions()
    plans = [(job, list(plan(recipe, task, folder, job).values())) for job, _ in outcomes]
    stages = {stage.folder: stage for _, planned in plans for stage in planned}
    finished = datetime.now(UTC)
    return {
        "name": (called := Path(name).stem if Path(name).suffix in (".yaml", ".yml") else name),
        "title": recipe.title or called,
        "task": {
            "name": task.name,
            "answer_type": task.answer_type.name,
            "counts": {split: len(rows) for split, rows in task.questions.items()},
            "notes": list(task.notes),
        },
        "sources": _sources(recipe, plans),
        "soft_labels": _soft_labels(recipe, plans),
        "retrieval": _retrieval(recipe, task, folder, plans),
        "rerankers": _rerankers(folder, plans),
        "gates": [_gate(job, found) for job, found in outcomes if found.student.name == "gate"],
        "arms": [_arm(folder, job, found) for job, found in outcomes],
        "questions": _relative(questions.folder / "questions.jsonl", folder),
        "recipe": recipe.model_dump(mode="json"),
        "recipe_text": recipe_text,
        "command": command,
        "versions": {
            "tutelage": version("tutelage"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "transformers": version("transformers"),
        },
        "commit": _commit(),
        "seeds": list(recipe.seeds),
        "seconds": round(sum(stage.seconds for stage in stages.values()), 1),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "machine": _machine(recipe),
        "baseline": recipe.baseline or ("fine-tuning" if any(a.name == "fine-tuning" for a in recipe.arms) else None),
        "warnings": list(_warnings(recipe, outcomes)),
    }


def title_of(arm: Arm) -> str:
    """What people call an arm: its method's title where it is named after its method, with what a sweep added."""
    added = arm.name.removeprefix(arm.method)
    named = arm.method in METHODS and arm.name.startswith(arm.method) and added[:1] in ("", " ")
    return METHODS[arm.method].title + added if named else arm.name


def _arm(folder: Path, job: Job, found: Outcome) -> dict[str, Json]:
    training: dict[str, Json] = read_json(found.student.folder / "training.json")  # type: ignore[assignment]
    return {
        "arm": job.arm.name,
        "title": title_of(job.arm),
        "reference": method_of(job.arm).reference,
        "leaks": method_of(job.arm).leaks,
        "seed": job.seed,
        "predictions": _relative(found.score.folder / "predictions.jsonl", folder),
        "history": _relative(found.student.folder / "history.jsonl", folder),
        "training": training,
        "seconds": {"train": found.student.seconds, "score": found.score.seconds},
    }


def _warnings(recipe: Recipe, outcomes: Sequence[tuple[Job, Outcome]]) -> Iterator[str]:
    """What training left out or should not have seen, once for each arm: its seeds read the same examples."""
    for arm, found in {job.arm.name: (job.arm, found) for job, found in reversed(outcomes)}.values():
        cut = read_json(found.student.folder / "training.json")["cut"]
        title = title_of(arm)
        if cut["prompts"]:
            yield f"{title}: {cut['prompts']} training prompts were cut at student.max_prompt_tokens."
        if cut["targets"]:
            yield f"{title}: {cut['targets']} examples were left out, longer than student.max_target_tokens."
        if leak := method_of(arm).leaks:
            yield f"{title}: {leak}; it is an upper bound, not a method."
        if any(learner.select == "test_accuracy" for learner in _learners(recipe.for_arm(arm), arm)):
            yield f"{title}: its epoch was chosen on the test split, so its accuracy is too high by an unknown amount."


def _learners(seen: Recipe, arm: Arm) -> Sequence[LearnerSection]:
    """Everyone who is trained for an arm: its student, unless the mentor itself is the row, and its mentors."""
    method = method_of(arm)
    student = [] if method.reference and "mentor" in method.needs else [seen.student]
    return [*student, *(seen.mentors if "mentor" in method.needs else [])]


def _sources(recipe: Recipe, plans: Plans) -> list[Json]:
    """Everyone whose rationales were learnt from, teacher first, with what became of the texts."""
    users: dict[Path, list[Job]] = {}
    stages: dict[Path, Stage] = {}
    mentors: dict[Path, str] = {}
    for job, planned in plans:
        for stage in planned:
            if stage.name in ("rationales", "augmented"):
                users.setdefault(stage.folder, []).append(job)
                stages[stage.folder] = stage
        models = [m.model for m in recipe.for_arm(job.arm).mentors]
        mentors |= dict(zip((s.folder for s in planned if s.name == "augmented"), models, strict=False))
    order = sorted(stages.values(), key=lambda s: s.name != "rationales")
    return [_source(recipe, stage, users[stage.folder], mentors.get(stage.folder)) for stage in order]


def _source(recipe: Recipe, stage: Stage, jobs: Sequence[Job], mentor: str | None) -> Any:
    found = read_json(stage.folder / "yield.json")
    counts: dict[str, int] = found["counts"]
    return {
        "role": "mentor" if mentor else "teacher",
        "source": mentor or _teacher_name(recipe.for_arm(jobs[0].arm)),
        "arms": list(dict.fromkeys(title_of(job.arm) for job in jobs)),
        "seeds": sorted({job.seed for job in jobs}) if mentor else [],
        "yield": {**counts, "asked": sum(counts.values())},
        "per_question": round(counts.get("kept", 0) / found["questions"], 2) if found["questions"] else 0,
        "asked": found["asked"],
        "questions": found["questions"],
        "without_teacher": found.get("without_teacher"),
        "gained": found.get("gained"),
        "notes": found["notes"],
    }


def _teacher_name(recipe: Recipe) -> str:
    teacher = recipe.teacher
    assert teacher is not None  # its stage exists
    return teacher.backend + (f" ({Path(teacher.path).name})" if teacher.path else "")


def _soft_labels(recipe: Recipe, plans: Plans) -> list[Json]:
    """What each cache of a mentor's distributions holds, and its size."""
    found = {s.folder: job for job, planned in plans for s in planned if s.name == "soft-labels"}
    return [_cache(path, recipe.for_arm(job.arm)) for path, job in found.items()]


def _cache(folder: Path, recipe: Recipe) -> Any:
    manifest = read_json(folder / "manifest.json")
    stored = sum(size for name, size in manifest["files"].items() if name.endswith(".npy"))
    return {
        "mentor": recipe.mentor.model if recipe.mentor else None,
        "tokens": manifest["tokens"],
        **{key: manifest["arguments"][key] for key in ("top_k", "draws", "temperature")},
        "bytes_per_token": round(stored / manifest["tokens"], 1),
    }


def _retrieval(recipe: Recipe, task: Task, folder: Path, plans: Plans) -> list[Json]:
    """How often each search of the study found a right passage; empty where nobody can tell what is right."""
    from tutelage.methods import finding

    rows: list[Json] = []
    for section, mine in _by_knowledge(recipe, plans):
        study = Study(recipe.model_copy(update={"knowledge": section}), task, Workspace(folder, planning=True))
        right = finding.right_passages(study.knowledge, [*study.of("dev"), *study.of("test")])
        stages = {s.folder: s for _, planned in mine for s in planned if s.name in finding.BY}
        found = finding.searches(stages.values(), {split: study.of(split) for split in ("dev", "test")})
        arms = list(dict.fromkeys(title_of(job.arm) for job, _ in mine))
        rows += [{**row, "arms": arms} for row in finding.figures(found, right)]  # type: ignore[dict-item]
    return rows


def _by_knowledge(recipe: Recipe, plans: Plans) -> list[tuple[KnowledgeSection, list[tuple[Job, Sequence[Stage]]]]]:
    """The jobs that look something up, by the settings they do it with."""
    found: dict[str, tuple[KnowledgeSection, list[tuple[Job, Sequence[Stage]]]]] = {}
    for job, planned in plans:
        section = recipe.for_arm(job.arm).knowledge
        if section and any(stage.name in ("asked", "beside") for stage in planned):
            found.setdefault(section.model_dump_json(), (section, []))[1].append((job, planned))
    return list(found.values())


def _rerankers(folder: Path, plans: Plans) -> list[Json]:
    """How each reranker learnt, an epoch a row."""
    stages = {s.folder: s for _, planned in plans for s in planned if s.name == "reranker"}
    return [
        {"history": _relative(s.folder / "history.jsonl", folder), "training": read_json(s.folder / "reranker.json")}
        for s in stages.values()
    ]


def _gate(job: Job, found: Outcome) -> Json:
    """What dev said of an arm's passages."""
    return {
        "arm": job.arm.name,
        "title": title_of(job.arm),
        "seed": job.seed,
        **read_json(found.student.folder / "gate.json"),
    }


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _machine(recipe: Recipe) -> str:
    if recipe.compute.device != "cpu" and has_gpu():
        import torch

        return torch.cuda.get_device_name()
    return f"{cores()} CPU cores ({platform.machine()}), {recipe.compute.threads} thread(s) a student"


def _commit() -> str | None:
    """The commit of the source tree this package runs from, with "+" where it was changed; None outside of one."""
    source = Path(__file__).parent
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
