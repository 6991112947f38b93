"""From a GGUF file to an ordinary Hugging Face folder: configuration, tokenizer with its chat template, weights.

transformers reads the file. What it would pass over in silence is an error here: a tokenizer that differs from what the
file says, weights that the file lacks, numbers that are none.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

from tutelage.errors import ModelError
from tutelage.gguf.header import Header, require_gguf

DIGITS_ALONE = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Values of `tokenizer.ggml.pre`: byte-level tokenizers that first cut off every digit, then cut the rest as GPT-2 does
(so llama.cpp, and the published SmolLM2). transformers 5.23 leaves the first step out, so that spaces before a number
become other tokens."""

CONTROL, USER_DEFINED = 3, 4
"""Values of `tokenizer.ggml.token_type`: tokens that no text is cut into, and tokens that are never cut."""

SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
"""A tokenizer's special tokens, and what GGUF calls them."""


def write_description(file: Path, header: Header, folder: Path) -> None:
    """Write config.json and the tokenizer of a GGUF file. Raises ModelError where transformers cannot read them."""
    _check_types(header)
    _check_tokenizer_is_there(header)
    with _reading(file, folder) as source:
        config = _tried(lambda: _config(source, header), header)
        tokenizer = _tried(lambda: _tokenizer(source, header), header)
        _check_tokens(tokenizer, config, header)
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def write_weights(file: Path, header: Header, folder: Path) -> None:
    """Write a GGUF file's weights, dequantised, beside the description in `folder`.

    As float32, or as the half precision that holds each of them exactly. Raises ModelError.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig

    with _reading(file, folder) as source, torch.random.fork_rng(devices=[]):
        config = AutoConfig.from_pretrained(folder)
        model, told = _tried(lambda: _network(source, config), header)
        if missing := sorted(told["missing_keys"]):
            raise ModelError(f"it lacks {len(missing)} weights of a {config.model_type}, e.g. {missing[0]}. {_ANOTHER}")
        odd = [name for name, weights in model.state_dict().items() if not torch.isfinite(weights).all()]
        if odd:
            raise ModelError(f"{odd[0]} holds numbers that are none (NaN or infinite), so it is damaged. {_ANOTHER}")
        # Otherwise a folder of dense weights would claim to be quantised, and could neither be saved nor trained.
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        try:
            model.to(_smallest_exact_type(model)).save_pretrained(folder)
        except SafetensorError as error:
            raise OSError(str(error)) from error  # a full disk, as a rule
    for path in folder.glob("*.safetensors"):
        path.chmod((folder / "config.json").stat().st_mode)


def _config(source: dict[str, Any], header: Header) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(**source)
    if config.model_type in ("t5", "umt5"):
        # The file does not say: llama.cpp takes GELU where there is a gate, transformers 5.23 a gate of ReLU always.
        gated = any(".ffn_gate." in tensor.name for tensor in header.tensors)
        config.feed_forward_proj = "gated-gelu" if gated else "relu"
        config.is_gated_act, config.dense_act_fn = gated, "gelu_new" if gated else "relu"
    return config


def _tokenizer(source: dict[str, Any], header: Header) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Of this class and no model's own: tokenizer.json says it all then, and nothing is put together anew on loading.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(**source)
    values = header.values
    if values["tokenizer.ggml.model"] == "gpt2" and values.get("tokenizer.ggml.pre") in DIGITS_ALONE:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    return tokenizer


def _network(source: dict[str, Any], config: Any) -> Any:
    import torch
    from transformers import GgufConfig

    auto = _auto_class(config)
    return auto.from_pretrained(
        **source,
        config=config,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
    )


def _auto_class(config: Any) -> Any:
    """The class that has all the weights: one that writes where the architecture has one, else the encoder alone."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    if named := config.architectures:
        return getattr(transformers, named[0])
    if config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForSeq2SeqLM
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel


def _smallest_exact_type(model: Any) -> Any:
    """The smallest type that holds every weight exactly: float32 for dequantised ones, float16 for an F16 file."""
    import torch

    for type in (torch.bfloat16, torch.float16):
        if all(torch.equal(weights.to(type).to(weights.dtype), weights) for weights in model.state_dict().values()):
            return type
    return torch.float32


def _check_types(header: Header) -> None:
    """Raise ModelError where tensors are stored in a way that `gguf` cannot turn into numbers."""
    import numpy as np

    require_gguf()
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    for name in sorted({tensor.type for tensor in header.tensors}):
        type = GGMLQuantizationType[name]
        _, size = GGML_QUANT_SIZES[type]
        plain = {"F32": np.float32, "F16": np.float16}.get(name)
        try:
            dequantize(np.zeros((1, 1), plain) if plain else np.zeros((1, size), np.uint8), type)
        except (NotImplementedError, ValueError, KeyError) as error:
            raise ModelError(
                f"it is stored as {name}, which the package `gguf` cannot turn into numbers. {_ANOTHER}"
            ) from error


