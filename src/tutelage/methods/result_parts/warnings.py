"""What weakens a study's figures and is known before anything is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tutelage.methods import Outcome
from tutelage.methods.jobs import Job, method_of
from tutelage.methods.result_parts.titles import title_of
from tutelage.recipe import Arm, LearnerSection, Recipe
from tutelage.runs import read_json


def warnings(recipe: Recipe, outcomes: Sequence[tuple[Job, Outcome]]) -> Iterator[str]:
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
        if (silver := _silver(found)) and silver["by_question"]:
            n = silver["found"] + silver["by_question"]
            yield (
                f"{title}: for {silver['by_question']} of {n} test questions nobody wrote what knows the answer; their "
                "passages are those that are found without it."
            )
        if _chosen_on_test(recipe, arm):
            yield f"{title}: {ON_TEST}, so its accuracy is too high by an unknown amount."


ON_TEST = "its epoch was chosen on the test split"


def leaks(recipe: Recipe, arm: Arm) -> str:
    """What a row knows of the test split that it may not know, by its method or by its settings; empty for most."""
    return method_of(arm).leaks or (ON_TEST if _chosen_on_test(recipe, arm) else "")


def _chosen_on_test(recipe: Recipe, arm: Arm) -> bool:
    return any(learner.select == "test_accuracy" for learner in _learners(recipe.for_arm(arm), arm))


def _silver(found: Outcome) -> dict[str, int] | None:
    """For how many test questions an oracle had words that know the answer; None where no oracle was asked."""
    manifest = found.score.folder / "stage.json"
    beside = read_json(manifest)["inputs"].get("beside") if manifest.exists() else None
    counts = found.score.folder.with_name(f"silver-{beside[:12]}") / "silver.json" if beside else None
    return read_json(counts) if counts and counts.exists() else None


def _learners(seen: Recipe, arm: Arm) -> Sequence[LearnerSection]:
    """Everyone who is trained for an arm: its student, unless the mentor itself is the row, and its mentors."""
    method = method_of(arm)
    student = [] if method.reference and "mentor" in method.needs else [seen.student]
    return [*student, *(seen.mentors if "mentor" in method.needs else [])]
