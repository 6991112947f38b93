"""What rationales search with: their reasons without the answer, and for an oracle those of the test questions too.

KARD calls the passages found so "silver" and uses them as an upper bound (Tables 1 and 2, last row but one). On its
test split they leak: its teacher was shown the gold answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.formats import FORMATS
from tutelage.methods.sources import annotate
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import fingerprint
from tutelage.tasks.answers import AnswerType, announces
from tutelage.tasks.evidence import evidence_of
from tutelage.types import Question, Rationale


def silver_queries(teacher: TeacherSection, task: TaskSection, questions: Sequence[Question]) -> dict[str, str]:
    """The teacher's rationale for each question, or the facts it was written from; by question id.

    A question with neither is left out: recorded rationales often cover the training split alone.
    """
    asked = teacher.model_copy(update={"share": 1.0, "samples": 1})
    written: dict[str, Rationale] = {}
    for rationale in annotate(asked, task, questions).rationales:
        written.setdefault(rationale.question_id, rationale)
    facts = _facts(task, questions)
    queries = {id: " ".join(texts) for id, texts in facts.items()}
    return queries | {id: rationale.text for id, rationale in written.items()}


def facts_fingerprint(task: TaskSection, questions: Sequence[Question]) -> str:
    """What the facts behind these questions amount to."""
    return fingerprint({id: list(texts) for id, texts in _facts(task, questions).items()})


def _facts(task: TaskSection, questions: Sequence[Question]) -> Mapping[str, tuple[str, ...]]:
    """The facts that each question was written from, as far as its data tells them."""
    return evidence_of(task.name, task.data, questions) if task.train is None else {}


MARKERS = (*dict.fromkeys(fmt.marker for fmt in FORMATS.values()), "####")
"""What files of rationales announce an answer with: ours, and GSM8K's."""


BARE = 11
"""Words of "Therefore, the correct answer to this multiple choice question is (B)."; a reason needs more."""


def reasons(text: str, question: Question, answers: AnswerType) -> str:
    """A rationale up to where it gives the answer, "Answer: B" or "So the answer is (B)."; published code keeps that.

    Of lines only what stands behind a marker is taken off, of sentences only the last that say nothing else, and both
    only where it is the gold answer: a marker may stand in the middle of an argument. Something always remains.
    """
    for marker in MARKERS:
        before, found, behind = text.rpartition(marker)
        said = answers.canonical(behind.strip(), question.choices) if found and before.strip() else None
        if said is not None and answers.same(said, question.answer):
            return _without_conclusion(before.strip(), question, answers)
    return _without_conclusion(text, question, answers)


def _without_conclusion(text: str, question: Question, answers: AnswerType) -> str:
    """The text without last sentences that say no more than the gold answer; as it is where there are none.

    "Option (D) is correct because ducks have webbed feet" stays: without such reasons OpenbookQA's rationales find
    fewer right facts (docs/log.md).
    """
    from tutelage.retrieval.corpus.sentences import sentences

    kept = whole = sentences(text)
    while len(kept) > 1 and announces(kept[-1]) and _bare(kept[-1], question):
        said = answers.find(kept[-1], question.choices)
        if said is None or not answers.same(said, question.answer):
            break
        kept = kept[:-1]
    return text if len(kept) == len(whole) else " ".join(kept)


def _bare(sentence: str, question: Question) -> bool:
    """Whether a sentence has few words besides those of a choice."""
    named = max((len(choice.split()) for choice in question.choices if choice in sentence), default=0)
    return len(sentence.split()) - named <= BARE
