"""How rerankers learnt, in plots, words and cautions."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.report.findings import percent
from tutelage.report.lookups.rerankers import Learnt
from tutelage.report.plots import Axis, Curve, Found, Panel, Series, curve, panel, share_label

PANELS = (("hits@1", "Hits@1 on dev"), ("ndcg@10", "nDCG@10 on dev"))
SERIES = (Series("reranker", "by-reranker"), Series("question alone", "by-question again"))
"""The lines of a panel."""


def panels(learnt: Learnt) -> list[Panel]:
    """Hits@1 and nDCG@10 by epoch, each with the level of the question alone."""
    drawn: list[Panel] = []
    for key, title in PANELS:
        own = curve(learnt.history, key)
        if own:
            level = learnt.baseline.get(key)
            flat: Curve = [] if level is None else [(epoch, level) for epoch, _ in own]
            found = [Found(1, None, flat), Found(0, None, own, learnt.best_epoch)]
            share = key.startswith("hits")
            label = share_label if share else lambda v: f"{v:.6g}"
            drawn.append(panel(title, found, Axis(0.0, 1.0, 0.25), label, is_share=share))
    return drawn


def sentence(learnt: Learnt) -> str:
    """Which epoch was kept, by what, and what it finds."""
    by = f", chosen by {_name(learnt.select)} on dev" if learnt.select and learnt.select != "last" else ""
    said = f"Epoch {learnt.best_epoch} of {learnt.epochs} was kept{by}"
    figures = [_beside(key, learnt.kept[key], learnt.baseline.get(key)) for key, _ in PANELS if key in learnt.kept]
    return f"{said}: {'; '.join(figures)}." if figures else f"{said}."


def _beside(key: str, own: float, level: float | None) -> str:
    against = "" if level is None else f" (by the question {_figure(key, level)})"
    return f"{_name(key)} {_figure(key, own)}{against}"


def _name(key: str) -> str:
    return key.replace("ndcg", "nDCG").replace("hits", "Hits").replace("kl", "KL")


def _figure(key: str, value: float) -> str:
    return percent(value) if key.startswith("hits") else f"{value:.3f}"


def cautions(rerankers: Sequence[Learnt]) -> list[tuple[str, str]]:
    """(title of an arm, what to know) of rerankers that order passages no better than the question does."""
    return [
        (title, f"the reranker is no better on dev than the question alone: {figures}.")
        for learnt in rerankers
        if (figures := _no_better(learnt))
        for title in learnt.arms
    ]


def _no_better(learnt: Learnt) -> str:
    key = learnt.select if learnt.select in learnt.baseline else PANELS[-1][0]
    own, level = learnt.kept.get(key), learnt.baseline.get(key)
    if own is None or level is None or own > level:
        return ""
    return f"{_name(key)} {_figure(key, own)} against {_figure(key, level)}"
