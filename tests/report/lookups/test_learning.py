"""How rerankers learnt."""

from __future__ import annotations

from looked_up import learning

from tutelage.report.lookups.learning import cautions, panels, sentence
from tutelage.report.lookups.rerankers import Learnt, by_seeds


def learnt(*ndcg: float, best: int, select: str = "ndcg@10", baseline: float = 0.6) -> Learnt:
    return Learnt("pocket/nano", "late-interaction", ("KARD",), select, best, tuple(learning(*ndcg, baseline=baseline)))


def test_the_kept_epoch_is_told_with_its_figures():
    """Which weights the passages come from, and whether learning was worth it."""
    assert sentence([learnt(0.3, 0.7, 0.8, best=2)]) == (
        "Epoch 2 of 2 was kept, chosen by nDCG@10 on dev: Hits@1 40.0% (by the question 30.0%); "
        "nDCG@10 0.800 (by the question 0.600)."
    )
    assert sentence([learnt(0.3, 0.7, best=1, select="last")]).startswith("Epoch 1 of 1 was kept: Hits@1 35.0%")


def test_each_figure_has_a_panel_with_the_level_of_the_question():
    """A curve that rises says nothing while it is below what costs nothing."""
    hits, ndcg = panels([learnt(0.3, 0.7, 0.8, best=2)])
    assert (hits.title, ndcg.title) == ("Hits@1 on dev", "nDCG@10 on dev")
    level, own = ndcg.lines
    assert [value for _, value in level.values] == [0.6, 0.6, 0.6]
    assert [value for _, value in own.values] == [0.3, 0.7, 0.8]
    assert own.chosen == (100, 20)
    assert level.chosen is None
    assert hits.is_share
    assert not ndcg.is_share


def test_the_rerankers_of_several_seeds_are_told_together():
    """Ten plots of one thing hide how little they differ, or how much."""
    group = [learnt(0.3, 0.7, best=1)._replace(seed=1), learnt(0.3, 0.8, best=1)._replace(seed=2)]
    other = learnt(0.3, 0.9, best=1)._replace(seed=1, arms=("Grounded mentor",))
    assert by_seeds([group[0], other, group[1]]) == [group, [other]]
    said = sentence(group)
    assert said.startswith("One for each seed, its best epoch of 1 kept, chosen by nDCG@10 on dev. Seed 1: epoch 1: ")
    assert "; seed 2: epoch 1: Hits@1 40.0%" in said
    hits, _ = panels(group)
    assert [(line.series, line.seed) for line in hits.lines] == [(1, 1), (0, 1), (1, 2), (0, 2)]


def test_a_reranker_chosen_by_few_is_warned_of():
    """Ten dev rationales choose among eight epochs by luck."""
    few = learnt(0.3, 0.7, 0.8, best=2)._replace(dev=10)
    assert cautions([few]) == [
        (
            "KARD",
            "the epoch of the reranker was chosen on 10 dev rationales; with so few, the choice is largely chance.",
        )
    ]
    assert cautions([few._replace(dev=100)]) == cautions([few._replace(select="last")]) == []
    assert cautions([few._replace(dev=None)]) == [], "a run of before this was written down"


def test_a_reranker_no_better_than_the_question_is_warned_of():
    """Its arm pays for a model that does nothing."""
    assert cautions([learnt(0.3, 0.7, best=1)]) == []
    assert cautions([learnt(0.3, 0.55, best=1)]) == [
        ("KARD", "the reranker is no better on dev than the question alone: nDCG@10 0.550 against 0.600.")
    ]
    assert "Hits@1 30.0% against 30.0%" in cautions([learnt(0.3, 0.6, best=1, select="hits@1")])[0][1]


def test_a_history_that_lacks_figures_is_no_reason_to_fail():
    """Without dev questions there is a loss and nothing else."""
    bare = Learnt("base", "", (), "", 1, ({"epoch": 1, "loss": 0.4},))
    assert panels([bare]) == []
    assert sentence([bare]) == "Epoch 1 of 1 was kept."
    assert cautions([bare]) == []
