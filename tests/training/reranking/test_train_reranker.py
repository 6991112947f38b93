"""A reranker's training from end to end, on bundled and tiny models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import NAMES, passages, rankings

from tutelage.errors import ModelError, RunError, TextError
from tutelage.models import LoraSettings
from tutelage.retrieval.reranker import load_reranker
from tutelage.runs import read_jsonl
from tutelage.training.reranking import Ranking, RerankerSettings, Temperature, train_reranker
from tutelage.training.reranking.candidates import ranking
from tutelage.training.reranking.epochs import Dev
from tutelage.training.reranking.network import EncoderNetwork

QUICK = RerankerSettings(
    epochs=2, learning_rate=1e-3, lora=None, dimension=32, candidates=4, passage_tokens=32, query_tokens=16
)
LONG = replace(QUICK, epochs=24, learning_rate=5e-3, batch_size=8, candidates=12)
"""As long as it takes the smallest bundled model to learn the small world with any seed, and on any processor."""
TRAIN, DEV = rankings(NAMES[:6]), rankings(NAMES[6:8], seed=1)


def trained(folder: Path, settings: RerankerSettings = QUICK, **changes: Any):
    given = {"base": "pocket/nano", "seed": 1, "device": "cpu", **changes}
    return train_reranker(TRAIN, DEV, passages(), settings, folder=folder, **given)


def scores_of(folder: Path, kind: str = "late-interaction") -> list[list[float]]:
    reranker = load_reranker(kind, folder, device="cpu")
    return reranker.scores([r.query for r in DEV], [[passages()[i] for i in r.passage_ids] for r in DEV])


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_it_learns_what_no_shared_word_tells(tmp_path: Path):
    """The encoder half of the bundled T5 must be able to learn: the offline demo stands on it."""
    found = trained(tmp_path / "a", LONG)
    before, after = found.history[0], found.history[found.best_epoch]
    assert before["epoch"] == 0
    assert before["hits@1"] < 0.5
    assert after["hits@1"] > 0.6
    assert after["hits@3"] > 0.8
    assert after["ndcg@10"] > before["ndcg@10"]


@pytest.mark.parametrize("kind", ["late-interaction", "cross-encoder"])
def test_what_is_loaded_scores_as_what_was_trained(tmp_path: Path, kind: str):
    """Adapters that do not come back, as in another library, make a reranker of the base alone."""
    settings = replace(QUICK, kind=kind, lora=LoraSettings(rank=4, alpha=8, dropout=0.1), epochs=1, learning_rate=1e-2)
    seen: list[list[list[float]]] = []
    look = Dev.look

    def note(dev: Dev, network: Any) -> dict[str, float]:
        seen.append(
            network.reranker().scores([r.query for r in DEV], [[passages()[i] for i in r.passage_ids] for r in DEV])
        )
        return look(dev, network)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dev, "look", note)
        trained(tmp_path / "a", settings)
    loaded = scores_of(tmp_path / "a", kind)
    for found, live, untaught in zip(loaded, seen[1], seen[0], strict=True):
        assert found == pytest.approx(live, rel=1e-4, abs=1e-4)
        assert found != pytest.approx(untaught, rel=1e-3, abs=1e-3)
    assert scores_of(tmp_path / "a", kind) == loaded
    assert scores_of(tmp_path / "a" / "model", kind) == loaded


@pytest.mark.parametrize("kind", ["late-interaction", "cross-encoder"])
def test_a_reranker_that_is_not_the_one_trained_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    """What is lost when weights are written would be found in the accuracy of every student, or not at all."""
    keep = EncoderNetwork.keep

    def damaged(network: Any, folder: Path) -> None:
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(1.05)
        keep(network, folder)

    monkeypatch.setattr(EncoderNetwork, "keep", damaged)
    with pytest.raises(ModelError, match="is not the one in memory"):
        trained(tmp_path / "a", replace(QUICK, kind=kind, epochs=1))
    assert not (tmp_path / "a" / "model").exists()


def test_adapters_on_shared_weights_are_refused(tmp_path: Path):
    """A T5 has one matrix of embeddings under two names."""
    settings = replace(QUICK, lora=LoraSettings(rank=2, targets=("embed_tokens",)))
    with pytest.raises(ModelError, match=r"lora\.targets: .*embed_tokens.* share their weights"):
        trained(tmp_path / "a", settings)


def test_the_best_epoch_is_kept_and_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The published code overwrites each epoch by the next (K29)."""
    seen: list[list[list[float]]] = []
    marks = iter([0.1, 0.5, 0.9, 0.2])

    def look(dev: Dev, network: Any) -> dict[str, float]:
        seen.append(
            network.reranker().scores([r.query for r in DEV], [[passages()[i] for i in r.passage_ids] for r in DEV])
        )
        return {"ndcg@10": next(marks), "kl": 1.0}

    monkeypatch.setattr(Dev, "look", look)
    found = trained(tmp_path / "a", replace(QUICK, epochs=3))
    assert found.best_epoch == 2
    kept = scores_of(tmp_path / "a")
    assert kept[0] == pytest.approx(seen[2][0], abs=1e-4)
    assert kept[0] != pytest.approx(seen[3][0], abs=1e-4)


