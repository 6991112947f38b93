"""How fast passages are indexed and searched, and what that takes, beside bm25s.

    python benchmarks/retrieval.py                                  # 100,000 and 1,000,000 passages
    python benchmarks/retrieval.py --demonstrate 5000000            # ours alone, on the way to 36 million

Every figure comes from a process of its own: seconds on the clock and of the processor, and the most memory it held
(for several processes the sum of each one's most, which is more than was ever held at once). Queries are texts of 30
and of 150 terms, as long as a question and a rationale, half of their words from one passage. Both sides read texts by
the same analysis, and are asked for the same: the ids of the first ten by k1 0.9, b 0.4. bm25s keeps no texts and
cannot be added to; its time to index includes cutting the texts into terms, as ours does.

The corpus is made: words by Zipf's law without the most frequent, which an index leaves out as stop words, 20 to 100 in
a passage. Made text has no long tail of names, so that posting lists are longer than real ones and queries slower.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.types import Passage

VOCABULARY = 500_000
FREQUENT = 15
"""Ranks of Zipf's law left out: the stop words."""
CHUNK = 5000
K1, B, K = 0.9, 0.4, 10
LENGTHS = (30, 150)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = _parser().parse_args(arguments)
    if chosen.part:
        print(json.dumps(PARTS[chosen.part](chosen, chosen.passages[0], chosen.folder)))
        return
    print(
        f"{platform.machine()}, tantivy {version('tantivy')}, {chosen.queries} queries a length, seed {chosen.seed}\n"
    )
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        if chosen.demonstrate:
            _print([_measured(chosen, "ours", chosen.demonstrate, Path(folder))])
            return
        for n in chosen.passages:
            rows = [_measured(chosen, "ours", n, Path(folder) / f"ours-{n}")]
            if n <= chosen.bm25s_up_to:
                rows.append(_measured(chosen, "bm25s", n, Path(folder) / f"bm25s-{n}"))
            _print(rows)


def made_passages(n: int, seed: int) -> Iterator[Passage]:
    """A corpus of `n` passages; a longer one begins with the shorter."""
    words, cumulated = _words(), _cumulated()
    for first in range(0, n, CHUNK):
        random = np.random.default_rng([seed, first])
        lengths = random.integers(20, 101, size=CHUNK) + 2
        drawn = words[np.searchsorted(cumulated, random.random(int(lengths.sum())))].tolist()
        ends = np.cumsum(lengths).tolist()
        for number, (end, length) in enumerate(zip(ends[: n - first], lengths.tolist(), strict=False)):
            some = drawn[end - length : end]
            yield Passage(f"p{first + number}", " ".join(some[:2]), " ".join(some[2:]))


