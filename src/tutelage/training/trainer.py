"""The transformers Trainer with our rows, batches and objective; DDP, FSDP, resume and precision stay its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tutelage.models import LanguageModel
from tutelage.training.batching import RandomBatches, Row, in_parts
from tutelage.training.losses import LossSum, token_count
from tutelage.training.memory import micro_batch_tokens
from tutelage.training.objective import Found, Objective
from tutelage.training.settings import Settings

CPU_OVERHEAD = 128.0
"""Tokens; see `part_overhead`. An epoch of pocket/nano and pocket/mini on SVAMP takes the least time at 128 to 256."""
GPU_OVERHEAD = 5e8
"""Tokens times weights, for each module; see `part_overhead`. 30 µs a module, forward and back, where a token takes six
operations a weight and 10^14 of them take a second. Estimated, not measured."""


class DistillationTrainer(Trainer):
    """One loss, one division: by the weighted tokens of all accumulated batches on all ranks.

    On a CPU a batch too large for memory is processed in micro-batches; their gradients add up to the same sum.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        lm: LanguageModel,
        objective: Objective,
        args: TrainingArguments,
        settings: Settings,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.objective, self.settings = objective, settings
        dataset: Any = objective.groups
        collate: Any = self.collate
        super().__init__(lm.model, args, collate, dataset, callbacks=callbacks)
        longest = max((sum(_lengths(group)) for group in objective.groups), default=1)
        self.micro_batch_tokens = micro_batch_tokens(lm, longest, args, settings)
        self.remove_callback(PrinterCallback)
        by_tokens = settings.batch_tokens is not None and objective.groups_in_batch is None
        alone = args.world_size == 1
        self.overhead = part_overhead(lm.model, args.device) if alone else math.inf
        """Of a part of a batch, in tokens. Several processes wait for each other in every pass: one part."""
        self.budget = settings.batch_tokens if by_tokens and alone else None
        self.batches = RandomBatches(
            [_lengths(group) for group in objective.groups],
            rows=None if by_tokens else objective.groups_in_batch or settings.batch_size,
            tokens=settings.batch_tokens if by_tokens else None,
            accumulate=settings.accumulate,
            seed=args.seed,
            rank=args.process_index,
            processes=args.world_size,
        )
        self.so_far = self.tally()
        """Of the running epoch on this rank: loss, count, then each term; on the device, so that no step waits."""
        self.gradient_norms: dict[str, float] = {}
        """Of each term, at the first batch of the running epoch; kept only where there are several terms."""

    def tally(self, start: list[float] | None = None) -> Tensor:
        """Sums to add to: loss, count and each term of the objective, zero or as they stood."""
        values = start or [0.0] * (2 + len(self.objective.terms))
        return torch.tensor(values, dtype=torch.float64, device=self.args.device)

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Batches that already belong to this rank: accelerate must not deal them out again."""
        pinned = self.args.device.type == "cuda"
        return _Loader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator, pin_memory=pinned)  # pyright: ignore

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Any]:
        """A batch as the tensors of its parts; see `in_parts`."""
        parts = in_parts([_lengths(group) for group in groups], overhead=self.overhead, budget=self.budget)
        cut = (some for part in parts for some in micro_batches([groups[i] for i in part], self.micro_batch_tokens))
        return {"parts": [self.objective.collate(some) for some in cut]}

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor]:
        """The batches of one step, and what their summed loss is divided by."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        counts = [token_count(part["labels"], part["weights"]) for batch in batches for part in batch["parts"]]
        return batches, self._over_ranks(torch.stack(counts).sum().to(device))

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward passes over a batch: one, or as many as memory asks for; their gradients add up."""
        passes = _passes(inputs["parts"], self.micro_batch_tokens)
        step = super().training_step
        return torch.stack([step(model, {"parts": parts}, num_items_in_batch) for parts in passes]).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The batch's share of the step's loss per token.

        DDP averages gradients over ranks; multiplying by their number makes that a sum.
        """
        found = _together([self.objective(model, part) for part in inputs["parts"]])
        divisor = found.loss.count if num_items_in_batch is None else num_items_in_batch
        if model.training:
            self._note(model, found)
        loss = found.loss.sum / divisor * self.args.world_size
        return (loss, None) if return_outputs else loss

    def _note(self, model: Any, found: Found) -> None:
        terms = [found.terms[name] for name in self.objective.terms]
        self.so_far += torch.stack([found.loss.sum, found.loss.count, *terms]).detach()
        if len(terms) > 1 and not self.gradient_norms:
            self.gradient_norms = {
                name: _gradient_norm(model, term / found.loss.count) for name, term in found.terms.items()
            }

    def epoch_loss(self) -> list[float]:
        """Loss, count and each term of the running epoch, summed over all ranks."""
        return self._over_ranks(self.so_far.clone()).tolist()

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """Weights that decay: not biases and norms, unless the settings want all of them."""
        if self.settings.decay_norms:
            return [name for name, _ in model.named_parameters()]
        return super().get_decay_parameter_names(model)

    def _over_ranks(self, tensor: Tensor) -> Any:
        return self.accelerator.reduce(tensor, "sum") if self.args.world_size > 1 else tensor

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: it walks over all parameters at every step."""
        return 0


def micro_batches(groups: Sequence[Sequence[Row]], tokens: int | None) -> list[list[Sequence[Row]]]:
    """A batch in parts of at most `tokens` padded tokens each; one group may be larger. None leaves it whole.

    Groups of similar length share a part, so that little of it is padding.
    """
    if tokens is None:
        return [list(groups)]
    parts: list[list[Sequence[Row]]] = []
    rows = longest = 0
    for group in sorted(groups, key=lambda group: sum(_lengths(group)), reverse=True):
        rows, longest = rows + len(group), max(longest, sum(_lengths(group)))
        if not parts or rows * longest > tokens:
            parts.append([])
            rows, longest = len(group), sum(_lengths(group))
        parts[-1].append(group)
    return parts


def part_overhead(model: Any, device: torch.device) -> float:
    """Padded tokens that a part of a batch must save so that a further pass of the network is worth its time.

    On a CPU a pass costs little besides its arithmetic. On a GPU it takes a time that depends on the number of
    layers, in which a small network could have read thousands of tokens, one of 3 billion weights a few hundred.
    """
    if device.type == "cpu":
        return CPU_OVERHEAD
    return GPU_OVERHEAD * sum(1 for _ in model.modules()) / max(1, sum(p.numel() for p in model.parameters()))


def _passes(parts: Sequence[dict[str, Tensor]], tokens: int | None) -> list[list[dict[str, Tensor]]]:
    """The parts of a batch as they go through the network together: at most `tokens` padded tokens, or one part."""
    passes: list[list[dict[str, Tensor]]] = []
    read = 0
    for part in parts:
        size = sum(part[name].numel() for name in ("input_ids", "decoder_input_ids") if name in part)
        if not passes or (tokens is not None and read + size > tokens):
            passes.append([])
            read = 0
        passes[-1].append(part)
        read += size
    return passes


def _together(parts: Sequence[Found]) -> Found:
    """The loss of a batch, given that of its parts."""
    if len(parts) == 1:
        return parts[0]
    total, count = (torch.stack([part.loss[at] for part in parts]).sum() for at in (0, 1))
    terms = {name: torch.stack([part.terms[name] for part in parts]).sum() for name in parts[0].terms}
    return Found(LossSum(total, count), terms)


def _lengths(group: Any) -> tuple[int, int]:
    """The longest prompt and the longest target of a group."""
    return max(len(row.prompt) for row in group), max(len(row.target) for row in group)


def _gradient_norm(model: Any, term: Tensor) -> float:
    """Length of one term's gradient over all weights, nothing changed about the step that follows."""
    if not term.requires_grad:
        return 0.0
    weights = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    return float(torch.stack([g.float().norm() for g in gradients if g is not None]).norm())


class _Loader(DataLoader[Row]):
    """A loader that passes the epoch on to its batches."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # pyright: ignore
