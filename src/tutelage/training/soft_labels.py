"""A mentor's distributions over the next token, written once for all students that learn from them.

A pass over the examples stores, for each token of each target, the mentor's `top_k` likeliest tokens with their
log-probabilities and the log of the mass that all others share: at k = 16 and 32,000 tokens 66 bytes a token, where
the distribution itself would take 64,000. Positions of prompts and padding are not stored at all.

    soft-labels/
      manifest.json    what they were made of and how large each file is; written last
      rows.jsonl       {"id": "q-1#teacher#0", "start": 0, "length": 41, "digest": "9c1e..."}
      log_probs.npy    (tokens, 16) float16: [-0.11, -2.62, -5.90, ...]
      ids.npy          (tokens, 16) uint16:  [  318,    71,     4, ...]
      tail.npy         (tokens, 1) float16:  [-4.71]

    write_soft_labels(mentor, examples, folder, max_prompt_tokens=512, max_target_tokens=512)
    SoftLabels.open(folder).at(2.0).read(rows)

With `draws` they hold tokens drawn from the mentor instead of its likeliest: a top k is biased towards what is stored,
draws are not (Sparse Logit Sampling, Anshumann et al., ACL 2025, arXiv 2503.16870). With `top_k=None` they are whole.
What a top k misses stands in the manifest, and `top_k="auto"` takes as many tokens as a bound on that needs (`missed`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from tutelage.errors import RunError
from tutelage.models import LanguageModel, evaluating, fits_vocabulary
from tutelage.runs import read_json, read_jsonl, write_json, write_jsonl, write_text
from tutelage.seeds import uniforms
from tutelage.training.batching import Batches, Collator, Row, tokenize
from tutelage.training.divergences import over_stored
from tutelage.training.last_layer import counted, logits_at, vocabulary_width
from tutelage.training.missed import look_at
from tutelage.types import Example

VERSION = 2
MANIFEST, BEGUN, BATCHES_DONE, ROWS = "manifest.json", "begun.json", "batches-done.txt", "rows.jsonl"
TAIL = "tail.json"
PARTS = ("name", "vocabulary", "dtypes", "arguments", "files")
"""What a manifest is read for."""
T = TypeVar("T")
POSITIONS_AT_ONCE = 1024
"""Positions whose distributions are worked on together; what a pass needs besides the mentor's own memory."""


def write_soft_labels(
    lm: LanguageModel,
    examples: Sequence[Example],
    folder: Path,
    *,
    max_prompt_tokens: int,
    max_target_tokens: int,
    top_k: int | Literal["auto"] | None = 16,
    max_missed: float = 0.05,
    against: LanguageModel | None = None,
    draws: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    batch_tokens: int = 8192,
    on_done: Callable[[int, int], None] | None = None,
) -> None:
    """Run the mentor over all examples once and keep its distributions in `folder`.

    The limits are those that the student will be trained with. `draws` takes the place of `top_k`; None for both keeps
    whole distributions. "auto" stores the fewest tokens that miss no more than the share `max_missed` of the divergence
    from the mentor to the model `against`, the student before it is trained, or without one to a model that finds all
    tokens equally likely (`Missed.share`). It is looked at on about a thousand positions before the pass begins; the
    manifest has it for a given `top_k` too, and the mean mass of all tails. Stored are k * 4 + 2 bytes a token (k * 6 +
    2 above 65,536 tokens), or all tokens where that takes no more.

    An example that does not fit is left out. `on_done` hears (examples done, examples in all) after each batch. Killed
    and called again it goes on: at most the batch it was in is done twice, and the files are the same to the byte.
    Raises RunError for a folder begun with other arguments.
    """
    auto, numbers = top_k == "auto" and not draws, (temperature, None if top_k == "auto" else top_k, draws)
    if min(number for number in numbers if number is not None) <= 0 or not 0 <= max_missed <= 1:
        raise RunError(
            f"soft labels: top_k {top_k}, draws {draws}, temperature {temperature}; all must be above zero. max_missed "
            f"{max_missed:g} must be from 0 to 1."
        )
    rows, _ = tokenize(lm, examples, max_prompt_tokens=max_prompt_tokens, max_target_tokens=max_target_tokens)
    plan = _Plan.of(lm, rows, top_k, draws, temperature, seed, batch_tokens)
    reference = against if against is not None and fits_vocabulary(lm, against) and against.kind == lm.kind else None
    chosen_by = {"max_missed": max_missed, "against": reference.fingerprint if reference else None} if auto else {}
    limits = {"max_prompt_tokens": max_prompt_tokens, "max_target_tokens": max_target_tokens}
    arguments = {**plan.arguments, **limits, **chosen_by}
    arguments |= {"examples": _digest_examples(examples), "mentor": lm.fingerprint}
    if _claim(folder, arguments):
        return
    _check_ids(rows)
    tail = _look_at_tail(lm, reference, plan, rows, folder, max_missed if auto else None)
    if auto:
        plan = plan.storing(tail["top_k"] if tail else None)
    writer = _Writer(folder, plan, rows)
    with evaluating(lm):
        for number in writer.left():
            writer.keep(number, _distributions(lm, plan, [rows[i] for i in plan.batches[number]]))
            if on_done:
                on_done(writer.examples_done, len(rows))
    writer.finish(arguments, lm, tail)


