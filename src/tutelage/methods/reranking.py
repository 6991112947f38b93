"""A reranker of a study: what it learns from, kept as a stage of its own, and its training.

The search space takes longest where the corpus is large, and depends on no setting of the training: to try another
loss or rate does not search again. It is two files, one ranking a line, the best passage first:

    {"query_id": "q-1#0", "query": "Do woolly mammoths outlive forks?", "passage_ids": ["mammoth_3", "fork_1"],
     "scores": [31.2, 18.0]}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import checkpoints
from tutelage.rationales.diverse import example_id
from tutelage.recipe import RerankerSection
from tutelage.runs import Json, Stage, read_jsonl, write_jsonl
from tutelage.types import Hit, Passage, Question, Rationale, rationale_from_json

if TYPE_CHECKING:
    from tutelage.methods.knowledge import Knowledge
    from tutelage.retrieval.retriever import Retriever
    from tutelage.training.reranking import Pair, Ranking, RerankerSettings


def taught_reranker(knowledge: Knowledge, lessons: Sequence[Stage], settings: RerankerSection) -> Stage:
    """A reranker taught by the scores that these rationales give to passages; its folder holds `model`.

    `settings.seed` is that of this one reranker.
    """
    base, seed, study = settings.base, settings.seed, knowledge.study
    assert base is not None  # it is trained, so there is something to train
    assert seed is not None  # `Knowledge.reranker` has set it
    space = search_space_of(knowledge, lessons, settings)
    inputs: dict[str, Json] = {
        "space": space.fingerprint,
        "reranker": settings.model_dump(mode="json", exclude={"mentor_epochs"}),
        "base": checkpoints.fingerprint(base),
        "device": study.recipe.compute.device,
        "threads": study.recipe.compute.threads,
        "rationales": [stage.fingerprint for stage in lessons],
    }

    def make(folder: Path) -> None:
        from tutelage.training.memory import release_memory
        from tutelage.training.reranking import question_order, train_reranker

        index = knowledge.open(knowledge.index().folder)
        train, dev = (_read(space.folder / f"{split}.jsonl") for split in ("train", "dev"))
        train_reranker(
            train,
            dev,
            _texts(index, [*train, *dev]),
            _training_settings(settings),
            base=base,
            folder=folder,
            seed=seed,
            device=study.recipe.compute.device,
            tell=lambda figures: study.tell("trains a reranker", figures),
            baseline=question_order(index, dev),
        )
        release_memory()

    return study.workspace.stage("reranker", inputs, make)


def search_space_of(knowledge: Knowledge, lessons: Sequence[Stage], settings: RerankerSection) -> Stage:
    """For each rationale the passages that it and its question find, with the scores that the rationale gives them."""
    inputs: dict[str, Json] = {
        **knowledge.searching,
        "rationales": [stage.fingerprint for stage in lessons],
        "questions": knowledge.study.questions().fingerprint,
        "query": knowledge.settings.query,
        **settings.model_dump(mode="json", include={"searched", "limit", "dev_limit"}),
    }

    def make(folder: Path) -> None:
        from tutelage.training.reranking import search_space

        index, partial = knowledge.open(knowledge.index().folder), folder / "partial.jsonl"

        def search(queries: Sequence[str], k: int) -> list[list[Hit]]:
            found = knowledge.found(index, queries, k, partial)
            return [found[query] for query in queries]

        for split, pairs in zip(("train", "dev"), _pairs(knowledge, lessons, settings), strict=True):
            rankings = search_space(index, pairs, candidates=settings.searched, search=search)
            write_jsonl(folder / f"{split}.jsonl", map(asdict, rankings))
        partial.unlink(missing_ok=True)

    return knowledge.study.workspace.stage("search-space", inputs, make)


def paired(knowledge: Knowledge, rationales: Iterable[Rationale]) -> list[Pair]:
    """What searches for each rationale: its question, and its reasons without the answer."""
    from tutelage.training.reranking import Pair

    return [
        Pair(example_id(r), knowledge.query(knowledge.known[r.question_id]), knowledge.reasons(r.question_id, r.text))
        for r in rationales
    ]


def kept_rationales(stages: Iterable[Stage]) -> list[Rationale]:
    """What these stages of rationales kept."""
    return [rationale_from_json(row) for stage in stages for row in read_jsonl(stage.folder / "kept.jsonl")]


def _pairs(knowledge: Knowledge, lessons: Sequence[Stage], settings: RerankerSection) -> tuple[list[Pair], list[Pair]]:
    """Questions with their rationales to learn from, and others to choose an epoch by.

    The latter are dev questions or, where nobody wrote rationales for those, a tenth of the training questions.
    """
    kept = sorted(kept_rationales(lessons), key=lambda r: _rank(example_id(r)))
    train, dev = _of(kept, knowledge.study.of("train")), _of(kept, knowledge.study.of("dev"))
    if not dev:
        asked = sorted({r.question_id for r in train}, key=_rank)
        held = set(asked[: max(1, len(asked) // 10)])
        train, dev = [r for r in train if r.question_id not in held], [r for r in train if r.question_id in held]
    return paired(knowledge, train[: settings.limit]), paired(knowledge, dev[: settings.dev_limit])


def _of(rationales: Iterable[Rationale], questions: Iterable[Question]) -> list[Rationale]:
    ids = {question.id for question in questions}
    return [rationale for rationale in rationales if rationale.question_id in ids]


def _rank(id: str) -> str:
    """Where an id stands in an order that depends on nothing but ids."""
    return hashlib.sha256(f"reranker:{id}".encode()).hexdigest()


def _read(path: Path) -> list[Ranking]:
    from tutelage.training.reranking import Ranking

    rows = read_jsonl(path)
    return [Ranking(r["query_id"], r["query"], tuple(r["passage_ids"]), tuple(r["scores"])) for r in rows]


def _texts(index: Retriever, rankings: Iterable[Ranking]) -> dict[str, Passage]:
    ids = list(dict.fromkeys(id for ranking in rankings for id in ranking.passage_ids))
    return dict(zip(ids, index.passages(ids), strict=True))


def _training_settings(section: RerankerSection) -> RerankerSettings:
    from tutelage.methods.learn import lora_settings
    from tutelage.training.reranking import RerankerSettings, Temperature

    made = {
        "teacher_temperature": Temperature(*section.teacher_temperature, section.temperature_shape),
        "model_temperature": Temperature(*section.model_temperature, section.temperature_shape),
        "lora": lora_settings(section.lora),
    }
    same = {field.name for field in fields(RerankerSettings)} & set(RerankerSection.model_fields) - made.keys()
    return RerankerSettings(**section.model_dump(include=same), **made)
