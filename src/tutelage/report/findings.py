"""What the figures support, in sentences: no difference is called one unless it outlasts Holm's correction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import median
from typing import Any

from tutelage.evaluation.compare import Comparison
from tutelage.evaluation.metrics import ArmScore
from tutelage.report.run import ArmRun, Reference

LEVEL = 0.05
"""A difference is called one when its corrected p is below this."""

MANY = 0.05
"""Share of unread answers or cut rationales from which a report warns."""

MOST_NAMED = 3
"""Arms that one caution names."""

LOUD = 100.0
"""A term of the loss drowns another from so many times its gradient norm on."""


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal, e.g. 61.3%."""
    return "–" if share is None else f"{100 * share:.1f}%"


def interval(low: float, high: float) -> str:
    """Both ends in percent or points, e.g. [56.2, 66.1]."""
    return f"[{points(low)}, {points(high)}]"


def points(share: float) -> str:
    """A share in percentage points with one decimal and a true minus sign; never "-0.0"."""
    return f"{100 * share:.1f}".replace("-0.0", "0.0").replace("-", "−")


def signed(share: float) -> str:
    """Points with their sign, e.g. +23.4."""
    text = points(share)
    return text if text.startswith("−") or text == "0.0" else f"+{text}"


def p_value(p: float | None) -> str:
    """A p-value as people write it: 0.041, < 0.001; a dash where there is none."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def equals_p(p: float) -> str:
    """A p-value in a sentence: p = 0.041, p < 0.001."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def in_sentence(title: str) -> str:
    """A title in the middle of a sentence: Fine-tuning becomes fine-tuning, Mentor-KD stays."""
    return title[:1].lower() + title[1:] if title[1:].islower() else title


def at_start(title: str) -> str:
    """A title at the start of a sentence; the name of an arm of a sweep, mentor-kd samples=3, stays as it is."""
    return title[:1].upper() + title[1:] if title.islower() and "=" not in title else title


def is_shown(comparison: Comparison) -> bool:
    """Whether the difference outlasts the correction."""
    return comparison.p_holm is not None and comparison.p_holm < LEVEL


def students(arms: Sequence[ArmRun]) -> list[ArmRun]:
    """The arms that compete: all but references and those that know of the test split; all where nothing else is."""
    own = [arm for arm in arms if not arm.is_reference]
    return [arm for arm in own if not arm.leaks] or own or list(arms)


def ranked(arms: Sequence[ArmRun], scores: Mapping[str, ArmScore]) -> list[str]:
    """The arms that compete, the most accurate first."""
    return sorted((arm.arm for arm in students(arms)), key=lambda arm: -scores[arm].accuracy)


def headline(
    arms: Sequence[ArmRun],
    scores: Mapping[str, ArmScore],
    comparisons: Sequence[Comparison],
    reference: Reference | None = None,
    against_constant: Sequence[Comparison] = (),
) -> str:
    """The one sentence to take away: the best student against the next best, whatever the baseline.

    Where no student is better than always giving the answer that is most frequent in training, that comes first.
    """
    if not arms:
        return "Nothing was scored."
    titles = {arm.arm: arm.title for arm in arms}
    best, *others = ranked(arms, scores)
    said = _best_and_next(best, others, titles, scores, comparisons)
    competing = [c for c in against_constant if c.a in (best, *others)]
    if reference is None or not competing or any(is_better(c) for c in competing):
        return said
    constant = f"always answering “{reference.answer}” ({percent(reference.accuracy)})"
    if not others:
        return f"{said}: not distinguishable from {constant}"
    return f"No arm could be shown to be better than {constant}. {said}"


def _best_and_next(
    best: str,
    others: Sequence[str],
    titles: Mapping[str, str],
    scores: Mapping[str, ArmScore],
    comparisons: Sequence[Comparison],
) -> str:
    if not others:
        shown = f"{percent(scores[best].accuracy)} of {scores[best].n} questions"
        return f"{at_start(titles[best])} answers {shown} correctly"
    pair = next(c for c in comparisons if {c.a, c.b} == {best, others[0]})
    first, second, gain = at_start(titles[best]), in_sentence(titles[others[0]]), points(abs(pair.difference))
    if is_shown(pair):
        return f"{first} beats {second} by {gain} points"
    if pair.p_holm is None:
        ahead = f"{first} is {gain} points ahead of {second} with {given(pair.shared)}"
        return f"{ahead}; other ones may differ, so no test is made"
    figures = [percent(scores[arm].accuracy) for arm in (best, others[0])]
    return f"{first} ({figures[0]}) and {second} ({figures[1]}) are not distinguishable"


