"""Look before running: every problem of a recipe at once, and the plan of what is there and what is to do.

Nothing here loads weights, asks a teacher, or touches the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tutelage import checkpoints
from tutelage.errors import ModelError, RecipeError, TutelageError
from tutelage.formats import get_format
from tutelage.methods import METHODS
from tutelage.methods.corpora import open_corpus
from tutelage.methods.gold_documents import missing_documents
from tutelage.methods.jobs import jobs_of, method_of, plan
from tutelage.methods.knowledge import open_index
from tutelage.methods.sources import annotate, check_teacher, contradiction, load_task
from tutelage.methods.workers import has_gpu
from tutelage.plugins import resolve
from tutelage.rationales.verify import check_options
from tutelage.recipe import (
    Arm,
    KnowledgeSection,
    LearnerSection,
    Recipe,
    RerankerSection,
    SoftLabelSection,
    TaskSection,
)
from tutelage.retrieval.reranker import RERANKERS
from tutelage.retrieval.retriever import RETRIEVERS
from tutelage.runs import Stage
from tutelage.tasks.grading import graded
from tutelage.tasks.task import Task


def problems(recipe: Recipe) -> list[str]:
    """Everything that would stop a run, each with the key it comes from. Empty when the recipe can run."""
    found: list[str] = []
    task = _task(recipe, found)
    return list(dict.fromkeys([*found, *(problem for arm in recipe.arms for problem in _arm(recipe, arm, task))]))


def warnings(recipe: Recipe) -> list[str]:
    """Problems in the data files that do not stop a run but cast doubt on its results."""
    teacher = recipe.teacher
    if teacher is None or teacher.backend != "recorded" or not any("teacher" in _needs(arm) for arm in recipe.arms):
        return []
    task = load_task(recipe.task)
    questions = {q.id: q for split in ("train", "dev") for q in task.questions[split]}
    written = annotate(teacher, recipe.task, list(questions.values())).rationales
    judged = [graded(r, questions[r.question_id], task.answer_type, trust_file=teacher.trust_file) for r in written]
    told = contradiction(teacher, task, recipe.task, written, judged)
    return [told] if told else []


def plans(recipe: Recipe, folder: Path) -> dict[str, dict[str, Stage]]:
    """The stages of every job by its label, in order, marked as there or to do."""
    task = load_task(recipe.task)
    return {job.label: plan(recipe, task, folder, job) for job in jobs_of(recipe)}


def memory(recipe: Recipe) -> list[str]:
    """A line for each model that is trained on a CPU: how many weights it has, and about the memory that takes."""
    if recipe.compute.device == "cuda" or (recipe.compute.device == "auto" and has_gpu()):
        return []
    arms = [(recipe.for_arm(arm), _needs(arm)) for arm in recipe.arms]
    learners = [
        learner for seen, needs in arms for learner in (seen.student, *(seen.mentors if "mentor" in needs else ()))
    ]
    return list(dict.fromkeys(line for learner in learners if (line := _memory(learner))))


def _memory(learner: LearnerSection) -> str | None:
    from tutelage.models import load_tokenizer
    from tutelage.training.memory import training_bytes

    weights = checkpoints.weight_count(learner.model)
    if weights is None:
        return None
    needed = training_bytes(load_tokenizer(learner.model).model.config, weights, learner)
    return f"{learner.model}, {weights / 1e6:.1f} million weights: about {needed / 1e9:.1f} GB a process to train"


def _arm(recipe: Recipe, arm: Arm, task: Task | None) -> Iterator[str]:
    """What stands in the way of one arm; what it shares with others is told in the same words, and so only once."""
    try:
        seen = recipe.for_arm(arm)
    except TutelageError as error:
        yield str(error)
        return
    yield from _failure("format", lambda: get_format(seen.format))
    yield from _failure("arms", lambda: method_of(arm))
    yield from _failure("student.model", lambda: checkpoints.check(seen.student.model))
    yield from _adapters("student", seen.student)
    needs = _needs(arm)
    if "teacher" in needs:
        yield from _teacher(seen, arm)
        yield from _verifier(seen, task)
    if "mentor" in needs:
        yield from _mentors(seen, arm, alone=METHODS[arm.method].reference)
    if "knowledge" in needs:
        yield from _knowledge(seen, arm, task, reranked="reranker" in needs)
    if "few-shot" in arm.method and task:
        yield from _shots("few_shot.shots", seen.few_shot.shots, task)


def _needs(arm: Arm) -> frozenset[str]:
    return METHODS[arm.method].needs if arm.method in METHODS else frozenset[str]()


def _teacher(recipe: Recipe, arm: Arm) -> Iterator[str]:
    teacher = recipe.teacher
    if teacher is None:
        yield f"teacher: missing, and arm {arm.name!r} learns from rationales"
        return
    yield from _failure("teacher", lambda: check_teacher(teacher, recipe.task))


def _verifier(recipe: Recipe, task: Task | None) -> Iterator[str]:
    verifier = recipe.verifier
    if verifier is None:
        return
    yield from _failure("verifier.model", lambda: checkpoints.check(verifier.model))
    if task:
        yield from _failure("verifier", lambda: check_options(task.answer_type.name))
        yield from _shots("verifier.shots", verifier.shots, task)


def _shots(key: str, shots: int, task: Task) -> Iterator[str]:
    """What the data alone tells: a shot is a training question, and with a scarce teacher even fewer can be one."""
    there = len(task.questions.get("train", ()))
    if shots > there:
        yield f"{key}: {shots} solved questions wanted, and there are {there} training questions; ask for fewer"


def _mentors(recipe: Recipe, arm: Arm, *, alone: bool) -> Iterator[str]:
    if recipe.mentor is None:
        yield f"mentor: missing, and arm {arm.name!r} learns from one"
    for depth, mentor in enumerate(reversed(recipe.mentors)):
        key = ".".join(["mentor"] * (depth + 1))
        yield from _failure(f"{key}.model", lambda model=mentor.model: checkpoints.check(model))
        yield from _adapters(key, mentor)
    soft, chain = recipe.soft_labels, [mentor.model for mentor in recipe.mentors]
    learners = [*chain[1:], *([] if alone else [recipe.student.model])]  # asked itself, a mentor lends nothing
    for lender, learner in zip(chain, learners, strict=False) if soft.weight else ():
        yield from _failure("soft_labels", lambda a=lender, b=learner: check_lending(a, b))
        yield from _failure("soft_labels", lambda a=lender, b=learner: check_loss(soft, a, b))


def _adapters(key: str, learner: LearnerSection) -> Iterator[str]:
    """What is wrong with a learner's adapters, if the model is there to look at."""
    if learner.lora and not list(_failure(key, lambda: checkpoints.check(learner.model))):
        from tutelage.methods.learn import lora_settings
        from tutelage.models import check_adapters

        if lora := lora_settings(learner.lora):
            yield from _failure(key, lambda: check_adapters(learner.model, lora))