def made_queries(n: int, terms: int, seed: int) -> list[str]:
    """Texts of so many words, half of them from a passage of the corpus's beginning."""
    random = np.random.default_rng([seed, terms])
    words, cumulated = _words(), _cumulated()
    texts: list[str] = []
    for passage in islice(made_passages(n, seed), n):
        own = passage.text.split()
        near = random.choice(own, size=min(terms // 2, len(own)), replace=False).tolist()
        far = words[np.searchsorted(cumulated, random.random(terms - len(near)))].tolist()
        texts.append(" ".join(near + far))
    return texts


def measure_ours(chosen: argparse.Namespace, n: int, folder: Path) -> dict[str, Any]:
    """Build the index on disk, open it, search it."""
    from tutelage.retrieval.bm25 import Bm25
    from tutelage.retrieval.bm25.folder import read_manifest

    clock = _Clock()
    Bm25.build(made_passages(n, chosen.seed), folder, workers=chosen.workers)
    figures: dict[str, Any] = {"engine": "ours", **clock.figures("build"), "build MB": _peak(folder)}
    index = Bm25.open(folder, k1=K1, b=B)
    figures["shards"] = len(read_manifest(folder).tallies)
    figures |= _searched(chosen, lambda texts: [[h.passage_id for h in hits] for hits in index.search(texts, K)])
    return {**figures, "index MB": _size(folder)}


def measure_bm25s(chosen: argparse.Namespace, n: int, folder: Path) -> dict[str, Any]:
    """The same with bm25s, which holds the index in memory."""
    import bm25s

    from tutelage.retrieval.bm25.analysis import terms

    clock = _Clock()
    vocabulary: dict[str, int] = {}
    corpus = [
        [vocabulary.setdefault(term, len(vocabulary)) for term in terms(f"{p.title} {p.text}")]
        for p in made_passages(n, chosen.seed)
    ]
    other = bm25s.BM25(k1=K1, b=B, method="lucene", idf_method="lucene")
    other.index((corpus, vocabulary), show_progress=False)
    del corpus
    other.save(folder)
    figures: dict[str, Any] = {"engine": "bm25s", **clock.figures("build"), "build MB": _peak(None), "shards": 1}

    def search(texts: list[str]) -> list[list[str]]:
        asked: Any = [[vocabulary[term] for term in terms(text) if term in vocabulary] for text in texts]
        found: Any = other.retrieve(
            asked, k=K, n_threads=chosen.workers or 2, show_progress=False, return_as="documents"
        )
        return [[f"p{number}" for number in row] for row in found.tolist()]

    return {**figures, **_searched(chosen, search), "index MB": _size(folder)}


PARTS: Mapping[str, Callable[[argparse.Namespace, int, Path], dict[str, Any]]] = {
    "ours": measure_ours,
    "bm25s": measure_bm25s,
}


class _Clock:
    """Seconds since it was made, on the clock and of the processor, other processes that were waited for included."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), _processor()

    def figures(self, what: str) -> dict[str, float]:
        return {f"{what} s": time.perf_counter() - self._wall, f"{what} CPU s": _processor() - self._processor}


def _searched(chosen: argparse.Namespace, search: Callable[[list[str]], list[list[str]]]) -> dict[str, Any]:
    """Queries per second of a batch, the best of several rounds, and the processor's milliseconds for one."""
    figures: dict[str, Any] = {}
    for terms in LENGTHS:
        texts = made_queries(chosen.queries, terms, chosen.seed)
        search(texts[: len(texts) // 4])
        taken: list[dict[str, float]] = []
        found: list[list[str]] = []
        for _ in range(chosen.rounds):
            clock = _Clock()
            found = search(texts)
            taken.append(clock.figures("search"))
        figures[f"{terms} terms q/s"] = len(texts) / min(t["search s"] for t in taken)
        figures[f"{terms} terms CPU ms"] = 1000 * min(t["search CPU s"] for t in taken) / len(texts)
        figures[f"found {terms}"] = found
    figures["most MB"] = _peak(None)
    return figures


def _measured(chosen: argparse.Namespace, part: str, n: int, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--queries", chosen.queries, "--seed", chosen.seed, "--rounds", chosen.rounds]
    options += ["--workers", chosen.workers] if chosen.workers else []
    command = [sys.executable, __file__, "--part", part, "--passages", n, "--folder", folder, *options]
    run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    return {"passages": n, **json.loads(run.stdout)}


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """A column for each engine, and ratios where there are two."""
    names = [name for name in rows[0] if not name.startswith("found") and name not in ("passages", "engine")]
    print(f"{rows[0]['passages']:,} passages\n")
    print("| | " + " | ".join(row["engine"] for row in rows) + (" | ours / bm25s |" if len(rows) > 1 else " |"))
    print("|---|" + "---:|" * (len(rows) + (len(rows) > 1)))
    for name in names:
        ratio = f" {rows[0][name] / rows[1][name]:.2f} |" if len(rows) > 1 else ""
        print(f"| {name} | " + " | ".join(f"{row[name]:,.4g}" for row in rows) + " |" + ratio)
    if len(rows) > 1:
        for terms in LENGTHS:
            pairs = list(zip(*(row[f"found {terms}"] for row in rows), strict=True))
            shared = sum(len(set(a) & set(b)) for a, b in pairs) / (K * len(pairs))
            print(f"| {terms} terms, first ten shared | {shared:.4f} | | |")
    print(flush=True)


def _words() -> np.ndarray[Any, Any]:
    """Words by rank: syllables that no stemmer touches, a frequent one no longer than a rare one."""
    consonants, vowels = "bdfgklmnprtvz", "aiou"
    syllables = [c + v for c in consonants for v in vowels]
    size = len(syllables)
    ranks = range(VOCABULARY)
    return np.array(
        ["".join(syllables[r // size**i % size] for i in range(3)) + f"x{r // size**3}" for r in ranks], dtype=object
    )


def _cumulated() -> np.ndarray[Any, Any]:
    weights = 1 / (np.arange(VOCABULARY) + FREQUENT)
    return np.cumsum(weights) / weights.sum()


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _peak(folder: Path | None) -> float:
    """Megabytes: the most this process held, and for each shard's process as much as the largest of them."""
    shards = len(list(folder.glob("g*/shard-*"))) if folder else 0
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (shards if shards > 1 else 0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + children) / 1024


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--demonstrate", type=int, help="index so many passages, ours alone")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of so many counts")
    parser.add_argument("--workers", type=int, help="processes that index, threads of bm25s (default: cores; 2)")
    parser.add_argument("--bm25s-up-to", type=int, default=1_000_000, help="larger corpora do without bm25s")
    parser.add_argument("--folder", type=Path, help="where indexes are put (default: the system's place)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=["ours", "bm25s"], help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
