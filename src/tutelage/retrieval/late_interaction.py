"""Late interaction (ColBERT, Khattab and Zaharia 2020): one vector a token, compared only when a question is asked.

    score(question, passage) = sum over question tokens of the best dot product with any passage token   (MaxSim)

A passage's vectors do not depend on the question, so they can be made once and kept (`vectors.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tutelage.checkpoints import locate, source_of
from tutelage.errors import ModelError
from tutelage.models import quiet
from tutelage.retrieval.reranker import passage_text
from tutelage.retrieval.vectors import PassageVectors, Ragged, maxsim, ragged
from tutelage.types import Passage

AT_ONCE = 2048
"""Candidates whose vectors are in memory together: about 100 MB of 100 tokens each."""

Rows: TypeAlias = Callable[[Sequence[Passage]], Ragged]
"""Gives the vectors of some passages."""


class LateInteraction:
    """A late-interaction reranker: a folder of `train_reranker`, or any ColBERT in sentence-transformers' format.

    With `vectors`, a folder, a passage is encoded when it is first seen and then never again.
    """

    name = "late-interaction"

    def __init__(
        self, source: str | Path, *, device: str = "auto", batch_size: int = 32, vectors: str | Path | None = None
    ) -> None:
        self.fingerprint = fingerprint_of(source)
        self.model = _load(str(trained_model(source) or source), device)
        self.batch_size = batch_size
        self.vectors = None if vectors is None else PassageVectors(vectors, self)

    @classmethod
    def of(cls, model: Any, *, batch_size: int = 32) -> LateInteraction:
        """One around a `MultiVectorEncoder` in memory, e.g. one that is being trained: nothing of it is kept."""
        made = cls.__new__(cls)
        made.model, made.fingerprint, made.batch_size, made.vectors = model, "in memory", batch_size, None
        return made

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.model.get_embedding_dimension())

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        """MaxSim of each query with each of its candidates.

        Some questions at a time, so that memory does not grow with their number; of these each text is encoded once.
        """
        if self.vectors is not None:
            self.vectors.add(passage for found in candidates for passage in found)
        scores: list[list[float]] = []
        for some in _groups(candidates):
            scores += self._scores(queries[some], candidates[some])
        return scores

    def _scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        asked = _distinct(self.encode_queries, queries)
        rows = self._encoded(candidates) if self.vectors is None else self.vectors.of
        return [
            maxsim(asked[query], rows(found)).tolist() if found else []
            for query, found in zip(queries, candidates, strict=True)
        ]

    def _encoded(self, candidates: Sequence[Sequence[Passage]]) -> Rows:
        known = _distinct(self.encode_passages, [passage_text(passage) for found in candidates for passage in found])
        return lambda found: ragged([known[passage_text(passage)] for passage in found])

    def encode_queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text its vectors, one row a token."""
        return self._encode(self.model.encode_query, texts)

    def encode_passages(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text its vectors, one row a token."""
        return self._encode(self.model.encode_document, texts)

    def _encode(self, encode: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        if not texts:
            return []
        with quietly():
            return encode(list(texts), batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False)


def trained_model(source: str | Path) -> Path | None:
    """The folder of a reranker's checkpoint: `source` or its `model`; None for a hub name. Raises ModelError."""
    inner = Path(source) / "model"
    if not inner.is_dir() and (found := source_of(str(source))) and found.is_file():
        raise ModelError(
            f"{str(source)!r} is a GGUF file, which holds no reranker. Train one: `base:` instead of `path:`."
        )
    return inner if (inner / "modules.json").is_file() else locate(str(source))


def fingerprint_of(source: str | Path) -> str:
    """What decides the scores of a reranker: the content of its folder, or "hub:" and a name."""
    folder = trained_model(source)
    return fingerprint(folder) if folder else f"hub:{source}"


def fingerprint(folder: Path) -> str:
    """SHA-256 over all files that decide a checkpoint's scores, those of its modules' own folders too."""
    found = hashlib.sha256()
    for path in sorted(p for pattern in ("*.safetensors", "*.json", "*.txt", "*.model") for p in folder.rglob(pattern)):
        found.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def device_name(device: str) -> str:
    """The device that a word of the settings stands for: `auto` is a GPU where there is one."""
    import torch

    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def quietly() -> Generator[None]:
    """Silence the notices and bars of transformers and sentence-transformers; errors are still raised."""
    log = logging.getLogger("sentence_transformers")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet():
            yield
    finally:
        log.setLevel(before)


def load_trained(make: Callable[[str], Any], source: str, kinds: tuple[str, ...]) -> Any:
    """What `make` makes of a checkpoint that says it is one of these kinds of model.

    sentence-transformers would load any encoder and add layers of random numbers. Raises ModelError instead.
    """
    from safetensors import SafetensorError
    from sentence_transformers.util import load_file_path

    try:
        path = load_file_path(source, "config_sentence_transformers.json")
        kind = json.loads(Path(path).read_text(encoding="utf-8")).get("model_type") if path else None
        if kind not in kinds:
            raise ModelError(
                f"{source!r} is no trained reranker: expected a {kinds[0]} of sentence-transformers, it is "
                f"{kind or 'a plain encoder'}. Train one from it, with it as `base`."
            )
        with quietly():
            return make(source)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"reranker {source!r} cannot be loaded: {reason} Give a folder that training a reranker wrote, or a "
            f"{kinds[0]} of sentence-transformers."
        ) from error


def _load(source: str, device: str) -> Any:
    from sentence_transformers import MultiVectorEncoder

    return load_trained(
        lambda path: MultiVectorEncoder(path, device=device_name(device)), source, ("MultiVectorEncoder", "ColBERT")
    )


def _distinct(encode: Any, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    once = list(dict.fromkeys(texts))
    return dict(zip(once, encode(once), strict=True))


def _groups(candidates: Sequence[Sequence[Passage]]) -> Iterator[slice]:
    """Stretches of questions that have at most `AT_ONCE` candidates together, or are one question."""
    start = size = 0
    for i, found in enumerate(candidates):
        if size and size + len(found) > AT_ONCE:
            yield slice(start, i)
            start, size = i, 0
        size += len(found)
    yield slice(start, len(candidates))
