"""Two tasks in one student: what each of them weighs, whatever their lengths and however batches fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_training import distance, plain_settings, weights_after, without_dropout

from tutelage.errors import TextError
from tutelage.models import LanguageModel, load, quiet
from tutelage.runs import read_jsonl
from tutelage.training.batching import Row, tokenize
from tutelage.training.objective import TARGETS
from tutelage.training.settings import Settings
from tutelage.training.student import _arguments, train
from tutelage.training.tasks import FromTasks, Tasks
from tutelage.training.trainer import DistillationTrainer
from tutelage.types import Example

EXAMPLES = [
    Example("a#gold#0", "predict: How many beads?", "--> 17"),
    Example("a#t#0", "explain: How many beads?", "Tova starts with 12. 12 + 5 = 17."),
    Example("a#t#1", "explain: How many beads?", "She finds 5 beads."),
    Example("b#gold#0", "predict: Is it so?", "--> yes"),
    Example("b#t#0", "explain: Is it so?", "I say: no!"),
    Example("c#gold#0", "predict: WHY?", "--> fox"),
]
TASK_OF = {e.id: e.prompt.partition(":")[0] for e in EXAMPLES}


def shared(answers: float) -> FromTasks:
    return FromTasks({"predict": answers, "explain": 1 - answers}, TASK_OF)


def rows_of(lm: LanguageModel) -> list[Row]:
    return tokenize(lm, EXAMPLES, max_prompt_tokens=96, max_target_tokens=96)[0]


def prepared(lm: LanguageModel, teaching: FromTasks, **changes: Any) -> Tasks:
    objective = teaching.prepare(lm, rows_of(lm), plain_settings(**changes))
    assert isinstance(objective, Tasks)
    return objective


def weight_of(rows: Sequence[Row], task: str) -> float:
    return sum(row.weight * len(row.target) for row in rows if TASK_OF[row.id] == task)


@pytest.mark.parametrize("answers", [0.5, 0.2, 1.0, 0.0])
def test_tokens_stand_as_the_shares_and_count_as_many_as_before(folder: Path, answers: float):
    """A rationale of fifty tokens beside an answer of two would otherwise be 25 parts of the loss in 26."""
    lm = load(folder)
    objective = prepared(lm, shared(answers))
    weighed = [row for group in objective.groups for row in group]
    total = weight_of(weighed, "predict") + weight_of(weighed, "explain")
    assert weight_of(weighed, "predict") == pytest.approx(answers * total)
    learnt = {row.id for row in weighed}
    assert total == pytest.approx(sum(len(row.target) for row in rows_of(lm) if row.id in learnt))
    assert learnt == {id for id, task in TASK_OF.items() if {"predict": answers, "explain": 1 - answers}[task]}


def test_loss_is_the_shared_mean_of_both_means(folder: Path):
    """The paper's sum, term by term, each text alone through the model."""
    lm = without_dropout(folder)
    objective = prepared(lm, shared(0.3))
    found = objective(lm.model, objective.collate(objective.groups))
    plain = TARGETS.prepare(lm, rows_of(lm), plain_settings())
    means = {}
    for task in ("predict", "explain"):
        losses = [plain(lm.model, plain.collate([(r,)])).loss for r in rows_of(lm) if TASK_OF[r.id] == task]
        means[task] = sum(loss.sum for loss in losses) / sum(loss.count for loss in losses)
    terms = {task: found.terms[task] / found.loss.count for task in means}
    torch.testing.assert_close(terms["predict"], 0.3 * means["predict"])
    torch.testing.assert_close(terms["explain"], 0.7 * means["explain"])
    torch.testing.assert_close(found.loss.sum, sum(found.terms.values()))


def test_a_question_stands_with_all_its_tasks(folder: Path):
    """Batches of answers alone would each be a whole step, and the share would mean nothing."""
    groups = [[row.id for row in group] for group in prepared(load(folder), shared(0.5)).groups]
    assert groups == [["a#gold#0", "a#t#0"], ["a#gold#0", "a#t#1"], ["b#gold#0", "b#t#0"], ["c#gold#0"]]


def test_batches_can_be_split(folder: Path, tmp_path: Path):
    whole = weights_after(folder, shared(0.5), rows_of, plain_settings(batch_size=4), tmp_path)
    parts = weights_after(folder, shared(0.5), rows_of, plain_settings(batch_size=1, accumulate=4), tmp_path)
    assert distance(whole, parts) < 2e-5
    assert distance(whole, weights_after(folder, shared(0.9), rows_of, plain_settings(batch_size=4), tmp_path)) > 1e-4


def test_all_of_one_task_is_plain_training_on_it(folder: Path, tmp_path: Path):
    """A row without weight in a batch of its own would be divided by nothing."""
    lm, chosen = without_dropout(folder), plain_settings(batch_size=1)
    rows = [row for row in rows_of(lm) if TASK_OF[row.id] == "predict"]
    with quiet():
        trainer = DistillationTrainer(
            lm, TARGETS.prepare(lm, rows, chosen), _arguments(chosen, tmp_path, "cpu"), chosen
        )
        trainer.train()
    assert distance(weights_after(folder, shared(1.0), rows_of, chosen, tmp_path), lm.model.state_dict()) < 1e-6


def test_a_batch_without_a_task_is_whole(folder: Path):
    """A question that nobody explained may fill a batch."""
    lm = load(folder)
    objective = prepared(lm, shared(0.5))
    found = objective(lm.model, objective.collate(objective.groups[-1:]))
    assert found.terms["explain"].item() == 0.0
    assert math.isfinite(found.loss.sum.item())
    found.loss.sum.backward()


def test_token_batches_hold_as_many_groups_as_fit(folder: Path):
    objective = prepared(load(folder), shared(0.5), batch_tokens=200)
    assert objective.groups_in_batch in (1, 2)


def test_wrong_shares_and_missing_tasks_are_told(folder: Path):
    with pytest.raises(ValueError, match="add up to 1"):
        FromTasks({"predict": 0.5, "explain": 0.6}, TASK_OF)
    only = FromTasks({"predict": 0.5, "sing": 0.5}, {**TASK_OF, **dict.fromkeys(TASK_OF, "predict")})
    with pytest.raises(TextError, match="no examples of task 'sing'"):
        prepared(load(folder), only)


def test_end_to_end(folder: Path, tmp_path: Path):
    """Both tasks stand in the history by name, and another share is another training."""
    chosen = Settings(seed=3, epochs=6, learning_rate=1e-2, batch_size=2, select="last", max_target_tokens=80)
    outside: dict[str, Any] = {"device": "cpu", "progress": False, "tensorboard": False}
    trained = train(EXAMPLES, [], chosen, model=folder, folder=tmp_path / "run", teaching=shared(0.5), **outside)
    history = read_jsonl(trained.folder / "history.jsonl")
    assert set(history[0]["terms"]) == set(history[0]["gradient_norms"]) == {"predict", "explain"}
    assert history[-1]["loss"] < history[0]["loss"]
    assert trained.steps == 6 * 2
    assert shared(0.5).arguments() != shared(0.4).arguments()
