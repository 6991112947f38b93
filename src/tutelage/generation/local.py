"""A Hugging Face checkpoint on this machine as a generator.

Prompts are sorted by length and written in batches of at most `batch_tokens` padded tokens; the answers come back in
the order asked. An encoder runs once per prompt, whatever the number of samples.

Each sample draws its random numbers from a seed made of the run's seed, the prompt and the number of the sample. So a
text depends neither on the order of the prompts nor on its neighbours in a batch (up to the rounding of sums), and
sample 3 of 5 is sample 3 of 10.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from tutelage.errors import ModelError
from tutelage.generation.generator import Written
from tutelage.models import LanguageModel, cut_prompt, evaluating, quiet


class LocalGenerator:
    """Writes with a loaded language model, which is left in the mode it was in."""

    def __init__(
        self,
        lm: LanguageModel,
        *,
        max_new_tokens: int,
        max_prompt_tokens: int | None = None,
        batch_tokens: int = 16384,
    ) -> None:
        self.lm = lm
        self.max_new_tokens = max_new_tokens
        self.max_prompt_tokens = _prompt_limit(lm, max_new_tokens, max_prompt_tokens)
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
        self.cut_prompts += len(ids) > self.max_prompt_tokens
        return cut_prompt(self.lm, ids, int(min(self.max_prompt_tokens, len(ids))))

    def _batches(self, lengths: list[int], samples: int) -> Iterator[list[int]]:
        """Indices, longest prompts first, so that the largest batch shows at once whether memory suffices."""
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            cost = (lengths[batch[0] if batch else index] + self.max_new_tokens) * samples
            if batch and (len(batch) + 1) * cost > self.batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _write_batch(self, ids: list[list[int]], samples: int, sampling: Sampling) -> list[list[Written]]:
        prompt_BS, mask_BS = self._padded(ids)
        prompt: dict[str, Any] = {"attention_mask": mask_BS.repeat_interleave(samples, 0)}
        if self.lm.kind == "encoder-decoder":
            encoded_BSH = self.lm.model.get_encoder()(input_ids=prompt_BS, attention_mask=mask_BS)[0]
            prompt["encoder_outputs"] = BaseModelOutput(last_hidden_state=encoded_BSH.repeat_interleave(samples, 0))
        else:
            prompt["input_ids"] = prompt_BS.repeat_interleave(samples, 0)
        choice = [Choice(sampling, ids, samples, self.max_new_tokens)] if sampling.temperature > 0 else []
        written_BT = self.lm.model.generate(
            **prompt,
            generation_config=self._settings(),
            logits_processor=LogitsProcessorList(choice),
        )
        rows = written_BT[:, 1 if self.lm.kind == "encoder-decoder" else prompt_BS.shape[1] :].tolist()
        texts = [self._read(row) for row in rows]
        return [texts[i : i + samples] for i in range(0, len(texts), samples)]

    def _settings(self) -> GenerationConfig:
        """Greedy, since `Choice` has drawn by then; `load` has already dropped the checkpoint's own settings."""
        settings = copy.copy(self.lm.model.generation_config)
        settings.update(max_new_tokens=self.max_new_tokens, do_sample=False, num_beams=1, use_cache=True)
        return settings

    def _padded(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Prompts and mask. A causal model goes on at the right end of a row, so it is padded on the left."""
        longest = max(map(len, ids))
        gaps = [[self.lm.pad_id] * (longest - len(row)) for row in ids]
        left = self.lm.kind == "causal"
        prompt = [gap + row if left else row + gap for gap, row in zip(gaps, ids, strict=True)]
        lengths_B1 = torch.tensor([[len(row)] for row in ids])
        places_S = torch.arange(longest)
        mask_BS = (places_S >= longest - lengths_B1) if left else (places_S < lengths_B1)
        return torch.tensor(prompt, device=self.lm.device), mask_BS.long().to(self.lm.device)

    def _read(self, row: list[int]) -> Written:
        finished = self.lm.eos_id in row
        ids = row[: row.index(self.lm.eos_id) + 1] if finished else row
        return Written(self.lm.text(ids), len(ids), finished)


class Sampling(NamedTuple):
    """How a token is drawn."""

    temperature: float
    top_p: float
    top_k: int
    seed: int


class Choice(LogitsProcessor):
    """Draws each row's next token with that row's own random numbers, and leaves only it possible.

    One number in [0, 1) for each row and step is drawn beforehand; the token is where it falls among the probabilities.
    """

    def __init__(self, sampling: Sampling, ids: list[list[int]], samples: int, steps: int) -> None:
        self.sampling = sampling
        self.step = 0
        rows = [(row, sample) for row in ids for sample in range(samples)]
        self.numbers_BT = torch.stack([_numbers(sampling.seed, row, sample, steps) for row, sample in rows])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores that are 0 at the drawn token and minus infinity elsewhere."""
        probabilities_BV = self._kept((scores.double() / self.sampling.temperature).softmax(-1))
        below_BV = probabilities_BV.cumsum(-1)
        drawn_B1 = self.numbers_BT[:, self.step, None].to(scores.device) * below_BV[:, -1:]
        token_B1 = torch.searchsorted(below_BV, drawn_B1, right=True).clamp(max=scores.shape[-1] - 1)
        self.step += 1
        return torch.full_like(scores, -math.inf).scatter_(1, token_B1, 0.0)

    def _kept(self, probabilities_BV: Tensor) -> Tensor:
        """Probabilities with 0 for what `top_k` and `top_p` cut off; the token that crosses `top_p` stays."""
        if self.sampling.top_p >= 1 and self.sampling.top_k <= 0:
            return probabilities_BV
        sorted_BV, order_BV = probabilities_BV.sort(descending=True)
        sorted_BV[sorted_BV.cumsum(-1) - sorted_BV >= self.sampling.top_p] = 0.0
        if self.sampling.top_k > 0:
            sorted_BV[:, self.sampling.top_k :] = 0.0
        return torch.zeros_like(sorted_BV).scatter_(1, order_BV, sorted_BV)


def _numbers(seed: int, ids: list[int], sample: int, steps: int) -> Tensor:
    digest = hashlib.sha256(f"{seed} {sample} {ids}".encode()).digest()
    source = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.rand(steps, generator=source, dtype=torch.float64)


def _prompt_limit(lm: LanguageModel, new_tokens: int, limit: int | None) -> float:
    fits = lm.positions - (new_tokens if lm.kind == "causal" else 0) if lm.positions else math.inf
    if fits < 1 or (lm.positions and new_tokens > lm.positions):
        raise ModelError(f"model {lm.name!r} has room for {lm.positions} tokens; writing {new_tokens} leaves none.")
    return min(limit or math.inf, fits)
