"""The transformers Trainer over rankings: candidates drawn anew each epoch, temperatures that fall as training goes on.

Of the network only weights that learn are in a checkpoint; the others are in the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tutelage.errors import RunError
from tutelage.training.batching import RandomBatches
from tutelage.training.reranking.candidates import Ranking, draw
from tutelage.training.reranking.losses import ranking_loss
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage

WEIGHTS = "weights.safetensors"


class Drawn(Dataset[Ranking]):
    """The part of each ranking that an epoch learns from."""

    def __init__(self, rankings: Sequence[Ranking], count: int, seed: int) -> None:
        self.rankings, self.count, self.seed, self.epoch = rankings, count, seed, 0

    def __len__(self) -> int:
        """How many rankings there are."""
        return len(self.rankings)

    def __getitem__(self, index: int) -> Ranking:
        """The ranking at this place, with the candidates drawn for this epoch."""
        return draw(self.rankings[index], self.count, seed=self.seed, epoch=self.epoch)


class RankingTrainer(Trainer):
    """Teaches a network the order that the rationales give."""

    def __init__(
        self,
        network: Any,
        rankings: Sequence[Ranking],
        passages: Mapping[str, Passage],
        args: TrainingArguments,
        settings: RerankerSettings,
        callbacks: list[TrainerCallback],
    ) -> None:
        def collate(rows: Sequence[Ranking]) -> dict[str, Any]:
            return network.collate(rows, passages)

        self.drawn = Drawn(rankings, settings.candidates, args.seed)
        super().__init__(network, args, collate, self.drawn, callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self.settings, self.ranking_loss = settings, ranking_loss(settings.loss)
        self.batches = RandomBatches(
            [(len(ranking.query), 1) for ranking in rankings],
            rows=settings.batch_size,
            accumulate=args.gradient_accumulation_steps,
            seed=args.seed,
            rank=args.process_index,
            processes=args.world_size,
        )
        self.so_far = torch.zeros(2, dtype=torch.float64, device=args.device)
        """Of the running epoch on this rank: loss and number of rankings; on the device, so that no step waits."""

    def get_train_dataloader(self) -> DataLoader[Ranking]:
        """Batches that already belong to this rank: accelerate must not deal them out again."""
        return _Loader(self.drawn, batch_sampler=self.batches, collate_fn=self.data_collator)  # pyright: ignore

    @property
    def temperatures(self) -> tuple[float, float]:
        """Of the teacher and of the model, at the step that is being taken."""
        done = self.state.global_step / max(self.state.max_steps, 1)
        return self.settings.teacher_temperature.at(done), self.settings.model_temperature.at(done)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The batch's loss per ranking; over several ranks DDP takes the mean."""
        teacher, own = self.temperatures
        scores_QK = model(**inputs["batch"])
        loss = self.ranking_loss(scores_QK.float() / own, inputs["teacher_QK"] / teacher)
        self.so_far += torch.stack([loss.sum, loss.count]).detach()
        mean = loss.sum / loss.count
        return (mean, None) if return_outputs else mean

    def epoch_loss(self) -> float:
        """Loss per ranking of the epoch that ends here, over all ranks; the next one begins at nothing."""
        tensor = self.accelerator.reduce(self.so_far, "sum") if self.args.world_size > 1 else self.so_far
        total, count = tensor.tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self.so_far = torch.zeros_like(self.so_far)
        return total / count

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: it walks over all parameters at every step."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_weights(self.model, Path(output_dir or self.args.output_dir or "."))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))


def save_weights(network: Any, folder: Path) -> None:
    """Write the weights that learn."""
    folder.mkdir(parents=True, exist_ok=True)
    learning = {name: weight.detach().contiguous() for name, weight in _learning(network).items()}
    save_file(learning, folder / WEIGHTS)


def load_weights(network: Any, folder: Path) -> None:
    """Put the weights that `save_weights` wrote back into a network of the same make."""
    saved, learning = load_file(folder / WEIGHTS), _learning(network)
    if saved.keys() != learning.keys():
        raise RunError(f"{folder} holds the weights of another network. Delete its folder and run again.")
    with torch.no_grad():
        for name, weight in learning.items():
            weight.copy_(saved[name])


def _learning(network: Any) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


class _Loader(DataLoader[Ranking]):
    """A loader that passes the epoch on to its batches and to the draw of candidates."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # pyright: ignore
        self.dataset.epoch = epoch  # pyright: ignore
