"""Where the rationales came from: what teacher and mentors wrote, and what was kept of it.

One entry of `sources` in results.json (shortened); a run has one for each distinct stage, so a mentor has one a seed:

    {"role": "mentor", "source": "pocket/mini", "arms": ["Mentor-KD"], "seeds": [2],
     "yield": {"kept": 652, "wrong": 391, "asked": 1080}, "per_question": 1.9, "asked": 1080, "questions": 340,
     "without_teacher": 810, "gained": 204, "notes": []}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

YIELD = ("kept", "over the limit", "duplicate", "wrong", "unread", "cut off", "empty", "not judged", "no question")
"""What can become of a rationale, in the order shown; the page has a colour for the first six, grey for others."""


@dataclass(frozen=True, slots=True)
class Source:
    """A teacher, or the mentors that one group of arms had: one a seed, their counts summed."""

    role: str
    """teacher or mentor."""
    name: str
    arms: tuple[str, ...]
    """Titles of the arms that learnt from it."""
    seeds: tuple[int, ...]
    """Those of the mentors; empty for a teacher, who writes once for all."""
    counts: Mapping[str, int]
    """Texts by what became of them, in the order of `YIELD`, without those that nothing became of."""
    texts: int
    asked: int | None
    """Questions; None in runs of before this was written down, as below."""
    questions: int | None
    """Questions with at least one kept rationale."""
    per_question: float | None
    """Kept rationales a question that has any."""
    without_teacher: int | None
    """Questions that the teacher left without a kept rationale."""
    gained: int | None
    """Of those, how many the mentor filled."""
    notes: tuple[str, ...]

    @property
    def kept(self) -> int:
        """Texts that students learn from."""
        return self.counts.get("kept", 0)


def sources_of(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entries as the run left them; a run from before there were mentors has its teacher alone."""
    if (teacher := results.get("teacher")) and "sources" not in results:
        return [{"role": "teacher", **teacher}]
    return list(results.get("sources") or ())


def read_sources(results: Mapping[str, Any]) -> list[Source]:
    """Teachers and mentors in the order of the run, the mentors of several seeds as one."""
    found = [merged(group) for group in _groups(sources_of(results))]
    return [source for source in found if source.texts]


