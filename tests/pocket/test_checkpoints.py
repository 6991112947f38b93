"""The bundled checkpoints: ordinary folders, small enough to ship, and free of task knowledge."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from tutelage.errors import ModelError
from tutelage.pocket import CHECKPOINTS, NAMES, checkpoint_path
from tutelage.pocket.pretrain import PLANS

LARGEST = {"nano": 500_000, "mini": 4_000_000, "causal-nano": 500_000}
"""Parameters at most."""


def load(name: str):
    kind = AutoModelForCausalLM if name.startswith("causal") else AutoModelForSeq2SeqLM
    return kind.from_pretrained(checkpoint_path(name), dtype=torch.float32)


def test_importing_the_pocket_world_loads_no_torch():
    """`tutelage --help` must answer in a blink."""
    code = "import sys, tutelage.pocket, tutelage.pocket.steps, tutelage.pocket.atlas, tutelage.pocket.teacher;"
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_checkpoint_names_the_known_ones():
    """A typing mistake must not become a download from a hub."""
    assert checkpoint_path("pocket/nano") == checkpoint_path("nano")
    with pytest.raises(ModelError, match="did you mean 'pocket/nano'"):
        checkpoint_path("pocket/nanno")


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_loads_as_an_ordinary_folder(name):
    """A bundled student that needs special code would test that code, not the package."""
    model, tokenizer = load(name), AutoTokenizer.from_pretrained(checkpoint_path(name))
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert sum(weight.numel() for weight in model.parameters()) < LARGEST[name]
    assert model.config.vocab_size == len(tokenizer)
    assert model.get_input_embeddings().weight is model.lm_head.weight
    assert (tokenizer("Torvel")["input_ids"][-1] == tokenizer.eos_token_id) != name.startswith("causal")


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_reports_its_skills_and_no_task(name):
    """A student that answers before it is taught would make every method look good."""
    report = json.loads((checkpoint_path(name) / "skills.json").read_text())
    assert report["skills"]["gather"] > 0.7
    assert report["zero_shot"]["pocket/steps"] <= 0.05
    assert report["zero_shot"]["pocket/atlas"] <= 0.05
    assert report["zero_shot"]["pocket/atlas-pairs"] <= 0.55


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_was_made_by_the_plan_in_the_code(name):
    """Weights that the command cannot make again are weights nobody can check."""
    report = json.loads((checkpoint_path(name) / "skills.json").read_text())
    assert asdict(PLANS[name]).items() <= report.items()


def test_the_checkpoints_fit_the_package():
    """Whoever installs the package downloads them."""
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file()) <= 12_000_000
