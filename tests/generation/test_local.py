"""Writing with a local checkpoint: each text depends on its prompt and seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sharp import sharp

from tutelage.errors import ModelError
from tutelage.generation.generator import Generator, Written
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel, LoraSettings, load

PROMPTS = ["Tova has 12 beads", "Is it so?", "The quick brown fox jumps over the lazy dog. How many?", "12"]


@pytest.fixture(params=["t5", "gpt"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    """With sharper weights than at birth, so that texts differ between prompts.

    In double precision: in single one, rounding, which differs between batches, decides between two tokens that are
    nearly as likely.
    """
    return sharp(request.param, tiny_t5_folder, tiny_gpt_folder)


def writer(lm: LanguageModel, **settings: Any) -> LocalGenerator:
    return LocalGenerator(lm, **{"max_new_tokens": 12, **settings})


def plain_greedy(lm: LanguageModel, prompt: str, steps: int) -> list[int]:
    """Greedy decoding without cache, batch or padding: a whole forward pass for each token."""
    ids, written = torch.tensor([lm.prompt_ids(prompt)]), list[int]()
    for _ in range(steps):
        if lm.kind == "causal":
            logits = lm.model(input_ids=torch.cat([ids, torch.tensor([written], dtype=torch.long)], 1)).logits
        else:
            logits = lm.model(input_ids=ids, decoder_input_ids=torch.tensor([[lm.start_id, *written]])).logits
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == lm.eos_id:
            break
    return written


def test_is_a_generator(lm: LanguageModel):
    """Teacher, mentor and student are interchangeable only while they share one protocol."""
    generator: Generator = writer(lm)
    assert generator.name == lm.name


@torch.no_grad()
def test_greedy_equals_a_plain_loop(lm: LanguageModel):
    """Padding on the wrong side or a wrong cache writes other texts, and no error tells."""
    for prompt, [written] in zip(PROMPTS, writer(lm).write(PROMPTS), strict=True):
        expected = plain_greedy(lm, prompt, 12)
        assert written == Written(lm.text(expected), len(expected), expected[-1] == lm.eos_id)


def test_greedy_does_not_depend_on_the_batch(lm: LanguageModel):
    """A student's score must not depend on how its questions were batched."""
    together = writer(lm).write(PROMPTS)
    assert together == [writer(lm).write([prompt])[0] for prompt in PROMPTS]
    assert together == writer(lm, batch_tokens=1).write(PROMPTS)
    assert together[::-1] == writer(lm).write(PROMPTS[::-1])


def test_sampling_is_reproducible_and_independent_of_neighbours(lm: LanguageModel):
    """Without it no run can be repeated, and a resumed stage ends with other rationales than an unbroken one."""
    drawn = writer(lm).write(PROMPTS, samples=3, temperature=1.0, seed=5)
    assert drawn == writer(lm).write(PROMPTS, samples=3, temperature=1.0, seed=5)
    assert drawn[1:2] == writer(lm, batch_tokens=1).write(PROMPTS[1:2], samples=3, temperature=1.0, seed=5)
    assert drawn != writer(lm).write(PROMPTS, samples=3, temperature=1.0, seed=6)


def test_samples_differ_and_more_samples_keep_the_first(lm: LanguageModel):
    """Self-consistency over equal texts is no vote; asking for more must not change what was there."""
    three = writer(lm).write(PROMPTS[:1], samples=3, temperature=1.5, seed=1)[0]
    assert len({written.text for written in three}) > 1
    assert writer(lm).write(PROMPTS[:1], samples=5, temperature=1.5, seed=1)[0][:3] == three


def test_greedy_samples_are_one_text_repeated(lm: LanguageModel):
    """Asked for two greedy texts, a caller must get two."""
    [texts] = writer(lm).write(PROMPTS[:1], samples=2)
    assert texts[0] == texts[1]


def test_no_prompts_no_texts(lm: LanguageModel):
    """An empty split is no reason to fail."""
    assert writer(lm).write([]) == []


def test_each_batch_is_told_when_done(lm: LanguageModel):
    """A bar that stands still for an hour looks like a crash, and a kill would lose the hour."""
    told: list[dict[int, list[Written]]] = []
    written = writer(lm, batch_tokens=80).write(PROMPTS, on_done=lambda batch: told.append(dict(batch)))
    assert 1 < len(told) < len(PROMPTS)
    assert {index: texts for batch in told for index, texts in batch.items()} == dict(enumerate(written))


@pytest.mark.parametrize("settings", [{}, {"samples": 3, "temperature": 1.0, "seed": 2}])
def test_what_is_done_is_not_written_again_and_changes_no_batch(lm: LanguageModel, settings: dict[str, Any]):
    """If the rest of a broken run went into other batches, their rounding could turn a text."""
    batches, again = list[list[int]](), list[list[int]]()
    tokens = 80 * settings.get("samples", 1)
    whole = writer(lm, batch_tokens=tokens).write(PROMPTS, **settings, on_done=lambda b: batches.append(list(b)))
    finished = {*batches[0], batches[1][0]}
    rest = writer(lm, batch_tokens=tokens).write(
        PROMPTS, **settings, done=finished, on_done=lambda b: again.append(list(b))
    )
    assert again == [batch for batch in batches if not finished.issuperset(batch)]
    assert rest == [[] if not any(n in batch for batch in again) else texts for n, texts in enumerate(whole)]


def test_model_is_left_in_its_mode_and_random_state(lm: LanguageModel):
    """Generation between two epochs must not switch dropout off for the second."""
    lm.model.train()
    before = torch.random.get_rng_state()
    writer(lm).write(PROMPTS, samples=2, temperature=1.0)
    assert lm.model.training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_long_prompts_are_cut_at_the_front_and_counted(lm: LanguageModel):
    """The cue stands at the end; without it a student does not know what it is asked."""
    generator = writer(lm, max_prompt_tokens=8)
    generator.write(["passage " * 9 + "So? Explanation:", "So?"])
    assert generator.cut_prompts == 1
    cut = lm.text(generator._prompt("passage " * 9 + "So? Explanation:"))
    assert cut.rstrip("\n").endswith("anation:"[-5:])


def test_causal_prompt_leaves_room_to_write(tiny_gpt_folder: Path):
    """Positions beyond the window crash in the embedding."""
    [[written]] = writer(load(tiny_gpt_folder), max_new_tokens=100).write(["bead " * 100])
    assert written.tokens <= 100


def test_window_too_small_to_write_is_an_error(tiny_gpt_folder: Path):
    """A prompt cut to nothing would be answered all the same."""
    with pytest.raises(
        ModelError,
        match=r"room for 128 tokens, prompt and text together; texts of 128 leave none\. Lower max_target_tokens",
    ):
        writer(load(tiny_gpt_folder), max_new_tokens=128)


def test_encoder_runs_once_for_all_samples(tiny_t5_folder: Path):
    """Ten samples of a long grounded prompt would cost ten encodings."""
    lm = load(tiny_t5_folder)
    rows: list[int] = []
    lm.model.get_encoder().register_forward_hook(lambda module, args, out: rows.append(out[0].shape[0]))
    writer(lm).write(PROMPTS[:2], samples=5, temperature=1.0)
    assert rows == [2]


def test_adapted_model_writes(tiny_t5_folder: Path, tiny_gpt_folder: Path):
    """A student with adapters is looked at between epochs like any other."""
    for folder in (tiny_t5_folder, tiny_gpt_folder):
        plain, adapted = load(folder), load(folder, lora=LoraSettings(rank=2))
        assert writer(adapted).write(PROMPTS) == writer(plain).write(PROMPTS)