@dataclass(frozen=True)
class _Plan:
    """What is stored, and in which batches it is worked out."""

    arguments: dict[str, Any]
    arrays: dict[str, tuple[str, int]]
    """Type and columns of each array."""
    batches: list[list[int]]
    draws: int | None
    places: int | None
    """Tokens stored at a position; None for all."""
    width: int
    temperature: float
    seed: int

    @classmethod
    def of(
        cls,
        lm: LanguageModel,
        rows: Sequence[Row],
        top_k: int | Literal["auto"] | None,
        draws: int | None,
        temperature: float,
        seed: int,
        batch_tokens: int,
    ) -> _Plan:
        width, given = vocabulary_width(lm), None if top_k == "auto" else top_k
        places = draws or (given if given and given < width else None)  # all of them are stored exactly
        arguments = {
            "version": VERSION,
            "tokenizer": _digest_tokenizer(lm),
            "top_k": None if draws else top_k,
            "draws": draws,
            "temperature": temperature,
            "seed": seed if draws else None,
            "batch_tokens": batch_tokens,
        }
        batches = list(Batches([row.lengths for row in rows], tokens=batch_tokens)) if rows else []
        return cls(arguments, _arrays(width, places, draws), batches, draws, places, width, temperature, seed)

    def storing(self, places: int | None) -> _Plan:
        """The same with so many tokens at a position, None for all."""
        return replace(self, places=places, arrays=_arrays(self.width, places, self.draws))


def _arrays(width: int, places: int | None, draws: int | None) -> dict[str, tuple[str, int]]:
    arrays = {"log_probs": ("float16" if places else "float32", places or width)}
    if places:
        arrays["ids"] = ("uint16" if width <= 1 << 16 else "uint32", places)
    if places and not draws:
        arrays["tail"] = ("float16", 1)
    return arrays


def bytes_per_token(arrays: dict[str, tuple[str, int]]) -> int:
    """What a target token takes on disk."""
    return sum(np.dtype(dtype).itemsize * columns for dtype, columns in arrays.values())


def _look_at_tail(
    lm: LanguageModel,
    reference: LanguageModel | None,
    plan: _Plan,
    rows: Sequence[Row],
    folder: Path,
    bound: float | None,
) -> dict[str, Any] | None:
    """What the pass will miss, and with a bound the k chosen by it: kept on disk, so that a second try has the same.

    None where nothing is missed: whole distributions, and draws, which are unbiased.
    """
    if plan.draws or (plan.places is None and bound is None):
        return None
    if not (folder / TAIL).exists():
        missed = look_at(lm, reference, rows, width=plan.width, temperature=plan.temperature)
        k = plan.places if bound is None else missed.smallest(bound)
        if k is None or k >= plan.width or bytes_per_token(plan.storing(k).arrays) >= 4 * plan.width:
            k = None
        against = reference.name if reference else None
        write_json(folder / TAIL, {"top_k": k, "against": against, **missed.at(k)})
    return _object(folder / TAIL, "top_k", "against", "missed")


