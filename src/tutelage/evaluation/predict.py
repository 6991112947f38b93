"""A student's answer to every question: one text by greedy decoding, or a majority of several sampled ones.

Work goes on in fixed chunks of questions. A finished chunk is appended to a file, one Prediction a line, so that an
interrupted run picks up at the next chunk and ends with the same texts as one that was never interrupted.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.formats import Format
from tutelage.generation.generator import Generator, Written
from tutelage.tasks.grading import Judgement
from tutelage.types import Passage, Prediction, Question, Rationale, Verdict, prediction_from_json, to_json

CHUNK = 128
"""Questions written and saved together: the same ones whether a run was interrupted or not."""


Judge = Callable[[Question, str], Judgement]


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
    votes: int = 1,
    temperature: float | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    passages: Mapping[str, Sequence[Passage]] | None = None,
    partial: Path | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """One prediction a question, in the order of `questions`, each with its `votes` rationales.

    `temperature` defaults to 0 (greedy) for one vote and 0.7 for several. `passages` stand before the question, by
    question id. `partial` keeps finished chunks; it must be used with the same arguments again. `on_done` hears the
    number of finished questions and of all.
    """
    if temperature is None:
        temperature = 0.7 if votes > 1 else 0.0
    done = _read_partial(partial, source) if partial else {}
    found: list[Prediction] = []
    for start in range(0, len(questions), CHUNK):
        chunk = questions[start : start + CHUNK]
        predictions = [done[q.id] for q in chunk if q.id in done]
        if len(predictions) < len(chunk):
            beside = [tuple((passages or {}).get(q.id, ())) for q in chunk]
            prompts = [fmt.prompt(q, known) for q, known in zip(chunk, beside, strict=True)]
            written = generator.write(prompts, samples=votes, temperature=temperature, top_p=top_p, seed=seed)
            predictions = [
                _prediction(q, texts, judge, source, tuple(p.id for p in known))
                for q, texts, known in zip(chunk, written, beside, strict=True)
            ]
            if partial:
                _append(partial, predictions)
        found += predictions
        if on_done:
            on_done(len(found), len(questions))
    return found


def majority(rationales: Sequence[Rationale]) -> Vote:
    """The answer most rationales arrive at (Wang et al., ICLR 2023, self-consistency).

    A tie goes to the answer that was written first. Unread rationales have no vote; if all are, so is the question.
    """
    read = [r for r in rationales if r.answer is not None]
    if not read:
        return Vote(None, Verdict.UNREAD)
    answer = Counter(r.answer for r in read).most_common(1)[0][0]  # equal counts stay in the order first met
    verdict = next(r.verdict for r in read if r.answer == answer)
    return Vote(answer, verdict or Verdict.UNREAD)


def _concluded(judgement: Judgement, written: Written) -> Judgement:
    """Leave a text unread that was cut before its marker: what happens to stand last in it is no conclusion."""
    if written.finished or judgement.read != "fallback":
        return judgement
    return judgement._replace(answer=None, verdict=Verdict.UNREAD, read="nowhere")


def _prediction(
    question: Question, texts: Sequence[Written], judge: Judge, source: str, passage_ids: tuple[str, ...]
) -> Prediction:
    judged = [_concluded(judge(question, written.text), written) for written in texts]
    rationales = tuple(
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
    )
    return Prediction(question.id, *majority(rationales), rationales)


def _append(path: Path, predictions: Sequence[Prediction]) -> None:
    """Add a chunk; a torn last line of an earlier try is closed first, so that it cannot swallow this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n" * torn + "".join(json.dumps(to_json(p)) + "\n" for p in predictions))
        file.flush()
        os.fsync(file.fileno())


def _read_partial(path: Path, source: str) -> dict[str, Prediction]:
    """What an interrupted try left, the latest of each question. Torn lines and those of another source are left out.

    A chunk of which only a part is here is written again as a whole, by the same seed.
    """
    found: dict[str, Prediction] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                prediction = prediction_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            if all(r.source == source for r in prediction.rationales):
                found[prediction.question_id] = prediction
    return found
