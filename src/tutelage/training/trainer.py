"""The transformers Trainer with our rows, batches and objective; DDP, FSDP, resume and precision stay its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tutelage.models import LanguageModel
from tutelage.training.batching import Batches, Row
from tutelage.training.losses import token_count
from tutelage.training.memory import micro_batch_tokens
from tutelage.training.objective import Found, Objective
from tutelage.training.settings import Settings


class DistillationTrainer(Trainer):
    """One loss, one division: by the weighted tokens of all accumulated batches on all ranks.

    On a CPU a batch too large for memory is worked off in micro-batches; the sum of their gradients is the batch's own.
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
        self.micro_batch_tokens = micro_batch_tokens(lm, args, settings)
        super().__init__(lm.model, args, collate, dataset, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        by_tokens = settings.batch_tokens is not None and objective.groups_in_batch is None
        self.batches = Batches(
            [_lengths(group) for group in objective.groups],
            rows=None if by_tokens else objective.groups_in_batch or settings.batch_size,
            tokens=settings.batch_tokens if by_tokens else None,
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

    def collate(self, groups: Sequence[Sequence[Row]]) -> list[dict[str, Tensor]]:
        """The tensors of a batch, as one micro-batch or several."""
        return [self.objective.collate(some) for some in micro_batches(groups, self.micro_batch_tokens)]

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Batches that already belong to this rank: accelerate must not deal them out again."""
        pinned = self.args.device.type == "cuda"
        return _Loader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator, pin_memory=pinned)  # pyright: ignore

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[list[dict[str, Tensor]]], Tensor]:
        """The batches of one step, and what their summed loss is divided by."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        counts = [token_count(micro["labels"], micro["weights"]) for batch in batches for micro in batch]
        return batches, self._over_ranks(torch.stack(counts).sum().to(device))

    def training_step(
        self, model: Any, inputs: list[dict[str, Tensor]], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward passes over a batch, one micro-batch after the other; gradients add up."""
        losses = [super(DistillationTrainer, self).training_step(model, micro, num_items_in_batch) for micro in inputs]
        return torch.stack(losses).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The batch's share of the step's loss per token.

        DDP averages gradients over ranks; multiplying by their number makes that a sum.
        """
        found = self.objective(model, inputs)
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