def _distributions(lm: LanguageModel, plan: _Plan, rows: Sequence[Row]) -> dict[str, Tensor]:
    """Of one batch: what to store of each target token, all rows behind each other."""
    batch = Collator(lm)(rows)
    labels_BT, _ = batch.pop("labels"), batch.pop("weights")
    places_N = counted(labels_BT)
    inputs = {name: tensor.to(lm.device) for name, tensor in batch.items()}
    logits_NV = logits_at(lm, lm.model, inputs, places_N.to(lm.device))
    drawn_ND = _uniforms(plan, rows) if plan.draws else None
    parts = [
        _stored(logits_NV[i : i + POSITIONS_AT_ONCE], plan, None if drawn_ND is None else drawn_ND[i:])
        for i in range(0, len(places_N), POSITIONS_AT_ONCE)
    ]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in plan.arrays}


def _stored(logits_NV: Tensor, plan: _Plan, uniforms_ND: Tensor | None) -> dict[str, Tensor]:
    tokens_NV = logits_NV[:, : plan.width].float()
    if uniforms_ND is not None:
        return _drawn(tokens_NV, plan, uniforms_ND[: len(tokens_NV)].to(tokens_NV.device))
    if plan.places is None:
        return {"log_probs": (tokens_NV / plan.temperature).log_softmax(-1)}
    ids_NK = tokens_NV.topk(plan.places, dim=-1).indices
    log_p_NK = over_stored(
        tokens_NV, ids_NK[:, 0], ids_NK, temperature=plan.temperature, width=plan.width, tail=True
    ).log_q
    return {"ids": ids_NK, "log_probs": log_p_NK[:, :-1], "tail": log_p_NK[:, -1:]}


def _drawn(tokens_NV: Tensor, plan: _Plan, uniforms_ND: Tensor) -> dict[str, Tensor]:
    """Drawn ids once each, with the log of their share of the draws; places left over have id 0 and weight zero."""
    sums_NV = (tokens_NV.double() / plan.temperature).softmax(-1).cumsum(-1)
    ids_ND = torch.searchsorted(sums_NV, uniforms_ND * sums_NV[:, -1:], right=True).clamp_(max=plan.width - 1)
    ids_ND = ids_ND.sort(-1).values
    first_ND = torch.ones_like(ids_ND, dtype=torch.bool)
    first_ND[:, 1:] = ids_ND[:, 1:] != ids_ND[:, :-1]
    counts_ND = (ids_ND[:, :, None] == ids_ND[:, None, :]).sum(-1) * first_ND
    return {"ids": ids_ND * first_ND, "log_probs": (counts_ND / uniforms_ND.shape[1]).log()}


def _uniforms(plan: _Plan, rows: Sequence[Row]) -> Tensor:
    """Random numbers for each target token, decided by the example's id and the seed, not by its batch."""
    return torch.cat([uniforms(f"{plan.seed} {row.id}", len(row.target), plan.draws or 0) for row in rows])


