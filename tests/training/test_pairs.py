"""MCC-KD's objective: what is compared, and that neither padding nor batches nor a weight of zero change training."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_training import distance, plain_settings, weights_after, without_dropout

from tutelage.formats import FORMATS
from tutelage.models import LanguageModel, load
from tutelage.runs import read_jsonl
from tutelage.training.batching import Batches, Row, tokenize
from tutelage.training.objective import TARGETS, Objective
from tutelage.training.pairs import FromPairs, Pairs, answer_span, in_batches, symmetric_kl
from tutelage.training.settings import Settings
from tutelage.training.student import _arguments, train
from tutelage.training.trainer import DistillationTrainer
from tutelage.types import Example

TEXTS = [
    ("Tova starts with 12. 12 + 5 = 17.", "17"),
    ("She finds 5 beads, so 5 + 12 = 17.", "17"),
    ("Ask: is it so?", "17"),
    ("4*2 = 8", "8 dollars"),
    ("WHY? 8", "8 dollars"),
]
PAIRS = (("a#t#0", "a#t#1"), ("a#t#1", "a#t#2"), ("b#t#0", "b#t#1"))


def examples(name: str = "arrow", extra: str = "") -> list[Example]:
    """Three rationales of question a, two of b, one of c."""
    ids = ["a#t#0", "a#t#1", "a#t#2", "b#t#0", "b#t#1", "c#t#0"]
    texts = [*TEXTS, ("alone", "3")]
    fmt = FORMATS[name]
    return [
        Example(id, f"How many beads has {id[0]}?{extra}", fmt.target(*text))
        for id, text in zip(ids, texts, strict=True)
    ]


def rows_of(lm: LanguageModel, chosen: Sequence[Example] | None = None) -> list[Row]:
    return tokenize(lm, chosen or examples(), max_prompt_tokens=96, max_target_tokens=96)[0]


def prepared(lm: LanguageModel, chosen: Settings, rows: Sequence[Row] | None = None, **changes: Any) -> Pairs:
    teaching = FromPairs(**{"pairs": PAIRS, "marker": "-->", "weight": 0.5, **changes})
    objective = teaching.prepare(lm, rows or rows_of(lm), chosen)
    assert isinstance(objective, Pairs)
    return objective


def test_symmetric_kl_by_hand():
    """(3/4, 1/4) against (1/2, 1/2): half of each way, and nothing against itself."""
    logits = torch.tensor([[3.0, 1.0], [1.0, 1.0]]).log()
    there = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    back = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    found = symmetric_kl(logits[[0, 0]], logits[[1, 0]])
    torch.testing.assert_close(found, torch.tensor([(there + back) / 2, 0.0]))
    hot = symmetric_kl(logits[:1] * 2, logits[1:] * 2, temperature=2.0)  # temperature 2 undoes the doubling
    torch.testing.assert_close(hot, found[:1])


@pytest.mark.parametrize("name", ["arrow", "therefore", "answer-line"])
@pytest.mark.parametrize("answer", ["17", "B", "yes", "8 dollars"])
def test_the_span_is_the_answer(folder: Path, name: str, answer: str):
    """A span that is off by one compares the marker, on which every student agrees."""
    lm, fmt = load(folder), FORMATS[name]
    for rationale in (*(text for text, _ in TEXTS), f"A marker {fmt.marker} within. {{x}} < 3\nso", ""):
        target = lm.target_ids(fmt.target(rationale, answer))
        span = answer_span(lm, target, fmt.marker)
        assert lm.text(target[-span:]).strip() == answer + fmt.closing
        assert target[-1] == lm.eos_id
        assert lm.text(target[:-span]).strip().endswith(fmt.marker)


def test_a_target_without_marker_has_no_answer(folder: Path):
    lm = load(folder)
    assert answer_span(lm, lm.target_ids("17"), "-->") == 0


def test_compared_logits_are_those_that_name_the_answer(folder: Path):
    """Causal logits stand one place before the token they name, and prompts shift them further."""
    lm = load(folder)
    objective = prepared(lm, plain_settings())
    batch = objective.collate(objective.groups)
    labels_N = batch["labels"].flatten()
    for side in batch["compared_2S"]:
        written = [lm.text([token]).strip() for token in labels_N[side].tolist()]
        assert "".join(written).startswith("17" * 2 + "8dollars")
    assert torch.equal(*(labels_N[side] for side in batch["compared_2S"]))
    assert len(batch["compared_2S"][0]) == sum(objective.spans.values())


def test_equals_a_slow_loop_of_single_texts(folder: Path):
    """Each text alone through the model, each divergence by `torch.distributions`: what the batch must amount to."""
    lm = without_dropout(folder)
    chosen, rows = plain_settings(), rows_of(lm)
    objective = prepared(lm, chosen, temperature=1.3)
    found = objective(lm.model, objective.collate(objective.groups))

    plain = TARGETS.prepare(lm, rows, chosen)
    losses = [plain(lm.model, plain.collate([(row,)])).loss for row in rows]
    ends: dict[str, torch.Tensor] = {}
    for row in rows:
        batch = plain.collate([(row,)])
        span = answer_span(lm, row.target, "-->")
        logits = lm.model(**{k: v for k, v in batch.items() if k not in ("labels", "weights")}).logits
        ends[row.id] = logits[0, -span:] / 1.3
    kls = []
    for first, second in PAIRS:
        p, q = (torch.distributions.Categorical(logits=ends[id]) for id in (first, second))
        kls.append((torch.distributions.kl_divergence(p, q) + torch.distributions.kl_divergence(q, p)) / 2)
    tokens = sum(loss.count for loss in losses)
    torch.testing.assert_close(found.loss.count, tokens)
    torch.testing.assert_close(found.terms["rationale"], torch.stack([loss.sum for loss in losses]).sum())
    torch.testing.assert_close(found.terms["consistency"] / tokens, 0.5 * torch.cat(kls).mean(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.loss.sum, found.terms["rationale"] + found.terms["consistency"])


def test_padding_changes_nothing(folder: Path):
    """The published baseline lets the encoder read padding, so that a longer neighbour changes a text's loss."""
    lm = without_dropout(folder)
    long = Example("d#t#0", "The quick brown fox jumps " * 2, FORMATS["arrow"].target("over the lazy dog. " * 2, "90"))
    objective = prepared(lm, plain_settings(), rows_of(lm, [*examples(), long]))
    group = next(group for group in objective.groups if group[0].id == "a#t#0")
    beside = next(group for group in objective.groups if group[0].id == "d#t#0")
    alone = objective(lm.model, objective.collate([group]))
    together = objective(lm.model, objective.collate([group, beside]))
    torch.testing.assert_close(together.terms["consistency"], alone.terms["consistency"], rtol=1e-4, atol=1e-6)
    assert alone.terms["consistency"].item() > 0


