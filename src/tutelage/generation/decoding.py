"""Writing token by token: several texts for each prompt of a batch, each row leaving the batch when its text ends.

A prompt is read once, whatever the number of samples: its encoding, and the keys and values of attention to it, are
computed in one row, which its samples share (see `sharing`) or have copies of. Rows whose text has ended stay until an
eighth of the batch is of that kind, since moving the rest costs about as much as a step.

A batch may begin with more rows than there is room for if all their texts were as long as allowed, since few are. When
the rows still going on outgrow the room, half of them are set aside with what they have written, and go on later.

Each sample draws its random numbers from a seed made of the run's seed, the prompt and the number of the sample. So a
text depends neither on the order of the prompts nor on its neighbours in a batch (up to the rounding of sums), and
sample 3 of 5 is sample 3 of 10.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from tutelage.errors import ModelError
from tutelage.generation.cache import make_roomy
from tutelage.generation.sharing import is_shareable, share, sharing
from tutelage.models import LanguageModel, is_adapted, output_layer_input
from tutelage.seeds import uniforms

ENDED = 1 / 8
"""Share of rows with a finished text at which they leave the batch."""


class Sampling(NamedTuple):
    """How a token is chosen."""

    temperature: float
    """0 takes the likeliest token."""
    top_p: float
    """Share of the probability that is left after `top_k`; 1 cuts nothing off."""
    top_k: int
    """0 cuts nothing off."""
    seed: int


def decode(
    lm: LanguageModel,
    prompts: Sequence[list[int]],
    samples: int,
    sampling: Sampling,
    *,
    max_new_tokens: int,
    room: int,
) -> list[list[int]]:
    """The token ids of `samples` texts for each prompt, prompt by prompt, end mark included where there is one.

    `room` is how many tokens, padding included, are held at once; a single text is written whatever its length.
    """
    choice = Choice(sampling, prompts, samples, max_new_tokens, lm.device)
    written_NT = torch.full((len(prompts) * samples, max_new_tokens), lm.eos_id, device=lm.device)
    texts_N = torch.arange(len(written_NT), device=lm.device)
    parts = _parts(len(texts_N), max(map(len, prompts)) + 1, room)
    waiting = [Part(texts, 0) for texts in texts_N.tensor_split(parts)]
    with sharing(lm):
        while waiting:
            part = waiting.pop()
            reader = Reader(lm, prompts, part.texts.div(samples, rounding_mode="floor"))
            waiting += _write(part, reader, choice, written_NT, room)
    return [_until(lm.eos_id, row) for row in written_NT.tolist()]


class Part(NamedTuple):
    """Texts that are written side by side."""

    texts: Tensor
    """Their numbers, (B,)."""
    step: int
    """How many tokens each of them has."""


def _write(part: Part, reader: Reader, choice: Choice, written_NT: Tensor, room: int) -> list[Part]:
    """Write on until all texts have ended, and give those that were set aside meanwhile."""
    texts_B, step = part
    aside: list[Part] = []
    eos, ended_B = reader.lm.eos_id, torch.zeros_like(texts_B, dtype=torch.bool)
    logits_BV = reader.read(written_NT[texts_B, :step])
    while True:
        tokens_B = choice(logits_BV, texts_B, step)
        written_NT[texts_B, step] = tokens_B.masked_fill(ended_B, eos)
        ended_B |= tokens_B == eos
        step, going = step + 1, len(ended_B) - int(ended_B.sum())
        if not going or step == written_NT.shape[1]:
            return aside
        if _parts(len(texts_B), reader.width + 1, room) > 1 or going <= (1 - ENDED) * len(texts_B):
            rows_B, *later = (~ended_B).nonzero()[:, 0].tensor_split(_parts(going, reader.width + 1, room))
            aside += [Part(texts_B[rows], step) for rows in later]
            texts_B, tokens_B, ended_B = texts_B[rows_B], tokens_B[rows_B], ended_B[rows_B]
            reader.keep(rows_B)
        logits_BV = reader.go_on(tokens_B[:, None])


def _parts(rows: int, width: int, room: int) -> int:
    """In how many parts so many rows have room; a single row always has."""
    return math.ceil(rows / max(1, room // width))


def _until(end: int, row: list[int]) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row


class Reader:
    """The network with what it has read so far: a cache of keys and values, one row for each text."""

    def __init__(self, lm: LanguageModel, prompts: Sequence[list[int]], asked_B: Tensor) -> None:
        """`asked_B` is the number of each row's prompt."""
        self.lm = lm
        asked_P, self.asked_B = asked_B.unique(return_inverse=True)
        self.shares = len(asked_P) < len(asked_B)
        self.prompt_PS, self.mask_BS = padded(lm, [prompts[i] for i in asked_P.tolist()])
        self.cache: Any = None
        self.encoded_BSH: Tensor | None = None
        """What an encoder made of the prompts."""
        self.width = self.prompt_PS.shape[1]
        """Tokens in a row."""
        model = lm.model.get_base_model() if is_adapted(lm) else lm.model
        self.placed = lm.kind == "causal" and "position_ids" in inspect.signature(model.forward).parameters

    def read(self, written_BT: Tensor) -> Tensor:
        """Read the prompts and what has been written after them, and give the logits of every row's next token."""
        if self.lm.kind == "encoder-decoder":
            start_P1 = torch.full_like(self.prompt_PS[:, :1], self.lm.start_id)
            out = self._run(input_ids=self.prompt_PS, decoder_input_ids=start_P1)
            self.encoded_BSH = out.encoder_last_hidden_state
        else:
            out = self._run(input_ids=self.prompt_PS)
        self.cache = getattr(out, "past_key_values", None)
        if self.cache is None:
            raise ModelError(f"model {self.lm.name!r} keeps no keys and values to go on from. Choose another.")
        make_roomy(self.cache)
        self.shares = self.shares and is_shareable(self.cache)
        rows_B, self.asked_B = self.asked_B, torch.arange(len(self.prompt_PS), device=self.asked_B.device)
        self.keep(rows_B)
        return self.go_on(written_BT) if written_BT.shape[1] else out.logits[:, -1].float()[rows_B]

    def go_on(self, tokens_BT: Tensor) -> Tensor:
        """Read more tokens in each row and give the logits of the next."""
        self.width += tokens_BT.shape[1]
        if self.encoded_BSH is not None:
            encoded = BaseModelOutput(last_hidden_state=cast(Any, self.encoded_BSH))
            out = self._run(encoder_outputs=encoded, decoder_input_ids=tokens_BT)
        else:
            self.mask_BS = torch.cat([self.mask_BS, torch.ones_like(tokens_BT)], 1)
            out = self._run(input_ids=tokens_BT)
        return out.logits[:, -1].float()

    def keep(self, rows_B: Tensor) -> None:
        """Only these rows stay, in this order; a row may stay several times."""
        self.mask_BS, asked_B = self.mask_BS[rows_B], self.asked_B[rows_B]
        if self.shares:
            asked_P, self.asked_B = asked_B.unique(return_inverse=True)
            self.cache.self_attention_cache.reorder_cache(rows_B)
            share(self.cache, asked_P, self.asked_B)
        else:
            self.asked_B = asked_B
            self.cache.reorder_cache(rows_B)
        if self.encoded_BSH is not None:
            self.encoded_BSH = self.encoded_BSH[rows_B]

    def _run(self, **inputs: Any) -> Any:
        """One pass over new tokens. A causal row counts its places from its first token, not from the padding."""
        if self.placed:
            places_BS = (self.mask_BS.cumsum(-1) - 1).clamp(min=0)
            inputs["position_ids"] = places_BS[:, -inputs["input_ids"].shape[1] :]
        with output_layer_input(self.lm, lambda hidden_BTH: hidden_BTH[:, -1:]):
            return self.lm.model(
                **inputs, attention_mask=self.mask_BS, past_key_values=self.cache, use_cache=True, return_dict=True
            )


