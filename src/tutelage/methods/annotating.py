"""The teacher's part of a study: whoever it is, its rationales are judged, counted, and the best of them kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage.annotation.progress import duration
from tutelage.annotation.store import Store
from tutelage.errors import RecipeError, all_problems
from tutelage.methods.asked_teachers import ASKED, Asked, Desk, asked_of
from tutelage.methods.estimate import estimate
from tutelage.methods.sources import annotate, contradiction, parts_of, share_of, source_of
from tutelage.methods.written import Taught
from tutelage.rationales.choose import choose_kept
from tutelage.rationales.keep import Kept
from tutelage.recipe import TeacherSection, told
from tutelage.runs import Json, Stage, write_json, write_jsonl
from tutelage.tasks.grading import graded
from tutelage.types import Question, Rationale, to_json

if TYPE_CHECKING:
    from tutelage.annotation.progress import Progress
    from tutelage.methods.study import Study


class Annotated(NamedTuple):
    """What a teacher wrote, judged."""

    written: Taught
    judged: list[Rationale]
    kept: Kept

    @property
    def counts(self) -> dict[str, int]:
        """Every sample that was asked for, by what became of it."""
        counts = Counter(self.kept.counts)
        counts.update(self.written.unwritten)  # a text without reasons is empty too
        return dict(counts)


def annotated(study: Study) -> Stage:
    """The teacher's rationales for train and dev questions as a stage: all of them judged, those that are kept, the
    yield and, for a teacher that was asked by prompts, `cost.json`.
    """
    teacher = teacher_of(study)
    inputs: dict[str, Json] = {
        "questions": study.questions().fingerprint,
        "teacher": told(teacher),
        "source": source_of(teacher, study.recipe.task),
        **_shown(study, teacher),
    }

    def make(folder: Path) -> None:
        desk = with_passages(study, Desk(study.workspace.folder, study.task.answer_type.name, tell=_telling(study)))
        for line in estimates(study, desk):
            study.tell(f"will ask {line}", {})
        found = write(study, desk)
        if not found.kept.rationales:
            counts = [f"{count} {reason}" for reason, count in found.counts.items()]
            advice = "Is it the file of this task, and are its answers read as `task.answers` says?"
            if any(part.backend in ASKED for _, part in teacher.parts):
                advice = (
                    "`tutelage annotate RECIPE` shows some of what was written, and asks nobody again; with "
                    "`--preview 3` it shows what was asked."
                )
            raise RecipeError(all_problems("teacher: no rationale was kept:", [*counts, *found.written.notes], advice))
        leave(folder, found)

    return study.workspace.stage("rationales", inputs, make)


def write(study: Study, desk: Desk) -> Annotated:
    """Ask the teacher of a study for what is missing, and judge all of it."""
    teacher = teacher_of(study)
    questions = asked_questions(study)
    written = annotate(teacher, study.recipe.task, list(questions.values()), desk)
    judged = [
        graded(r, questions[r.question_id], study.task.answer_type, trust_file=teacher.trust_file)
        for r in written.rationales
    ]
    if told := contradiction(teacher, study.task, study.recipe.task, written.rationales, judged):
        written = written._replace(notes=[*written.notes, told])
    return Annotated(written, judged, chosen(judged, teacher, questions))


def asked_parts(study: Study, desk: Desk) -> list[tuple[TeacherSection, list[Asked]]]:
    """Each teacher that is asked by prompts, with what it is sent."""
    teacher = teacher_of(study)
    questions = share_of(list(asked_questions(study).values()), teacher.share)
    return [
        (part, asked_of(part, study.recipe.task, mine, desk))
        for part, mine in parts_of(teacher, questions)
        if part.backend in ASKED
    ]


def estimates(study: Study, desk: Desk) -> list[str]:
    """A line for each teacher: what is there, what is missing, and about what that will cost."""
    parts = asked_parts(study, desk)
    if not parts:
        return []
    with Store(desk.store) as store:
        return [estimate(teacher, asked, store, retry=desk.retry).line() for teacher, asked in parts]


def leave(folder: Path, found: Annotated) -> None:
    """Write the files of the stage."""
    write_jsonl(folder / "rationales.jsonl", (to_json(r) for r in found.judged))
    write_jsonl(folder / "kept.jsonl", (to_json(r) for r in found.kept.rationales))
    counted: dict[str, Json] = dict(found.counts)
    write_json(
        folder / "yield.json",
        {
            "counts": counted,
            "questions": found.kept.questions,
            "asked": found.written.asked,
            "notes": list(found.written.notes),
        },
    )
    if found.written.books:
        write_json(folder / "cost.json", cost_of(found))


def teacher_of(study: Study) -> TeacherSection:
    """The teacher. Raises RecipeError where the recipe has none."""
    if study.recipe.teacher is None:
        raise RecipeError("teacher: missing, and an arm of this recipe learns from rationales")
    return study.recipe.teacher


def asked_questions(study: Study) -> dict[str, Question]:
    """Whatever a teacher may be asked, by id; never a test question."""
    return {q.id: q for q in (*study.of("train"), *study.of("dev"))}


def chosen(judged: Sequence[Rationale], teacher: TeacherSection | None, questions: Mapping[str, Question]) -> Kept:
    """The rationales that are learnt from, as the teacher's section says."""
    if teacher is None:
        return choose_kept(judged, questions=questions)
    return choose_kept(
        judged,
        questions=questions,
        per_question=teacher.keep,
        by=teacher.choose,
        long_share=teacher.long_share,
        near_duplicates=teacher.near_duplicates,
        most_words=teacher.most_words,
    )


