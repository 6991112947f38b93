"""The grounded mentor: KARD and Mentor-KD at once. Ours."""

from __future__ import annotations

from tutelage.methods import gated
from tutelage.methods.knowledge import Knowledge
from tutelage.methods.mentor_kd import mentored
from tutelage.methods.study import Outcome, Study
from tutelage.recipe import MentorSection
from tutelage.runs import Stage


def grounded_mentor(study: Study, seed: int) -> Outcome:
    """A mentor that reads passages writes rationales from them; each finds its own passages for the student.

    The mentor's soft labels are for the prompts that the student learns from, passages and all. At test the passages
    are those of a reranker that learnt from the teacher, and from the mentor too if the recipe says so; without a
    reranker, of BM25. Behind a closed gate the student of Mentor-KD answers.
    """
    examples, soft = lessons(study, study.mentor, seed)
    knowledge = serving(study, seed)
    student = study.train(examples, seed, soft=soft, beside=knowledge.chosen_by(study.recipe.student))
    return gated.score(study, student, seed, found=knowledge.served, plain=lambda: mentored(study, seed))


def grounded_mentor_alone(study: Study, seed: int) -> Outcome:
    """The grounded mentor itself on the test split, with the same passages as its student."""
    mentor = trained_mentor(study, study.mentor, seed)
    return study.score(mentor, seed, study.mentor, beside=serving(study, seed).served("test"))


def serving(study: Study, seed: int) -> Knowledge:
    """What finds passages at test. A reranker that serves all seeds learns from the mentor of the first."""
    knowledge = study.knowledge.for_seed(seed)
    reranker = knowledge.settings.reranker
    if reranker is None or reranker.mentor_epochs is None:
        return knowledge
    added = written(study, study.mentor, seed if reranker.seed is None else study.recipe.seeds[0])
    return knowledge.with_lessons(added) if added else knowledge


def trained_mentor(study: Study, settings: MentorSection, seed: int) -> Stage:
    """A mentor taught with passages by the teacher or, in a chain, by a grounded mentor of its own."""
    examples, soft = lessons(study, settings.mentor, settings.seed_of(seed), settings)
    knowledge = study.knowledge.for_seed(settings.seed_of(seed))
    return study.train(examples, seed, settings, soft=soft, beside=knowledge.chosen_by(settings))


def lessons(
    study: Study, mentor: MentorSection | None, seed: int, learner: MentorSection | None = None
) -> tuple[Stage, Stage | None]:
    """What is learnt from: correct rationales of teacher and mentor, each with the passages that it finds itself."""
    taught, knowledge = study.taught(), study.knowledge
    if mentor is None:
        return study.lessons.rationales(taught, beside=knowledge.beside(taught), learner=learner), None
    trained, added = trained_mentor(study, mentor, seed), written(study, mentor, seed)
    examples = study.lessons.rationales(taught, added, beside=knowledge.beside(taught, added), learner=learner)
    return examples, study.soft_labels(trained, examples, learner)


def written(study: Study, mentor: MentorSection, seed: int) -> Stage | None:
    """Correct rationales of a grounded mentor for the training questions, from what the teacher's rationales find.

    None where the mentor writes none.
    """
    trained, knowledge = trained_mentor(study, mentor, seed), study.knowledge.for_seed(mentor.seed_of(seed))
    return study.augmented(trained, mentor, seed, taught=study.taught(), beside=knowledge.silver("train"))