def padded(lm: LanguageModel, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Prompts and mask. A causal model goes on at the right end of a row, so it is padded on the left."""
    longest = max(map(len, prompts))
    gaps = [[lm.pad_id] * (longest - len(row)) for row in prompts]
    left = lm.kind == "causal"
    prompt = [gap + row if left else row + gap for gap, row in zip(gaps, prompts, strict=True)]
    lengths_B1 = torch.tensor([[len(row)] for row in prompts])
    places_S = torch.arange(longest)
    mask_BS = (places_S >= longest - lengths_B1) if left else (places_S < lengths_B1)
    return torch.tensor(prompt, device=lm.device), mask_BS.long().to(lm.device)


class Choice:
    """Chooses each row's next token, by that row's own random numbers where it samples.

    One number in [0, 1) for each row and step is drawn beforehand; the token is where it falls among the probabilities.
    """

    def __init__(
        self, sampling: Sampling, prompts: Sequence[list[int]], samples: int, steps: int, device: torch.device
    ) -> None:
        self.sampling = sampling
        texts = (
            [(prompt, sample) for prompt in prompts for sample in range(samples)] if sampling.temperature > 0 else []
        )
        numbers = [uniforms(f"{sampling.seed} {sample} {prompt}", steps) for prompt, sample in texts]
        self.numbers_NT = torch.stack(numbers).to(device) if numbers else torch.empty(0)
        """For each text of the batch, not only for the rows that still go on."""

    def __call__(self, logits_BV: Tensor, texts_B: Tensor, step: int) -> Tensor:
        """The token of each row, which is the row of the text `texts_B`.

        The sums are those of float32. A number that rounds up to the very end is held below it, or it would fall on a
        token of no probability.
        """
        if self.sampling.temperature <= 0:
            return logits_BV.argmax(-1)
        below_BV = kept_logits(logits_BV / self.sampling.temperature, self.sampling).softmax(-1).cumsum(-1)
        all_B1 = below_BV[:, -1:]
        number_B1 = (self.numbers_NT[texts_B, step, None] * all_B1).float()
        number_B1 = torch.minimum(number_B1, torch.nextafter(all_B1, torch.zeros_like(all_B1)))
        return torch.searchsorted(below_BV, number_B1, right=True)[:, 0].clamp(max=logits_BV.shape[1] - 1)


def kept_logits(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """Logits, already divided by the temperature, with -inf for what `top_k` and then `top_p` cut off.

    As in transformers' `TopKLogitsWarper` and `TopPLogitsWarper`: tokens as likely as the last of the `top_k` stay too,
    `top_p` is a share of what `top_k` left, the token that crosses it stays, and so does the likeliest of all.
    """
    if 0 < sampling.top_k < logits_BV.shape[1]:
        least_B1 = logits_BV.topk(sampling.top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    if sampling.top_p < 1:
        rising_BV, order_BV = logits_BV.sort()
        cut_BV = rising_BV.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        cut_BV[:, -1] = False
        logits_BV = logits_BV.masked_fill(torch.zeros_like(cut_BV).scatter_(1, order_BV, cut_BV), -torch.inf)
    return logits_BV
