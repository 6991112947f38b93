"""A Hugging Face checkpoint on this machine as a generator.

Prompts are sorted by length and written in batches that never hold more than `batch_tokens` padded tokens; the answers
come back in the order asked. How one batch is written is in `decoding`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from tutelage.generation.decoding import Sampling, decode
from tutelage.generation.generator import Written
from tutelage.models import LanguageModel, cut_prompt, evaluating, prompt_room, quiet

SPARE = 8
"""A batch begins with room for this part of the tokens that its texts may have; see `decoding` for what comes then."""


class LocalGenerator:
    """Writes with a loaded language model, which is left in the mode it was in."""

    def __init__(
        self,
        lm: LanguageModel,
        *,
        max_new_tokens: int,
        max_prompt_tokens: int | None = None,
        batch_tokens: int = 32768,
    ) -> None:
        self.lm = lm
        self.max_new_tokens = max_new_tokens
        self.room = prompt_room(lm, max_prompt_tokens=max_prompt_tokens, max_target_tokens=max_new_tokens)
        self.batch_tokens = batch_tokens
        self.cut_prompts = 0
        """How many prompts were longer than the limit and were cut at the front, over all calls."""

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self.lm.name

    def write(
        self,
        prompts: Sequence[str],
        *,
        samples: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        done: Collection[int] = (),
        on_done: Callable[[Mapping[int, list[Written]]], None] | None = None,
    ) -> list[list[Written]]:
        """See `Generator.write`. Greedy texts (temperature 0) are all the same, so one is written and repeated."""
        ids = [self._prompt(prompt) for prompt in prompts]
        asked = samples if temperature > 0 else 1
        sampling = Sampling(temperature, top_p, top_k, seed)
        written: list[list[Written]] = [[] for _ in prompts]
        known = frozenset(done)
        with evaluating(self.lm), quiet():
            for batch in self._batches([len(i) for i in ids], asked):
                if known.issuperset(batch):
                    continue
                texts = self._write_batch([ids[i] for i in batch], asked, sampling)
                for index, found in zip(batch, texts, strict=True):
                    written[index] = found if asked == samples else found * samples
                if on_done:
                    on_done({index: written[index] for index in batch})
        return written

    def _prompt(self, prompt: str) -> list[int]:
        ids = self.lm.prompt_ids(prompt)
        limit = len(ids) if self.room is None else self.room
        self.cut_prompts += len(ids) > limit
        return cut_prompt(self.lm, ids, limit)

    def _batches(self, lengths: list[int], samples: int) -> Iterator[list[int]]:
        """Indices, longest prompts first, so that the largest batch shows at once whether memory suffices."""
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            cost = (lengths[batch[0] if batch else index] + self.max_new_tokens // SPARE) * samples
            if batch and (len(batch) + 1) * cost > self.batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _write_batch(self, ids: list[list[int]], samples: int, sampling: Sampling) -> list[list[Written]]:
        limits = {"max_new_tokens": self.max_new_tokens, "room": self.batch_tokens}
        rows = decode(self.lm, ids, samples, sampling, **limits)
        texts = [Written(self.lm.text(row), len(row), row[-1] == self.lm.eos_id) for row in rows]
        return [texts[i : i + samples] for i in range(0, len(texts), samples)]