def test_a_broken_training_goes_on_as_if_nothing_had_been(tmp_path: Path):
    """A crash must cost an epoch at most and change nothing about the result."""

    def crash(row: dict[str, Any]) -> None:
        if row.get("epoch") == 2:
            raise KeyboardInterrupt

    settings = replace(QUICK, epochs=3, lora=LoraSettings(rank=4, dropout=0.2))
    whole = trained(tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "broken", settings, tell=crash)
    assert list((tmp_path / "broken").glob("checkpoint-*/progress.json"))
    resumed = trained(tmp_path / "broken", settings)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.best_epoch == whole.best_epoch
    assert scores_of(tmp_path / "broken") == scores_of(tmp_path / "whole")
    assert not list((tmp_path / "broken").glob("checkpoint-*"))


def test_the_same_seed_gives_the_same_reranker_and_another_does_not(tmp_path: Path):
    """A stage is known by its inputs: equal inputs must give equal weights."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(tmp_path / name, seed=seed)
    prints = {name: load_reranker("late-interaction", tmp_path / name, device="cpu").fingerprint for name in "abc"}
    assert prints["a"] == prints["b"] != prints["c"]


def test_a_finished_training_is_found_and_not_repeated(tmp_path: Path):
    """A second run of a study does only what is missing."""
    first = trained(tmp_path)
    told: list[Any] = []
    assert trained(tmp_path, tell=told.append) == first
    assert told == []


def test_a_folder_of_another_training_is_refused(tmp_path: Path):
    """Going on from other weights would mix two trainings without a word."""
    trained(tmp_path, replace(QUICK, epochs=1))
    with pytest.raises(RunError, match="model_temperature"):
        trained(tmp_path, replace(QUICK, epochs=1, model_temperature=Temperature(2.0, 1.0)))


def test_history_tells_what_there_is_to_beat(tmp_path: Path):
    """Without the question's own order on the same candidates no one can say whether the reranker is worth its time."""
    backwards = [ranking(r.query_id, r.query, r.passage_ids, [-s for s in r.scores]) for r in DEV]
    found = trained(tmp_path, replace(QUICK, epochs=1), baseline=backwards)
    rows = read_jsonl(tmp_path / "history.jsonl")
    assert rows == found.history
    assert [row["epoch"] for row in rows] == [0, 1]
    for row in rows:
        assert row["baseline"]["hits@10"] == 0.0
        assert {"hits@1", "hits@3", "hits@5", "hits@10", "ndcg@10", "kl", "learning_rate"} <= row.keys()
    assert rows[1]["teacher_temperature"] == pytest.approx(1.0, abs=1e-3)


def test_progress_is_told(tmp_path: Path):
    """A page that shows a run hears the loss now and then and every epoch's row."""
    told: list[dict[str, Any]] = []
    trained(tmp_path, replace(QUICK, batch_size=4), tell=told.append)
    assert [row["epoch"] for row in told if row.get("epoch_done")] == [1, 2]
    assert [row["step"] for row in told if "steps" in row] == [10]
    json.dumps(told, allow_nan=False)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Loading bars of libraries in the log of a study hide its own lines."""
    trained(tmp_path, replace(QUICK, epochs=1))
    scores_of(tmp_path)
    assert "".join(capfd.readouterr()) == ""


def test_cross_entropy_learns_too(tmp_path: Path):
    """The published default stays a choice (K10)."""
    found = trained(tmp_path, replace(LONG, loss="ce", select="hits@1"))
    assert found.history[found.best_epoch]["hits@1"] > 0.4


def test_without_dev_only_the_last_epoch_can_be_kept(tmp_path: Path):
    """Choosing on the training questions would choose the most overfitted epoch."""
    with pytest.raises(RunError, match="dev rankings"):
        train_reranker(TRAIN, [], passages(), QUICK, base="pocket/nano", folder=tmp_path, seed=1)
    settings = replace(QUICK, select="last", epochs=1)
    found = train_reranker(TRAIN, [], passages(), settings, base="pocket/nano", folder=tmp_path, seed=1, device="cpu")
    assert found.best_epoch == 1


def test_rankings_that_cannot_teach_are_all_named(tmp_path: Path):
    """A missing passage found in the middle of an epoch costs the epoch."""
    bad = [
        Ranking("one", "text", ("stone-1",), (1.0,)),
        Ranking("twice", "text", ("stone-1", "stone-1"), (1.0, 2.0)),
        Ranking("unknown", "text", ("stone-1", "nowhere"), (1.0, 2.0)),
        Ranking("nan", "text", ("stone-1", "tree-1"), (1.0, float("nan"))),
    ]
    with pytest.raises(TextError) as error:
        train_reranker([*TRAIN, *bad], DEV, passages(), QUICK, base="pocket/nano", folder=tmp_path, seed=1)
    assert all(name in str(error.value) for name in ("one:", "twice:", "nowhere", "nan:"))
    with pytest.raises(TextError, match="no rankings"):
        train_reranker([], DEV, passages(), QUICK, base="pocket/nano", folder=tmp_path, seed=1)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path):
    """Weights that are no numbers would be saved as the best epoch."""
    with pytest.raises(RunError, match=r"loss became|learning_rate"):
        trained(tmp_path, replace(QUICK, learning_rate=1e30, max_grad_norm=None, normalize=False))
    assert not (tmp_path / "model").exists()


def test_a_plain_encoder_is_no_reranker():
    """sentence-transformers would add a layer of random numbers and rank by chance."""
    for kind in ("late-interaction", "cross-encoder"):
        with pytest.raises(ModelError, match="no trained reranker"):
            load_reranker(kind, "pocket/nano")
