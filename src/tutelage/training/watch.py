"""What a person sees while a student learns: one bar on the terminal, curves in TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback


class Watcher(TrainerCallback):
    """Something to close after training, also after an error."""

    def close(self) -> None:
        """Take it away."""


class Bar(Watcher):
    """One bar over all steps with the newest loss; nothing where standard error is no terminal."""

    def __init__(self, title: str) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.title = title

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show it."""
        self.task = self.bar.add_task(self.title, total=state.max_steps, completed=state.global_step)
        if state.is_world_process_zero:
            self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move it."""
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Say the loss."""
        if logs and "loss" in logs:
            self.bar.update(self.task, description=f"{self.title} loss {logs['loss']:.3f}")

    def close(self) -> None:
        """Take it away."""
        self.bar.stop()


class Board(Watcher):
    """Loss per token and learning rate at each log, each epoch the dev split's numbers and the loss's terms.

    Terms and their gradient norms, where there are several, are train/terms/NAME and train/gradient_norms/NAME.
    """

    def __init__(self, folder: Path, history: list[dict[str, Any]]) -> None:
        self.folder, self.history = folder, history
        self.writer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the file; what a killed try wrote beyond the checkpoint is hidden."""
        if state.is_world_process_zero:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step + 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the numbers of some steps."""
        for name in ("loss", "grad_norm", "learning_rate"):
            if self.writer and name in (logs or {}):
                self.writer.add_scalar(f"train/{name}", (logs or {})[name], state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the numbers of the epoch, which stand in the last row of history by now."""
        row = self.history[-1]
        for name in ("dev_loss", "dev_accuracy"):
            if self.writer and row[name] is not None:
                self.writer.add_scalar(name.replace("_", "/"), row[name], row["step"])
        for kind in ("terms", "gradient_norms"):
            for name, value in row.get(kind, {}).items():
                if self.writer:
                    self.writer.add_scalar(f"train/{kind}/{name}", value, row["step"])

    def close(self) -> None:
        """Flush and close the file."""
        if self.writer:
            self.writer.close()


class Teller(Watcher):
    """Passes the numbers on to a function: step and loss now and then, the row of history after an epoch."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], history: list[dict[str, Any]]) -> None:
        self.tell, self.history = tell, history

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Tell the loss of some steps."""
        if logs and "loss" in logs and state.is_world_process_zero:
            self.tell({"step": state.global_step, "steps": state.max_steps, "loss": logs["loss"]})

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the epoch's row."""
        if state.is_world_process_zero:
            self.tell({**self.history[-1], "epoch_done": True})
