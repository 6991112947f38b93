"""Decoding by rows that leave: the same texts as `model.generate`, whatever leaves, is set aside or stands beside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sharp import sharp
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tutelage.generation import decoding
from tutelage.generation.decoding import Choice, Sampling, decode, kept_logits, padded
from tutelage.models import LanguageModel, evaluating, is_adapted
from tutelage.pocket.tasks import load as load_pocket

GREEDY, SAMPLED = Sampling(0.0, 1.0, 0, 0), Sampling(1.2, 1.0, 0, 4)
STEPS, ROOMY = 32, 100_000
QUESTIONS = [q.text for q in load_pocket("pocket/steps").questions["train"][:6]] + ["12", "Is it so?"]


@pytest.fixture(params=["t5", "gpt", "t5 with adapters", "gpt with adapters", "pocket/mini", "pocket/causal-nano"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    """In double precision, so that no rounding turns a text. Random weights are sharpened, and adapters set."""
    return sharp(request.param, tiny_t5_folder, tiny_gpt_folder)


@pytest.fixture
def prompts(lm: LanguageModel) -> list[list[int]]:
    return [lm.prompt_ids(text)[-60:] for text in QUESTIONS]


class Drawing(LogitsProcessor):
    """Leaves only the token that `Choice` draws."""

    def __init__(self, choice: Choice) -> None:
        self.choice, self.step = choice, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens_B = self.choice(scores, torch.arange(len(scores)), self.step)
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens_B[:, None], 0.0)


def by_generate(lm: LanguageModel, prompts: list[list[int]], samples: int, sampling: Sampling) -> list[list[int]]:
    prompt_BS, mask_BS = (given.repeat_interleave(samples, 0) for given in padded(lm, prompts))
    choice = Choice(sampling, prompts, samples, STEPS, lm.device)
    written_BT = lm.model.generate(
        input_ids=prompt_BS,
        attention_mask=mask_BS,
        max_new_tokens=STEPS,
        do_sample=False,
        logits_processor=LogitsProcessorList([Drawing(choice)]),
    )[:, 1 if lm.kind == "encoder-decoder" else prompt_BS.shape[1] :]
    return [row[: row.index(lm.eos_id) + 1] if lm.eos_id in row else row for row in written_BT.tolist()]


def ours(
    lm: LanguageModel, prompts: list[list[int]], samples: int, sampling: Sampling, room: int = ROOMY
) -> list[list[int]]:
    with evaluating(lm):
        return decode(lm, prompts, samples, sampling, max_new_tokens=STEPS, room=room)


def ending(lm: LanguageModel, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step of a sampled text be its last with this probability, whatever the weights."""
    choose = Choice.__call__

    def with_ends(choice: Choice, logits_BV: Tensor, *where: Any) -> Tensor:
        logits_BV[:, lm.eos_id] = -torch.inf
        scale = choice.sampling.temperature
        others_B = (logits_BV / scale).logsumexp(-1)
        logits_BV[:, lm.eos_id] = scale * (others_B + math.log(share / (1 - share)))
        return choose(choice, logits_BV, *where)

    monkeypatch.setattr(Choice, "__call__", with_ends)


def test_greedy_texts_are_those_of_generate(lm: LanguageModel, prompts: list[list[int]]):
    """A cache read at the wrong place writes other texts, and no error tells."""
    assert ours(lm, prompts, 1, GREEDY) == by_generate(lm, prompts, 1, GREEDY)


