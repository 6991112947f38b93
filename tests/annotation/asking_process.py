"""A process that annotates, to be killed: python asking_process.py URL STORE QUESTIONS SAMPLES [BUDGET]."""

from __future__ import annotations

import sys
from pathlib import Path

from asking import FAST, ask, wishes

if __name__ == "__main__":
    url, path, questions, samples, *budget = sys.argv[1:]
    done = ask(
        url,
        Path(path),
        wishes(int(questions), int(samples)),
        manner=FAST,
        budget=float(budget[0]) if budget else None,
        tell=lambda progress: print(progress.done, flush=True),
    )
    print("over" if done.over_budget else "finished", flush=True)
