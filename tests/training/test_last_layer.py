"""Learning without logits: the same losses and gradients as with them, however the vocabulary is cut up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.models import LanguageModel, LoraSettings, load
from tutelage.training import blocks, last_layer
from tutelage.training.batching import tokenize
from tutelage.training.blocks import Asked
from tutelage.training.divergences import DIVERGENCES, Student, over_stored
from tutelage.training.last_layer import is_plain, learn_through
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import write_soft_labels
from tutelage.training.soft_objective import FromSoftLabels
from tutelage.training.soft_targets import CachedTargets
from tutelage.types import Example

N, H, V, K = 7, 6, 150, 4
CASES = [
    (temperature, width, tail) for temperature in (1.0, 2.0, 1.7, 0.5) for width in (V, 139) for tail in (True, False)
]


@pytest.fixture(params=[(1, 1 << 25), (1, 3 * V), (1 << 18, 1 << 25)], ids=["blocks", "blocks and parts", "whole"])
def _cut_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 tokens with a narrower last one, three positions at a time, or everything at once."""
    monkeypatch.setattr(blocks, "BLOCK", request.param[0])
    monkeypatch.setattr(last_layer, "LOGITS_AT_ONCE", {"cpu": request.param[1]})


class Case:
    """A layer, hidden states, and what is asked of them; labels are among the stored tokens now and then."""

    def __init__(
        self, temperature: float, width: int, tail: bool, dtype: torch.dtype = torch.float64, columns: int = V
    ) -> None:
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(H, columns, bias=False, dtype=dtype)
        self.hidden_NH = torch.randn(N, H, dtype=dtype, requires_grad=True)
        ids_NK = torch.stack([torch.randperm(width)[:K] for _ in range(N)])
        if not tail:
            ids_NK[:, 1] = ids_NK[:, 0]  # drawn tokens fill up with id 0
        labels_N = torch.randint(width, (N,))
        labels_N[::2] = ids_NK[::2, 2]
        self.asked = Asked(labels_N, ids_NK, temperature, width, tail)
        self.mentor_NK = torch.randn(N, K + tail, dtype=dtype).log_softmax(-1)

    @property
    def learnt(self) -> tuple[Tensor, Tensor]:
        return self.hidden_NH, self.layer.weight

    def judge(self, student: Student, part: slice) -> Tensor:
        """Every divergence at once beside the cross-entropy, positions weighted."""
        weights_N = torch.arange(1.0, N + 1, dtype=student.nll.dtype)[part]
        distances = [divergence(self.mentor_NK[part], student.log_q) for divergence in DIVERGENCES.values()]
        return torch.stack([0.7 * (student.nll * weights_N).sum(), 0.3 * (torch.stack(distances) * weights_N).sum()])

    def ours(self) -> tuple[Tensor, Tensor]:
        return learn_through(self.layer, self.hidden_NH, self.asked, self.judge)

    def plain(self) -> Tensor:
        asked = self.asked
        given: dict[str, Any] = {"temperature": asked.temperature, "width": asked.width, "tail": asked.tail}
        return self.judge(over_stored(self.layer(self.hidden_NH), asked.labels, asked.ids, **given), slice(None))


@pytest.mark.usefixtures("_cut_up")
@pytest.mark.parametrize(("temperature", "width", "tail"), CASES)
def test_loss_and_gradients_are_those_of_logits(temperature: float, width: int, tail: bool):
    """The short way is only worth having if it is the same lesson: the sum, and each term alone."""
    case = Case(temperature, width, tail)
    (total, terms_2), plain_2 = case.ours(), case.plain()
    torch.testing.assert_close(terms_2, plain_2)
    torch.testing.assert_close(total, plain_2.sum())
    for mine, theirs in ((terms_2[0], plain_2[0]), (terms_2[1], plain_2[1]), (3 * total, 3 * plain_2.sum())):
        found, expected = (torch.autograd.grad(loss, case.learnt, retain_graph=True) for loss in (mine, theirs))
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("of", ["sum", "terms"])
@pytest.mark.parametrize(("temperature", "width", "tail"), CASES[::3])
def test_gradients_are_right(temperature: float, width: int, tail: bool, of: str):
    """Against differences of the loss itself, not another derivation of ours."""
    case = Case(temperature, width - 130, tail, columns=V - 130)
    way: Callable[..., Tensor] = lambda *_: case.ours()[of == "terms"]  # noqa: E731
    assert torch.autograd.gradcheck(way, case.learnt)


