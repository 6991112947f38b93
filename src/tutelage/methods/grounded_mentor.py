"""The grounded mentor: KARD and Mentor-KD at once. Ours."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study
from tutelage.recipe import MentorSection
from tutelage.runs import Stage


def grounded_mentor(study: Study, seed: int) -> Outcome:
    """A mentor that reads passages writes rationales from them; each finds its own passages for the student.

    The mentor's soft labels are for the prompts that the student learns from, passages and all. At test the passages
    are those of KARD's reranker or, where the recipe has none, of BM25.
    """
    examples, soft = lessons(study, study.mentor, seed)
    student = study.train(examples, seed, soft=soft, beside=study.knowledge.chosen_by(study.recipe.student))
    return study.score(student, seed, beside=study.knowledge.served("test"))


def grounded_mentor_alone(study: Study, seed: int) -> Outcome:
    """The grounded mentor itself on the test split, with the same passages as its student."""
    mentor = trained_mentor(study, study.mentor, seed)
    return study.score(mentor, seed, study.mentor, beside=study.knowledge.served("test"))


def trained_mentor(study: Study, settings: MentorSection, seed: int) -> Stage:
    """A mentor taught with passages by the teacher or, in a chain, by a grounded mentor of its own."""
    examples, soft = lessons(study, settings.mentor, seed, settings)
    return study.train(examples, seed, settings, soft=soft, beside=study.knowledge.chosen_by(settings))


def lessons(
    study: Study, mentor: MentorSection | None, seed: int, learner: MentorSection | None = None
) -> tuple[Stage, Stage | None]:
    """What is learnt from: correct rationales of teacher and mentor, each with the passages that it finds itself."""
    taught, knowledge = study.taught(), study.knowledge
    if mentor is None:
        return study.lessons.rationales(taught, beside=knowledge.beside(taught), learner=learner), None
    trained = trained_mentor(study, mentor, seed)
    added = study.augmented(trained, mentor, seed, taught=taught, beside=knowledge.silver("train"))
    examples = study.lessons.rationales(taught, added, beside=knowledge.beside(taught, added), learner=learner)
    return examples, study.soft_labels(trained, examples)
