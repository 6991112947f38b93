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
from tutelage.tasks.answers import AnswerType
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


MARKERS = (*(fmt.marker for fmt in FORMATS.values()), "####")
"""What files of rationales announce an answer with: ours, and GSM8K's."""


def reasons(text: str, question: Question, answers: AnswerType) -> str:
    """A rationale up to a last line such as "Answer: B"; the published code searches with that too.

    Only what gives the gold answer behind a marker is taken off: a marker may stand in the middle of an argument.
    """
    for marker in MARKERS:
        before, found, behind = text.rpartition(marker)
        said = answers.canonical(behind.strip(), question.choices) if found and before.strip() else None
        if said is not None and answers.same(said, question.answer):
            return before.strip()
    return text
