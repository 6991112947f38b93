"""The transformers Trainer with our rows, our batches and our loss; DDP, FSDP, resume and precision stay its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tutelage.models import LanguageModel
from tutelage.plugins import resolve
from tutelage.training.batching import Batches, Collator, Row
from tutelage.training.losses import LOSSES, Loss, LossSum, token_count
from tutelage.training.settings import Settings


class DistillationTrainer(Trainer):
    """One loss, one division: by the weighted tokens of all accumulated batches on all ranks."""

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        lm: LanguageModel,
        rows: Sequence[Row],
        args: TrainingArguments,
        settings: Settings,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        dataset: Any = rows
        super().__init__(lm.model, args, Collator(lm), dataset, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self.loss_function: Loss = resolve(settings.loss, LOSSES, "loss")
        self.batches = Batches(
            [row.lengths for row in rows],
            rows=None if settings.batch_tokens else settings.batch_size,
            tokens=settings.batch_tokens,
            seed=args.seed,
            rank=args.process_index,
            processes=args.world_size,
        )
        self.so_far: LossSum = LossSum(*torch.zeros(2, dtype=torch.float64, device=args.device))
        """Loss of the running epoch on this rank; kept on the device, so that no step waits for it."""

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Batches that already belong to this rank: accelerate must not deal them out again."""
        pinned = self.args.device.type == "cuda"
        return _Loader(self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator, pin_memory=pinned)  # pyright: ignore

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """The batches of one step, and what their summed loss is divided by."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        counts = [token_count(batch["labels"], batch["weights"]) for batch in batches]
        return batches, self._over_ranks(torch.stack(counts).sum().to(device))

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
        labels_BT, weights_B = inputs.pop("labels"), inputs.pop("weights")
        outputs = model(**inputs, use_cache=False)
        found = self.loss_function(outputs.logits, labels_BT, weights_B)
        divisor = found.count if num_items_in_batch is None else num_items_in_batch
        if model.training:
            self.so_far = LossSum(self.so_far.sum + found.sum.detach(), self.so_far.count + found.count)
        loss = found.sum / divisor * self.args.world_size
        return (loss, outputs) if return_outputs else loss

    def epoch_loss(self) -> LossSum:
        """Loss of the running epoch over all ranks."""
        return LossSum(*self._over_ranks(torch.stack([*self.so_far])))

    def _over_ranks(self, tensor: Tensor) -> Any:
        return self.accelerator.reduce(tensor, "sum") if self.args.world_size > 1 else tensor

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: it walks over all parameters at every step."""
        return 0


class _Loader(DataLoader[Row]):
    """A loader that passes the epoch on to its batches."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # pyright: ignore