def test_batches_can_be_split(folder: Path, tmp_path: Path):
    """A batch of all groups trains like its parts accumulated."""
    teaching = FromPairs(PAIRS, "-->", weight=2.0)
    whole = weights_after(folder, teaching, rows_of, plain_settings(batch_size=8), tmp_path)
    parts = weights_after(folder, teaching, rows_of, plain_settings(batch_size=2, accumulate=3), tmp_path)
    assert distance(whole, parts) < 2e-5
    assert distance(whole, weights_after(folder, TARGETS, rows_of, plain_settings(batch_size=8), tmp_path)) > 1e-4


def test_without_weight_it_is_plain_training(folder: Path, tmp_path: Path):
    """A rationale that stands in two pairs would otherwise be taught twice."""
    plain = weights_after(folder, TARGETS, rows_of, plain_settings(), tmp_path)
    assert (
        distance(plain, weights_after(folder, FromPairs(PAIRS, "-->", weight=0.0), rows_of, plain_settings(), tmp_path))
        < 1e-6
    )


def test_pairs_whose_answers_differ_are_learnt_but_not_compared(folder: Path):
    lm = load(folder)
    objective = prepared(lm, plain_settings(), pairs=(*PAIRS, ("b#t#0", "c#t#0"), ("a#t#0", "gone#t#0")))
    assert objective.notes == {"pairs": {"used": 3, "skipped": 1, "missing": 1, "questions_without": 0}}
    assert objective.spans["b#t#0", "c#t#0"] == 0
    total = sum(row.weight * len(row.target) for group in objective.groups for row in group)
    assert total == pytest.approx(sum(len(row.target) for row in rows_of(lm)))


