"""What a recipe says of mentors and losses reaches the parts that act on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_study import recipe, study_of, write_world

from tutelage.formats import get_format
from tutelage.methods import learn
from tutelage.methods.lessons import GOLD
from tutelage.methods.step_by_step import step_by_step
from tutelage.methods.study import Study
from tutelage.recipe import MccSection, SoftLabelSection
from tutelage.runs import Stage, write_jsonl

MENTOR = {"model": "pocket/nano", "samples": 3, "keep": 2, "temperature": 1.5, "top_p": 0.75, "seed": 9}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def study(world: Path, folder: Path, **changes: Any) -> Study:
    return study_of(recipe(world, ["mentor-kd"], mentor=MENTOR, **changes), folder)


def trained(of: Study) -> Stage:
    """Something that stands for a trained model."""
    return of.workspace.stage("mentor", {}, lambda folder: (folder / "model").mkdir())


def test_a_mentor_writes_and_is_kept_as_it_was_told(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of these was once dropped on its way, and no test fell."""
    told: dict[str, Any] = {}
    monkeypatch.setattr("tutelage.methods.study.load", lambda study, stage: None)
    monkeypatch.setattr("tutelage.methods.study.predictions", lambda *_, **how: told.update(how) or [])
    from tutelage.rationales.keep import keep

    monkeypatch.setattr("tutelage.methods.study.keep", lambda *a, **how: told.update(kept=how) or keep(*a, **how))
    mine = study(world, tmp_path)
    assert mine.augmented(trained(mine), mine.mentor, 1, taught=mine.taught())
    assert {key: told[key] for key in ("samples", "temperature", "top_p", "seed")} == {
        key: MENTOR[key] for key in ("samples", "temperature", "top_p", "seed")
    }
    assert told["kept"]["per_question"] == 2


@pytest.mark.parametrize("stored", [{"draws": 8}, {"top_k": 3}, {"top_k": None}])
def test_soft_labels_are_written_as_they_are_wanted(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any]
):
    """Most probable tokens in place of drawn ones are another loss under the same name."""
    told: dict[str, Any] = {}
    monkeypatch.setattr("tutelage.methods.study.load", lambda study, stage: None)
    monkeypatch.setattr(
        "tutelage.training.soft_labels.write_soft_labels", lambda lm, examples, folder, **how: told.update(how)
    )
    mine = study(world, tmp_path, soft_labels={**stored, "temperature": 3.0})
    examples = mine.lessons.rationales(mine.taught())
    assert mine.soft_labels(trained(mine), examples)
    wanted = {"top_k": 16, "draws": None, **stored, "temperature": 3.0, "max_prompt_tokens": 96}
    assert {key: told[key] for key in wanted} == wanted


def test_a_loss_is_weighed_as_it_was_told(tmp_path: Path):
    """A factor that stays behind makes every row of a sweep the same."""
    stage = Stage("soft-labels", "f", tmp_path, cached=True)
    said = {"loss": "jsd", "weight": 0.75, "temperature": 2.0, "scaled": False}
    cached: Any = learn.from_mentor(stage, SoftLabelSection(**said))
    live: Any = learn.from_mentor(stage, SoftLabelSection(**said, live=True))
    matched: Any = learn.from_mentor(stage, SoftLabelSection(loss="hidden-mse", live=True, layers=[(1, 2)]))
    for teaching in (cached, live):
        assert {key: getattr(teaching, key) for key in said} == said
    assert matched.layers == ((1, 2),)


def test_pairs_and_tasks_are_weighed_as_they_were_told(tmp_path: Path):
    write_jsonl(tmp_path / "pairs.jsonl", [{"first": "a", "second": "b"}])
    pairs: Any = learn.from_pairs(
        Stage("pairs", "f", tmp_path, cached=True), MccSection(weight=0.5, temperature=1.25), get_format("arrow")
    )
    assert (pairs.weight, pairs.temperature) == (0.5, 1.25)
    rows = [{"id": f"q#{GOLD}"}, {"id": "q#0"}]
    tasks: Any = learn.from_tasks(rows, {rows[0]["id"]}, 0.25)
    assert dict(tasks.shares) == {"predict": 0.25, "explain": 0.75}


def test_the_share_of_answers_comes_from_the_recipe(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: dict[str, Any] = {}
    monkeypatch.setattr(Study, "train", lambda study, *_, **how: told.update(how))
    monkeypatch.setattr(Study, "score", lambda study, *_, **how: None)
    step_by_step(study(world, tmp_path, step_by_step={"answer_share": 0.25}), 1)
    assert told["answer_share"] == 0.25
