"""Late interaction (ColBERT, Khattab and Zaharia 2020): one vector a token, compared only when a question is asked.

    score(question, passage) = sum over question tokens of the best dot product with any passage token   (MaxSim)

A passage's vectors do not depend on the question, so they can be made once and kept (`vectors.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tutelage.checkpoints import locate
from tutelage.errors import ModelError
from tutelage.models import quiet
from tutelage.retrieval.reranker import passage_text
from tutelage.types import Passage


class Ragged(NamedTuple):
    """Vectors of several texts one after another, without padding."""

    vectors_TH: NDArray[Any]  # noqa: N815
    """float32 or float16; T is the number of tokens of all texts together."""
    lengths: NDArray[np.int64]
    """Tokens of each text; at least 1."""


class LateInteraction:
    """A late-interaction reranker: a folder of `train_reranker`, or any ColBERT in sentence-transformers' format."""

    name = "late-interaction"

    def __init__(self, source: str | Path, *, device: str = "auto", batch_size: int = 32) -> None:
        folder = trained_model(source)
        self.fingerprint = fingerprint(folder) if folder else f"hub:{source}"
        self.model = _load(str(folder or source), device)
        self.batch_size = batch_size

    @classmethod
    def of(cls, model: Any, *, batch_size: int = 32) -> LateInteraction:
        """One around a `MultiVectorEncoder` in memory, e.g. one that is being trained; it has no fingerprint."""
        made = cls.__new__(cls)
        made.model, made.fingerprint, made.batch_size = model, "in memory", batch_size
        return made

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.model.get_embedding_dimension())

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        """MaxSim of each query with each of its candidates. Every text is encoded once, however often it stands."""
        texts = [[passage_text(passage) for passage in found] for found in candidates]
        known = _distinct(self.encode_passages, [text for found in texts for text in found])
        asked = _distinct(self.encode_queries, queries)
        return [
            maxsim(asked[query], ragged([known[text] for text in found])).tolist() if found else []
            for query, found in zip(queries, texts, strict=True)
        ]

    def encode_queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text its vectors, one row a token."""
        return self._encode(self.model.encode_query, texts)

    def encode_passages(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text its vectors, one row a token."""
        return self._encode(self.model.encode_document, texts)

    def _encode(self, encode: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        if not texts:
            return []
        with quiet():
            return encode(list(texts), batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False)


def maxsim(query_SH: NDArray[Any], passages: Ragged) -> NDArray[np.float32]:
    """The score of every passage for one query: for each query token the best passage token, summed.

    Nothing is padded: all tokens of all passages are compared in one product, then the best of each stretch is taken.
    """
    similarity_ST = query_SH.astype(np.float32, copy=False) @ passages.vectors_TH.astype(np.float32, copy=False).T
    starts = np.cumsum(passages.lengths) - passages.lengths
    return np.maximum.reduceat(similarity_ST, starts, axis=1).sum(axis=0)


def ragged(vectors: Sequence[NDArray[Any]]) -> Ragged:
    """Vectors of several texts, put one after another."""
    return Ragged(np.concatenate(vectors), np.array([len(rows) for rows in vectors], dtype=np.int64))


def trained_model(source: str | Path) -> Path | None:
    """The folder of a reranker's checkpoint: `source` or its `model`; None for a hub name. Raises ModelError."""
    inner = Path(source) / "model"
    return inner if (inner / "modules.json").is_file() else locate(str(source))


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


def _load(source: str, device: str) -> Any:
    from sentence_transformers import MultiVectorEncoder

    with quiet():
        try:
            return MultiVectorEncoder(source, device=device_name(device))
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"reranker {source!r} cannot be loaded: {reason} Give a folder that training a reranker wrote, "
                "or a late-interaction checkpoint of sentence-transformers."
            ) from error


def _distinct(encode: Any, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    once = list(dict.fromkeys(texts))
    return dict(zip(once, encode(once), strict=True))