def _check_tokenizer_is_there(header: Header) -> None:
    tokens: Any = header.values.get("tokenizer.ggml.tokens")
    are_texts = isinstance(tokens, list) and tokens and all(isinstance(token, str) for token in tokens)
    if not are_texts or not isinstance(header.values.get("tokenizer.ggml.model"), str):
        raise ModelError(f"it has no tokenizer (`tokenizer.ggml.model` and `tokenizer.ggml.tokens`). {_ANOTHER}")
    for token, key in SPECIAL.items():
        id = header.values.get(f"tokenizer.ggml.{key}_token_id")
        if id is not None and not (isinstance(id, int) and 0 <= id < len(tokens)):
            raise ModelError(f"its {token} token has the id {id}, and there are {len(tokens)} tokens. {_ANOTHER}")
    embedding = next((t for t in header.tensors if t.name == "token_embd.weight"), None)
    if embedding and embedding.shape[0] < len(tokens):
        raise ModelError(f"it has {len(tokens)} tokens and vectors for {embedding.shape[0]} only. {_ANOTHER}")


def _check_tokens(tokenizer: Any, config: Any, header: Header) -> None:
    """Raise ModelError where the tokenizer that transformers made is not the one that the file describes."""
    values = header.values
    tokens: list[str] = values["tokenizer.ggml.tokens"]
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    found: list[tuple[str, Any, Any]] = []
    for token, key in SPECIAL.items():
        if (id := values.get(f"tokenizer.ggml.{key}_token_id")) is not None:
            found.append((f"the {token} token", getattr(tokenizer, f"{token}_token_id"), id))
    if not config.is_encoder_decoder and values.get("tokenizer.ggml.eos_token_id") is None:
        raise ModelError(f"it does not say which token ends a text (`tokenizer.ggml.eos_token_id`). {_ANOTHER}")
    if template := values.get("tokenizer.chat_template"):
        found.append(("the chat template", tokenizer.chat_template, template))
    found.append(("the highest id", max(max(vocabulary.values()), len(tokens) - 1), len(tokens) - 1))
    kinds: Any = values.get("tokenizer.ggml.token_type")
    for id, (text, kind) in enumerate(zip(tokens, kinds if isinstance(kinds, list) else [], strict=False)):
        # T5's blanks have another name in the file, and so are not found; transformers renames them
        if kind in (CONTROL, USER_DEFINED) and (at := vocabulary.get(text)) is not None:
            found.append((f"the token {text!r}", at, id))
    for what, got, wanted in found:
        if got != wanted:
            raise ModelError(
                f"transformers reads {what} as {got!r:.80} where the file says {wanted!r:.80}, so texts would be cut "
                f"into other tokens than those it was trained with. {_ANOTHER}"
            )


@contextmanager
def _reading(file: Path, folder: Path) -> Generator[dict[str, Any]]:
    """What `from_pretrained` needs to read a file: under a plain name of its own, since it looks at the name, too."""
    from transformers.utils import logging

    link = folder / "model.gguf"
    link.symlink_to(file.absolute())
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    # Its bars go to the terminal alone; a log would be full of them.
    silent = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    try:
        with silent:
            yield {"pretrained_model_name_or_path": str(folder), "gguf_file": link.name}
    finally:
        logging.set_verbosity(verbosity)
        link.unlink()


def _tried(read: Callable[[], Any], header: Header) -> Any:
    """What `read` gives. transformers raises what Python raises where a file leads it astray."""
    from transformers import __version__
    from transformers.integrations.gguf.gguf_conversion_mapping import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    try:
        return read()
    except Exception as error:
        known = sorted({*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_ARCHS} - {"general", "tokenizer"})
        if _plain(header.architecture) not in map(_plain, known):
            raise ModelError(
                f"its architecture is {header.architecture!r}, which transformers {__version__} cannot read from GGUF "
                f"(it reads {', '.join(known)}). Take the model's original folder instead."
            ) from error
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"transformers {__version__} cannot read it ({type(error).__name__}: {reason:.200}). {_ANOTHER}"
        ) from error


def _plain(architecture: str) -> str:
    """Names such as qwen2moe, qwen2_moe and t5encoder in one spelling."""
    return architecture.lower().replace("_", "").replace("-", "").removesuffix("encoder")


_ANOTHER = "Take another GGUF file of the model, or its original folder."
