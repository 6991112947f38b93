"""What is looked up: a corpus, its index, and a reranker that learns which passages help."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tutelage.recipe.learner import LoraSection
from tutelage.recipe.section import Positive, Section, Share

Temperature = Annotated[float, Field(gt=0)]


class RerankerSection(Section):
    """A model taught to prefer the passages that the rationale would have found (KARD, section 3.3).

    Values without a note are those of the published code (Nardien/KARD at b2e4ac0, reranker/main.py); a note names
    another source or says "ours".
    """

    kind: str = "late-interaction"
    """late-interaction (ColBERT), whose vectors of passages are kept, cross-encoder, or with `path:` also
    "package.module:Class", a reranker of your own."""
    base: str | None = None
    """The encoder it starts from: a hub name, a folder, package:NAME, a GGUF file of a T5, or pocket/nano."""
    path: str | None = None
    """Instead of training one: a trained reranker, a folder or a hub name."""
    epochs: Positive = 3
    mentor_epochs: Positive | None = None
    """Give arm grounded-mentor a reranker of its own, trained for so many epochs on the rationales of the teacher and
    of the mentor. They are several times as many, so fewer epochs are as many steps. Ours."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    batch_size: Positive = 16
    """Questions in one step."""
    candidates: Annotated[int, Field(ge=2)] = 8
    """Passages of a question that are compared in one step."""
    searched: Positive = 32
    """Passages found by the question, and as many by the rationale, that training draws from."""
    loss: Literal["kl", "ce"] = "kl"
    """kl: the whole order (the paper's Eq. 3); ce: the best passage alone (the published code's default)."""
    teacher_temperature: tuple[Temperature, Temperature] = (5.0, 1.0)
    """Of the rationale's scores, at the first and at the last step."""
    model_temperature: tuple[Temperature, Temperature] = (1.0, 0.2)
    """Of the reranker's own scores. Ours: the published values are for vectors of any length."""
    temperature_shape: Literal["sigmoid", "linear", "geometric"] = "sigmoid"
    """How both go from the first to the last step; sigmoid, the published curve, is most of the way by half."""
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup: Share = 0.05
    """Share of all steps over which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """The default of torch's AdamW, which the published code takes."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Longer gradients are cut to this length; null cuts none. Ours."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products in training, as for a student; `auto` is bf16 where that is faster."""
    dimension: Positive | None = 128
    """Numbers in a vector (128: ColBERT); null adds no layer to the encoder."""
    normalize: bool = True
    """Vectors of length 1 (ColBERT); the published code compares them as they are."""
    query_tokens: Annotated[int, Field(ge=8)] = 128
    """Longer questions are cut. Ours."""
    passage_tokens: Annotated[int, Field(ge=8)] = 256
    """Longer passages are cut. Ours."""
    lora: LoraSection | None = LoraSection(rank=16, alpha=32, dropout=0.1)
    """On query and value layers; null trains every weight."""
    select: Literal["ndcg@10", "hits@1", "kl", "last"] = "ndcg@10"
    """Which epoch is kept, by the dev questions; the published code keeps the last."""
    limit: Positive | None = None
    """Train on so many rationales, chosen by the hash of their ids; without it on all that were kept."""
    dev_limit: Positive | None = 200
    """Dev rationales looked at after an epoch. Ours."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """One reranker of this seed for all students; without it each seed of the study has a reranker of its own. What
    chance there is in a single one cannot be told, so the report then gives no p-values for arms that it serves."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> RerankerSection:
        if (self.base is None) == (self.path is None):
            raise ValueError("name either `base:`, an encoder to train, or `path:`, a trained reranker")
        if self.base is not None and ":" in self.kind:
            raise ValueError(
                f"`kind: {self.kind}` is not trained here. Train it where it comes from and give its `path:`"
            )
        idle = self.differs(type(self).model_fields.keys() - {"kind", "base", "path"}) if self.path else []
        if idle:
            raise ValueError(f"{_named(idle)} for a reranker trained from `base:`; that of `path:` is taken as it is")
        return self

    def seed_of(self, seed: int) -> int:
        """The seed that it is trained with, in a study's run of this seed."""
        return seed if self.seed is None else self.seed


class KnowledgeSection(Section):
    """The passages that may stand beside a question."""

    corpus: str | list[str] | None = None
    """What passages are made of: a file (JSONL, JSONL.gz, Parquet), a folder of documents, a hub data set, or a
    built-in corpus such as pocket/atlas; several are put together."""
    index: str | None = None
    """Instead of a corpus: the folder of an index made by `tutelage index`."""
    words: Positive = 100
    """Most words of a passage cut from a document; rows of a file are passages as they stand."""
    overlap: Annotated[int, Field(ge=0)] = 0
    """Words at the end of a passage that the next one repeats."""
    retriever: str = "bm25"
    """bm25, or "package.module:Class"."""
    k1: Annotated[float, Field(ge=0)] = 0.9
    """Anserini's and Pyserini's default, which KARD used."""
    b: Share = 0.4
    query: Literal["question", "question-and-choices"] = "question-and-choices"
    """What searches at test; with the choices as in KARD (generate_predict.py:188)."""
    passages: Positive = 1
    """Passages beside a question; k of KARD, 1 in its Tables 3 and 4."""
    per: Literal["rationale", "question"] = "rationale"
    """A training example shows what its own rationale finds, or what the first rationale of its question finds."""
    candidates: Positive = 100
    """Passages fetched by the question for the reranker to order; κ* of KARD, Table 4."""
    reranker: RerankerSection | None = None
    gate: bool = False
    """Let dev decide, for each student that is taught, whether its passages help: if not, one answers that was taught
    and is asked without any. For kard, kard-bm25 and rag that is reasoning distillation's, for knowledge-fine-tuning
    fine-tuning's, for grounded-mentor Mentor-KD's. BM25 alone made OpenbookQA worse in KARD's Table 2."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> KnowledgeSection:
        if (self.corpus is None) == (self.index is None):
            raise ValueError("name either `corpus:`, what passages are made of, or `index:`, a finished index")
        if self.index is not None and (idle := self.differs(("words", "overlap"))):
            raise ValueError(f"{_named(idle)} for making passages of a `corpus:`; those of `index:` are made")
        if self.retriever != "bm25" and (idle := self.differs(("k1", "b"))):
            raise ValueError(f"{_named(idle)} for bm25; {self.retriever} is opened with its folder alone")
        if self.overlap >= self.words:
            raise ValueError(f"`overlap` must be less than `words`, {self.words}, or no passage gets anywhere")
        if self.reranker and self.candidates < self.passages:
            raise ValueError(
                f"`candidates` must be at least `passages`, {self.passages}: a reranker finds no more than it is "
                "given, and students would see fewer passages at test than in training"
            )
        return self

    @property
    def corpora(self) -> list[str]:
        """The corpora, in order."""
        return [self.corpus] if isinstance(self.corpus, str) else list(self.corpus or ())


def _named(keys: list[str]) -> str:
    """The subject of a sentence about some keys."""
    return " and ".join(f"`{key}`" for key in sorted(keys)) + (" is" if len(keys) == 1 else " are")