def test_sampled_texts_are_those_of_generate(
    lm: LanguageModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """A row that goes on with its neighbour's cache or random numbers, once others have left, writes nonsense."""
    ending(lm, 0.1, monkeypatch)
    written = ours(lm, prompts, 4, SAMPLED)
    assert len({len(row) for row in written}) > 8
    assert written == by_generate(lm, prompts, 4, SAMPLED)


@pytest.mark.parametrize("rows", [0, 7, 17])
def test_a_text_that_was_set_aside_goes_on_as_it_began(
    lm: LanguageModel, prompts: list[list[int]], rows: int, monkeypatch: pytest.MonkeyPatch
):
    """If a text depended on how much memory there is, a run could not be repeated on another machine."""
    ending(lm, 0.01, monkeypatch)
    expected = ours(lm, prompts, 4, SAMPLED)
    parts: list[int] = []
    write = decoding._write
    monkeypatch.setattr(decoding, "_write", lambda part, *rest: parts.append(part.step) or write(part, *rest))
    assert ours(lm, prompts, 4, SAMPLED, room=rows * max(map(len, prompts))) == expected
    assert len(parts) > 2
    assert any(step > 0 for step in parts) == (rows > 0)


def test_texts_of_one_prompt_are_set_aside_too(
    lm: LanguageModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """Without padding there is no mask, and a network that then looked ahead would go on with other texts."""
    ending(lm, 0.01, monkeypatch)
    expected = ours(lm, prompts[:1], 6, SAMPLED)
    assert ours(lm, prompts[:1], 6, SAMPLED, room=3 * len(prompts[0]) + 12) == expected


def test_no_more_is_held_than_there_is_room_for(
    lm: LanguageModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """Whoever set the room by the memory of a GPU loses the run when it is overstepped."""
    ending(lm, 0.01, monkeypatch)
    held: list[int] = []
    body: Any = lm.model.get_base_model() if is_adapted(lm) else lm.model

    def count(module: Any, args: Any, given: dict[str, Any], out: Any) -> None:
        encoded = given["attention_mask"].shape[1] if lm.kind == "encoder-decoder" else 0
        held.append(len(given["attention_mask"]) * (encoded + out.past_key_values.get_seq_length() - bool(encoded)))

    body.register_forward_hook(count, with_kwargs=True)
    room = 33 * max(map(len, prompts))
    ours(lm, prompts, 4, SAMPLED, room)
    assert len(held) > STEPS
    assert 0.9 * room < max(held) <= room


def test_rows_with_a_finished_text_leave(lm: LanguageModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch):
    """Most of a mentor's time went into padding behind short texts."""
    ending(lm, 0.1, monkeypatch)
    rows: list[int] = []
    lm.model.register_forward_pre_hook(
        lambda module, args, inputs: rows.append(len(inputs["attention_mask"])), with_kwargs=True
    )
    written = ours(lm, prompts, 4, SAMPLED)
    longest = max(map(len, written))
    assert len(rows) == longest
    assert rows[0] == len(prompts)
    assert rows[1] <= 4 * len(prompts)
    assert rows[-1] <= 4
    assert sum(rows) < 0.6 * 4 * len(prompts) * longest


@torch.no_grad()
def test_logits_are_made_for_the_last_place_only(lm: LanguageModel, prompts: list[list[int]]):
    """A prompt of 1,000 tokens times a vocabulary of 150,000 is 600 MB for nothing."""
    reader = decoding.Reader(lm, prompts, torch.arange(len(prompts)))
    places: list[int] = []
    lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: places.append(out.shape[1]))
    reader.read(torch.full((len(prompts), 3), 5))
    assert places == [1, 1]


CPU = torch.device("cpu")


def draws(top_p: float = 1.0, top_k: int = 0, temperature: float = 1.0, n: int = 4000) -> torch.Tensor:
    """Shares of drawn tokens for the probabilities 1/8, 2/8, 5/8."""
    logits_BV = torch.tensor([[1 / 8, 2 / 8, 5 / 8]]).log().repeat(n, 1)
    choice = Choice(Sampling(temperature, top_p, top_k, 0), [[i] for i in range(n)], 1, 1, CPU)
    return choice(logits_BV, torch.arange(n), 0).bincount(minlength=3) / n


def test_tokens_are_drawn_by_their_probabilities():
    """A sampler that favours anything makes every vote and every mentor's rationale biased."""
    torch.testing.assert_close(draws(), torch.tensor([1 / 8, 2 / 8, 5 / 8]), atol=0.03, rtol=0)
    squared = torch.tensor([1 / 30, 4 / 30, 25 / 30])
    torch.testing.assert_close(draws(temperature=0.5), squared, atol=0.03, rtol=0)


def test_top_p_and_top_k_cut_the_tail():
    """The token that crosses top_p stays; what is behind it is never drawn."""
    torch.testing.assert_close(draws(top_p=0.8), torch.tensor([0.0, 2 / 7, 5 / 7]), atol=0.03, rtol=0)
    torch.testing.assert_close(draws(top_p=0.5), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(draws(top_k=2), torch.tensor([0.0, 2 / 7, 5 / 7]), atol=0.03, rtol=0)


def test_top_p_is_a_share_of_what_top_k_left():
    """KARD samples with both. Of 5/8 and 2/8 that top_k leaves, the first is 5/7: less than 0.8, more than 0.7."""
    torch.testing.assert_close(draws(top_k=2, top_p=0.7), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(draws(top_k=2, top_p=0.8), torch.tensor([0.0, 2 / 7, 5 / 7]), atol=0.03, rtol=0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 20, 199, 200, 1000])
def test_the_tokens_that_may_be_drawn_are_those_of_transformers(
    top_k: int, top_p: float, temperature: float, ties: bool
):
    """A recipe with the published settings samples from another distribution, and nothing shows it."""
    source = torch.Generator().manual_seed(top_k + 7)
    logits_BV = 3 * torch.randn(64, 200, generator=source)
    if ties:
        logits_BV = logits_BV.round()
    logits_BV[::2, 150:] = -torch.inf  # rows of a padded vocabulary
    warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(temperature)]
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    none: Any = torch.zeros(64, 0, dtype=torch.long)
    theirs_BV = LogitsProcessorList(warpers)(none, logits_BV).softmax(-1)
    ours_BV = kept_logits(logits_BV / temperature, Sampling(temperature, top_p, top_k, 0)).softmax(-1)
    assert torch.equal(ours_BV > 0, theirs_BV > 0)
    torch.testing.assert_close(ours_BV, theirs_BV, rtol=1e-6, atol=1e-9)
    assert (ours_BV > 0).any(-1).all()


def test_a_number_next_to_one_draws_no_impossible_token():
    """Rounded up to the end of all probability, it fell on a padded row of the vocabulary."""
    choice = Choice(Sampling(1.0, 1.0, 0, 0), [[1]], 1, 1, CPU)
    choice.numbers_NT.fill_(1 - 1e-12)
    logits_BV = torch.tensor([[0.3, 0.1, -torch.inf, -torch.inf]])
    assert choice(logits_BV, torch.tensor([0]), 0).tolist() == [1]
