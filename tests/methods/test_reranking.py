"""What a recipe says of a reranker, and what its training hears."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tutelage.methods.reranking import _training_settings
from tutelage.models import LoraSettings
from tutelage.recipe import LoraSection, RerankerSection
from tutelage.training.reranking import RerankerSettings, Temperature

OTHER: dict[str, Any] = {
    "kind": "cross-encoder",
    "epochs": 7,
    "learning_rate": 0.5,
    "batch_size": 5,
    "candidates": 4,
    "loss": "ce",
    "schedule": "cosine",
    "warmup": 0.25,
    "weight_decay": 0.5,
    "max_grad_norm": None,
    "dimension": 32,
    "normalize": False,
    "query_tokens": 9,
    "passage_tokens": 10,
    "select": "last",
    "precision": "fp32",
}
TEMPERATURES: dict[str, Any] = {"teacher_temperature": (4.0, 2.0), "model_temperature": (3.0, 0.5)}
SHAPED = {key: Temperature(first, last, "geometric") for key, (first, last) in TEMPERATURES.items()}


def test_every_setting_of_a_reranker_can_be_set_in_a_recipe():
    """A key that stays behind trains with the default, and nobody is told."""
    section = RerankerSection(
        base="pocket/nano", temperature_shape="geometric", lora=LoraSection(rank=3, alpha=5), **TEMPERATURES, **OTHER
    )
    heard = _training_settings(section)
    said = {**OTHER, **SHAPED, "lora": LoraSettings(rank=3, alpha=5, dropout=0.0)}
    assert {field.name: getattr(heard, field.name) for field in fields(RerankerSettings)} == said
    default = RerankerSettings()
    assert not [key for key in said if said[key] == getattr(default, key)]


def test_a_recipe_that_says_nothing_means_what_training_does_by_itself():
    heard, default = _training_settings(RerankerSection(base="pocket/nano")), RerankerSettings()
    differ = {f.name for f in fields(default) if getattr(heard, f.name) != getattr(default, f.name)}
    assert differ == {"query_tokens", "passage_tokens"}, "shorter in a recipe: see there"