def test_gradient_can_be_asked_for_again():
    """What was found first is changed in place on its way back."""
    case = Case(1.0, V, True)
    total, _ = case.ours()
    first, second = (torch.autograd.grad(total, case.learnt, torch.tensor(2.0), retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, second)


def test_without_gradients_there_are_none():
    """A look at dev must not cost a backward pass, nor frozen weights their gradient."""
    case = Case(1.0, V, True)
    with torch.no_grad():
        total, _ = case.ours()
    assert not total.requires_grad
    case.layer.weight.requires_grad_(False)
    total, _ = case.ours()
    (found,) = torch.autograd.grad(total, case.hidden_NH)
    (expected,) = torch.autograd.grad(case.plain().sum(), case.hidden_NH)
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_cut_up")
def test_a_tail_of_little_mass_keeps_its_gradient():
    """Its factor is the inverse of its mass: worked out as the whole less the rest it would be noise."""
    wide, narrow = (Case(1.0, 139, True, dtype) for dtype in (torch.float64, torch.float32))
    for case in (wide, narrow):
        case.hidden_NH = torch.ones(N, H, dtype=case.layer.weight.dtype, requires_grad=True)
        case.asked = replace(case.asked, ids=torch.arange(K).expand(N, K) * 40, labels=torch.full((N,), 5))
        case.layer.weight.data.copy_(Case(1.0, 139, True).layer.weight)
        case.layer.weight.data[torch.arange(K) * 40] += 4.0  # 24 nats above all others
        case.mentor_NK = torch.tensor([0.3, 0.3, 0.2, 0.19, 0.01], dtype=case.layer.weight.dtype).log().expand(N, K + 1)
    found, expected = (torch.autograd.grad(case.ours()[0], case.learnt) for case in (narrow, wide))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs.float(), rtol=1e-4, atol=1e-4)


def test_a_student_sure_of_the_stored_tokens_ends_in_no_infinity():
    """Its tail has no mass in float32; a loss of inf would stop the training."""
    case = Case(1.0, 139, True, torch.float32)
    with torch.no_grad():
        case.layer.weight.zero_()
        case.layer.weight[case.asked.ids] = 400.0
        case.hidden_NH.fill_(1.0)
    total, terms_2 = case.ours()
    assert terms_2.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(total, case.learnt))


@pytest.mark.parametrize("tail", [True, False])
def test_no_position_is_no_loss(tail: bool):
    """A batch of nothing but prompts teaches nothing; it must not end in a division by zero."""
    case = Case(2.0, 139, tail)
    case.hidden_NH = torch.empty(0, H, dtype=torch.float64, requires_grad=True)
    case.asked, case.mentor_NK = case.asked[:0], case.mentor_NK[:0]
    case.judge = lambda student, part: torch.stack([student.nll.sum(), student.log_q[part].sum()])
    total, terms_2 = case.ours()
    assert total.item() == 0
    assert terms_2.tolist() == [0, 0]
    for loss in (terms_2[1], total):
        to_hidden, to_weight = torch.autograd.grad(loss, case.learnt, retain_graph=True)
        assert to_hidden.shape == (0, H)
        assert torch.equal(to_weight, torch.zeros(V, H, dtype=torch.float64))
    with torch.no_grad():
        assert case.ours()[0].item() == 0


