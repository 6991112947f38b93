"""What matrix products are computed in: chosen by measurement, and within the rounding of bfloat16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutelage import precision
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel, evaluating, in_precision, load
from tutelage.precision import autocast_dtype

EPSILON = 2.0**-8
"""Half the distance between 1 and the next number in bfloat16."""


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any network counts as large enough for bfloat16."""
    monkeypatch.setattr(precision, "SMALL", 1)


def logits_of(lm: LanguageModel) -> torch.Tensor:
    tokens = torch.tensor([[5, 9, 13, 21, 8, 30]])
    decoder = {"decoder_input_ids": tokens} if lm.kind == "encoder-decoder" else {}
    with evaluating(lm):
        return lm.model(input_ids=tokens, use_cache=False, **decoder).logits.float()


def speedup_of(monkeypatch: pytest.MonkeyPatch, ratio: float, *, supported: bool = True) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: supported)
    monkeypatch.setattr(precision, "measured_speedup", lambda inputs, outputs: ratio)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("ratio", "supported", "expected"),
    [(2.9, True, torch.bfloat16), (1.1, True, None), (0.3, True, None), (2.9, False, None)],
)
def test_auto_is_bf16_only_where_it_is_faster(
    tiny_gpt_folder: Path, monkeypatch: pytest.MonkeyPatch, ratio: float, supported: bool, expected: torch.dtype | None
):
    """A processor that emulates bfloat16 takes many times as long, and its rounding buys nothing."""
    speedup_of(monkeypatch, ratio, supported=supported)
    assert autocast_dtype("auto", load(tiny_gpt_folder, device="cpu").model, "cpu") is expected


def test_small_networks_stay_in_fp32(tiny_gpt_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The bundled studies would end with other students on processors that have bfloat16."""
    speedup_of(monkeypatch, 9.0)
    assert autocast_dtype("auto", load(tiny_gpt_folder, device="cpu").model, "cpu") is None


def test_what_is_asked_for_is_not_measured(tiny_gpt_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever writes fp32 or bf16 into a recipe gets it on every machine."""
    speedup_of(monkeypatch, 9.0)
    model = load(tiny_gpt_folder, device="cpu").model
    assert autocast_dtype("fp32", model, "cpu") is None
    speedup_of(monkeypatch, 0.1, supported=False)
    assert autocast_dtype("bf16", model, "cpu") is torch.bfloat16


def test_the_measurement_compares_products_of_the_sizes_given():
    """A ratio of nothing, or of one product with itself, would decide at random."""
    assert 0.01 < precision.measured_speedup(64, 128) < 100
    assert precision.measured_speedup.cache_info().currsize >= 1


@pytest.mark.parametrize("fixture", ["tiny_t5_folder", "tiny_gpt_folder"])
def test_bf16_logits_are_fp32_logits_but_for_rounding(fixture: str, request: pytest.FixtureRequest):
    """A cast in the wrong place (norms, softmax) is off by far more than the rounding of a few products."""
    lm = load(request.getfixturevalue(fixture), device="cpu")
    plain, half = logits_of(in_precision(lm, "fp32")), logits_of(in_precision(lm, "bf16"))
    layers = 2 * int(lm.model.config.num_hidden_layers) + 1
    difference = (plain - half).abs().max() / plain.abs().max()
    assert 0 < difference < 4 * layers * EPSILON
    torch.testing.assert_close(logits_of(in_precision(in_precision(lm, "bf16"), "fp32")), plain, rtol=0, atol=0)


@pytest.mark.parametrize("fixture", ["tiny_t5_folder", "tiny_gpt_folder"])
def test_texts_are_written_in_the_precision_that_is_set(fixture: str, request: pytest.FixtureRequest):
    """A generator that ignored it would cost 2.9 times the time, and score another model than was trained."""
    lm = load(request.getfixturevalue(fixture), device="cpu")
    seen: set[torch.dtype] = set()
    linear = next(m for m in lm.model.modules() if isinstance(m, torch.nn.Linear) or type(m).__name__ == "Conv1D")
    hook = linear.register_forward_hook(lambda _, __, out: seen.add(out.dtype))
    try:
        LocalGenerator(in_precision(lm, "bf16"), max_new_tokens=3).write(["Tova has 12 beads"])
        assert seen == {torch.bfloat16}
        seen.clear()
        LocalGenerator(in_precision(lm, "fp32"), max_new_tokens=3).write(["Tova has 12 beads"])
        assert seen == {torch.float32}
    finally:
        hook.remove()