def with_passages(study: Study, desk: Desk) -> Desk:
    """The desk with what each question finds, where a teacher is shown it."""
    if not any(part.passages for _, part in teacher_of(study).parts):
        return desk
    found = study.knowledge.passages(study.knowledge.asked(), list(asked_questions(study)))
    return replace(desk, passages=found)


def cost_of(found: Annotated) -> dict[str, Json]:
    """What the teachers have cost, together and one by one, and for each kept rationale.

    Amounts are None without prices. `perhaps` is what calls may have cost whose answer never came whole.
    """
    books = list(found.written.books)
    kept = len(found.kept.rationales)
    priced = [each for each in books if each["spent"] is not None]
    spent = sum(_number(each["spent"]) for each in priced) if priced else None
    perhaps = sum(_number(each["perhaps"]) for each in priced) if priced else None
    return {
        "requests": sum(sum(_counts(each["calls"]).values()) for each in books),
        "calls": _summed(each["calls"] for each in books),
        "samples": _summed(each["samples"] for each in books),
        "tokens_read": sum(int(_number(each["tokens_read"])) for each in books),
        "tokens_written": sum(int(_number(each["tokens_written"])) for each in books),
        "spent": spent,
        "perhaps": perhaps,
        "currency": priced[0]["currency"] if priced else None,
        "kept": kept,
        "per_kept": spent / kept if spent is not None and kept else None,
        "teachers": list(books),
    }


def _summed(counts: Any) -> dict[str, Json]:
    total: dict[str, Json] = {}
    for each in counts:
        for name, number in _counts(each).items():
            total[name] = int(_number(total.get(name, 0))) + number
    return total


def _counts(value: Json) -> dict[str, int]:
    return value if isinstance(value, dict) else {}  # type: ignore[return-value]


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) else 0.0


def _shown(study: Study, teacher: TeacherSection) -> dict[str, Json]:
    """What decides which passages a teacher reads."""
    if not any(part.passages for _, part in teacher.parts):
        return {}
    return {"asked": study.knowledge.asked().fingerprint, "passages": study.knowledge.settings.passages}


def _telling(study: Study) -> Any:
    def tell(progress: Progress) -> None:
        faults = sum(n for fate, n in progress.fates.items() if fate.is_fault)
        study.tell(
            "asks its teacher",
            {
                "done": progress.done,
                "total": progress.total,
                "tokens": progress.tokens_read + progress.tokens_written,
                "cost": progress.money,
                "left": None if progress.left is None else duration(progress.left),
                "faults": faults or None,
            },
        )

    return tell
