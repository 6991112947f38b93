"""Prompts and targets have the special tokens that the tokenizer itself adds, whatever its attributes say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartTokenizer,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    T5Tokenizer,
)

from tutelage.errors import ModelError
from tutelage.escape import Escape, added_ids
from tutelage.generation.local import LocalGenerator
from tutelage.generation.options import option_log_probs
from tutelage.models import LanguageModel, cut_prompt, load, save
from tutelage.training.batching import Collator, tokenize
from tutelage.training.soft_labels import SoftLabels, write_soft_labels
from tutelage.types import Example

TEXTS = ["Tova has 12 beads and finds 5 more.", "", "<s> is it </s> so? <s>", "x < 3:\n  {x} ~ 5"]
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "[gMASK]"]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def trained() -> ByteLevelBPETokenizer:
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS * 20, vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    return bpe


def templated(single: str) -> PreTrainedTokenizerFast:
    """As Llama 3's and Gemma's files have it: what is added stands in tokenizer.json and in no attribute."""
    bpe = trained()
    ids = [(token, bpe.token_to_id(token)) for token in SPECIAL]
    if single != "$A":
        bpe._tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, **NAMES)


def of_class(cls: Any, **settings: Any) -> Any:
    model = json.loads(trained()._tokenizer.to_str())["model"]
    return cls(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **NAMES, **settings)


CAUSAL: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "llama 3: <s> by template": (lambda: templated("<s> $A"), ["<s>"]),
    "both by template": (lambda: templated("<s> $A </s>"), ["<s>"]),
    "an end alone": (lambda: templated("$A </s>"), []),
    "several": (lambda: templated("[gMASK] <s> $A"), ["[gMASK]", "<s>"]),
    "nothing": (lambda: templated("$A"), []),
    "LlamaTokenizer": (lambda: of_class(LlamaTokenizer), []),
    "LlamaTokenizer, both": (lambda: of_class(LlamaTokenizer, add_bos_token=True, add_eos_token=True), ["<s>"]),
    "GPT2Tokenizer": (lambda: of_class(GPT2Tokenizer), []),
    "GPT2Tokenizer, add_bos_token": (lambda: of_class(GPT2Tokenizer, add_bos_token=True), ["<s>"]),
    "Qwen2Tokenizer": (lambda: of_class(Qwen2Tokenizer), []),
}


def model_of(tokenizer: Any, kind: Any) -> LanguageModel:
    """As far as texts go; no network is asked."""
    return LanguageModel("tiny", SimpleNamespace(config=None), tokenizer, kind, Escape.of(tokenizer))


@pytest.fixture(params=CAUSAL)
def causal(request: pytest.FixtureRequest) -> tuple[LanguageModel, list[int]]:
    make, before = CAUSAL[request.param]
    tokenizer = make()
    return model_of(tokenizer, "causal"), tokenizer.convert_tokens_to_ids(before)


@pytest.mark.parametrize("text", TEXTS)
def test_a_causal_prompt_is_what_the_tokenizer_makes_of_it_less_an_end(
    causal: tuple[LanguageModel, list[int]], text: str
):
    """Without its <s> a Gemma has 6.03 nats a token and not 2.43; an end within the row teaches to go on behind it."""
    lm, before = causal
    peer = lm.tokenizer(lm.escape.encode(text + "\n"), split_special_tokens=True).input_ids
    prompt = lm.prompt_ids(text)
    assert prompt == (peer[:-1] if peer[-1:] == [lm.eos_id] else peer)
    assert prompt[: len(before)] == before
    specials = set(lm.tokenizer.all_special_ids) - {lm.tokenizer.unk_token_id}
    assert not specials & set(prompt[len(before) :])


def test_a_causal_row_begins_once_and_ends_once(causal: tuple[LanguageModel, list[int]]):
    """A second <s> before the answer is read as a new text."""
    lm, before = causal
    row = lm.prompt_ids(TEXTS[2]) + lm.target_ids(TEXTS[2])
    assert row[: len(before)] == before
    assert row[-1] == lm.eos_id
    assert not set(lm.tokenizer.convert_tokens_to_ids(SPECIAL[:2])) & set(row[len(before) : -1])


def test_a_cut_prompt_keeps_what_it_begins_with(causal: tuple[LanguageModel, list[int]]):
    """The first tokens that are cut would be the very ones that every text of the pretraining began with."""
    lm, before = causal
    ids = lm.prompt_ids(TEXTS[0])
    for limit in range(1, len(ids) + 1):
        cut = cut_prompt(lm, ids, limit)
        assert len(cut) == limit
        assert cut[: len(before)] == before[:limit]
        kept = max(0, limit - len(before))
        assert cut[len(before) :] == ids[len(ids) - kept :]


@pytest.fixture(params=["T5", "BART"])
def encoder_decoder(request: pytest.FixtureRequest, spiece: Path, tmp_path: Path) -> LanguageModel:
    if request.param == "BART":
        return model_of(of_class(BartTokenizer), "encoder-decoder")
    (tmp_path / "spiece.model").write_bytes(spiece.read_bytes())
    return model_of(T5Tokenizer.from_pretrained(tmp_path, extra_ids=4), "encoder-decoder")


@pytest.mark.parametrize("text", TEXTS)
def test_prompt_and_target_of_an_encoder_decoder_are_the_tokenizers_own(encoder_decoder: LanguageModel, text: str):
    """T5 adds an end alone. BART's decoder was pretrained on texts that begin with <s> behind its start id."""
    lm = encoder_decoder
    escaped = lm.escape.encode(text)
    assert lm.prompt_ids(text) == lm.tokenizer(escaped, split_special_tokens=True).input_ids
    assert lm.target_ids(text) == lm.tokenizer(text_target=escaped, split_special_tokens=True).input_ids
    assert lm.text(lm.target_ids(text)) == text