class Largest(TorchDispatchMode):
    """Remembers how large a tensor was made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return found


def test_nothing_as_large_as_the_logits_is_made(monkeypatch: pytest.MonkeyPatch):
    """At 150,000 tokens of vocabulary they are what fills a GPU."""
    case = Case(2.0, 139, True)
    monkeypatch.setattr(last_layer, "LOGITS_AT_ONCE", {"cpu": 3 * V})
    with Largest() as made:
        case.ours()[0].backward()
    assert made.numbers == max(3 * V, H * V)
    with Largest() as plain:
        case.plain().sum().backward()
    assert plain.numbers == N * V


# Whole networks

EXAMPLES = [Example(f"q-{i}", "Tova has beads. " * (1 + i % 3), "so " * (i % 4) + f"--> {i}") for i in range(6)]
LIMITS: dict[str, Any] = {"max_prompt_tokens": 64, "max_target_tokens": 64}
SETTINGS = Settings(seed=1, epochs=1, learning_rate=1e-3, **LIMITS)


@pytest.fixture(params=["t5", "t5 untied", "gpt", "gpt with adapters"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    """T5 ties its last layer to the embeddings and scales what enters it; untied it does neither."""
    kind, _, other = request.param.partition(" ")
    lora = LoraSettings(rank=2) if other == "with adapters" else None
    lm = load(tiny_t5_folder if kind == "t5" else tiny_gpt_folder, lora=lora, device="cpu")
    if other == "untied":
        torch.manual_seed(1)
        config = lm.model.config.__class__(**{**lm.model.config.to_dict(), "tie_word_embeddings": False})
        lm = replace(lm, model=type(lm.model)(config).eval(), folder=None)
    return lm


def objective(lm: LanguageModel, folder: Path, **changes: Any) -> CachedTargets:
    if not folder.exists():
        write_soft_labels(lm, EXAMPLES, folder, **LIMITS, top_k=6)
    rows = tokenize(lm, EXAMPLES, **LIMITS)[0]
    found = FromSoftLabels(folder, "c", loss="reverse-kl", weight=0.4, **changes).prepare(lm, rows, SETTINGS)
    assert isinstance(found, CachedTargets)
    return found


def gradients(lm: LanguageModel, lesson: CachedTargets) -> tuple[Tensor, dict[str, Tensor]]:
    lm.model.zero_grad()
    found = lesson(lm.model, lesson.collate(lesson.groups))
    (found.loss.sum / found.loss.count).backward()
    return found.loss.sum, {n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("half", [False, True])
def test_a_network_learns_the_same_with_and_without_logits(lm: LanguageModel, tmp_path: Path, half: bool):
    """The hidden states must be those that enter the layer, and a tied layer's gradient must reach the embeddings."""
    lesson = objective(lm, tmp_path / "labels")
    assert lesson.without_logits
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.05)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        mine = gradients(lm, lesson)
        lesson.without_logits = False
        theirs = gradients(lm, lesson)
    torch.testing.assert_close(mine[0], theirs[0], rtol=5e-3 if half else 1e-6, atol=0)
    assert mine[1].keys() == theirs[1].keys()
    size = max(float(gradient.abs().max()) for gradient in theirs[1].values())
    for name, gradient in mine[1].items():
        torch.testing.assert_close(gradient, theirs[1][name], rtol=0, atol=size * (5e-2 if half else 1e-5), msg=name)


def test_logits_that_are_bent_behind_the_layer_are_made(tiny_gpt_folder: Path, tmp_path: Path):
    """Gemma 2 squeezes its logits; a loss that left that out would teach another network."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    lm = load(tiny_gpt_folder, device="cpu")
    assert is_plain(lm)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "final_logit_softcapping": 0.01}
    torch.manual_seed(0)
    bent = Gemma2ForCausalLM(Gemma2Config(vocab_size=len(lm.tokenizer), **sizes, **heads, pad_token_id=0)).eval()
    bent = replace(lm, model=bent, folder=None)
    assert not is_plain(bent)
    lesson = objective(bent, tmp_path / "labels")
    assert not lesson.without_logits
    assert abs(lesson(bent.model, lesson.collate(lesson.groups)).terms["soft"].item()) < 1e-3


def test_whole_distributions_need_logits(lm: LanguageModel, tmp_path: Path):
    """With a bucket for each token there is nothing to be spared."""
    write_soft_labels(lm, EXAMPLES, tmp_path / "whole", **LIMITS, top_k=None)
    assert not objective(lm, tmp_path / "whole").without_logits
