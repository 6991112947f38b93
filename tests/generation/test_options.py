"""A choice among given texts by their probability: the same as one text at a time, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sharp import sharp

from tutelage.errors import TextError
from tutelage.generation.options import option_log_probs
from tutelage.models import LanguageModel, load

PROMPTS = [
    "Tova has 12 beads and finds 5 more. How many beads has Tova?",
    "Is it so?",
    "The quick brown fox jumps over the lazy dog. WHY? (A) 12 (B) 90 dollars (C) it is so",
    "Is it so?",
]
OPTIONS = [["12", "17", "5"], ["yes", "no"], ["A", "B", "C", "D", "E"], ["it is so", "no", "no one knows", "no"]]
BEGINNINGS = ["Tova starts with 12. -->", "", "3*4/6-1 = 1\nAnswer:", "I say:"]


@pytest.fixture(params=["t5", "gpt", "t5 with adapters", "gpt with adapters", "pocket/nano", "pocket/causal-nano"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    """In double precision; random weights are sharpened, and adapters set."""
    return sharp(request.param, tiny_t5_folder, tiny_gpt_folder)


@pytest.fixture
def t5(tiny_t5_folder: Path) -> LanguageModel:
    return load(tiny_t5_folder, device="cpu")


@torch.no_grad()
def plain_sum(lm: LanguageModel, prompt: str, text: list[int]) -> list[float]:
    """The log-probability of each token of one text: no batch, no padding, all logits."""
    ids = lm.prompt_ids(prompt)
    if lm.kind == "causal":
        logits_TV = lm.model(input_ids=torch.tensor([ids + text])).logits[0, len(ids) - 1 :]
    else:
        before = torch.tensor([[lm.start_id, *text]])
        logits_TV = lm.model(input_ids=torch.tensor([ids]), decoder_input_ids=before).logits[0]
    return [float(logits_V.float().log_softmax(-1)[token]) for logits_V, token in zip(logits_TV, text, strict=False)]


def plain(lm: LanguageModel, prompt: str, beginning: str, options: Sequence[str], end: bool = False) -> list[float]:
    texts = [lm.target_ids(beginning + option)[: None if end else -1] for option in options]
    begin = lm.target_ids(beginning)[:-1] if beginning else []
    border = 0
    while border < len(begin) and all(text[border : border + 1] == [begin[border]] for text in texts):
        border += 1
    return [sum(plain_sum(lm, prompt, text)[border:]) for text in texts]


def flat(found: Sequence[Sequence[float] | None]) -> list[float]:
    assert all(sums is not None for sums in found)
    return [value for sums in found for value in sums or ()]


@pytest.mark.parametrize("end", [False, True])
def test_equals_a_plain_loop(lm: LanguageModel, end: bool):
    """One place too far left or right and every choice is another, and no error tells."""
    found = option_log_probs(lm, PROMPTS, OPTIONS, beginnings=BEGINNINGS, end=end)
    expected = [plain(lm, *each, end) for each in zip(PROMPTS, BEGINNINGS, OPTIONS, strict=True)]
    assert [len(sums or ()) for sums in found] == [3, 2, 5, 4]
    assert flat(found) == pytest.approx(flat(expected), abs=1e-4)


def test_neighbours_and_padding_change_nothing(lm: LanguageModel):
    """A verdict must not depend on which rationales were read in the same batch."""
    together = flat(option_log_probs(lm, PROMPTS, OPTIONS, beginnings=BEGINNINGS))
    one_at_a_time = flat(option_log_probs(lm, PROMPTS, OPTIONS, beginnings=BEGINNINGS, batch_tokens=1))
    backwards = option_log_probs(lm, PROMPTS[::-1], OPTIONS[::-1], beginnings=BEGINNINGS[::-1])[::-1]
    assert one_at_a_time == pytest.approx(together, abs=1e-5)
    assert flat(backwards) == pytest.approx(together, abs=1e-5)


def test_options_do_not_change_one_another(lm: LanguageModel):
    """The same text under another set of options is the same probability, once the border is the same."""
    [many] = option_log_probs(lm, PROMPTS[:1], [["12", "17", "it is so", "it is", "17"]], beginnings=["Tova"])
    [few] = option_log_probs(lm, PROMPTS[:1], [["it is", "17"]], beginnings=["Tova"])
    assert many
    assert few == pytest.approx((many[3], many[1]), abs=1e-5)
    assert many[1] == many[4]


def test_per_token_is_the_mean(t5: LanguageModel):
    """Among options of several words the sum favours the short ones."""
    options = [["it is so", "no"]]
    [sums] = option_log_probs(t5, PROMPTS[:1], options)
    [means] = option_log_probs(t5, PROMPTS[:1], options, per_token=True)
    lengths = [len(t5.target_ids(option)) - 1 for option in options[0]]
    assert lengths[0] > lengths[1]
    assert means == pytest.approx([total / n for total, n in zip(sums or (), lengths, strict=True)])


def test_a_token_across_the_border_is_scored_for_every_option(tiny_gpt_folder: Path):
    """Scored from the length of the beginning on, half of the token would be lost, but not for every option."""
    lm = load(tiny_gpt_folder, device="cpu")
    whole = lm.target_ids("The quick")[:-1]
    begins = [lm.target_ids("The quick"[:n])[:-1] for n in range(9)]
    half = next(n for n in range(1, 9) if begins[n] != whole[: len(begins[n])])
    beginning, rest = "The quick"[:half], "The quick"[half:]
    [found] = option_log_probs(lm, PROMPTS[:1], [[rest, "zz"]], beginnings=[beginning])
    texts = [lm.target_ids(beginning + option)[:-1] for option in (rest, "zz")]
    assert found == pytest.approx([sum(plain_sum(lm, PROMPTS[0], text)) for text in texts], abs=1e-4)


def test_the_encoder_reads_a_prompt_once(t5: LanguageModel):
    """A rationale with five options would be encoded five times, and a question with eight rationales forty times."""
    rows: list[int] = []
    t5.model.get_encoder().register_forward_hook(lambda module, args, out: rows.append(out[0].shape[0]))
    decoded: list[Any] = []
    t5.model.get_decoder().register_forward_hook(lambda module, args, out: decoded.append(out[0].shape[0]))
    option_log_probs(t5, PROMPTS, [["A", "B", "C"], ["A", "B"], ["A", "B"], ["it is so", "no one knows"]])
    assert rows == [3]
    assert decoded == [5]


def test_logits_are_made_for_the_scored_places_only(lm: LanguageModel):
    """A prompt of 1,000 tokens times a vocabulary of 150,000 is 600 MB for nothing."""
    places: list[int] = []
    lm.model.get_output_embeddings().register_forward_hook(lambda module, args, out: places.append(out.shape[1]))
    option_log_probs(lm, PROMPTS, [["A", "B"]] * 4, beginnings=["So:"] * 4)
    assert places == [max(len(lm.target_ids(f"So:{x}")) - len(lm.target_ids("So:")) for x in "AB")]


def test_a_prompt_that_does_not_fit_gets_no_choice(tiny_gpt_folder: Path, t5: LanguageModel):
    """Cut, the model would choose without having seen the question."""
    gpt = load(tiny_gpt_folder, device="cpu")
    room = 128 - len(gpt.target_ids("A")[:-1])
    prompts = ["x" * n for n in range(room + 5)]
    lengths = [len(gpt.prompt_ids(prompt)) for prompt in prompts]
    found = option_log_probs(gpt, prompts, [["A"]] * len(prompts))
    assert [sums is not None for sums in found] == [length <= 128 for length in lengths]
    assert {sums is None for sums in found} == {True, False}
    limited = option_log_probs(t5, PROMPTS, OPTIONS, max_prompt_tokens=len(t5.prompt_ids("Is it so?")))
    assert [sums is None for sums in limited] == [True, False, True, False]


def test_progress_ends_at_the_number_of_prompts(t5: LanguageModel):
    """A bar that ends at 98% looks like a crash."""
    told: list[tuple[int, int]] = []
    limit = len(t5.prompt_ids(PROMPTS[0]))
    option_log_probs(
        t5, PROMPTS, OPTIONS, batch_tokens=1, max_prompt_tokens=limit, on_done=lambda done, of: told.append((done, of))
    )
    assert told == [(2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("options", "told"), [([["A", ""]], "option '' adds no token"), ([[]], "no options")])
def test_an_option_without_probability_is_refused(t5: LanguageModel, options: list[list[str]], told: str):
    """An empty sum is 0, the highest of all log-probabilities."""
    with pytest.raises(TextError, match=told):
        option_log_probs(t5, PROMPTS[:1], options)


def test_an_empty_option_is_the_end_mark(t5: LanguageModel):
    [found] = option_log_probs(t5, PROMPTS[:1], [["", "A"]], end=True)
    assert found == pytest.approx(plain(t5, PROMPTS[0], "", ["", "A"], end=True), abs=1e-4)


def test_nothing_asked_nothing_read(t5: LanguageModel):
    assert option_log_probs(t5, [], []) == []


def test_model_is_left_in_its_mode(t5: LanguageModel):
    """Verification between two epochs must not switch dropout off."""
    t5.model.train()
    option_log_probs(t5, PROMPTS, OPTIONS)
    assert t5.model.training
