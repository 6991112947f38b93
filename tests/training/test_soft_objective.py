"""Learning from a mentor's distributions: the loss, the two ways to it, and that training with it is like any other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.errors import PluginError, RunError
from tutelage.models import LanguageModel, LoraSettings, is_adapted, load, save
from tutelage.training.batching import Row, tokenize
from tutelage.training.divergences import DIVERGENCES
from tutelage.training.last_layer import vocabulary_width
from tutelage.training.live_mentor import HiddenStates, strip_projections
from tutelage.training.losses import cross_entropy, token_count
from tutelage.training.objective import FromTargets, Objective, Teaching
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import write_soft_labels
from tutelage.training.soft_objective import FromMentor, FromSoftLabels
from tutelage.training.soft_targets import HIDDEN_MSE, LIVE_ONLY, LOGIT_MSE
from tutelage.training.student import Trained, train
from tutelage.types import Example

EXAMPLES = [
    Example(f"q-{i}", "Tova has beads and finds 5 more. " * (1 + i % 3), "so " * (i % 4) + f"--> {i}", 1.0 + i % 2)
    for i in range(8)
]
LIMITS = {"max_prompt_tokens": 64, "max_target_tokens": 64}
CHOSEN: dict[str, Any] = {"seed": 3, "epochs": 3, "learning_rate": 3e-3, "batch_size": 4, "select": "last", **LIMITS}
SETTINGS = Settings(**CHOSEN)


@pytest.fixture(params=["t5", "gpt"])
def start(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> Path:
    return tiny_t5_folder if request.param == "t5" else tiny_gpt_folder


@pytest.fixture(scope="session")
def mentors(tiny_t5_folder: Path, tiny_gpt_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    folder = tmp_path_factory.mktemp("mentors")
    return {start: moved(start, folder / start.name) for start in (tiny_t5_folder, tiny_gpt_folder)}


@pytest.fixture
def mentor(start: Path, mentors: dict[Path, Path]) -> Path:
    """Another network than the student's: its weights moved, so that it is surer of what it says."""
    return mentors[start]


def moved(start: Path, folder: Path) -> Path:
    lm = load(start, device="cpu")
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source) * 0.05)
    save(lm, folder)
    return folder


def soft_labels(mentor: Path, folder: Path, **changes: Any) -> Path:
    write_soft_labels(load(mentor, device="cpu"), EXAMPLES, folder, **{**LIMITS, **changes})
    return folder


def rows_of(lm: LanguageModel, examples: Sequence[Example] = EXAMPLES) -> list[Row]:
    return tokenize(lm, examples, **LIMITS)[0]


class Result:
    """Loss, terms and the gradient of a student on some batches."""

    def __init__(self, lm: LanguageModel, objective: Objective, batches: Sequence[Sequence[Row]]) -> None:
        self.sum = self.count = 0.0
        self.terms = dict.fromkeys(objective.terms, 0.0)
        lm.model.eval().zero_grad()
        for rows in batches:
            found = objective(lm.model, objective.collate([(row,) for row in rows]))
            found.loss.sum.backward()
            self.sum += float(found.loss.sum.detach())
            self.count += float(found.loss.count)
            for name, term in found.terms.items():
                self.terms[name] += float(term.detach())
        self.gradient = {n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None}


def result(start: Path, teaching: Teaching, batches: Sequence[Sequence[int]] = (range(8),)) -> Result:
    lm = load(start, device="cpu")
    rows = rows_of(lm)
    return Result(lm, teaching.prepare(lm, rows, SETTINGS), [[rows[i] for i in batch] for batch in batches])


def assert_close(a: Result, b: Result, tolerance: float) -> None:
    assert a.sum == pytest.approx(b.sum, rel=tolerance)
    assert a.count == b.count
    assert a.terms == pytest.approx(b.terms, rel=tolerance, abs=tolerance * abs(b.sum))
    assert a.gradient.keys() == b.gradient.keys()
    size = max(float(gradient.abs().max()) for gradient in a.gradient.values())
    for name, gradient in a.gradient.items():
        torch.testing.assert_close(gradient, b.gradient[name], rtol=0, atol=tolerance * size)


LOSSES = [*DIVERGENCES, *LIVE_ONLY]


@pytest.fixture(params=[*(f"cached {name}" for name in DIVERGENCES), *(f"live {name}" for name in LOSSES), "drawn kl"])
def teaching(request: pytest.FixtureRequest, mentor: Path, tmp_path: Path) -> Teaching:
    """Every way to every loss, at a temperature where it has one."""
    way, _, loss = request.param.partition(" ")
    temperature = 1.0 if loss in LIVE_ONLY else 2.0
    if way == "live":
        return FromMentor(str(mentor), "m", loss=loss, weight=0.4, temperature=temperature)
    given = {"draws": 6} if way == "drawn" else {"top_k": 6}
    folder = soft_labels(mentor, tmp_path / "labels", temperature=temperature, **given)
    return FromSoftLabels(folder, "c", loss=loss, weight=0.4, temperature=temperature)