def test_nothing_to_compare_is_plain_training(folder: Path):
    lm = load(folder)
    objective = prepared(lm, plain_settings(), pairs=())
    found = objective(lm.model, objective.collate(objective.groups))
    assert found.terms["consistency"].item() == 0.0
    assert math.isfinite(found.loss.sum.item())


@pytest.mark.parametrize("batch_size", [2, 3, 5, 8, 16])
@pytest.mark.parametrize("rationales", [[1], [2], [3], [4, 1], [5, 3, 1, 2], [1, 1, 6]])
def test_as_many_updates_as_plain_distillation(tiny_t5_folder: Path, batch_size: int, rationales: list[int]):
    """The published baseline had 64 updates an epoch against 192 of the method it was compared with."""
    lm, source = load(tiny_t5_folder), random.Random(0)
    rows, pairs = [], []
    for question in range(31):
        ids = [f"{question}#t#{n}" for n in range(rationales[question % len(rationales)])]
        rows += [Row(id, [5] * source.randint(2, 60), [7] * source.randint(2, 60), 1.0) for id in ids]
        pairs += [(ids[n - 1], ids[n]) for n in range(1, len(ids), 2)] + [(ids[0], ids[-1])] * (
            len(ids) % 2 * len(ids) > 1
        )
    chosen = plain_settings(batch_size=batch_size)
    objective = prepared(lm, chosen, rows, pairs=tuple(pairs))

    def count(objective: Objective) -> int:
        trainer = DistillationTrainer(lm, objective, _arguments(chosen, Path("unused"), "cpu"), chosen)
        return len(trainer.batches)

    assert count(objective) == count(TARGETS.prepare(lm, rows, chosen)) == math.ceil(len(rows) / batch_size)
    assert {row.id for group in objective.groups for row in group} == {row.id for row in rows}
    for first, second in pairs:
        assert any((first, second) in pairwise(ids) for ids in _ids(objective))


def _ids(objective: Objective) -> list[list[str]]:
    return [[row.id for row in group] for group in objective.groups]


def test_updates_are_counted_by_tokens_where_batches_are(tiny_t5_folder: Path):
    lm, source = load(tiny_t5_folder), random.Random(0)
    rows = [Row(f"{n // 2}#t#{n % 2}", [5] * source.randint(2, 60), [7] * 9, 1.0) for n in range(80)]
    pairs = tuple((rows[n].id, rows[n + 1].id) for n in range(0, 80, 2))
    objective = prepared(lm, plain_settings(batch_tokens=300), rows, pairs=pairs)
    plain = len(Batches([row.lengths for row in rows], tokens=300))
    assert math.ceil(len(objective.groups) / (objective.groups_in_batch or 0)) == plain


def test_no_more_batches_than_groups():
    """Pairs cannot be parted, so a batch size of one gives fewer updates, never an empty batch."""
    groups = [(Row(str(n), [1], [1], 1.0),) * 2 for n in range(3)]
    assert in_batches(groups, 6) == (groups, 1)


def test_end_to_end(folder: Path, tmp_path: Path):
    """Both terms stand in the history, the student agrees more with itself, and other pairs are another training."""
    chosen = Settings(seed=3, epochs=6, learning_rate=1e-2, batch_size=4, select="last", max_target_tokens=80)
    trained = train(
        examples(),
        [],
        chosen,
        model=folder,
        folder=tmp_path / "run",
        teaching=FromPairs(PAIRS, "-->", weight=1.0),
        device="cpu",
        progress=False,
        tensorboard=False,
    )
    history = read_jsonl(trained.folder / "history.jsonl")
    assert set(history[0]["terms"]) == set(history[0]["gradient_norms"]) == {"rationale", "consistency"}
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[0]["loss"] == pytest.approx(sum(history[0]["terms"].values()))
    assert trained.steps == 6 * 2
    assert trained.notes == {"pairs": {"used": 3, "skipped": 0, "missing": 0, "questions_without": 1}}
    assert FromPairs(PAIRS, "-->").arguments() != FromPairs(PAIRS[:1], "-->").arguments()