def test_a_tokenizer_that_cannot_be_asked_is_named():
    """A guess would be trained on."""

    def erratic(text: str, *, add_special_tokens: bool, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[1, 2] if add_special_tokens else [3])

    with pytest.raises(ValueError, match="splits 'a' differently"):
        added_ids(erratic)
    lm = LanguageModel("odd", SimpleNamespace(config=None), erratic, "causal", Escape())
    with pytest.raises(ModelError, match="model 'odd'"):
        lm.prompt_ids("Tova")


@pytest.fixture(params=["llama", "bart"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> LanguageModel:
    """A checkpoint whose tokenizer begins texts by itself."""
    torch.manual_seed(0)
    if request.param == "llama":
        tokenizer: Any = templated("<s> $A </s>")
        sizes: dict[str, Any] = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        }
        network: Any = LlamaForCausalLM(
            LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=128, bos_token_id=0, eos_token_id=1, **sizes)
        )
    else:
        tokenizer = of_class(BartTokenizer)
        width: dict[str, Any] = {
            "d_model": 32,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 128,
        }
        layers = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
        heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4)
        marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 1}
        made: Any = BartConfig
        network = BartForConditionalGeneration(
            made(vocab_size=len(tokenizer), **width, **layers, **heads, **marks, forced_bos_token_id=0)
        )
    network.save_pretrained(tmp_path / "made")
    tokenizer.save_pretrained(tmp_path / "made")
    return load(tmp_path / "made", device="cpu")


def test_every_reader_of_a_prompt_sees_the_same_one(whole: LanguageModel, tmp_path: Path):
    """Trained with <s>, asked without it, a student is served what it never saw."""
    lm = whole
    save(lm, tmp_path / "saved")
    again = load(tmp_path / "saved", device="cpu")
    example = Example("a", "Tova has 12 beads.", "then 5 --> 5")
    limits: dict[str, Any] = {"max_prompt_tokens": 64, "max_target_tokens": 32}
    [row], _ = tokenize(lm, [example], **limits)
    assert row.prompt[0] == 0
    assert again.prompt_ids(example.prompt) == row.prompt
    assert LocalGenerator(lm, max_new_tokens=32, max_prompt_tokens=64)._prompt(example.prompt) == row.prompt
    write_soft_labels(lm, [example], tmp_path / "soft", **limits)
    SoftLabels.open(tmp_path / "soft").check(lm, [row])
    batch = Collator(lm)([row])
    labels_BT, _ = batch.pop("labels"), batch.pop("weights")
    with torch.no_grad():
        log_p_TV = lm.model(**batch).logits[0].log_softmax(-1)
    begin = len(lm.before_target)
    target = labels_BT[0][labels_BT[0] != -100]
    scored = log_p_TV[labels_BT[0] != -100].gather(1, target[:, None]).squeeze(1)
    options = [example.target, "no"]
    [found] = option_log_probs(lm, [example.prompt], [options], per_token=True)
    assert found is not None
    assert found[0] == pytest.approx(float(scored[begin:-1].mean()), rel=1e-4)
