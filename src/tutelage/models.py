r"""A language model ready to read and write: network, tokenizer, and how prompts and targets become token ids.

    lm = load("google/flan-t5-base")            # or a local folder, or the bundled pocket/nano
    lm.text(lm.target_ids("x < 3\n--> yes"))    # "x < 3\n--> yes", although T5 knows neither "<" nor newlines

Training, generation and soft labels all go through the same three methods, so what trains is what serves.
"""

from __future__ import annotations

import copy
import hashlib
import random
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from tutelage.checkpoints import describe, digest, locate
from tutelage.errors import ModelError
from tutelage.escape import Added, Escape, added_ids, token_ids, token_text
from tutelage.precision import Precision, autocast_dtype

Tokens: TypeAlias = tuple[list[int], list[int]]
"""Ids of a prompt and of its target."""
SAMPLE = ("Tova has 12 beads and finds 5 more. 12 + 5 = 17.", "Is it so?")
"""Texts to compare a model with its copy on, where no rows are at hand."""


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters instead of full fine-tuning (Hu et al. 2021)."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] | None = None
    """Names of the adapted layers; None takes peft's default for the architecture, else every linear layer."""


@dataclass(frozen=True)
class LanguageModel:
    """A network with its tokenizer."""

    name: str
    model: Any
    """A transformers model, or a peft model around one."""
    tokenizer: Any
    """A transformers tokenizer."""
    kind: Literal["encoder-decoder", "causal"]
    escape: Escape
    folder: Path | None = None
    """Where it was loaded from, if that is a local folder and the weights have not been trained since."""
    autocast: torch.dtype | None = None
    """What matrix products are computed in while it is evaluated; None is the weights' own type. See `in_precision`."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides its texts, in 64 hex digits: of the files of its folder, else of its weights."""
        return digest(self.folder) if self.folder else _digest_weights(self)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def eos_id(self) -> int:
        """The id that ends a target."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """The id that fills a row. It may equal `eos_id`, so masks and labels are made from lengths, never from ids."""
        return int(self.tokenizer.pad_token_id)

    @property
    def start_id(self) -> int:
        """The id that a decoder begins with (encoder-decoder only)."""
        return int(self.model.config.decoder_start_token_id)

    @property
    def positions(self) -> int | None:
        """How many tokens fit the network, or None where position is relative (T5)."""
        return getattr(self.model.config, "max_position_embeddings", None)

    @cached_property
    def around_prompt(self) -> Added:
        """Special tokens around a prompt, those that the tokenizer itself adds: <s> of Llama, </s> of T5.

        A causal model reads prompt and target as one text, so what would end that text does not stand behind a prompt.
        """
        added = self._asked_tokenizer(target=False)
        return added if self.kind == "encoder-decoder" else added._replace(after=[])

    @cached_property
    def before_target(self) -> list[int]:
        """Special tokens before a target: none, but <s> for BART, whose decoder has a start id before that."""
        return self._asked_tokenizer(target=True).before if self.kind == "encoder-decoder" else []

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of a prompt, with the special tokens that the tokenizer adds: T5 ends a prompt with </s>.

        A causal model reads prompt and target as one text, so its prompt ends with a newline.
        """
        before, after = self.around_prompt
        whole = text if self.kind == "encoder-decoder" else text + "\n"
        return [*before, *token_ids(self.tokenizer, self.escape.encode(whole)), *after]

    def target_ids(self, text: str) -> list[int]:
        """Token ids of a target; the last one is the end mark."""
        return [*self.before_target, *token_ids(self.tokenizer, self.escape.encode(text)), self.eos_id]

    def _asked_tokenizer(self, *, target: bool) -> Added:
        try:
            return added_ids(self.tokenizer, target=target)
        except ValueError as error:
            raise ModelError(
                f"model {self.name!r}: {error}, so no prompt can be built. Choose another model."
            ) from error

    def text(self, ids: Iterable[int]) -> str:
        """The text of written ids: special tokens removed, escapes undone."""
        return self.escape.decode(token_text(self.tokenizer, list(ids)))


