"""Who wrote what a study learnt from, what was kept of it, and the soft labels a mentor lent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage.methods.result_parts.plans import Plans, Shared, shared
from tutelage.recipe import Recipe
from tutelage.runs import Json, Stage, read_json

ROLES = {"rationales": "teacher", "verified": "verifier", "augmented": "mentor"}
"""Who leaves a stage of this name, in the order of the report."""


def sources(recipe: Recipe, plans: Plans) -> list[Json]:
    """Everyone whose rationales were learnt from, teacher first, with what became of the texts."""
    mentors: dict[Path, str] = {}
    seeds: dict[str, int] = {}
    for job, planned in plans:
        seeds |= {s.fingerprint: _inputs(s)["seed"] for s in planned if s.name == "written"}
        models = [m.model for m in recipe.for_arm(job.arm).mentors]
        mentors |= dict(zip((s.folder for s in planned if s.name == "augmented"), models, strict=False))
    found = sorted(shared(plans, *ROLES), key=lambda use: list(ROLES).index(use.stage.name))
    return [_source(recipe, use, mentors.get(use.stage.folder), seeds) for use in found]


def _source(recipe: Recipe, use: Shared, mentor: str | None, seeds: Mapping[str, int]) -> Any:
    found = read_json(use.stage.folder / "yield.json")
    counts: dict[str, int] = found["counts"]
    seen = recipe.for_arm(use.jobs[0].arm)
    verifier = seen.verifier.model if seen.verifier and use.stage.name == "verified" else None
    return {
        "role": ROLES[use.stage.name],
        "source": mentor or verifier or _teacher_name(seen),
        "arms": use.arms,
        "seeds": [seeds[_inputs(use.stage)["written"]]] if mentor else [],
        "yield": {**counts, "asked": sum(counts.values())},
        "per_question": round(counts.get("kept", 0) / found["questions"], 2) if found["questions"] else 0,
        "asked": found["asked"],
        "questions": found["questions"],
        "without_teacher": found.get("without_teacher"),
        "gained": found.get("gained"),
        "cost": _cost(use.stage.folder),
        "notes": [*found["notes"], *_verified(found.get("verifier", {}))],
    }


def _inputs(stage: Stage) -> dict[str, Any]:
    return read_json(stage.folder / "stage.json")["inputs"]


def _cost(stage: Path) -> Json:
    """What a teacher that was asked by prompts has cost."""
    path = stage / "cost.json"
    return read_json(path) if path.is_file() else None


def _verified(outcomes: Mapping[str, int]) -> list[str]:
    """What the verifier made of the teacher's texts, as a sentence."""
    if not outcomes:
        return []
    return ["verification by a model: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())]


def _teacher_name(recipe: Recipe) -> str:
    teacher = recipe.teacher
    assert teacher is not None  # its stage exists
    if teacher.mix:
        return " and ".join(dict.fromkeys(part.model or part.backend for _, part in teacher.parts))
    return teacher.model or teacher.backend + (f" ({Path(teacher.path).name})" if teacher.path else "")


def soft_labels(recipe: Recipe, plans: Plans) -> list[Json]:
    """What each cache of a mentor's distributions holds, and its size."""
    return [_cache(use.stage.folder, recipe.for_arm(use.jobs[-1].arm)) for use in shared(plans, "soft-labels")]


def _cache(folder: Path, recipe: Recipe) -> Any:
    manifest = read_json(folder / "manifest.json")
    stored = sum(size for name, size in manifest["files"].items() if name.endswith(".npy"))
    return {
        "mentor": recipe.mentor.model if recipe.mentor else None,
        "tokens": manifest["tokens"],
        **{key: manifest["arguments"][key] for key in ("top_k", "draws", "temperature")},
        "bytes_per_token": round(stored / manifest["tokens"], 1),
        **_tail(manifest.get("tail"), recipe.soft_labels.max_missed),
    }


def _tail(tail: Any, bound: float) -> dict[str, Any]:
    """What the stored part lacks, where something is known of it: a cache of an earlier version does not say."""
    if not tail:
        return {}
    told = {"stored": tail["top_k"], "tail_mass": tail["mass"], "missed": tail["missed"], "against": tail["against"]}
    return {**told, "max_missed": bound}


def missing(caches: Iterable[Any]) -> Iterator[str]:
    """A warning for each kind of cache that misses more of the divergence than the recipe allows."""
    told: set[str] = set()
    for cache in caches:
        if cache.get("missed", 0.0) > cache.get("max_missed", 1.0):
            text = (
                f"Soft labels: the top {cache['stored']} of mentor {cache['mentor']} at temperature "
                f"{cache['temperature']:g} leave out {cache['tail_mass']:.0%} of the mass and {cache['missed']:.0%} of "
                f"the divergence; soft_labels.max_missed is {cache['max_missed']:.0%}. Raise soft_labels.top_k, or set "
                "it to auto."
            )
            if text not in told:
                told.add(text)
                yield text
