"""How rerankers learnt, in plots, words and cautions."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.evaluation.metrics import FEW_DEV
from tutelage.report.findings import percent
from tutelage.report.lookups.rerankers import Learnt
from tutelage.report.plots import Axis, Curve, Found, Panel, Series, curve, panel, share_label

PANELS = (("hits@1", "Hits@1 on dev"), ("ndcg@10", "nDCG@10 on dev"))
SERIES = (Series("reranker", "by-reranker"), Series("question alone", "by-question again"))
"""The lines of a panel."""


def panels(group: Sequence[Learnt]) -> list[Panel]:
    """Hits@1 and nDCG@10 by epoch of rerankers that differ in seeds, each with the level of the question alone."""
    drawn: list[Panel] = []
    for key, title in PANELS:
        found = [line for learnt in group for line in _lines(learnt, key)]
        if found:
            share = key.startswith("hits")
            label = share_label if share else lambda v: f"{v:.6g}"
            drawn.append(panel(title, found, Axis(0.0, 1.0, 0.25), label, is_share=share))
    return drawn


def _lines(learnt: Learnt, key: str) -> list[Found]:
    own, level = curve(learnt.history, key), learnt.baseline.get(key)
    flat: Curve = [] if level is None else [(epoch, level) for epoch, _ in own]
    return [Found(1, learnt.seed, flat), Found(0, learnt.seed, own, learnt.best_epoch)] if own else []


def sentence(group: Sequence[Learnt]) -> str:
    """Which epoch was kept, by what, and what it finds, for each seed."""
    first = group[0]
    by = f", chosen by {_name(first.select)} on dev" if first.select and first.select != "last" else ""
    if len(group) == 1:
        return f"Epoch {first.best_epoch} of {first.epochs} was kept{by}{_figures(first)}."
    said = "; ".join(f"seed {learnt.seed}: epoch {learnt.best_epoch}{_figures(learnt)}" for learnt in group)
    return f"One for each seed, its best epoch of {first.epochs} kept{by}. {said[:1].upper()}{said[1:]}."


def _figures(learnt: Learnt) -> str:
    figures = [_beside(key, learnt.kept[key], learnt.baseline.get(key)) for key, _ in PANELS if key in learnt.kept]
    return f": {'; '.join(figures)}" if figures else ""


def _beside(key: str, own: float, level: float | None) -> str:
    against = "" if level is None else f" (by the question {_figure(key, level)})"
    return f"{_name(key)} {_figure(key, own)}{against}"


def _name(key: str) -> str:
    return key.replace("ndcg", "nDCG").replace("hits", "Hits").replace("kl", "KL")


def _figure(key: str, value: float) -> str:
    return percent(value) if key.startswith("hits") else f"{value:.3f}"


def cautions(rerankers: Sequence[Learnt]) -> list[tuple[str, str]]:
    """(title of an arm, what to know) of rerankers that are no better than the question, or chosen by few questions."""
    return [
        (title, text)
        for learnt in rerankers
        for text in (_no_better(learnt), _chosen_by_few(learnt))
        if text
        for title in learnt.arms
    ]


def _chosen_by_few(learnt: Learnt) -> str:
    if learnt.select == "last" or learnt.epochs < 2 or learnt.dev is None or learnt.dev >= FEW_DEV:
        return ""
    few = f"the epoch of the reranker was chosen on {learnt.dev} dev rationales"
    return f"{few}; with so few, the choice is largely chance."


def _no_better(learnt: Learnt) -> str:
    key = learnt.select if learnt.select in learnt.baseline else PANELS[-1][0]
    own, level = learnt.kept.get(key), learnt.baseline.get(key)
    if own is None or level is None or own > level:
        return ""
    figures = f"{_name(key)} {_figure(key, own)} against {_figure(key, level)}"
    return f"the reranker is no better on dev than the question alone: {figures}."
