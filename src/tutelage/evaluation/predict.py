"""A student's answer to every question: one text by greedy decoding, or a majority of several sampled ones.

The generator makes the batches. A finished batch is appended to a file at once, one Prediction a line, so that an
interrupted run loses no finished question and ends with the same texts as one that was never interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import eq
from pathlib import Path
from typing import NamedTuple

from tutelage.formats import Format
from tutelage.generation.generator import Generator, Written
from tutelage.runs import append_jsonl, read_partial
from tutelage.tasks.grading import Judgement
from tutelage.types import Passage, Prediction, Question, Rationale, Verdict, prediction_from_json, to_json

Judge = Callable[[Question, str], Judgement]
Same = Callable[[str, str], bool]
"""Whether two canonical answers are the same answer: `AnswerType.same`."""


class Vote(NamedTuple):
    """The outcome of a vote."""

    answer: str | None
    verdict: Verdict


def predict(
    generator: Generator,
    questions: Sequence[Question],
    fmt: Format,
    judge: Judge,
    *,
    source: str,
    same: Same = eq,
    votes: int = 1,
    temperature: float | None = None,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    passages: Mapping[str, Sequence[Passage]] | None = None,
    prompt: Callable[[Question, Sequence[Passage]], str] | None = None,
    partial: Path | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """One prediction a question, in the order of `questions`, each with its `votes` rationales.

    Rationales whose answers are the `same` vote together, and their answers are kept in the form written first.
    `temperature` defaults to 0 (greedy) for one vote and 0.7 for several. `passages` stand before the question, by
    question id; `prompt` puts them there, `fmt.prompt` unless given. `partial` keeps finished batches; it must be used
    with the same arguments again. `on_done` hears, after each batch, the number of finished questions and of all.
    """
    if temperature is None:
        temperature = 0.7 if votes > 1 else 0.0
    known = _read_partial(partial, source) if partial else {}
    found = {q.id: known[q.id] for q in questions if q.id in known}
    beside = [tuple((passages or {}).get(q.id, ())) for q in questions]

    def keep(batch: Mapping[int, list[Written]]) -> None:
        predictions = [
            _prediction(questions[n], texts, judge, same, source, tuple(p.id for p in beside[n]))
            for n, texts in batch.items()
        ]
        if partial:
            append_jsonl(partial, map(to_json, predictions))
        found.update((p.question_id, p) for p in predictions)
        if on_done:
            on_done(len(found), len(questions))

    generator.write(
        [(prompt or fmt.prompt)(q, shown) for q, shown in zip(questions, beside, strict=True)],
        samples=votes,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        done=[n for n, q in enumerate(questions) if q.id in found],
        on_done=keep,
    )
    return [found[q.id] for q in questions]


def majority(rationales: Sequence[Rationale], same: Same = eq) -> Vote:
    """The answer most rationales arrive at (Wang et al., ICLR 2023, self-consistency).

    Answers that are the `same` are one, in the form written first. A tie goes to the answer that was written first.
    Unread rationales have no vote; if all are, so is the question.
    """
    read = [r for r in united(rationales, same) if r.answer is not None]
    if not read:
        return Vote(None, Verdict.UNREAD)
    answer = Counter(r.answer for r in read).most_common(1)[0][0]  # equal counts stay in the order first met
    verdict = next(r.verdict for r in read if r.answer == answer)
    return Vote(answer, verdict or Verdict.UNREAD)


def united(rationales: Sequence[Rationale], same: Same) -> list[Rationale]:
    """The rationales of one question with equal answers in one form, the one written first."""
    forms: list[str] = []
    found: list[Rationale] = []
    for rationale in rationales:
        answer = rationale.answer
        if answer is not None:
            known = answer if answer in forms else next((form for form in forms if same(form, answer)), None)
            if known is None:
                forms.append(answer)
            elif known != answer:
                rationale = replace(rationale, answer=known)
        found.append(rationale)
    return found


def _concluded(judgement: Judgement, written: Written) -> Judgement:
    """Leave a text unread that was cut before its marker: what happens to stand last in it is no conclusion."""
    if written.finished or judgement.read != "fallback":
        return judgement
    return judgement._replace(answer=None, verdict=Verdict.UNREAD, read="nowhere")


def _prediction(
    question: Question, texts: Sequence[Written], judge: Judge, same: Same, source: str, passage_ids: tuple[str, ...]
) -> Prediction:
    judged = [_concluded(judge(question, written.text), written) for written in texts]
    rationales = [
        Rationale(
            question_id=question.id,
            source=source,
            sample=sample,
            text=judgement.rationale,
            answer=judgement.answer,
            verdict=judgement.verdict,
            passage_ids=passage_ids,
            tokens=written.tokens,
            finished=written.finished,
        )
        for sample, (written, judgement) in enumerate(zip(texts, judged, strict=True))
    ]
    return Prediction(question.id, *majority(rationales, same), tuple(united(rationales, same)))


def _read_partial(path: Path, source: str) -> dict[str, Prediction]:
    """What an interrupted try left, the latest of each question. Torn lines and those of another source are left out.

    A batch of which only a part is here is written again whole, by the same seed.
    """
    found: dict[str, Prediction] = {}
    for row in read_partial(path):
        try:
            prediction = prediction_from_json(row)
        except (ValueError, KeyError, TypeError):
            continue
        if all(r.source == source for r in prediction.rationales):
            found[prediction.question_id] = prediction
    return found