def load(
    name_or_path: str | Path,
    *,
    lora: LoraSettings | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    revision: str | None = None,
    seed: int = 0,
) -> LanguageModel:
    """A language model by hub name, local folder, GGUF file, package or bundled name, in evaluation mode.

    `dtype` holds whatever the checkpoint is stored as: training needs float32 weights even for a bfloat16 checkpoint,
    since small steps vanish in bfloat16. `device` None is a GPU where there is one. `seed` decides the adapters' first
    weights. Raises ModelError that says what to do.
    """
    name = str(name_or_path)
    folder = locate(name)
    source = str(folder or name)
    with quiet():
        config = _read(AutoConfig, source, name, revision=revision)
        kind, auto = _architecture(config, name)
        tokenizer = _read(AutoTokenizer, source, name, revision=revision)
        model = _read(auto, source, name, config=config, revision=revision, dtype=dtype)
        _complete(tokenizer, model, kind, name)
        if lora:
            model = _with_adapters(model, lora, kind, seed)
    unchanged = None if lora or dtype != torch.float32 else folder
    return LanguageModel(
        name, model.to(device or _best_device()).eval(), tokenizer, kind, Escape.of(tokenizer), unchanged
    )


def load_tokenizer(name_or_path: str | Path) -> LanguageModel:
    """A language model without its network, good for `prompt_ids`, `target_ids` and `prompt_room`: to measure texts.

    Raises ModelError as `load` does.
    """
    name = str(name_or_path)
    folder = describe(name)
    source = str(folder or name)
    with quiet():
        config = _read(AutoConfig, source, name)
        kind, _ = _architecture(config, name)
        tokenizer = _read(AutoTokenizer, source, name)
    return LanguageModel(name, SimpleNamespace(config=config), tokenizer, kind, Escape.of(tokenizer), folder)


def save(lm: LanguageModel, folder: Path, *, sample: Sequence[Tokens] = ()) -> None:
    """Write an ordinary Hugging Face folder that any `from_pretrained` reads.

    Adapters are merged into the weights, on a copy; they are also kept alone in `folder/adapter`. The folder is then
    loaded again and compared with the live model on a `sample`; see `check_saved`.
    """
    model, sample = lm.model, sample or [(lm.prompt_ids(text), lm.target_ids(text)) for text in SAMPLE]
    expected = sample_logits(lm, sample)
    with quiet():
        if is_adapted(lm):
            model.save_pretrained(folder / "adapter")
            model = copy.deepcopy(model).merge_and_unload()
        model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    del model
    open_to_readers(folder)
    coarse = any(weight.dtype in (torch.bfloat16, torch.float16) for weight in lm.model.parameters())
    check_saved(folder, sample, expected, device=lm.device, coarse=coarse)


def sample_logits(lm: LanguageModel, sample: Sequence[Tokens]) -> Tensor:
    """Logits (N, V) in float32 for the last tokens of some targets behind their prompts, at most eight of each."""
    forward, rows = type(lm.model).forward, list[Tensor]()  # of the class: a Trainer puts autocast around the model's
    with evaluating(replace(lm, autocast=None)):
        for prompt, target in sample:
            texts = (
                {"input_ids": prompt, "decoder_input_ids": [lm.start_id, *target[:-1]]}
                if lm.kind == "encoder-decoder"
                else {"input_ids": [*prompt, *target[:-1]]}
            )
            inputs = {name: torch.tensor([ids], device=lm.device) for name, ids in texts.items()}
            logits_1TV = forward(lm.model, **inputs, use_cache=False, return_dict=True).logits
            rows.append(logits_1TV[0, -min(len(target), 8) :].float().cpu())
    return torch.cat(rows)


def check_saved(
    folder: Path, sample: Sequence[Tokens], expected: Tensor, *, device: torch.device, coarse: bool = False
) -> None:
    """Load a saved model and raise ModelError where its logits are not those of the live one.

    `expected` is what `sample_logits` gave for the live model. This takes the time and the memory of a second copy of
    the weights, in float32 on `device`, for a few short passes: no more than training itself needed.
    """
    check_same(str(folder), expected, sample_logits(load(folder, device=device), sample), coarse=coarse)


def check_same(name: str, expected: Tensor, found: Tensor, *, coarse: bool = False) -> None:
    """Raise ModelError where numbers of a saved model differ from the live one's by a thousandth of the largest.

    Merging adapters, another device and another order of sums change them by a hundredth of that in float32. A model
    held in half precision (`coarse`) differs from one of the same weights in float32 by more: a tenth is allowed.
    """
    scale = max(1e-6, float(expected.abs().max()))
    apart = float((expected - found).masked_fill(expected == found, 0.0).abs().max())
    if not apart <= (0.1 if coarse else 1e-3) * scale:
        raise ModelError(
            f"the model saved in {name} is not the one in memory: its outputs, of at most {scale:.3g}, differ by up to "
            f"{apart:.3g}. Something that the network computes with is not in its files, such as a weight that two "
            "layers share. Do not use that folder; with lora, try other lora.targets."
        )


