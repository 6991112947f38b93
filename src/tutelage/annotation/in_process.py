"""The same books for a model in this process: what it wrote is stored batch by batch, and not written again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from tutelage.annotation.annotate import Wish
from tutelage.annotation.outcomes import Fate, Outcome, ending
from tutelage.annotation.progress import Progress, Tell
from tutelage.annotation.requests import Request
from tutelage.annotation.store import Answer, Call, Store
from tutelage.generation.generator import Generator, Written

AT_ONCE = 256
"""Requests that are claimed together. Every batch of them is stored when it is written."""


def annotate_here(
    wishes: Sequence[Wish],
    store: Store,
    generator: Callable[[], Generator],
    put: Callable[[Request], str],
    *,
    seed: int = 0,
    tell: Tell | None = None,
) -> Progress:
    """Write all samples that are missing; `generator` is made only if there are any.

    `put` gives the prompt of a request. Sampling is as the requests say, all in the same way. What another process has
    claimed is left to it.
    """
    known = store.answers([wish.request.key for wish in wishes])
    progress = Progress(sum(wish.samples for wish in wishes))
    missing: list[tuple[Wish, tuple[int, ...]]] = []
    for wish in wishes:
        there = known.get(wish.request.key, {})
        progress.outcomes.update(there[s].outcome for s in range(wish.samples) if s in there)
        if lacking := tuple(s for s in range(wish.samples) if s not in there):
            missing.append((wish, lacking))
    progress.before = progress.done
    began, writer = time.monotonic(), generator() if missing else None

    def took(answers: list[Answer]) -> None:
        progress.outcomes.update(answer.outcome for answer in answers)
        progress.fates[Fate.ANSWERED] += 1
        progress.tokens_written += sum(answer.tokens for answer in answers)
        progress.seconds = time.monotonic() - began
        if tell:
            tell(progress)

    for start in range(0, len(missing), AT_ONCE):
        assert writer is not None
        _write(missing[start : start + AT_ONCE], store, writer, put, seed, took)
    return progress


def _write(
    missing: Sequence[tuple[Wish, tuple[int, ...]]],
    store: Store,
    writer: Generator,
    put: Callable[[Request], str],
    seed: int,
    took: Callable[[list[Answer]], None],
) -> None:
    with store.writing():
        granted = [(wish, store.claim(wish.request, lacking).granted) for wish, lacking in missing]
    mine = [(wish, samples) for wish, samples in granted if samples]
    if not mine:
        return

    def keep(texts: Mapping[int, list[Written]]) -> None:
        done: list[list[Answer]] = []
        with store.writing():
            for n, written in texts.items():
                wish, samples = mine[n]
                answers = [_answer(sample, written[sample]) for sample in samples]
                tokens = sum(answer.tokens for answer in answers)
                store.record(wish.request.key, samples, Call(Fate.ANSWERED, tokens_written=tokens), answers)
                done.append(answers)
        for answers in done:
            took(answers)

    sampling = mine[0][0].request.sampling
    writer.write(
        [put(wish.request) for wish, _ in mine],
        samples=max(sample for _, samples in mine for sample in samples) + 1,
        temperature=float(sampling.get("temperature") or 0.0),
        top_p=float(sampling.get("top_p") or 1.0),
        seed=seed,
        on_done=keep,
    )


def _answer(sample: int, written: Written) -> Answer:
    end = ending(written.reason or ("stop" if written.finished else "length"))
    whole = Outcome.WRITTEN if written.text.strip() else Outcome.EMPTY
    outcome = whole if end.outcome is Outcome.WRITTEN else end.outcome
    return Answer(sample, outcome, written.text, written.tokens, end.reason)
