"""Loading and saving: one interface for both kinds, errors that say what to do, and folders that anybody can load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from tutelage import checkpoints
from tutelage.errors import ModelError
from tutelage.models import (
    LoraSettings,
    check_adapters,
    cut_prompt,
    evaluating,
    fits_vocabulary,
    load,
    sample_logits,
    save,
)

TEXT = "if x < 3:\n  {x} ~ 5"


@pytest.fixture(params=["t5", "gpt"])
def folder(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> Path:
    return tiny_t5_folder if request.param == "t5" else tiny_gpt_folder


def test_targets_end_and_come_back(folder: Path):
    """A target without an end mark teaches a student never to stop."""
    lm = load(folder)
    ids = lm.target_ids(TEXT)
    assert ids[-1] == lm.eos_id
    assert ids.count(lm.eos_id) == 1
    assert lm.text(ids) == TEXT


def test_prompt_of_an_encoder_ends_with_its_mark_and_of_a_causal_model_with_a_newline(
    tiny_t5_folder: Path, tiny_gpt_folder: Path
):
    """T5 was pretrained on ended prompts; a causal model must know where the question ends and its answer begins."""
    encoder, causal = load(tiny_t5_folder), load(tiny_gpt_folder)
    assert encoder.prompt_ids("Tova")[-1] == encoder.eos_id
    assert causal.text(causal.prompt_ids("Tova")) == "Tova\n"
    assert causal.eos_id not in causal.prompt_ids("Tova")


def test_weights_are_float32_whatever_is_stored(tiny_t5_folder: Path, tmp_path: Path):
    """Steps of 1e-4 vanish in bfloat16 weights: a student would seem to train and not move."""
    AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_t5_folder).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert {p.dtype for p in load(tmp_path).model.parameters()} == {torch.float32}


def test_missing_folder_says_what_to_give():
    """A traceback about hub addresses does not tell that the path was mistyped."""
    with pytest.raises(ModelError, match="no such folder"):
        load("./nowhere/model")


def test_unreachable_hub_name_says_so():
    """Without network a hub name fails; the message must name the way out."""
    with pytest.raises(ModelError, match="without network, give the path of a folder"):
        load("somebody/no-such-model")


def test_folder_without_weights_is_named(tiny_t5_folder: Path, tmp_path: Path):
    """A copy that broke off must not be taken for another fault."""
    shutil.copytree(tiny_t5_folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="Is the folder whole"):
        load(tmp_path / "broken")


def test_model_that_writes_no_text_is_refused(tiny_t5_folder: Path, tmp_path: Path):
    """An image model would fail deep inside training."""
    shutil.copytree(tiny_t5_folder, tmp_path / "vit")
    (tmp_path / "vit" / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelError, match="a vit, which does not write text"):
        load(tmp_path / "vit")


def test_tokenizer_larger_than_the_network_is_refused(tiny_t5_folder: Path, tiny_gpt_folder: Path, tmp_path: Path):
    """Ids beyond the embedding crash in the middle of an epoch, on a GPU without saying why."""
    shutil.copytree(tiny_t5_folder, tmp_path / "mixed")
    for path in tiny_gpt_folder.glob("tokenizer*"):
        shutil.copy(path, tmp_path / "mixed" / path.name)
    with pytest.raises(ModelError, match="They do not fit"):
        load(tmp_path / "mixed")


def test_tokenizer_without_end_mark_is_refused(tiny_gpt_folder: Path, tmp_path: Path):
    """No end mark, no end of writing."""
    shutil.copytree(tiny_gpt_folder, tmp_path / "endless")
    path = tmp_path / "endless" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings.pop("eos_token")
    path.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no end mark"):
        load(tmp_path / "endless")


def test_missing_pad_token_is_the_end_mark(tiny_gpt_folder: Path):
    """GPT-2 ships without one; batches need a filler and masks come from lengths."""
    lm = load(tiny_gpt_folder)
    assert lm.pad_id == lm.eos_id


def test_saved_model_loads_anywhere_and_predicts_the_same(folder: Path, tmp_path: Path):
    """A student that only this package could load would be of no use to anybody."""
    lm = load(folder)
    save(lm, tmp_path / "saved")
    auto = AutoModelForSeq2SeqLM if lm.kind == "encoder-decoder" else AutoModelForCausalLM
    again = auto.from_pretrained(tmp_path / "saved").eval()
    ids = torch.tensor([lm.prompt_ids("Tova has 12")])
    extra = {"decoder_input_ids": ids} if lm.kind == "encoder-decoder" else {}
    with torch.no_grad():
        assert torch.equal(again(input_ids=ids, **extra).logits, lm.model(input_ids=ids, **extra).logits)


def test_folder_with_only_a_sentencepiece_file_loads(tiny_t5_folder: Path, spiece: Path, tmp_path: Path):
    """Most T5 checkpoints of the papers ship spiece.model and no tokenizer.json."""
    shutil.copytree(tiny_t5_folder, tmp_path / "old")
    (tmp_path / "old" / "tokenizer.json").unlink()
    shutil.copy(spiece, tmp_path / "old" / "spiece.model")
    old, new = load(tmp_path / "old"), load(tiny_t5_folder)
    assert old.prompt_ids(TEXT) == new.prompt_ids(TEXT)
    assert old.text(old.target_ids(TEXT)) == TEXT


def test_fingerprint_follows_the_weights(tiny_t5_folder: Path, tmp_path: Path):
    """Rationales are cached by who wrote them; two students of one name must not be mixed up."""
    lm, twin = load(tiny_t5_folder), load(tiny_t5_folder)
    save(lm, tmp_path / "copy")
    assert lm.fingerprint == twin.fingerprint
    assert len(lm.fingerprint) == 64
    with torch.no_grad():
        next(twin.model.parameters()).add_(1.0)
    save(twin, tmp_path / "changed")
    assert load(tmp_path / "changed").fingerprint != lm.fingerprint


def test_adapters_are_the_only_weights_that_learn(folder: Path):
    """A head that trains silently beside the adapters is full fine-tuning of the largest matrix."""
    lm = load(folder, lora=LoraSettings(rank=2))
    learning = {name for name, p in lm.model.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in name for name in learning)


def test_adapters_start_the_same_for_the_same_seed(folder: Path):
    """A run that is repeated must begin with the same adapters, whatever was drawn before."""
    torch.manual_seed(5)
    first = load(folder, lora=LoraSettings(rank=2), seed=1).fingerprint
    torch.manual_seed(6)
    assert load(folder, lora=LoraSettings(rank=2), seed=1).fingerprint == first
    assert load(folder, lora=LoraSettings(rank=2), seed=2).fingerprint != first


def test_unknown_adapter_target_is_an_error_of_the_recipe(folder: Path):
    """A mistyped layer name must be told as such."""
    with pytest.raises(ModelError, match=r"lora\.targets"):
        load(folder, lora=LoraSettings(targets=("no_such_layer",)))


@pytest.mark.parametrize(
    ("checkpoint", "targets"),
    [
        ("tiny_gpt_folder", ("lm_head",)),
        ("tiny_gpt_folder", ("wte", "c_attn")),
        ("tiny_t5_folder", ("shared",)),
        ("tiny_t5_folder", ("embed_tokens", "q")),
        ("tiny_t5_folder", ("lm_head", "q")),
    ],
)
@pytest.mark.parametrize("look", [load, check_adapters])
def test_adapters_on_shared_weights_are_refused(
    request: pytest.FixtureRequest, checkpoint: str, targets: tuple[str, ...], look: Callable[..., Any]
):
    """Merged, the adapters of an output layer change the input embeddings too: dev loss 3.29 live, 5.18 as saved."""
    with pytest.raises(ModelError, match=rf"lora\.targets: .*{targets[0]}.* share their weights"):
        look(request.getfixturevalue(checkpoint), lora=LoraSettings(rank=2, targets=targets))


def qwen(folder: Path, like: Path, *, tied: bool) -> Path:
    """A causal checkpoint whose output layer shares its weights or has its own."""
    shutil.copytree(like, folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=330, tie_word_embeddings=tied, **sizes, **heads)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("tied", "targets"), [(False, ("lm_head", "embed_tokens", "q_proj")), (True, ("q_proj", "v_proj")), (True, None)]
)
def test_merged_adapters_are_the_live_model(
    tiny_gpt_folder: Path, tmp_path: Path, tied: bool, targets: tuple[str, ...] | None
):
    """What is saved must be what was chosen on dev."""
    lm = load(qwen(tmp_path / "qwen", tiny_gpt_folder, tied=tied), lora=LoraSettings(rank=4, targets=targets))
    for name, weight in lm.model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    save(lm, tmp_path / "saved")
    sample = [(lm.prompt_ids(TEXT), lm.target_ids("--> 5"))]
    live, saved = sample_logits(lm, sample), sample_logits(load(tmp_path / "saved"), sample)
    base = sample_logits(load(tmp_path / "qwen"), sample)
    torch.testing.assert_close(saved, live, rtol=1e-4, atol=1e-4 * float(live.abs().max()))
    assert float((base - live).abs().max()) > 0.01 * float(live.abs().max())


def test_a_saved_model_that_is_another_is_told(folder: Path, tmp_path: Path):
    """What no file can hold, here a temperature put on the output, would be lost in silence."""
    lm = load(folder)
    save(lm, tmp_path / "whole")
    lm.model.lm_head.register_forward_hook(lambda layer, given, logits: 1.01 * logits)
    with pytest.raises(ModelError, match="is not the one in memory"):
        save(lm, tmp_path / "changed")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_model_of_any_precision_can_be_saved(folder: Path, tmp_path: Path, dtype: torch.dtype):
    """What rounding does is no difference."""
    lm = load(folder, dtype=dtype)
    save(lm, tmp_path / "saved")
    assert {p.dtype for p in load(tmp_path / "saved").model.parameters()} == {torch.float32}


def test_vocabularies_fit_by_tokens_not_by_rows(tiny_t5_folder: Path, tiny_gpt_folder: Path):
    """Soft labels across different vocabularies are garbage that no loss curve shows."""
    t5, gpt = load(tiny_t5_folder), load(tiny_gpt_folder)
    assert fits_vocabulary(t5, t5)
    assert not fits_vocabulary(t5, gpt)


def test_long_prompt_is_cut_at_the_front(tiny_t5_folder: Path):
    """Question and cue stand at the end of a prompt, passages at its front."""
    lm = load(tiny_t5_folder)
    ids = lm.prompt_ids("The quick brown fox jumps. How many beads has Tova?")
    assert cut_prompt(lm, ids, 10) == ids[-10:]
    assert cut_prompt(lm, ids, len(ids)) == ids


def test_evaluating_leaves_modes_and_random_numbers_alone(tiny_t5_folder: Path):
    """Looking at the dev split must not change how training goes on."""
    lm = load(tiny_t5_folder)
    lm.model.train()
    lm.model.encoder.eval()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with evaluating(lm):
        assert not lm.model.training
        torch.rand(7)
    assert torch.equal(torch.rand(1), expected)
    assert lm.model.training
    assert not lm.model.encoder.training


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [("config.json", b"{broken", "config.json is not JSON"), ("model.safetensors", b"cut short", "is damaged")],
)
def test_a_damaged_checkpoint_is_found_before_it_is_loaded(
    tiny_t5_folder: Path, tmp_path: Path, file: str, content: bytes, told: str
):
    """`check` was content, and the run ended when its first student was loaded."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_t5_folder, folder)
    checkpoints.check(str(folder))
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=told):
        checkpoints.check(str(folder))
