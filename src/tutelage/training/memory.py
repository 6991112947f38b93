"""Memory of a training process on a CPU: how much a step takes, and that it stays with the process for the next.

A process that trains SmolLM2-135M in batches of 16 texts of 512 tokens, by what takes it:

    process with torch and transformers   0.5 GB
    weights, gradients, Adam's moments    2.2 GB    16 bytes a weight
    weights cast to bfloat16              0.3 GB    2 bytes a weight
    activations of a micro-batch          0.7 GB    whatever the batch size
"""

from __future__ import annotations

import ctypes
import functools
import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from tutelage.models import LanguageModel
    from tutelage.training.settings import Settings

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""glibc's numbers, see mallopt(3)."""

ACTIVATION_BYTES = 3 << 28
"""What the activations of a micro-batch may take on a CPU: 805 MB."""
PROCESS_BYTES = 5 << 27
"""A process that has imported torch and transformers and read its data: 671 MB."""
WEIGHT_BYTES = 16
"""Of a weight that learns: itself, its gradient and Adam's two moments, in float32."""
FROZEN_BYTES, HALF_BYTES = 4, 2
"""Of a weight beside adapters, and of its copy in bfloat16."""
INNER_WIDTHS = ("intermediate_size", "d_ff", "ffn_dim", "n_inner")
"""What configurations call the inner width of a feed-forward layer; without it, four times the width is taken."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let malloc keep large blocks for the next step, for the whole process; whether that worked.

    By default glibc gets each large tensor from the system and gives it back when freed. The next step then waits for
    the same pages to be handed out and cleared again: of a step over 944 tokens and a vocabulary of 32,128 that was a
    quarter of the time (582 to 451 ms, one core; `docs/log.md`). The price is that the process stays as large as its
    largest step, which suits small networks alone: of larger ones kept blocks of many sizes leave gaps that no other
    block fits (SmolLM2-135M: 6.0 GB kept, 3.7 GB given back), and the time saved is a few hundredths. Elsewhere than on
    glibc nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all(mallopt(*pair) for pair in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 26)))


def release_memory() -> None:
    """Give what a finished training held back to the system, also what `keep_freed_memory` has kept.

    A Trainer, its network and optimizer refer to each other, so they are freed by the collector alone; without this a
    process that trains one model after the other holds several at once.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return  # not glibc


def micro_batch_tokens(lm: LanguageModel, longest: int, arguments: TrainingArguments, settings: Settings) -> int | None:
    """How many padded tokens go through the network at once in training; None is any number.

    `longest` is the length of the longest row in tokens. A limit applies to one process on a CPU: several processes
    must make equally many passes, and on a GPU the user's batch size is taken at its word.
    """
    if arguments.device.type != "cpu" or arguments.world_size > 1:
        return None
    per_token = activation_bytes(
        lm.model.config, longest, in_bf16=settings.precision == "bf16", checkpointing=settings.gradient_checkpointing
    )
    return max(1, ACTIVATION_BYTES // per_token) if per_token else None


def activation_bytes(config: Any, length: int, *, in_bf16: bool, checkpointing: bool) -> int | None:
    """About what a training step keeps of each token for its backward pass, in bytes; None where sizes are not known.

    Measured with a Llama of 30 layers of width 576: 44 kB a token and layer in bfloat16, 56 kB in float32, a thirtieth
    of it with gradient checkpointing. Encoder-decoders of transformers keep attention weights too: a number for each
    head and each of the `length` tokens attended to, three times.
    """
    part = config.get_text_config()
    width, layers = (getattr(part, name, None) for name in ("hidden_size", "num_hidden_layers"))
    if not width or not layers:
        return None
    inner = next((n for name in INNER_WIDTHS if (n := getattr(part, name, None))), 4 * width)
    heads = getattr(part, "num_attention_heads", None) or 0 if config.is_encoder_decoder else 0
    layer = 55 * width + (8 if in_bf16 else 16) * inner + 12 * heads * length
    return int(layers * width * 4 + layer if checkpointing else layers * layer)


def training_bytes(config: Any, weights: int, learner: Any) -> int:
    """About the most that a process takes which trains a network of so many weights on a CPU, in bytes.

    `learner` has the settings of `Settings` that matter: batch size, token limits, lora, gradient checkpointing.
    """
    length = learner.max_prompt_tokens + learner.max_target_tokens
    per_token = activation_bytes(config, length, in_bf16=False, checkpointing=learner.gradient_checkpointing)
    tokens = learner.batch_tokens or learner.batch_size * length
    activations = ACTIVATION_BYTES
    if per_token:
        activations = max(min(tokens * per_token, ACTIVATION_BYTES), length * per_token)
    of_a_weight = FROZEN_BYTES if learner.lora else WEIGHT_BYTES
    return PROCESS_BYTES + weights * (of_a_weight + HALF_BYTES) + activations
