"""Training on two processes: the same students as on one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState
from safetensors.torch import load_file

from tutelage.models import load
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import write_soft_labels
from tutelage.training.soft_objective import FromSoftLabels
from tutelage.training.student import Trained, train
from tutelage.types import Example

EXAMPLES = [Example(f"q-{i}", f"Tova has {i} beads.", f"{i} " * (i % 4) + f"--> {i}") for i in range(8)]


def teach(model: str, folder: Path, labels: Path | None = None, **changes: Any) -> Trained:
    chosen: dict[str, Any] = {"seed": 1, "epochs": 3, "learning_rate": 0.1, "optimizer": "sgd", "select": "dev_loss"}
    chosen["max_target_tokens"] = 64
    settings = Settings(**{**chosen, **changes})
    outside: dict[str, Any] = {"device": "cpu", "progress": False, "tensorboard": False}
    if labels:
        outside["teaching"] = FromSoftLabels(labels, "c", weight=0.5)
    return train(EXAMPLES, EXAMPLES, settings, model=model, folder=folder, **outside)


def without_dropout(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0}))
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("soft", [False, True])
def test_two_processes_train_like_one(tiny_gpt_folder: Path, tmp_path: Path, soft: bool):
    """Dividing by each process's own tokens, or dealing batches out twice, gives another student on more devices."""
    labels = [tmp_path / "labels"] if soft else []
    for folder in labels:
        mentor = load(tiny_gpt_folder, device="cpu")
        write_soft_labels(mentor, EXAMPLES, folder, max_prompt_tokens=512, max_target_tokens=64)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    start = str(without_dropout(tiny_gpt_folder, tmp_path / "start"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launch, __file__, start, str(tmp_path / "two"), *map(str, labels)], env=environment, check=True)
    one = teach(start, tmp_path / "one", *labels, batch_size=8)
    two = teach(start, tmp_path / "two", *labels, batch_size=4)
    assert [row["step"] for row in one.history] == [row["step"] for row in two.history]
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert mine["dev_loss"] == pytest.approx(theirs["dev_loss"], rel=1e-5)
    first, second = (load_file(trained.model / "model.safetensors") for trained in (one, two))
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5


if __name__ == "__main__":
    teach(sys.argv[1], *map(Path, sys.argv[2:]), batch_size=4)
    PartialState().destroy_process_group()  # left to the interpreter's end, gloo's threads now and then abort it