def is_better(comparison: Comparison) -> bool:
    """Whether `a` could be shown to be better."""
    return is_shown(comparison) and comparison.difference > 0


def given(shared: Sequence[str]) -> str:
    """What a result is conditional on: one reranker for all seeds."""
    return " and ".join(f"one {part}" for part in shared) + " for all seeds"


def against_baseline(comparisons: Sequence[Comparison], titles: Mapping[str, str], baseline: str) -> str:
    """How the arms fared against the baseline, in one sentence: for studies of many arms."""
    pairs = [c for c in comparisons if c.b == baseline]
    better = sum(is_shown(c) and c.difference > 0 for c in pairs)
    worse = sum(is_shown(c) and c.difference < 0 for c in pairs)
    return (
        f"Of {len(pairs)} arms compared with {in_sentence(titles[baseline])}, {better} could be shown to be better and "
        f"{worse} to be worse; {len(pairs) - better - worse} could not be told from it."
    )


def sentence(comparison: Comparison, titles: Mapping[str, str]) -> str:
    """One comparison in a sentence, with everything needed to doubt it."""
    c = comparison
    if c.p_holm is None:
        return (
            f"{at_start(titles[c.a])} and {in_sentence(titles[c.b])}: {signed(c.difference)} points "
            f"{interval(c.low, c.high)} with {given(c.shared)}, so no p-value is given."
        )
    if is_shown(c):
        winner, loser = (c.a, c.b) if c.difference > 0 else (c.b, c.a)
        low, high = (c.low, c.high) if c.difference > 0 else (-c.high, -c.low)
        return (
            f"{at_start(titles[winner])} beats {in_sentence(titles[loser])} by {points(abs(c.difference))} points "
            f"{interval(low, high)}, {equals_p(c.p_holm)} (Holm)."
        )
    return (
        f"{at_start(titles[c.a])} and {in_sentence(titles[c.b])}: no difference could be shown "
        f"({signed(c.difference)} points {interval(c.low, c.high)}, {equals_p(c.p_holm)} after Holm); with n = {c.n}, "
        f"differences under about {points(c.detectable)} points would often go unnoticed here."
    )


def cautions(
    arms: Sequence[ArmRun],
    scores: Mapping[str, ArmScore],
    reference: Reference | None = None,
    against_constant: Sequence[Comparison] = (),
) -> list[str]:
    """What a reader should know before believing the figures."""
    constant = {c.a: c for c in against_constant}
    said = [
        (arm.title, text)
        for arm in arms
        for text in (
            *_about_runs(scores[arm.arm]),
            *_about_arm(arm, scores[arm.arm]),
            *_about_constant(constant.get(arm.arm), reference),
        )
    ]
    return [*_about_seeds(scores.values()), *said_once(said)]


def said_once(said: Iterable[tuple[str, str]]) -> list[str]:
    """What is true of several arms in one sentence that names them, from (title of an arm, text)."""
    whose: dict[str, dict[str, None]] = {}
    for title, text in said:
        whose.setdefault(text, {})[at_start(title)] = None
    return [f"{listed(list(titles))}: {text}" for text, titles in whose.items()]


def merged_warnings(warnings: Iterable[str], titles: Sequence[str]) -> list[str]:
    """The warnings of a run, one text of several arms said once, their titles in the order given."""
    owned = [(next((t for t in titles if warning.startswith(f"{t}: ")), None), warning) for warning in warnings]
    free = [warning for title, warning in owned if title is None]
    said = [(title, warning.removeprefix(f"{title}: ")) for title, warning in owned if title is not None]
    return [*free, *said_once(sorted(said, key=lambda pair: titles.index(pair[0])))]


def listed(titles: Sequence[str]) -> str:
    """Names in a row, the first few of many: A; A and B; A, B and 5 other arms."""
    if len(titles) > MOST_NAMED:
        return f"{', '.join(titles[: MOST_NAMED - 1])} and {len(titles) - MOST_NAMED + 1} other arms"
    return " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))


def _about_seeds(scores: Iterable[ArmScore]) -> list[str]:
    runs = [score.runs for score in scores if score.speaks_of != "untrained"]
    if not runs or max(runs) > 2:
        return []
    if max(runs) == 1:
        return [
            "Every arm was trained once. Intervals and tests speak of these students, not of the methods: "
            "another seed may turn a small difference around. Set “seeds: [1, 2, 3]” in the recipe for more."
        ]
    return ["Two seeds hardly tell how much chance there is in training, so intervals are wide. Three are much better."]


