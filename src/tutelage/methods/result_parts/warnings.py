"""What weakens a study's figures and is known before anything is scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from tutelage.evaluation.metrics import FEW_DEV
from tutelage.methods import Outcome
from tutelage.methods.jobs import Job, method_of
from tutelage.methods.result_parts.titles import title_of
from tutelage.recipe import Arm, LearnerSection, MentorSection, Recipe
from tutelage.runs import read_json, read_jsonl
from tutelage.tasks.task import Task


def warnings(recipe: Recipe, outcomes: Sequence[tuple[Job, Outcome]], task: Task | None = None) -> Iterator[str]:
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
        yield from (f"{title}: {text}" for text in _few_dev_questions(recipe.for_arm(arm), arm, task, found))
        if (given := _given_reranker(recipe.for_arm(arm))) and "reranker" in method_of(arm).needs:
            yield f"{title}: {given}"
        if _chosen_on_test(recipe, arm):
            yield f"{title}: {ON_TEST}, so its accuracy is too high by an unknown amount."


ON_TEST = "its epoch was chosen on the test split"


def leaks(recipe: Recipe, arm: Arm) -> str:
    """What a row knows of the test split that it may not know, by its method or by its settings; empty for most."""
    return method_of(arm).leaks or (ON_TEST if _chosen_on_test(recipe, arm) else "")


def _chosen_on_test(recipe: Recipe, arm: Arm) -> bool:
    return any(learner.select == "test_accuracy" for learner in _learners(recipe.for_arm(arm), arm))


def _few_dev_questions(seen: Recipe, arm: Arm, task: Task | None, found: Outcome) -> Iterator[str]:
    """Whose epoch is chosen on so few dev questions that the choice is largely chance."""
    for learner in _learners(seen, arm):
        who = "its mentor’s" if isinstance(learner, MentorSection) and not method_of(arm).reference else "its"
        looks = ceil(learner.epochs / learner.evaluate_every)
        n = _dev_questions(learner, seen, task, found)
        if looks > 1 and n is not None and n < FEW_DEV:
            yield f"{who} epoch was chosen on {n} dev questions; with so few, the choice is largely chance."


def _dev_questions(learner: LearnerSection, seen: Recipe, task: Task | None, found: Outcome) -> int | None:
    """How many an epoch is chosen on; None where it is not chosen on dev, or nothing says."""
    if learner.select == "dev_accuracy" and task:
        return len(task.questions["dev"][: seen.score.dev_limit])
    manifest = found.student.folder / "stage.json"
    if learner.select != "dev_loss" or not manifest.exists():
        return None
    examples = read_json(manifest)["inputs"].get("examples")
    rows = read_jsonl(found.student.folder.with_name(f"examples-{examples[:12]}") / "dev.jsonl") if examples else None
    return None if rows is None else len({row["id"].split("#")[0] for row in rows})


def _given_reranker(seen: Recipe) -> str:
    reranker = seen.knowledge.reranker if seen.knowledge else None
    if reranker is None or reranker.path is None:
        return ""
    return "one given reranker serves all seeds; figures speak of methods with this reranker."


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