class _Writer:
    """The arrays of a pass and a note of the batches that are safely in them."""

    def __init__(self, folder: Path, plan: _Plan, rows: Sequence[Row]) -> None:
        self.folder, self.plan, self.rows = folder, plan, rows
        lengths = [len(row.target) for row in rows]
        self.starts = [0, *np.cumsum(lengths).tolist()]
        self.note = folder / BATCHES_DONE
        self.done = self._batches_done()
        self.arrays = {name: self._array(name, *kind) for name, kind in plan.arrays.items()}

    @property
    def examples_done(self) -> int:
        """How many examples are stored."""
        return sum(len(self.plan.batches[number]) for number in self.done)

    def left(self) -> list[int]:
        """Numbers of the batches still to do."""
        return [number for number in range(len(self.plan.batches)) if number not in self.done]

    def keep(self, number: int, found: dict[str, Tensor]) -> None:
        """Store a batch: first the arrays, then, once they are on disk, the note."""
        for name, array in self.arrays.items():
            values, at = found[name].numpy(), 0
            for i in self.plan.batches[number]:
                start, stop = self.starts[i : i + 2]
                array[start:stop] = values[at : at + stop - start]
                at += stop - start
            array.flush()
        with self.note.open("a", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        self.done.add(number)

    def finish(self, arguments: dict[str, Any], lm: LanguageModel, tail: dict[str, Any] | None) -> None:
        """Write what each row is, then, as the last act, the manifest."""
        write_jsonl(
            self.folder / ROWS,
            [
                {"id": row.id, "start": start, "length": len(row.target), "digest": _digest_row(row)}
                for row, start in zip(self.rows, self.starts[:-1], strict=True)
            ],
        )
        files = [ROWS, *(f"{name}.npy" for name in self.arrays)]
        manifest = {
            "name": lm.name,
            "vocabulary": self.plan.width,
            "network_width": int(lm.model.get_input_embeddings().weight.shape[0]),
            "tokens": self.starts[-1],
            "dtypes": {name: dtype for name, (dtype, _) in self.plan.arrays.items()},
            "arguments": arguments,
            "files": {name: (self.folder / name).stat().st_size for name in files},
            "bytes_per_token": bytes_per_token(self.plan.arrays),
            "tail": {**tail, "mass": self._tail_mass()} if tail else None,
        }
        write_json(self.folder / MANIFEST, manifest)
        _tidy(self.folder)

    def _tail_mass(self) -> float:
        """The mean over all tokens; all of them are stored where there is no such array."""
        return float(np.exp(self.arrays["tail"], dtype=np.float64).mean()) if "tail" in self.arrays else 0.0

    def _batches_done(self) -> set[int]:
        """What the note says, less a last line that a kill cut short; nothing where an array is not whole."""
        text = self.note.read_text(encoding="ascii") if self.note.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if not all(self._is_whole(name, *kind) for name, kind in self.plan.arrays.items()):
            whole = ""
        write_text(self.note, whole)
        return {int(line) for line in whole.split()}

    def _is_whole(self, name: str, dtype: str, columns: int) -> bool:
        """Whether a file is this plan's, and no byte too long or short: numpy would fill up a short one with zeros."""
        try:
            found = np.load(self._path(name), mmap_mode="r")
            size = self._path(name).stat().st_size
        except (OSError, EOFError, ValueError):
            return False
        ours = (found.dtype, found.shape) == (np.dtype(dtype), (self.starts[-1], columns))
        return ours and size == found.offset + found.nbytes

    def _array(self, name: str, dtype: str, columns: int) -> np.memmap[Any, Any]:
        if self.done:
            return np.load(self._path(name), mmap_mode="r+")
        shape = (self.starts[-1], columns)
        return np.lib.format.open_memmap(self._path(name), mode="w+", dtype=np.dtype(dtype), shape=shape)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


class Soft(NamedTuple):
    """The mentor's distribution at each target token of some rows."""

    ids: Tensor | None
    """(N, K) The stored tokens; None where there is a bucket for each token."""
    log_p: Tensor
    """(N, K) Log-probabilities in float32; with a tail there is one more column than ids. They sum to one."""


@dataclass(frozen=True)
class SoftLabels:
    """A finished cache, read from disk as needed."""

    folder: Path
    manifest: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    """By example id."""
    arrays: dict[str, Any]
    temperature: float
    """At which the distributions are read."""

    @classmethod
    def open(cls, folder: Path) -> SoftLabels:
        """The cache in a folder. Raises RunError where it is unfinished or a file is missing, cut short or damaged."""
        if not (folder / MANIFEST).exists():
            raise RunError(
                f"{folder} holds no finished soft labels (no {MANIFEST}). Write them first, or go on writing."
            )
        manifest = _object(folder / MANIFEST, *PARTS)
        for name, expected in manifest["files"].items():
            found = (folder / name).stat().st_size if (folder / name).exists() else None
            if found != expected:
                found = "missing" if found is None else f"{found} bytes"
                raise RunError(
                    f"soft labels: {folder / name} is {found}, expected {expected} bytes. "
                    f"Delete the folder {folder} and run again."
                )
        rows = {row["id"]: row for row in read_jsonl(folder / ROWS)}
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in manifest["dtypes"]}
        return cls(folder, manifest, rows, arrays, manifest["arguments"]["temperature"])

    @property
    def width(self) -> int:
        """Tokens that mentor and student share: those that the tokenizer knows."""
        return self.manifest["vocabulary"]

    @property
    def draws(self) -> int | None:
        """How many tokens were drawn at each position, if they were drawn."""
        return self.manifest["arguments"]["draws"]

    @property
    def stored(self) -> int | None:
        """How many tokens are stored at each position; None for all."""
        return self.arrays["ids"].shape[1] if "ids" in self.arrays else None

    @property
    def has_tail(self) -> bool:
        """Whether the last bucket is everything that is not stored."""
        return "tail" in self.arrays

    def at(self, temperature: float) -> SoftLabels:
        """The same distributions at another temperature.

        Exact for whole distributions, and for the ratios within the stored part of a top k. Its tail is not known
        token by token; its mass is spread evenly over the tokens that are not stored, which gives the tail too much
        weight where the temperature rises and too little where it falls. Write at the temperature that is needed where
        that matters. Draws cannot be changed: RunError.
        """
        written = self.manifest["arguments"]["temperature"]
        if self.draws and temperature != written:
            raise RunError(
                f"soft labels: drawn at temperature {written:g}, asked for at {temperature:g}. "
                "Draws hold for one temperature; write them anew, or store a top_k."
            )
        return replace(self, temperature=temperature)

    def check(self, lm: LanguageModel, rows: Sequence[Row]) -> None:
        """Raise RunError unless these rows of this student are the ones that the mentor was asked about."""
        mentor, arguments = self.manifest["name"], self.manifest["arguments"]
        if arguments["tokenizer"] != _digest_tokenizer(lm):
            raise RunError(other_tokenizer(mentor, lm.name))
        absent = [row.id for row in rows if row.id not in self.rows]
        if absent:
            raise RunError(
                f"no soft labels of mentor {mentor} for {len(absent)} of {len(rows)} examples, the first {absent[0]}. "
                f"It may not fit the mentor: raise its max_target_tokens (now {arguments['max_target_tokens']}), "
                "leave the example out, or set soft_labels.weight: 0."
            )
        other = [row.id for row in rows if self.rows[row.id]["digest"] != _digest_row(row)]
        if other:
            raise RunError(
                f"mentor {mentor} and student {lm.name} read {len(other)} of {len(rows)} examples as different tokens, "
                f"the first {other[0]}. Train with the mentor's limits (max_prompt_tokens "
                f"{arguments['max_prompt_tokens']}, max_target_tokens {arguments['max_target_tokens']}) and choose two "
                "models of one architecture, or write the soft labels anew from the present examples."
            )

    def read(self, rows: Sequence[Row]) -> Soft:
        """The distributions at the target tokens of these rows, all rows behind each other, in their order."""
        spans = [slice(r["start"], r["start"] + r["length"]) for r in (self.rows[row.id] for row in rows)]
        found = {name: np.concatenate([array[span] for span in spans]) for name, array in self.arrays.items()}
        log_p_NK = torch.from_numpy(found["log_probs"]).float()
        if "ids" not in found:
            return Soft(None, _at_ratio(log_p_NK, self._ratio))
        ids_NK = torch.from_numpy(found["ids"].astype(np.int64))
        if self.draws:
            # Shares of the draws are known to be whole numbers of them: what float16 lost comes back.
            return Soft(ids_NK, ((log_p_NK.exp() * self.draws).round() / self.draws).log())
        tail_N1, others = torch.from_numpy(found["tail"]).float(), self.width - ids_NK.shape[1]
        spread = math.log(others) if others else 0.0
        tail_N1 = _powered(tail_N1 - spread, self._ratio) + spread
        return Soft(ids_NK, torch.cat([_powered(log_p_NK, self._ratio), tail_N1], dim=-1).log_softmax(-1))

    @property
    def _ratio(self) -> float:
        return self.manifest["arguments"]["temperature"] / self.temperature