def _about_runs(score: ArmScore) -> Iterable[str]:
    """Which of its seeds are no training runs of their own, and what that means for its figures."""
    seeds = len(score.seeds)
    if score.speaks_of == "untrained":
        return
    if score.runs < seeds:
        runs = "one training run" if score.runs == 1 else f"{score.runs} training runs"
        yield f"its {seeds} seeds answered alike or come from one model, so they count as {runs}."
    if score.speaks_of == "borrowed":
        yield (
            "there is one training run, so the chance in training is taken from the other arms, as if it were as large "
            "here."
        )
    if score.shared:
        yield (
            f"there is {given(score.shared)}; accuracy and intervals are conditional on it, and comparisons have no "
            "p-value. Leave its `seed` out of the recipe to train one for each seed."
        )


def _about_constant(comparison: Comparison | None, reference: Reference | None) -> Iterable[str]:
    if comparison and reference and not is_better(comparison):
        worse = is_shown(comparison)
        what = "worse than" if worse else "not distinguishable from"
        yield f"{what} always answering “{reference.answer}” ({percent(reference.accuracy)})."


def _about_arm(arm: ArmRun, score: ArmScore) -> list[str]:
    answers = score.n * len(score.seeds)
    found: list[str] = []
    if score.unread > MANY * answers:
        found.append(f"{percent(score.unread / answers)} of the answers could not be read; they count as wrong.")
    texts = sum(len(p.rationales) for t in arm.by_seed.values() for p in t.predictions)
    if score.cut > MANY * texts:
        found.append(f"{percent(score.cut / texts)} of the rationales were cut at the length limit.")
    if drowning := _drowned_in(arm):
        found.append(drowning)
    if _still_learning(arm):
        found.append("the last epoch was the best on dev with every seed; more epochs may help.")
    return found


def _still_learning(arm: ArmRun) -> bool:
    """Whether the epoch chosen on dev was the last one, of several, for every seed."""
    for trained in arm.by_seed.values():
        epochs = [row["epoch"] for row in trained.history if isinstance(row.get("epoch"), int | float)]
        best = trained.training.get("best_epoch")
        if len(epochs) < 2 or best is None or not isfinite(best) or best < max(epochs):
            return False
    return bool(arm.by_seed)


def _drowned_in(arm: ArmRun) -> str | None:
    return drowned([row for trained in arm.by_seed.values() for row in trained.history])


def drowned(history: Sequence[Mapping[str, Any]]) -> str | None:
    """What to say where, in the median over epochs, one term's gradient is over `LOUD` times another's.

    A term without any gradient was switched off: it drowns nothing and is not drowned.
    """
    norms = gradient_norms(history)
    if len(norms) < 2:
        return None
    middle = {name: median(found.values()) for name, found in norms.items()}
    loud, quiet = max(middle, key=lambda name: middle[name]), min(middle, key=lambda name: middle[name])
    ratios = [norms[loud][row] / norms[quiet][row] for row in norms[loud].keys() & norms[quiet].keys()]
    if not ratios or (ratio := median(ratios)) <= LOUD:
        return None
    return (
        f"the gradient of the term “{loud}” is {ratio:,.0f} times that of “{quiet}” in the median over epochs, so "
        f"“{quiet}” teaches next to nothing. {_remedy(loud, quiet)}"
    )


def gradient_norms(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """The positive gradient norms of each term, by the number of the row."""
    found: dict[str, dict[int, float]] = {}
    for number, row in enumerate(history):
        for name, norm in (row.get("gradient_norms") or {}).items():
            if norm is not None and isfinite(norm) and norm > 0:
                found.setdefault(name, {})[number] = norm
    return found


WEIGHTS = {
    "soft": "soft_labels.weight",
    "consistency": "mcc.weight",
    "predict": "step_by_step.answer_share",
}
"""The setting that makes a term louder."""


def _remedy(loud: str, quiet: str) -> str:
    if "soft" in (loud, quiet):
        turn = "Raise" if quiet == "soft" else "Lower"
        return f"{turn} soft_labels.weight, or try another soft_labels.temperature."
    if quiet in WEIGHTS:
        return f"Raise {WEIGHTS[quiet]}."
    if loud in WEIGHTS:
        return f"Lower {WEIGHTS[loud]}."
    return f"Give “{quiet}” more weight or “{loud}” less."