def _knowledge(recipe: Recipe, arm: Arm, task: Task | None, *, reranked: bool) -> Iterator[str]:
    knowledge = recipe.knowledge
    if knowledge is None:
        yield f"knowledge: missing, and arm {arm.name!r} looks something up"
        return
    yield from _index(knowledge, recipe.task)
    questions = [question for split in task.questions.values() for question in split] if task else []
    yield from (f"task.fields.document: {told}" for told in missing_documents(knowledge, questions))
    if knowledge.reranker:  # arms that need none let it find what their students' epochs are chosen by
        yield from _reranker(knowledge.reranker)
    elif reranked:
        yield f"knowledge.reranker: missing, and arm {arm.name!r} orders passages with one"


def _index(knowledge: KnowledgeSection, task: TaskSection) -> Iterator[str]:
    wrong = list(_failure("knowledge.retriever", lambda: resolve(knowledge.retriever, RETRIEVERS, "retriever")))
    yield from wrong
    if knowledge.index is None:
        for name in knowledge.corpora:
            yield from _failure("knowledge.corpus", lambda name=name: open_corpus(name, knowledge, task))
        if not knowledge.corpora:
            yield "knowledge.corpus: an empty list; name at least one corpus"
    elif not (folder := Path(knowledge.index).expanduser()).is_dir():
        yield f"knowledge.index: no folder {knowledge.index!r}; `tutelage index CORPUS --out DIR` makes one"
    elif not wrong:
        yield from _failure("knowledge.index", lambda: open_index(knowledge, folder))


def _reranker(reranker: RerankerSection) -> Iterator[str]:
    yield from _failure("knowledge.reranker.kind", lambda: resolve(reranker.kind, RERANKERS, "reranker"))
    if reranker.base is not None:
        base = reranker.base
        yield from _failure("knowledge.reranker.base", lambda: check_base(base))
    elif reranker.path is not None:
        from tutelage.retrieval.late_interaction import trained_model

        path = reranker.path
        yield from _failure("knowledge.reranker.path", lambda: trained_model(path))


def check_base(base: str) -> None:
    """Raise ModelError for a checkpoint that is not there or, as far as its files tell, has no encoder to train."""
    if checkpoints.describe(base):
        from tutelage.training.reranking.network import read_config

        read_config(base)


def check_lending(mentor: str, student: str) -> None:
    """Raise ModelError where a mentor's distributions mean nothing to a student, as far as their files tell."""
    words = {checkpoints.vocabulary(mentor), checkpoints.vocabulary(student)} - {None}
    kinds = {checkpoints.is_encoder_decoder(mentor), checkpoints.is_encoder_decoder(student)} - {None}
    if len(words) > 1 or len(kinds) > 1:
        what = "tokenizers" if len(words) > 1 else "architectures (one has an encoder, the other none)"
        raise ModelError(
            f"mentor {mentor} and student {student} have different {what}, so the mentor's distributions mean nothing "
            "to the student. Choose two models of one family, or set soft_labels.weight: 0 to use its rationales alone."
        )


def check_loss(soft: SoftLabelSection, mentor: str, student: str) -> None:
    """Raise PluginError or RecipeError for a loss that is not to be had, or layers that these models lack."""
    if ":" in soft.loss:
        resolve(soft.loss, {}, "soft-label loss")
    depths = [(name, checkpoints.decoder_layers(model)) for name, model in (("student", student), ("mentor", mentor))]
    for pair in soft.layers or ():
        for layer, (name, depth) in zip(pair, depths, strict=True):
            if depth is not None and not 1 <= layer <= depth:
                raise RecipeError(f"layers: {list(pair)}, but the {name} has decoder layers 1 to {depth}")


def _task(recipe: Recipe, found: list[str]) -> Task | None:
    """The task with its questions; what is wrong with it is added to `found`."""
    try:
        task = load_task(recipe.task)
    except TutelageError as error:
        found.append(f"task: {error}")
        return None
    lacking = [split for split in ("train", "dev", "test") if not task.questions.get(split)]
    found += [f"task: no {split} questions; give it more data or change the fractions" for split in lacking]
    return task


def _failure(key: str, look: Callable[[], object]) -> Iterator[str]:
    try:
        look()
    except TutelageError as error:
        yield f"{key}: {error}"