def _powered(log_p: Tensor, ratio: float) -> Tensor:
    return log_p if ratio == 1.0 else log_p * ratio


def _at_ratio(log_p_NK: Tensor, ratio: float) -> Tensor:
    return log_p_NK if ratio == 1.0 else (log_p_NK * ratio).log_softmax(-1)


def other_tokenizer(mentor: str, student: str) -> str:
    """What to say of two models whose ids mean different tokens."""
    return (
        f"soft labels: mentor {mentor} and student {student} have different tokenizers, so an id means another token "
        "to each. Choose mentor and student of one tokenizer family, or set soft_labels.weight: 0."
    )


def _claim(folder: Path, arguments: dict[str, Any]) -> bool:
    """Make the folder this pass's own, or find that it already is; whether it is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    finished = (folder / MANIFEST).exists()
    before = arguments
    if finished:
        before = _object(folder / MANIFEST, *PARTS)["arguments"]
    elif (folder / BEGUN).exists():
        before = _object(folder / BEGUN)
    changed = sorted(key for key in before.keys() | arguments.keys() if before.get(key) != arguments.get(key))
    if changed:
        raise RunError(f"{folder} holds soft labels of other {', '.join(changed)}. Delete it, or use another folder.")
    if finished:
        SoftLabels.open(folder)
        _tidy(folder)
    else:
        write_json(folder / BEGUN, arguments)
    return finished


def _object(path: Path, *parts: str) -> dict[str, Any]:
    """What a JSON file of a cache says. Raises RunError where it is damaged or lacks one of these parts."""
    try:
        found = read_json(path)
        whole = isinstance(found, dict) and set(parts) <= found.keys()
        fault = None if whole else f"expected an object with {', '.join(parts)}" if parts else "expected an object"
    except ValueError as error:
        found, fault = {}, str(error)
    if fault:
        raise RunError(f"soft labels: {path} is damaged ({fault}). Delete the folder {path.parent} and run again.")
    return found


def _tidy(folder: Path) -> None:
    for name in (BEGUN, BATCHES_DONE, TAIL):
        (folder / name).unlink(missing_ok=True)


def _check_ids(rows: Sequence[Row]) -> None:
    if not rows:
        raise RunError("soft labels: none of the examples fits the mentor. Raise max_target_tokens.")
    seen: set[str] = set()
    twice = next((row.id for row in rows if row.id in seen or seen.add(row.id)), None)
    if twice is not None:
        raise RunError(f"soft labels: two examples have the id {twice}. An id must name one example.")


def _digest_tokenizer(lm: LanguageModel) -> str:
    """Equal where `fits_vocabulary` holds."""
    return hashlib.sha256(json.dumps(sorted(lm.tokenizer.get_vocab().items())).encode()).hexdigest()


def _digest_examples(examples: Sequence[Example]) -> str:
    return hashlib.sha256(json.dumps([[e.id, e.prompt, e.target] for e in examples]).encode()).hexdigest()


def _digest_row(row: Row) -> str:
    ids = np.array([*row.prompt, -1, *row.target], dtype="<i4")
    return hashlib.blake2b(ids.tobytes(), digest_size=8).hexdigest()
