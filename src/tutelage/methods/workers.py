"""Who does the jobs: this process, or several side by side that end when it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tutelage.errors import RunError
from tutelage.methods.jobs import Event, Job, Watch, do
from tutelage.methods.sources import load_task
from tutelage.recipe import Recipe
from tutelage.runs import Workspace
from tutelage.tasks.task import Task


def jobs_at_once(recipe: Recipe) -> int:
    """How many processes work side by side: as set, else one for each core, or one when there is a GPU to share."""
    if recipe.compute.jobs:
        return recipe.compute.jobs
    if recipe.compute.device != "cpu" and has_gpu():
        return 1
    return max(1, cores() // recipe.compute.threads)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether torch finds a CUDA device."""
    import torch

    return torch.cuda.is_available()


def work(recipe: Recipe, folder: Path, jobs: Sequence[Job], watch: Watch) -> None:
    """Do all jobs, as many at a time as `jobs_at_once` says. Raises the first error after the others have stopped."""
    count = min(jobs_at_once(recipe), len(jobs))
    if count <= 1:
        _prepare_process(recipe.compute.threads)
        task = load_task(recipe.task) if jobs else None
        for job in jobs:
            assert task is not None
            watch(Event(job.label, "start", {}))
            do(recipe, task, Workspace(folder), job, watch)
            watch(Event(job.label, "done", {}))
        return
    _work_side_by_side(recipe, folder, jobs, count, watch)


def _work_side_by_side(recipe: Recipe, folder: Path, jobs: Sequence[Job], count: int, watch: Watch) -> None:
    """Jobs in processes of their own: tiny models gain nothing from threads, everything from a core each."""
    context = get_context("spawn")
    events: Any = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(events, watch), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(recipe, folder, events))
    try:
        waiting = {pool.submit(_work_on, job) for job in jobs}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
    except BrokenProcessPool:
        raise RunError(
            "a worker was killed or could not start, often for lack of memory. Try compute.jobs=1 or a smaller batch; "
            'the same command goes on from here. (A script needs `if __name__ == "__main__":` around its run.)'
        ) from None
    except BaseException:
        _end(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        events.put(None)
        listener.join()


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop workers in the middle of what they do; their stages resume at the next run."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


def _listen(events: Any, watch: Watch) -> None:
    while (event := events.get()) is not None:
        watch(Event(*event))


class _Worker:
    """What a worker process holds between two jobs."""

    recipe: Recipe
    task: Task
    folder: Path
    watch: Watch


def _start_worker(recipe: Recipe, folder: Path, events: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    _leave_with_parent()
    _prepare_process(recipe.compute.threads)
    _Worker.recipe, _Worker.folder = recipe, folder
    _Worker.task = load_task(recipe.task)
    _Worker.watch = staticmethod(lambda event: events.put(tuple(event)))  # type: ignore[assignment]


def _work_on(job: Job) -> None:
    _Worker.watch(Event(job.label, "start", {}))
    do(_Worker.recipe, _Worker.task, Workspace(_Worker.folder), job, _Worker.watch)
    _Worker.watch(Event(job.label, "done", {}))


def _prepare_process(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _leave_with_parent() -> None:
    """End this process once its parent is gone, so that a killed run leaves nobody behind who holds its locks."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