def check_adapters(name_or_path: str | Path, lora: LoraSettings) -> None:
    """Raise ModelError where a local model cannot have these adapters. Its weights are not read."""
    name, folder = str(name_or_path), describe(str(name_or_path))
    if folder is None:
        return
    with quiet():
        config = _read(AutoConfig, str(folder), name)
        kind, auto = _architecture(config, name)
        with torch.device("meta"):
            _with_adapters(auto.from_config(config), lora, kind, 0)


def open_to_readers(folder: Path) -> None:
    """Give all files the mode of config.json: safetensors writes weights that nobody but their writer may read."""
    for path in folder.rglob("*.safetensors"):
        path.chmod((folder / "config.json").stat().st_mode)


def fits_vocabulary(a: LanguageModel, b: LanguageModel) -> bool:
    """Whether an id means the same token to both, so that one's distribution can teach the other.

    Padded embedding rows do not matter (152,064 against 151,936 is no difference of tokens).
    """
    return a.tokenizer.get_vocab() == b.tokenizer.get_vocab()


def is_adapted(lm: LanguageModel) -> bool:
    """Whether the network carries low-rank adapters."""
    return hasattr(lm.model, "peft_config") and hasattr(lm.model, "merge_and_unload")


def cut_prompt(lm: LanguageModel, ids: list[int], limit: int) -> list[int]:
    """At most `limit` ids of a prompt, cut at the front, where passages stand: question and cue are at its end.

    Special tokens at its beginning stay. Passages are fitted to the limit before (`fitting.fit`), since here the best
    would go first. A prompt too long even so is cut here in training and generation alike, or a student is served what
    it never saw.
    """
    if len(ids) <= limit:
        return ids
    before = lm.around_prompt.before
    keep = min(len(before), limit) if ids[: len(before)] == before else 0
    return ids[:keep] + ids[len(ids) - limit + keep :]


def prompt_room(lm: LanguageModel, *, max_target_tokens: int, max_prompt_tokens: int | None = None) -> int | None:
    """How many tokens a prompt may have, in training as in serving; None is as many as you like.

    A causal model has one window for prompt and text. Nobody knows how long a text will be before it is written, so
    room for the longest allowed is set aside, in training too: a prompt is cut there as it will be cut when it is
    asked. Raises ModelError where that leaves no room for a prompt.
    """
    if lm.positions is None:
        return max_prompt_tokens
    room = lm.positions - max_target_tokens if lm.kind == "causal" else lm.positions
    if room < 1 or max_target_tokens > lm.positions:
        shared = "prompt and text together" if lm.kind == "causal" else "each of prompt and text"
        raise ModelError(
            f"model {lm.name!r} has room for {lm.positions} tokens, {shared}; texts of {max_target_tokens} leave none. "
            "Lower max_target_tokens, or choose a model with a longer window."
        )
    return room if max_prompt_tokens is None else min(room, max_prompt_tokens)


def in_precision(lm: LanguageModel, precision: Precision) -> LanguageModel:
    """The same network, which writes and scores in this precision on a CPU; on a GPU it does so in float32.

    What was set before is replaced. See `precision.autocast_dtype` for `auto`.
    """
    on_cpu = lm.device.type == "cpu"
    return replace(lm, autocast=autocast_dtype(precision, lm.model, lm.device) if on_cpu else None)


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Matrix products in `dtype` within this context; None changes nothing."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


@contextmanager
def evaluating(lm: LanguageModel) -> Generator[None]:
    """Evaluation mode without gradients, in the model's precision for evaluation.

    Every module's mode and all random states are as before afterwards.
    """
    modes = {module: module.training for module in lm.model.modules()}
    states = random.getstate(), np.random.get_state()
    lm.model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad(), autocast(lm.device, lm.autocast):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def output_layer_input(lm: LanguageModel, change: Callable[[Tensor], Tensor]) -> Generator[bool]:
    """Within this context the output layer reads change(hidden) instead of the hidden states (B, T, H).

    Positions that are left out cost nothing as wide as the vocabulary. Gives False for a network whose output layer is
    no module: then nothing changes, and the caller chooses among the logits.
    """
    layer = lm.model.get_output_embeddings()
    if layer is None:
        yield False
        return
    hook = layer.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))
    try:
        yield True
    finally:
        hook.remove()