def _groups(entries: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Mentors of the same arms stand together, a seed once in each group: the links of a chain stay apart."""
    groups: list[list[Mapping[str, Any]]] = []
    for entry in entries:
        group = next((g for g in groups if _belongs(entry, g)), None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    return groups


def _belongs(entry: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> bool:
    known = {seed for other in group for seed in other.get("seeds") or ()}
    seeds = set(entry.get("seeds") or ())
    alike = all(entry.get(key) == group[0].get(key) for key in ("role", "source", "arms"))
    return alike and bool(seeds) and bool(known) and not seeds & known


def merged(entries: Sequence[Mapping[str, Any]]) -> Source:
    """Entries of one group as one source."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts.update({name: n for name, n in (entry.get("yield") or {}).items() if isinstance(n, int)})
    del counts["asked"]  # the sum of the others
    questions = _sum(entries, "questions")
    return Source(
        role=entries[0].get("role") or "teacher",
        name=str(entries[0].get("source") or "unnamed"),
        arms=tuple(entries[0].get("arms") or ()),
        seeds=tuple(sorted(seed for entry in entries for seed in entry.get("seeds") or ())),
        counts={name: counts[name] for name in sorted(counts, key=_place) if counts[name]},
        texts=counts.total(),
        asked=_sum(entries, "asked"),
        questions=questions,
        per_question=counts["kept"] / questions if questions else entries[0].get("per_question"),
        without_teacher=_sum(entries, "without_teacher"),
        gained=_sum(entries, "gained"),
        notes=tuple(dict.fromkeys(note for entry in entries for note in entry.get("notes") or ())),
    )


def _place(name: str) -> int:
    return YIELD.index(name) if name in YIELD else len(YIELD)


def _sum(entries: Sequence[Mapping[str, Any]], key: str) -> int | None:
    values = [entry.get(key) for entry in entries]
    return sum(values) if all(isinstance(value, int) for value in values) else None  # type: ignore[arg-type]


# --- in words


def sentences(source: Source) -> list[str]:
    """What was kept, for how many questions, and what a mentor added to its teacher."""
    over = f" over {len(source.seeds)} seeds" if len(source.seeds) > 1 else ""
    each = f"; {source.per_question:.3g} kept a question that has any" if source.per_question else ""
    found = [f"{source.texts:,} texts{over}{each}."]
    if source.asked and source.questions is not None:
        found.append(f"{source.questions:,} of {source.asked:,} questions have a kept one.")
    if source.without_teacher is not None and source.gained is not None:
        found.append(_filled(source.without_teacher, source.gained, many=len(source.seeds) > 1))
    return found


def _filled(without: int, gained: int, *, many: bool) -> str:
    if not without:
        return "The teacher left no question without a rationale."
    who = "mentors" if many else "mentor"
    return (
        f"The teacher left {without:,} without a rationale; the {who} filled {gained:,} of them "
        f"({100 * gained / without:.1f}%)."
    )


def by_role(sources: Sequence[Source]) -> list[str]:
    """One line a role, for the terminal."""
    return [_role(role, [s for s in sources if s.role == role]) for role in dict.fromkeys(s.role for s in sources)]


def _role(role: str, sources: Sequence[Source]) -> str:
    names = list(dict.fromkeys(source.name for source in sources))
    kept, texts = sum(s.kept for s in sources), sum(s.texts for s in sources)
    known = [s for s in sources if s.without_teacher is not None and s.gained is not None]
    without, gained = sum(s.without_teacher or 0 for s in known), sum(s.gained or 0 for s in known)
    filled = f"; {gained:,} of {without:,} questions filled that the teacher had left without" if without else ""
    many = sum(max(1, len(s.seeds)) for s in sources)
    who = f"{many} {role}s" if many > 1 else role
    return f"{who[:1].upper()}{who[1:]} ({', '.join(names)}): {kept:,} of {texts:,} texts kept{filled}."


def soft_label_lines(results: Mapping[str, Any]) -> list[str]:
    """One line for the caches of soft labels that hold the same: tokens, what is kept of each, size."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for cache in results.get("soft_labels") or ():
        key = tuple(cache.get(key) for key in ("mentor", "top_k", "draws", "temperature", "stored"))
        alike.setdefault(key, []).append(cache)
    return [_soft_label_line(caches) for caches in alike.values()]


def _soft_label_line(caches: Sequence[Mapping[str, Any]]) -> str:
    first = caches[0]
    tokens = sum(cache.get("tokens") or 0 for cache in caches)
    size = sum((cache.get("tokens") or 0) * (cache.get("bytes_per_token") or 0) for cache in caches)
    kept = (
        f"{first['draws']} draws a token"
        if first.get("draws")
        else f"top {first['stored']} (auto)"
        if first.get("top_k") == "auto" and first.get("stored")
        else f"top {first['top_k']}"
        if first.get("top_k") and first["top_k"] != "auto"
        else "whole vocabulary"
    )
    parts = [
        f"{tokens:,} tokens" + (f" in {len(caches)} caches" if len(caches) > 1 else ""),
        kept,
        _left_out(caches, tokens),
        f"temperature {first['temperature']:g}" if first.get("temperature") is not None else "",
        f"{size / tokens:.3g} bytes a token" if size else "",
        in_bytes(size) if size else "",
    ]
    return (f"{first['mentor']}: " if first.get("mentor") else "") + ", ".join(filter(None, parts))


def _left_out(caches: Sequence[Mapping[str, Any]], tokens: int) -> str:
    """What is not stored, as means over the tokens of caches of which it is known."""
    if not tokens or any(cache.get("missed") is None for cache in caches):
        return ""
    mass, missed = (sum(cache[key] * cache["tokens"] for cache in caches) / tokens for key in ("tail_mass", "missed"))
    return f"{mass:.1%} of the mass and {missed:.1%} of the divergence left out"


def in_bytes(size: float) -> str:
    """A size in the unit that suits it: 820 bytes, 3.2 MB."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:.0f} bytes"
