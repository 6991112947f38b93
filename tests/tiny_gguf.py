"""Small models in GGUF, written with the `gguf` package as llama.cpp's converter writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, TokenType, get_tensor_name_map, quantize
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

SENTENCES = [
    "Tova has 12 beads and finds 5 more. How many beads has Tova?",
    "Tova starts with 12. 12 + 5 = 17. --> 17",
    "The quick brown fox jumps over the lazy dog. WHY? ABCDEFGHIJKLMNOPQRSTUVWXYZ Zürich, §1",
]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def llama(seed: int = 0) -> Any:
    """A Llama of about 100,000 random weights; its rows divide into blocks of 32, as quantisation wants them."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    for name, weights in model.named_parameters():  # norms of ones would hide that they were not read
        if name.endswith("norm.weight"):
            weights.data = 1 + 0.1 * torch.randn_like(weights)
    return model


def tensors_of(model: Any) -> dict[str, np.ndarray]:
    """A Llama's weights by their names in GGUF, queries and keys in llama.cpp's order of rotary pairs."""
    config = model.config
    named = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    found: dict[str, np.ndarray] = {}
    for name, weights in model.state_dict().items():
        stem = name.removesuffix(".weight")
        block, inner = "", stem
        if stem.startswith("model.layers."):
            number, inner = stem.removeprefix("model.layers.").split(".", 1)
            block = f"blk.{number}."
        values = weights.detach().float().numpy()
        if count := heads.get(named[inner]):
            rows, columns = values.shape
            values = values.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        found[f"{block}{named[inner]}.weight"] = np.ascontiguousarray(values)
    return found


def vocabulary() -> tuple[list[str], list[str], list[int]]:
    """Tokens, merges and kinds of a byte-level BPE with 320 tokens."""
    bpe = ByteLevelBPETokenizer()
    # Digits stand alone, as in the texts that SmolLM2's merges were learnt from.
    spaced = ["".join(f" {c} " if c.isdigit() else c for c in text) for text in SENTENCES]
    bpe.train_from_iterator(spaced * 5, vocab_size=320, special_tokens=CONTROL, show_progress=False)
    vocab = sorted(bpe.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [token for token, _ in vocab] + [f"<unused{i}>" for i in range(320 - len(vocab))]
    merges = [" ".join(pair) for pair in json.loads(bpe._tokenizer.to_str())["model"]["merges"]]
    kinds = [int(TokenType.CONTROL if token in CONTROL else TokenType.NORMAL) for token in tokens]
    return tokens, merges, kinds


def write_gguf(
    path: Path,
    *,
    model: Any = None,
    architecture: str = "llama",
    stored: str = "F32",
    pre: str = "smollm",
    leave_out: tuple[str, ...] = (),
    tensors: Mapping[str, np.ndarray] | None = None,
    change: Any = None,
) -> Path:
    """Write a file. `stored` is the type of its matrices, `leave_out` names tensors and keys that it lacks, `tensors`
    replaces some, and `change` is called with the writer before it writes.
    """
    model = model or llama()
    config = model.config
    writer = GGUFWriter(str(path), architecture)
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    tokens, merges, kinds = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for key in leave_out:
        writer.kv_data[0].pop(key, None)
    if change:
        change(writer)
    for name, values in {**tensors_of(model), **(tensors or {})}.items():
        if name in leave_out:
            continue
        type = GGMLQuantizationType[stored if values.ndim > 1 else "F32"]
        if type.name in ("F32", "F16"):
            writer.add_tensor(name, values.astype(np.float16 if type.name == "F16" else np.float32))
        else:
            writer.add_tensor(name, quantize(values, type), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_t5(path: Path, spiece: Path, *, gated: bool) -> tuple[Path, Any]:
    """A T5 of about 30,000 random weights and the sentencepiece model `spiece`; the network that was written."""
    from sentencepiece import SentencePieceProcessor

    pieces: Any = SentencePieceProcessor(model_file=str(spiece))
    count, blanks = pieces.vocab_size(), 128  # as T5's 32,000 and 128
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    kind: dict[str, Any] = {"feed_forward_proj": "gated-gelu" if gated else "relu", "tie_word_embeddings": not gated}
    config = T5Config(vocab_size=count + blanks, **sizes, **kind)  # T5 1.1 and Flan are gated and not tied
    config.decoder_start_token_id = 0
    model = T5ForConditionalGeneration(config).eval()
    writer = GGUFWriter(str(path), "t5")
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_key_length(8)
    writer.add_relative_attn_buckets_count(32)
    writer.add_layer_norm_eps(1e-6)
    writer.add_decoder_start_token_id(0)
    writer.add_tokenizer_model("t5")
    writer.add_vocab_size(count + blanks)
    writer.add_token_list([pieces.id_to_piece(i) for i in range(count)] + [f"[PAD{count + i}]" for i in range(blanks)])
    writer.add_token_scores([pieces.get_score(i) for i in range(count)] + [-1000.0] * blanks)
    writer.add_token_types([3, 3, 2, *[1] * (count - 3), *[5] * blanks])
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_eos_token(True)
    names = get_tensor_name_map(MODEL_ARCH.T5, 2)
    for name, weights in model.state_dict().items():
        if name.endswith("embed_tokens.weight") or (name == "lm_head.weight" and not gated):
            continue
        stored = names.get_name(name.removesuffix(".weight"))
        assert stored, name
        writer.add_tensor(f"{stored}.weight", weights.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, model