@contextmanager
def quiet() -> Generator[None]:
    """Silence the notices and bars of transformers; errors are still raised."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft (0.21) still asks transformers 5 for a property under its old name.
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", ".*a tied layer is part of the adapter", UserWarning)  # we refuse it
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to True", UserWarning)  # and it corrects that
            warnings.filterwarnings("ignore", "Setting `save_embedding_layers` to `True`", UserWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _read(auto: Any, source: str, name: str, **settings: Any) -> Any:
    try:
        return auto.from_pretrained(source, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = (
            "Is the folder whole (config.json, tokenizer and weights)?"
            if Path(source).is_dir()
            else "Check the spelling; a private one needs `hf auth login`; without network, give the path of a folder."
        )
        raise ModelError(f"model {name!r} cannot be loaded: {reason} {advice}") from error


def _architecture(config: Any, name: str) -> tuple[Literal["encoder-decoder", "causal"], Any]:
    if config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "encoder-decoder", AutoModelForSeq2SeqLM
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "causal", AutoModelForCausalLM
    raise ModelError(
        f"model {name!r} is a {config.model_type}, which does not write text. "
        "Choose an encoder-decoder (T5, BART) or a causal model (GPT-2, Llama, Qwen)."
    )


def _complete(tokenizer: PreTrainedTokenizerBase, model: Any, kind: str, name: str) -> None:
    """Fill in what a checkpoint may leave open, and drop its own sampling settings: a recipe says how to sample."""
    if tokenizer.eos_token_id is None:
        raise ModelError(f"model {name!r}: its tokenizer has no end mark. Set `eos_token` in tokenizer_config.json.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    rows, top = model.get_input_embeddings().weight.shape[0], max(tokenizer.get_vocab().values())
    if top >= rows:
        raise ModelError(f"model {name!r}: its tokenizer knows ids up to {top}, its network {rows}. They do not fit.")
    start = getattr(model.config, "decoder_start_token_id", None)
    if kind == "encoder-decoder" and start is None:
        raise ModelError(f"model {name!r}: config.json has no `decoder_start_token_id`. For T5 it is the pad id.")
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model.generation_config = GenerationConfig(**ids, decoder_start_token_id=start)


def _with_adapters(model: Any, lora: LoraSettings, kind: str, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS
    from transformers.pytorch_utils import Conv1D

    targets: Any = list(lora.targets) if lora.targets else DEFAULTS.get(model.config.model_type, "all-linear")
    settings = LoraConfig(
        task_type="SEQ_2_SEQ_LM" if kind == "encoder-decoder" else "CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            adapted = get_peft_model(model, settings)
        except ValueError as error:
            raise ModelError(f"lora.targets: {error}") from error
    check_untied(adapted)
    return adapted


def check_untied(adapted: Any) -> None:
    """Raise ModelError where adapters are on weights that another layer shares, as output and input embeddings do.

    Live, the adapters act in one of the two; merged, they would change both. A sharing that the architecture takes for
    granted (T5's two embeddings) cannot be undone, so it is not tried.
    """
    shared: dict[int, list[str]] = {}
    for name, weight in adapted.named_parameters(remove_duplicate=False):
        shared.setdefault(id(weight), []).append(name)
    marks = (".base_layer.", ".original_module.", ".modules_to_save.")
    tied = [names for names in shared.values() if len(names) > 1 and any(mark in n for n in names for mark in marks)]
    if tied:
        plain = [" and ".join(sorted({_plain_name(name) for name in names})) for names in tied]
        raise ModelError(
            f"lora.targets: {'; '.join(plain)} share their weights, so adapters on one cannot be merged without "
            "changing the other. Leave them out of lora.targets, or train without lora."
        )


def _plain_name(name: str) -> str:
    """The name of a layer without what peft puts around it."""
    for part in ("base_model.model.", ".base_layer", ".original_module", ".modules_to_save.default", ".weight"):
        name = name.replace(part, "")
    return name


def _digest_weights(lm: LanguageModel) -> str:
    digest = hashlib.sha256(lm.model.config.to_json_string().encode())
    tensor: Tensor
    for name, tensor in sorted(lm.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
