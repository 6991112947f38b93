"""What is looked up for a study: an index, what questions and rationales find in it, a reranker, and what is shown.

Each verb gives back a stage, as the verbs of `Study` do. A stage of found passages has one JSON object a line:

    {"of": "q-1f0c9a3be2d45a77", "hits": [["p-00017", 11.42], ["p-00311", 9.87]]}        best first
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage.errors import RecipeError
from tutelage.methods.corpora import open_corpus, together
from tutelage.methods.gold_documents import passages_of_documents
from tutelage.methods.reranking import kept_rationales, taught_reranker
from tutelage.methods.searching import search_in_parts
from tutelage.methods.silver import facts_fingerprint, reasons, silver_queries
from tutelage.plugins import resolve
from tutelage.rationales.diverse import example_id
from tutelage.recipe import KnowledgeSection, LearnerSection, RerankerSection
from tutelage.runs import Json, Stage, fingerprint, read_json, read_jsonl, write_json, write_jsonl
from tutelage.types import SPLITS, Hit, Passage, Question, Rationale, Split

if TYPE_CHECKING:
    from tutelage.methods.study import Study
    from tutelage.retrieval.retriever import Retriever

KEPT_HITS = 10
"""Hits kept at least of every search, however few are shown: the report tells at which rank the best one came."""


class Indexed(NamedTuple):
    """An index that can be searched."""

    folder: Path
    fingerprint: str


class Knowledge:
    """The `knowledge` section of a study at work."""

    def __init__(self, study: Study, settings: KnowledgeSection, *more: Stage, seed: int | None = None) -> None:
        """`more` are rationales that a reranker learns from besides the teacher's, `seed` is that of the study's run.

        Without a seed it is the first of the recipe.
        """
        self.study = study
        self.settings = settings
        self.more = more
        self.seed = study.recipe.seeds[0] if seed is None else seed

    def for_seed(self, seed: int) -> Knowledge:
        """The same knowledge with the reranker that is used in the study's run of this seed."""
        return Knowledge(self.study, self.settings, *self.more, seed=seed)

    def with_lessons(self, *more: Stage) -> Knowledge:
        """The same knowledge, with a reranker that learnt from these rationales too."""
        return Knowledge(self.study, self.settings, *more, seed=self.seed)

    # --- the index

    def index(self) -> Indexed:
        """The corpus, indexed; or the user's own index as it stands."""
        settings = self.settings
        if settings.index is not None:
            folder = Path(settings.index).expanduser()
            return Indexed(folder, self.open(folder).fingerprint)
        corpora = [open_corpus(name, settings, self.study.recipe.task) for name in settings.corpora]
        inputs: dict[str, Json] = {
            "corpora": [c.content for c in corpora],
            "retriever": settings.retriever,
            "layout": getattr(self._kind, "LAYOUT", None),
        }

        def make(folder: Path) -> None:
            built = self._kind.build(together(corpora), folder / "index")
            write_json(folder / "corpus.json", {"passages": len(built), "corpora": list(settings.corpora)})

        stage = self.study.workspace.stage("index", inputs, make)
        return Indexed(stage.folder / "index", stage.fingerprint)

    @cached_property
    def _kind(self) -> Any:
        from tutelage.retrieval.retriever import RETRIEVERS

        return resolve(self.settings.retriever, RETRIEVERS, "retriever")

    def open(self, folder: Path) -> Retriever:
        """The index in a folder, with the weights of this recipe."""
        return open_index(self.settings, folder)

    @property
    def searching(self) -> dict[str, Json]:
        """What decides the order in which passages are found."""
        return {"index": self.index().fingerprint, "k1": self.settings.k1, "b": self.settings.b}

    # --- what is found

    def asked(self) -> Stage:
        """What every question finds by itself, in all splits: the candidates of a reranker, or the end of it."""
        settings, questions = self.settings, self.study.questions()
        depth = max(settings.passages, settings.candidates, KEPT_HITS)
        inputs = {**self.searching, "questions": questions.fingerprint, "query": settings.query, "depth": depth}

        def make(folder: Path) -> None:
            asked = [q for split in SPLITS for q in self.study.of(split)]
            self._search(folder, {q.id: self.query(q) for q in asked}, depth)

        return self.study.workspace.stage("asked", inputs, make)

    def beside(self, *sources: Stage | None) -> Stage:
        """What the kept rationales of train and dev find, each for itself: the passages that are learnt with."""
        stages = [source for source in sources if source]
        depth = max(self.settings.passages, KEPT_HITS)
        kept: list[Json] = [stage.fingerprint for stage in stages]
        inputs = {**self.searching, "rationales": kept, "per": self.settings.per, "depth": depth}

        def make(folder: Path) -> None:
            rationales = kept_rationales(stages)
            if self.settings.per == "rationale":
                self._search(folder, {example_id(r): self.reasons(r.question_id, r.text) for r in rationales}, depth)
            else:
                self._search(folder, self._first_of_each(rationales), depth)

        return self.study.workspace.stage("beside", inputs, make)

    def silver(self, split: Split) -> Stage:
        """What rationales find for the questions of one split: a choice among epochs on dev, an oracle on test.

        On train and dev these are the first kept rationales. On test the teacher is asked for one, or the facts that
        the question was written from are taken; both know the answer. For a question that has neither but names the
        document with its answer, question and answer together choose among the passages of this document. For any
        other, and with a scarce teacher that is most of them, the reranker finds what it can or, where there is none,
        the question.
        """
        found, alone = self._silver_hits(split), self.served(split)
        inputs: dict[str, Json] = {"found": found.fingerprint, "served": alone.fingerprint, "split": split}

        def make(folder: Path) -> None:
            rows = read_jsonl(found.folder / "hits.jsonl")
            without = {q.id for q in self.study.of(split)} - {row["of"] for row in rows}
            depth = max(self.settings.passages, KEPT_HITS)
            by_question = read_jsonl(alone.folder / "hits.jsonl")
            more = [{**row, "hits": row["hits"][:depth]} for row in by_question if row["of"] in without]
            write_jsonl(folder / "hits.jsonl", [*rows, *more])
            write_json(folder / "silver.json", {"found": len(rows), "by_question": len(more)})

        return self.study.workspace.stage("silver", inputs, make)

    def _silver_hits(self, split: Split) -> Stage:
        """What rationales find for the questions of one split, as far as there are any: the same for every seed."""
        study, depth = self.study, max(self.settings.passages, KEPT_HITS)
        taught = study.taught()
        inputs: dict[str, Json] = {
            **self.searching,
            "rationales": taught.fingerprint,
            "questions": study.questions().fingerprint,
            "split": split,
            "depth": depth,
        }
        test = split == "test"
        if test:
            inputs["facts"] = facts_fingerprint(study.recipe.task, study.of(split))

        def make(folder: Path) -> None:
            questions = study.of(split)
            if test:
                assert study.recipe.teacher is not None  # `taught` has looked
                written = silver_queries(study.recipe.teacher, study.recipe.task, questions)
                queries = {id: self.reasons(id, text) for id, text in written.items()}
            else:
                first = self._first_of_each(kept_rationales([taught]))
                queries = {q.id: first[q.id] for q in questions if q.id in first}
            documents = self._of_documents([q for q in questions if q.id not in queries], depth) if test else {}
            self._search(folder, queries, depth, more=[{"of": of, "hits": _rows(documents[of])} for of in documents])

        return study.workspace.stage("silver-hits", inputs, make)

    def _of_documents(self, questions: Sequence[Question], depth: int) -> dict[str, list[Hit]]:
        """The passages of the documents that questions name, the best for question and answer together first."""
        named = passages_of_documents(self.settings, self.study.recipe.task, questions)
        index = self.open(self.index().folder)
        found: dict[str, list[Hit]] = {}
        for question in questions:
            ids = sorted(named.get(question.id, ()))
            scores = index.score(f"{self.query(question)} {question.answer}", ids) if ids else []
            best = sorted(zip(ids, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:depth]
            found |= {question.id: [Hit(id, score, rank) for rank, (id, score) in enumerate(best)]} if best else {}
        return found

    def chosen_by(self, learner: LearnerSection) -> Stage:
        """What stands beside the questions that a learner's epoch is chosen by: dev's, or against all advice test's."""
        return self.served("test") if learner.select == "test_accuracy" else self.silver("dev")

    def query(self, question: Question) -> str:
        """The words a question searches with."""
        return query_of(question, self.settings.query)

    def _first_of_each(self, rationales: Iterable[Rationale]) -> dict[str, str]:
        """What the first kept rationale of each question searches with."""
        first: dict[str, str] = {}
        for rationale in rationales:
            first.setdefault(rationale.question_id, self.reasons(rationale.question_id, rationale.text))
        return first

    def reasons(self, question_id: str, text: str) -> str:
        """What a rationale for this question searches with: see `silver.reasons`."""
        return reasons(text, self.known[question_id], self.study.task.answer_type)

    @cached_property
    def known(self) -> dict[str, Question]:
        """All questions of the study by id."""
        return {question.id: question for split in SPLITS for question in self.study.of(split)}

    def _search(
        self, folder: Path, queries: Mapping[str, str], depth: int, more: Iterable[Mapping[str, Json]] = ()
    ) -> None:
        """Write `hits.jsonl`, a row for each query, and then `more` rows."""
        partial = folder / "partial.jsonl"
        found = self.found(self.open(self.index().folder), [*queries.values()], depth, partial)
        rows = [{"of": of, "hits": _rows(found[text])} for of, text in queries.items()]
        write_jsonl(folder / "hits.jsonl", [*rows, *more])
        partial.unlink(missing_ok=True)

    def found(self, index: Retriever, queries: Sequence[str], depth: int, partial: Path) -> dict[str, list[Hit]]:
        """What each query finds; progress is told, and `partial` keeps it for a rerun."""
        return search_in_parts(
            index,
            queries,
            depth,
            partial=partial,
            on_done=lambda done, total: self.study.tell("searches", {"done": done, "total": total}),
        )

    # --- the reranker

    @property
    def _reranker(self) -> RerankerSection:
        if self.settings.reranker is None:
            raise RecipeError("knowledge.reranker: missing, and an arm of this recipe orders passages with one")
        return self.settings.reranker

    def reranker(self) -> Indexed:
        """A reranker taught by the scores that the teacher's rationales give to passages; or one trained before."""
        settings = self._reranker
        if settings.path is not None:
            from tutelage.retrieval.late_interaction import fingerprint_of, trained_model

            return Indexed(trained_model(settings.path) or Path(settings.path), fingerprint_of(settings.path))
        lessons = [self.study.taught(), *self.more]
        epochs = settings.mentor_epochs if self.more and settings.mentor_epochs else settings.epochs
        settings = settings.model_copy(update={"epochs": epochs, "seed": settings.seed_of(self.seed)})
        stage = taught_reranker(self, lessons, settings)
        return Indexed(stage.folder / "model", stage.fingerprint)

    def served(self, split: Split) -> Stage:
        """What is found without a rationale: by the reranker or, where the recipe has none, by the question alone."""
        return self.reranked(split) if self.settings.reranker else self.asked()

    def reranked(self, split: Split) -> Stage:
        """The candidates of the questions of one split in the reranker's order."""
        settings, asked, reranker = self.settings, self.asked(), self.reranker()
        depth = max(settings.passages, KEPT_HITS)
        inputs: dict[str, Json] = {
            "asked": asked.fingerprint,
            "candidates": settings.candidates,
            "reranker": reranker.fingerprint,
            "kind": self._reranker.kind,
            "split": split,
            "depth": depth,
        }

        def make(folder: Path) -> None:
            from tutelage.retrieval.reranker import load_reranker, rerank

            questions = self.study.of(split)
            found = read_hits(asked)
            hits = [found[q.id][: settings.candidates] for q in questions]
            index = self.open(self.index().folder)
            ids = list(dict.fromkeys(hit.passage_id for row in hits for hit in row))
            keep = {"vectors": kept} if (kept := self._vectors(reranker)) else {}
            model = load_reranker(self._reranker.kind, reranker.folder, device=self.study.recipe.compute.device, **keep)
            self.study.tell("reranks", {"done": 0, "total": len(questions)})
            passages = dict(zip(ids, index.passages(ids), strict=True))
            best = rerank(model, [self.query(q) for q in questions], hits, passages, depth)
            rows = ({"of": q.id, "hits": _rows(row)} for q, row in zip(questions, best, strict=True))
            write_jsonl(folder / "hits.jsonl", rows)

        return self.study.workspace.stage("reranked", inputs, make)

    def _vectors(self, reranker: Indexed) -> Path | None:
        """Where this reranker's vectors of this index's passages are kept: for all splits, and for who asks later."""
        if self._reranker.kind != "late-interaction":
            return None
        from tutelage.retrieval.late_interaction import fingerprint_of

        mine = fingerprint({"reranker": fingerprint_of(reranker.folder), "index": self.index().fingerprint})
        return self.study.workspace.folder / "vectors" / mine[:12]

    # --- what is shown

    def passages(self, found: Stage, wanted: Iterable[str]) -> dict[str, list[Passage]]:
        """The best `passages` of each of these rows, with their texts."""
        hits = read_hits(found)
        best = {of: [hit.passage_id for hit in hits.get(of, [])[: self.settings.passages]] for of in wanted}
        ids = list(dict.fromkeys(id for row in best.values() for id in row))
        index = self.open(self.index().folder)
        texts = dict(zip(ids, index.passages(ids), strict=True))
        return {of: [texts[id] for id in row] for of, row in best.items()}

    def card(self, folder: Path, reranker: Indexed | None) -> dict[str, Json]:
        """What a server must know to look up passages for a student in `folder`: see `looking_up`."""
        settings, run = self.settings, self.study.workspace.folder
        card: dict[str, Json] = {
            "index": _path_from(folder, self.index().folder, run),
            **settings.model_dump(mode="json", include={"retriever", "k1", "b", "query", "passages"}),
        }
        if reranker:
            where = reranker.folder
            card |= {
                "reranker": _path_from(folder, where, run) if where.exists() else self._reranker.path,
                "kind": self._reranker.kind,
                "candidates": settings.candidates,
            }
            if kept := self._vectors(reranker):
                card["vectors"] = _path_from(folder, kept, run)
        return card


def query_of(question: Question, kind: str) -> str:
    """The words a question searches with, by the setting `knowledge.query`."""
    choices = question.choices if kind == "question-and-choices" else ()
    return " ".join([question.text, *choices])


def open_index(settings: KnowledgeSection, folder: Path) -> Retriever:
    """The index in a folder. k1 and b are BM25's: a retriever from outside is opened with the folder alone."""
    from tutelage.retrieval.retriever import open_retriever

    weights = {"k1": settings.k1, "b": settings.b} if settings.retriever == "bm25" else {}
    return open_retriever(settings.retriever, folder, **weights)


def read_hits(found: Stage) -> dict[str, list[Hit]]:
    """What was found, best first, by what it was found for: a question's id or an example's."""
    rows = read_jsonl(found.folder / "hits.jsonl")
    return {r["of"]: [Hit(id, score, rank) for rank, (id, score) in enumerate(r["hits"])] for r in rows}


def silver_counts(stage: Stage) -> Any:
    """For how many questions of a silver stage something searched that knows the answer, and for how many nothing."""
    return read_json(stage.folder / "silver.json")


def _path_from(folder: Path, where: Path, run: Path) -> str:
    """How a card in `folder` names a place: relative inside of a run, which is moved as a whole, else absolute."""
    here, there = folder.resolve(), where.expanduser().resolve()
    return os.path.relpath(there, here) if there.is_relative_to(run.resolve()) else str(there)


def _rows(hits: Sequence[Hit]) -> list[Json]:
    return [[hit.passage_id, round(hit.score, 4)] for hit in hits]