def test_padding_changes_nothing(start: Path, teaching: Teaching):
    """The published code distils padding: short rationales then teach mostly that."""
    lengths = {row.lengths for row in rows_of(load(start, device="cpu"))}
    assert len(lengths) > 4
    assert_close(result(start, teaching), result(start, teaching, [[i] for i in range(8)]), 1e-4)


def test_split_of_a_batch_changes_nothing(start: Path, teaching: Teaching):
    """Batch 8 must train like 8 times batch 1, whichever rows stand together."""
    assert_close(
        result(start, teaching, [[4, 1, 7], [0, 2], [6, 5, 3]]), result(start, teaching, [range(5), range(5, 8)]), 1e-4
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("loss", list(DIVERGENCES))
def test_cached_whole_distributions_are_the_live_mentor(
    start: Path, mentor: Path, tmp_path: Path, loss: str, temperature: float
):
    """The cache saves the mentor's time and nothing else: same loss, same gradient."""
    folder = soft_labels(mentor, tmp_path / "labels", top_k=None, temperature=temperature)
    cached = FromSoftLabels(folder, "c", loss=loss, temperature=temperature)
    live = FromMentor(str(mentor), "m", loss=loss, temperature=temperature)
    assert_close(result(start, cached), result(start, live), 1e-5)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("beyond", [0, 7])
def test_k_that_takes_in_the_vocabulary_is_the_live_mentor(
    start: Path, mentor: Path, tmp_path: Path, beyond: int, temperature: float
):
    """As a `top_k` of its own it was kept in two bytes a number, and the mentor's loss alone missed by 6e-5."""
    width = vocabulary_width(load(mentor, device="cpu"))
    folder = soft_labels(mentor, tmp_path / "labels", top_k=width + beyond, temperature=temperature)
    cached = result(start, FromSoftLabels(folder, "c", weight=1.0, temperature=temperature))
    live = result(start, FromMentor(str(mentor), "m", weight=1.0, temperature=temperature))
    assert live.terms["soft"] > 0.1
    assert_close(cached, live, 1e-5)


@pytest.mark.parametrize("scaled", [True, False])
def test_loss_is_the_published_mixture(start: Path, mentor: Path, tmp_path: Path, scaled: bool):
    """Mentor-KD, Eq. 5, written out row by row without a batch, a cache or a divergence of ours."""
    weight, tau = 0.3, 2.0
    folder = soft_labels(mentor, tmp_path / "labels", top_k=None, temperature=tau)
    found = result(start, FromSoftLabels(folder, "c", weight=weight, temperature=tau, scaled=scaled))
    student, teacher = load(start, device="cpu"), load(mentor, device="cpu")
    hard = soft = count = 0.0
    for row in rows_of(student):
        p, q = (_logits(lm, row) for lm in (teacher, student))
        hard += row.weight * sum(-float(q[t].log_softmax(-1)[token]) for t, token in enumerate(row.target))
        soft += row.weight * sum(
            math.exp(a / tau - _lse(p[t] / tau)) * (a / tau - _lse(p[t] / tau) - b / tau + _lse(q[t] / tau))
            for t in range(len(row.target))
            for a, b in zip(p[t].tolist(), q[t].tolist(), strict=True)
        )
        count += row.weight * len(row.target)
    factor = tau**2 if scaled else 1.0
    assert found.count == count
    assert found.terms["rationale"] == pytest.approx((1 - weight) * hard, rel=1e-4)
    assert found.terms["soft"] == pytest.approx(weight * factor * soft, rel=1e-4)
    assert found.sum == pytest.approx(found.terms["rationale"] + found.terms["soft"])


def _logits(lm: LanguageModel, row: Row) -> Tensor:
    with torch.no_grad():
        if lm.kind == "encoder-decoder":
            decoder = torch.tensor([[lm.start_id, *row.target[:-1]]])
            return lm.model(input_ids=torch.tensor([row.prompt]), decoder_input_ids=decoder).logits[0].double()
        text = torch.tensor([row.prompt + row.target[:-1]])
        return lm.model(input_ids=text).logits[0, len(row.prompt) - 1 :].double()


def _lse(values: Tensor) -> float:
    return float(values.logsumexp(-1))


@pytest.mark.parametrize("live", [True, False])
def test_weight_zero_is_the_targets_alone(start: Path, mentor: Path, tmp_path: Path, live: bool):
    """The arm without soft labels must be the plain student to the last digits."""
    folder = soft_labels(mentor, tmp_path / "labels")
    without = FromMentor(str(mentor), "m", weight=0.0) if live else FromSoftLabels(folder, "c", weight=0.0)
    found, plain = result(start, without), result(start, FromTargets())
    assert found.terms == {"rationale": pytest.approx(plain.sum, rel=1e-5), "soft": 0.0}
    plain.terms = found.terms
    assert_close(found, plain, 1e-5)


def test_weight_one_is_the_mentor_alone(start: Path, mentor: Path, tmp_path: Path):
    """Targets that the mentor would not write must then change nothing but the prefix."""
    folder = soft_labels(mentor, tmp_path / "labels", top_k=None)
    found = result(start, FromSoftLabels(folder, "c", weight=1.0))
    assert found.terms["rationale"] == 0.0
    assert found.terms["soft"] == found.sum > 0.1
    assert_close(found, result(start, FromMentor(str(mentor), "m", weight=1.0)), 1e-5)


@pytest.mark.parametrize("given", [{"top_k": 16}, {"top_k": None}])
@pytest.mark.parametrize("loss", ["kl", "reverse-kl", "jsd"])
def test_student_equal_to_its_mentor_has_nothing_to_learn(start: Path, tmp_path: Path, given: Any, loss: str):
    """Off by one position, or by a mark at the end, it would have."""
    folder = soft_labels(start, tmp_path / "labels", **given)
    found = result(start, FromSoftLabels(folder, "c", loss=loss, weight=1.0))
    plain = result(start, FromTargets())
    assert abs(found.sum) < 1e-4 * plain.sum
    assert _norm(found) < 1e-2 * _norm(plain)


def _norm(found: Result) -> float:
    return float(torch.stack([gradient.norm() for gradient in found.gradient.values()]).norm())


def test_a_larger_top_k_is_nearer_the_truth(start: Path, mentor: Path, tmp_path: Path):
    """What a cache loses: merging tokens into one bucket can only lower a divergence (data processing inequality)."""
    losses = [
        result(start, FromSoftLabels(soft_labels(mentor, tmp_path / str(k), top_k=k), "c", weight=1.0)).sum
        for k in (1, 4, 16, 64, None)
    ]
    assert losses == sorted(losses)
    assert losses[0] > 0
    assert losses[-1] > 1.01 * losses[0]


def test_weights_of_examples_apply_to_both_terms(start: Path, mentor: Path, tmp_path: Path):
    """An example of weight 2 counts as two, for the mentor as for the target."""
    folder = soft_labels(mentor, tmp_path / "labels")
    lm = load(start, device="cpu")
    teaching = FromSoftLabels(folder, "c")
    one, two = (Row(*rows_of(lm)[1][:3], weight) for weight in (1.0, 2.0))
    heavy = Result(lm, teaching.prepare(lm, [two], SETTINGS), [[two]])
    twice = Result(lm, teaching.prepare(lm, [one], SETTINGS), [[one, one]])
    assert_close(heavy, twice, 1e-5)


def test_count_is_that_of_the_trainer(start: Path, teaching: Teaching):
    """It is what the loss of a step is divided by, over all batches and ranks."""
    lm = load(start, device="cpu")
    rows = rows_of(lm)
    objective = teaching.prepare(lm, rows, SETTINGS)
    batch = objective.collate([(row,) for row in rows])
    expected = token_count(batch["labels"], batch["weights"])
    assert objective.terms == ("rationale", "soft")
    assert [row for group in objective.groups for row in group] == rows
    assert (
        float(objective(lm.model, batch).loss.count) == float(expected) == sum(len(r.target) * r.weight for r in rows)
    )


# The live mentor


def test_live_mentor_is_frozen_and_sober(start: Path, mentor: Path):
    """The student's dropout must not reach it, nor the student's optimizer."""
    lm = load(start, device="cpu")
    lm.model.train()
    objective: Any = FromMentor(str(mentor), "m").prepare(lm, rows_of(lm), SETTINGS)
    before = {name: tensor.clone() for name, tensor in objective.mentor.model.state_dict().items()}
    batch = objective.collate([(row,) for row in rows_of(lm)])
    inputs = {name: batch[name] for name in batch if name not in ("labels", "weights", "places")}
    asked = [objective.ask(inputs, batch["places"]).logits for _ in range(2)]
    assert torch.equal(*asked)
    assert not asked[0].requires_grad
    objective(lm.model, batch).loss.sum.backward()
    assert lm.model.training
    assert not objective.mentor.model.training
    assert all(parameter.grad is None for parameter in objective.mentor.model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.mentor.model.state_dict().items())
    assert len(list(lm.model.parameters())) == len(list(load(start, device="cpu").model.parameters()))


def test_logit_mse_is_the_mean_over_shared_tokens(start: Path, mentor: Path):
    """Rows that only pad the wider embedding would make it smaller."""
    student, teacher = load(start, device="cpu"), load(mentor, device="cpu")
    expected = 0.0
    for row in rows_of(student):
        p, q = _logits(teacher, row), _logits(student, row)
        expected += row.weight * float((p - q).square().mean(-1).sum())
    found = result(start, FromMentor(str(mentor), "m", loss=LOGIT_MSE, weight=0.25))
    assert found.terms["soft"] == pytest.approx(0.25 * expected, rel=1e-4)


def widened(start: Path, folder: Path) -> Path:
    """The same network with nine more rows of embedding that name no token, and that are likely all the same."""
    lm = load(start, device="cpu")
    width = lm.model.get_output_embeddings().weight.shape[0]
    head = lm.model.get_output_embeddings().weight.detach().clone()
    lm.model.resize_token_embeddings(width + 9, mean_resizing=False)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[:width] = head
        lm.model.get_output_embeddings().weight[width:] = 2.0
    save(lm, folder)
    return folder


@pytest.mark.parametrize("wide", ["mentor", "student"])
@pytest.mark.parametrize("way", ["cached", "whole", "live", LOGIT_MSE])
def test_embeddings_of_other_widths_are_cut(start: Path, tmp_path: Path, way: str, wide: str):
    """Qwen's sizes pad one vocabulary to 151,936 and 152,064; what is beyond it means nothing to either."""
    wider = widened(start, tmp_path / "wide")
    mentor, student = (wider, start) if wide == "mentor" else (start, wider)
    if way in ("live", LOGIT_MSE):
        teaching: Teaching = FromMentor(str(mentor), "m", loss="kl" if way == "live" else way, weight=0.5)
    else:
        folder = soft_labels(mentor, tmp_path / "labels", top_k=16 if way == "cached" else None)
        teaching = FromSoftLabels(folder, "c", weight=0.5)
    found = result(student, teaching)
    assert abs(found.terms["soft"]) < 1e-4 * found.terms["rationale"]
    assert 2 * found.terms["rationale"] == pytest.approx(result(student, FromTargets()).sum, rel=1e-5)
    plain = result(start, FromTargets()).sum
    assert (2 * found.terms["rationale"] > 1.001 * plain) == (wide == "student")


# Hidden states


def test_hidden_mse_by_hand(start: Path, mentor: Path):
    """Projection, mask, mean over width and pairs: each left out changes the number."""
    by = FromMentor(str(mentor), "m", loss=HIDDEN_MSE, weight=0.5, layers=((1, 2), (2, 1)))
    student, teacher = load(start, device="cpu"), load(mentor, device="cpu")
    objective: Any = by.prepare(student, rows_of(student), SETTINGS)
    found = Result(student, objective, [rows_of(student)])
    expected = 0.0
    for row in rows_of(student):
        mine, its = _hidden(student, row), _hidden(teacher, row)
        for project, (here, there) in zip(objective.projections, by.layers or (), strict=True):
            weight, bias = project.weight.detach(), project.bias.detach()
            difference = mine[here] @ weight.T + bias - its[there]
            expected += row.weight * 0.5 * float(difference.square().mean(-1).sum())
    assert found.terms["soft"] == pytest.approx(0.5 * expected, rel=1e-4)
    projections = [name for name in found.gradient if name.startswith("mentor_projections.")]
    assert len(projections) == 4


def _hidden(lm: LanguageModel, row: Row) -> list[Tensor]:
    """Output of the embeddings and of each decoder layer, at the target."""
    with torch.no_grad():
        if lm.kind == "encoder-decoder":
            decoder = torch.tensor([[lm.start_id, *row.target[:-1]]])
            given = {"input_ids": torch.tensor([row.prompt]), "decoder_input_ids": decoder}
            return [h[0] for h in lm.model(**given, output_hidden_states=True).decoder_hidden_states]
        text = torch.tensor([row.prompt + row.target[:-1]])
        written = lm.model(input_ids=text, output_hidden_states=True)
        return [h[0, len(row.prompt) - 1 :] for h in written.hidden_states]


def test_last_layers_are_paired_by_default(start: Path, mentor: Path):
    """A mentor is usually deeper; the last layers are what both write from."""
    given = [FromMentor(str(mentor), "m", loss=HIDDEN_MSE, layers=pairs) for pairs in (None, ((2, 2),))]
    assert_close(result(start, given[0]), result(start, given[1]), 1e-6)


def test_projections_come_from_the_seed(start: Path, mentor: Path):
    """Same seed, same student; and what they draw is not missing elsewhere."""
    by, found = FromMentor(str(mentor), "m", loss=HIDDEN_MSE), []
    for seed in (3, 3, 4):
        lm, state = load(start, device="cpu"), torch.random.get_rng_state()
        objective: Any = by.prepare(lm, rows_of(lm), Settings(**{**CHOSEN, "seed": seed}))
        found.append(objective.projections[0].weight.detach())
        assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


# Training with it


def teach(model: Path, folder: Path, teaching: Teaching, **changes: Any) -> Trained:
    outside = {key: changes.pop(key) for key in ("dev", "dev_score", "tensorboard") if key in changes}
    dev = outside.pop("dev", [])
    settings = Settings(**{**CHOSEN, **changes})
    outside = {"device": "cpu", "progress": False, "tensorboard": False, **outside}
    return train(EXAMPLES, dev, settings, model=model, folder=folder, teaching=teaching, **outside)


def weights(trained: Trained) -> dict[str, Tensor]:
    return load_file(trained.model / "model.safetensors")


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def without_dropout(folder: Path, copy: Path) -> Path:
    lm = load(folder, device="cpu")
    for name in ("dropout_rate", "attn_pdrop", "embd_pdrop", "resid_pdrop"):
        if hasattr(lm.model.config, name):
            setattr(lm.model.config, name, 0.0)
    save(lm, copy)
    return copy


def test_a_student_comes_nearer_its_mentor(start: Path, tmp_path: Path):
    """The point of it all; and history says what the loss was made of."""
    mentor = teach(start, tmp_path / "mentor", FromTargets(), epochs=15, learning_rate=1e-2).model
    folder = soft_labels(mentor, tmp_path / "labels")
    trained = teach(start, tmp_path / "run", FromSoftLabels(folder, "c", weight=0.5), epochs=12, learning_rate=1e-2)
    first, last = trained.history[0], trained.history[-1]
    assert last["terms"]["soft"] < 0.6 * first["terms"]["soft"]
    for row in trained.history:
        assert row["loss"] == pytest.approx(sum(row["terms"].values()), rel=1e-5)
        assert set(row["gradient_norms"]) == {"rationale", "soft"}
        assert min(row["gradient_norms"].values()) > 0
    assert distance(weights(trained), weights_of(start)) > 1e-3


def test_tensorboard_has_each_term_of_each_epoch(start: Path, tmp_path: Path):
    """Curves are what people look at while a student learns: a term that drowns the other must be seen there."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = soft_labels(start, tmp_path / "labels")
    trained = teach(start, tmp_path / "run", FromSoftLabels(folder, "c", weight=0.5), epochs=2, tensorboard=True)
    board = EventAccumulator(str(trained.folder / "tensorboard"))
    board.Reload()
    for kind in ("terms", "gradient_norms"):
        for name in ("rationale", "soft"):
            shown = [event.value for event in board.Scalars(f"train/{kind}/{name}")]
            assert shown == pytest.approx([row[kind][name] for row in trained.history], rel=1e-6)


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_student_equal_to_its_mentor_stays(start: Path, tmp_path: Path):
    """At weight 1 there is nothing to learn, whatever the targets say."""
    same = without_dropout(start, tmp_path / "same")
    folder = soft_labels(same, tmp_path / "labels", top_k=None)
    once: dict[str, Any] = {"epochs": 1, "optimizer": "sgd", "weight_decay": 0.0}
    trained = teach(same, tmp_path / "run", FromSoftLabels(folder, "c", weight=1.0), **once)
    assert abs(trained.history[0]["loss"]) < 1e-5
    pulled = teach(same, tmp_path / "pulled", FromSoftLabels(folder, "c", weight=0.5), **once)
    assert distance(weights(trained), weights_of(same)) < 1e-4 * distance(weights(pulled), weights_of(same))


def test_cached_and_live_train_the_same_student(start: Path, mentor: Path, tmp_path: Path):
    """A whole training apart in nothing but where the distributions come from."""
    folder = soft_labels(mentor, tmp_path / "labels", top_k=None)
    same = without_dropout(start, tmp_path / "same")
    cached = teach(same, tmp_path / "cached", FromSoftLabels(folder, "c"), optimizer="sgd", learning_rate=0.1)
    live = teach(same, tmp_path / "live", FromMentor(str(mentor), "m"), optimizer="sgd", learning_rate=0.1)
    assert distance(weights(cached), weights(live)) < 1e-5
    assert distance(weights(cached), weights_of(same)) > 1e-3


def test_hidden_mse_leaves_an_ordinary_student(start: Path, mentor: Path, tmp_path: Path):
    """The projection is scaffolding: it learns, and nobody who loads the student may meet it."""
    teaching = FromMentor(str(mentor), "m", loss=HIDDEN_MSE, weight=0.5)
    trained = teach(start, tmp_path / "run", teaching, epochs=10, learning_rate=1e-2)
    assert weights(trained).keys() == weights_of(start).keys()
    assert trained.history[-1]["terms"]["soft"] < 0.6 * trained.history[0]["terms"]["soft"]
    assert load(trained.model, device="cpu").model.state_dict().keys() == load(start).model.state_dict().keys()
    assert not [path for path in trained.model.iterdir() if path.name.endswith(".tmp")]


class Killed(BaseException):
    """Stands for a power cut: nothing of ours catches it."""


@pytest.mark.parametrize("loss", [HIDDEN_MSE, "kl", "cached"])
def test_going_on_equals_never_stopping(start: Path, mentor: Path, tmp_path: Path, loss: str):
    """The projection and its moments are part of what is learnt: begun again they would pull the student elsewhere."""
    teaching: Teaching = FromMentor(str(mentor), "m", loss=loss)
    if loss == "cached":
        teaching = FromSoftLabels(soft_labels(mentor, tmp_path / "labels", draws=8), "c", loss="soft-cross-entropy")
    common: dict[str, Any] = {"epochs": 4, "select": "dev_accuracy", "batch_size": 3, "checkpoint_steps": 2}
    projections: list[dict[str, Tensor]] = []

    def looking(lm: LanguageModel) -> float:
        state = lm.model.state_dict()
        projections.append({n: t.clone() for n, t in state.items() if n.startswith("mentor_projections")})
        return len(projections) / 8

    whole = teach(start, tmp_path / "whole", teaching, dev_score=looking, **common)
    looks: list[int] = []

    def breaking(lm: LanguageModel) -> float:
        looks.append(1)
        if len(looks) == 3:
            raise Killed
        return len(looks) / 8

    with pytest.raises(Killed):
        teach(start, tmp_path / "broken", teaching, dev_score=breaking, **common)
    unbroken, projections = projections, []
    scores = iter([3 / 8, 4 / 8])

    def going_on(lm: LanguageModel) -> float:
        looking(lm)
        return next(scores)

    again = teach(start, tmp_path / "broken", teaching, dev_score=going_on, **common)
    assert len(projections) == 2
    assert distance(weights(whole), weights(again)) == 0.0
    if loss == HIDDEN_MSE:
        assert projections[-1]
        assert distance(unbroken[-1], projections[-1]) == 0.0
        assert distance(unbroken[0], unbroken[-1]) > 0
    for mine, theirs in zip(whole.history, again.history, strict=True):
        assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}


def test_adapters_learn_from_soft_labels(start: Path, mentor: Path, tmp_path: Path):
    """Large students are trained with adapters; the layer that writes is then wrapped."""
    folder = soft_labels(mentor, tmp_path / "labels", top_k=None)
    lora = LoraSettings(rank=4)
    cached = teach(start, tmp_path / "cached", FromSoftLabels(folder, "c"), lora=lora, learning_rate=3e-2)
    live = teach(start, tmp_path / "live", FromMentor(str(mentor), "m"), lora=lora, learning_rate=3e-2)
    assert cached.history[-1]["loss"] < cached.history[0]["loss"]
    assert cached.history[-1]["loss"] == pytest.approx(live.history[-1]["loss"], rel=1e-3)
    assert weights(cached).keys() == weights_of(start).keys()


def test_gradient_checkpointing_is_the_same_loss(start: Path, mentor: Path, tmp_path: Path):
    """It runs layers twice; the positions that count must be the same both times."""
    folder = soft_labels(mentor, tmp_path / "labels")
    same = without_dropout(start, tmp_path / "same")
    runs = [
        teach(same, tmp_path / str(on), FromSoftLabels(folder, "c"), gradient_checkpointing=on, optimizer="sgd")
        for on in (False, True)
    ]
    assert distance(weights(runs[0]), weights(runs[1])) < 1e-6


def test_another_mentor_is_another_training(start: Path, mentor: Path, tmp_path: Path):
    """A folder of checkpoints is known by what it was taught, not by where that lay."""
    folder = soft_labels(mentor, tmp_path / "labels")
    teach(start, tmp_path / "run", FromSoftLabels(folder, "c"))
    soft_labels(mentor, tmp_path / "elsewhere")
    teach(start, tmp_path / "run", FromSoftLabels(tmp_path / "elsewhere", "c"))
    for other in (FromSoftLabels(folder, "d"), FromSoftLabels(folder, "c", weight=0.4), FromTargets()):
        with pytest.raises(RunError, match="holds a training with other soft_labels"):
            teach(start, tmp_path / "run", other)


def test_arguments_are_json_without_paths(tmp_path: Path):
    """A run moved to another machine is the same run."""
    cached = FromSoftLabels(tmp_path, "abc", loss="jsd", weight=0.2, temperature=2.0, scaled=False)
    assert json.loads(json.dumps(cached.arguments())) == {
        "soft_labels": {"from": "abc", "loss": "jsd", "weight": 0.2, "temperature": 2.0, "scaled": False}
    }
    live = FromMentor(str(tmp_path), "abc", loss=HIDDEN_MSE, layers=((1, 2),))
    assert json.loads(json.dumps(live.arguments()))["mentor"] == {
        "from": "abc",
        "loss": HIDDEN_MSE,
        "weight": 0.3,
        "temperature": 1.0,
        "scaled": True,
        "layers": [[1, 2]],
    }


# What is refused


def prepared(start: Path, teaching: Teaching, **lora: Any) -> Objective:
    lm = load(start, device="cpu", **lora)
    return teaching.prepare(lm, rows_of(lm), SETTINGS)


@pytest.mark.parametrize("loss", ["reverse-kl", "jsd"])
def test_draws_are_for_linear_losses(tiny_t5_folder: Path, tmp_path: Path, loss: str):
    """The logarithm of a mean is not the mean of logarithms: on draws these two teach something else."""
    folder = soft_labels(tiny_t5_folder, tmp_path / "labels", draws=4)
    with pytest.raises(RunError, match=f"{loss} is biased on drawn soft labels. Choose kl or soft-cross-entropy"):
        prepared(tiny_t5_folder, FromSoftLabels(folder, "c", loss=loss))


@pytest.mark.parametrize("loss", LIVE_ONLY)
def test_live_losses_need_the_mentor(tiny_t5_folder: Path, tmp_path: Path, loss: str):
    """A cache holds no logits and no hidden states."""
    folder = soft_labels(tiny_t5_folder, tmp_path / "labels")
    with pytest.raises(RunError, match=f"{loss} needs the mentor in every step"):
        prepared(tiny_t5_folder, FromSoftLabels(folder, "c", loss=loss))
    with pytest.raises(RunError, match=f"{loss} has no temperature"):
        prepared(tiny_t5_folder, FromMentor(str(tiny_t5_folder), "m", loss=loss, temperature=2.0))


def test_unknown_losses_are_named(tiny_t5_folder: Path, tmp_path: Path):
    """With the nearest known one."""
    folder = soft_labels(tiny_t5_folder, tmp_path / "labels")
    with pytest.raises(PluginError, match="no soft-label loss 'reverse_kl'; did you mean 'reverse-kl'"):
        prepared(tiny_t5_folder, FromSoftLabels(folder, "c", loss="reverse_kl"))
    with pytest.raises(PluginError, match="did you mean 'hidden-mse'"):
        prepared(tiny_t5_folder, FromMentor(str(tiny_t5_folder), "m", loss="hidden_mse"))


def test_a_loss_from_outside_is_used(start: Path, mentor: Path, tmp_path: Path):
    """A name like "package.module:function" needs no change of ours."""
    folder = soft_labels(mentor, tmp_path / "labels")
    outside = FromSoftLabels(folder, "c", loss="tutelage.training.divergences:kl")
    assert_close(result(start, outside), result(start, FromSoftLabels(folder, "c", loss="kl")), 1e-7)


@pytest.mark.parametrize("changes", [{"weight": 1.5}, {"weight": -0.1}, {"temperature": 0.0}])
def test_numbers_out_of_range_are_refused(tiny_t5_folder: Path, tmp_path: Path, changes: dict[str, Any]):
    """A weight of 30 meant as per cent would turn the cross-entropy around."""
    for teaching in (FromSoftLabels(tmp_path, "c", **changes), FromMentor(str(tiny_t5_folder), "m", **changes)):
        with pytest.raises(RunError, match=f"soft_labels.{next(iter(changes))}: .*; expected a number"):
            prepared(tiny_t5_folder, teaching)


def test_another_tokenizer_is_refused_by_name(tiny_t5_folder: Path, tiny_gpt_folder: Path, tmp_path: Path):
    """Cached or live, an id must mean the same token to both."""
    folder = soft_labels(tiny_t5_folder, tmp_path / "labels")
    for teaching in (FromSoftLabels(folder, "c"), FromMentor(str(tiny_t5_folder), "m")):
        with pytest.raises(RunError, match=r"mentor .*tiny-t5.* student .*tiny-gpt.* different tokenizers.*weight: 0"):
            prepared(tiny_gpt_folder, teaching)


def test_another_architecture_is_refused(tiny_gpt_folder: Path, tmp_path: Path):
    """One tokenizer is not enough: the two must read the same batch."""
    from transformers import T5Config, T5ForConditionalGeneration

    gpt = load(tiny_gpt_folder, device="cpu")
    config = T5Config(vocab_size=len(gpt.tokenizer), d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    config.decoder_start_token_id = 0
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    gpt.tokenizer.save_pretrained(tmp_path / "t5")
    with pytest.raises(RunError, match=r"\(encoder-decoder\) and student .* \(causal\) do not read the same batch"):
        prepared(tiny_gpt_folder, FromMentor(str(tmp_path / "t5"), "m"))


def test_rows_longer_than_the_mentor_are_refused(tiny_gpt_folder: Path, tmp_path: Path):
    """Position 200 of a mentor with 128 is an index error in the middle of an epoch."""
    from transformers import GPT2Config, GPT2LMHeadModel

    gpt = load(tiny_gpt_folder, device="cpu")
    small = GPT2Config(vocab_size=len(gpt.tokenizer), n_positions=20, n_embd=8, n_layer=1, n_head=2)
    GPT2LMHeadModel(small).save_pretrained(tmp_path / "small")
    gpt.tokenizer.save_pretrained(tmp_path / "small")
    with pytest.raises(RunError, match=r"example q-\d has \d+ tokens, more than the 20 of mentor .*small"):
        prepared(tiny_gpt_folder, FromMentor(str(tmp_path / "small"), "m"))


@pytest.mark.parametrize("layers", [((3, 1),), ((1, 0),), ((1, 1), (0, 2))])
def test_layers_that_are_not_there_are_refused(start: Path, mentor: Path, layers: Any):
    """Counted from 1 to the number of layers; 0 are the embeddings."""
    with pytest.raises(RunError, match="the student has decoder layers 1 to 2 and the mentor 1 to 2"):
        prepared(start, FromMentor(str(mentor), "m", loss=HIDDEN_MSE, layers=layers))


def test_settings_without_effect_are_refused(tiny_t5_folder: Path):
    """A key that does nothing misleads whoever reads the recipe."""
    with pytest.raises(RunError, match="layers are for loss hidden-mse, not kl"):
        prepared(tiny_t5_folder, FromMentor(str(tiny_t5_folder), "m", layers=((1, 1),)))


def test_hidden_mse_refuses_adapters(start: Path, mentor: Path):
    """Checkpoints of adapters hold adapters only: a resumed training would begin with a new projection."""
    assert is_adapted(load(start, device="cpu", lora=LoraSettings(rank=2)))
    with pytest.raises(RunError, match="hidden-mse cannot train adapters"):
        prepared(start, FromMentor(str(mentor), "m", loss=HIDDEN_MSE), lora=LoraSettings(rank=2))


# Small things


def test_stripping_keeps_everything_else(tmp_path: Path):
    """Also where weights are in several files; done twice it does nothing more."""
    kept, extra = {"a.weight": torch.arange(6.0)}, {"mentor_projections.0.weight": torch.ones(3)}
    save_file(kept | extra, tmp_path / "model-00001-of-00002.safetensors", {"format": "pt"})
    save_file({"b.weight": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors", {"format": "pt"})
    names = {"a.weight": "1", "b.weight": "2", "mentor_projections.0.weight": "1"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 44}, "weight_map": names}))
    for _ in range(2):
        strip_projections(tmp_path)
        assert load_file(tmp_path / "model-00001-of-00002.safetensors").keys() == {"a.weight"}
        assert load_file(tmp_path / "model-00002-of-00002.safetensors").keys() == {"b.weight"}
        assert json.loads(index.read_text())["weight_map"] == {"a.weight": "1", "b.weight": "2"}
    assert torch.equal(load_file(tmp_path / "model-00001-of-00002.safetensors")["a.weight"], kept["a.weight"])


def test_cross_entropy_is_the_plain_one(start: Path, mentor: Path, tmp_path: Path):
    """The same tokens, labels and weights as a student without a mentor learns from."""
    folder = soft_labels(mentor, tmp_path / "labels")
    lm = load(start, device="cpu")
    objective = FromSoftLabels(folder, "c", weight=0.25).prepare(lm, rows_of(lm), SETTINGS)
    batch = objective.collate([(row,) for row in rows_of(lm)])
    labels_BT, weights_B = batch["labels"], batch["weights"]
    inputs = {n: t for n, t in batch.items() if n in ("input_ids", "attention_mask", "decoder_input_ids")}
    plain = cross_entropy(lm.model(**inputs).logits, labels_BT, weights_B)
    found = objective(lm.model, batch)
    torch.testing.assert_close(found.terms["rationale"], 0.75 * plain.sum)


def test_hidden_states_is_chosen_by_its_loss(start: Path, mentor: Path):
    """Only this loss adds a layer to the student."""
    assert isinstance(prepared(start, FromMentor(str(mentor), "m", loss=HIDDEN_MSE)), HiddenStates)
    assert not isinstance(prepared(start, FromMentor(str(mentor), "m", loss=LOGIT_MSE)), HiddenStates)
