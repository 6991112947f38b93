"""A model in this process that is killed: python here_process.py STORE QUESTIONS. Each batch of two takes a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from asking import wishes

from tutelage.annotation.in_process import annotate_here
from tutelage.annotation.progress import Progress
from tutelage.annotation.store import Store
from tutelage.generation.generator import Written


class SlowWriter:
    """Writes two prompts a batch; a text names its prompt, its sample and its seed."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.batches: list[list[str]] = []

    @property
    def name(self) -> str:
        return "slow"

    def write(
        self,
        prompts: Sequence[str],
        *,
        samples: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        done: Collection[int] = (),
        on_done: Callable[[Mapping[int, list[Written]]], None] | None = None,
    ) -> list[list[Written]]:
        texts = [[Written(_text(p, s, seed), 5, "cut" not in p) for s in range(samples)] for p in prompts]
        for start in range(0, len(prompts), 2):
            time.sleep(self.seconds)
            self.batches.append(list(prompts[start : start + 2]))
            if on_done:
                on_done({n: texts[n] for n in range(start, min(start + 2, len(prompts)))})
        return texts


def _text(prompt: str, sample: int, seed: int) -> str:
    return "" if "empty" in prompt else f"{prompt}: {sample} by {seed}. Answer: 1"


if __name__ == "__main__":

    def told(progress: Progress) -> None:
        print(progress.done, flush=True)

    with Store(Path(sys.argv[1])) as store:
        annotate_here(wishes(int(sys.argv[2]), 2), store, SlowWriter, lambda r: r.messages[0].text, seed=3, tell=told)
