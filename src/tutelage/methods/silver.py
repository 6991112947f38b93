"""What an oracle searches with: words that know the answer of the very question they search for.

KARD calls the passages found so "silver" and uses them as an upper bound (Tables 1 and 2, last row but one). On its
test split they leak: its teacher was shown the gold answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.methods.sources import annotate
from tutelage.recipe import TaskSection, TeacherSection
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
    facts = evidence_of(task.name, task.data, questions) if task.train is None else {}
    queries = {id: " ".join(texts) for id, texts in facts.items()}
    return queries | {id: rationale.text for id, rationale in written.items()}
