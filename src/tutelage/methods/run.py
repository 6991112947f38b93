"""Run a study: every arm and seed, several at a time, and one `results.json` that the report is written from."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.errors import RunError
from tutelage.methods import METHODS, TITLES, Outcome, Study
from tutelage.methods.sources import load_task
from tutelage.plugins import resolve
from tutelage.recipe import Arm, Recipe
from tutelage.runs import Json, Stage, Workspace, locked, read_json, write_json, write_text
from tutelage.tasks.task import Task


class Job(NamedTuple):
    """One arm with one seed."""

    arm: Arm
    seed: int

    @property
    def label(self) -> str:
        """How people call it, e.g. "reasoning-distillation, seed 2"."""
        return f"{self.arm.name}, seed {self.seed}"


class Event(NamedTuple):
    """Something a job has to tell: the arm and seed, what it is doing, and figures such as epoch, loss, done, total."""

    job: str
    what: str
    figures: dict[str, Any]


Watch = Callable[[Event], None]


def run(
    recipe: Recipe, recipe_text: str, folder: Path, *, name: str, command: str = "", watch: Watch = lambda event: None
) -> None:
    """Finish every stage of the study in `folder` and write `results.json` there.

    Work that is already done is not done again. Raises the first error of a job after the others have stopped; what
    they had finished stays.
    """
    started = datetime.now(UTC)
    with locked(folder / "run.lock", wait=False):
        task = load_task(recipe.task)
        write_text(folder / "recipe.yaml", recipe_text)
        jobs = jobs_of(recipe)
        todo = [job for job in jobs if not all(stage.cached for stage in plan(recipe, task, folder, job).values())]
        _work(recipe, folder, todo, watch)
        outcomes = [(job, outcome(recipe, task, folder, job)) for job in jobs]
        shelve(folder, outcomes)
        write_json(
            folder / "results.json",
            results(recipe, recipe_text, task, folder, outcomes, name=name, command=command, started=started),
        )


def jobs_of(recipe: Recipe) -> list[Job]:
    """Every arm with every seed; the seeds of an arm take equally long, so they stand together and end together."""
    return [Job(arm, seed) for arm in recipe.arms for seed in recipe.seeds]


def do(recipe: Recipe, task: Task, workspace: Workspace, job: Job, watch: Watch | None = None) -> Outcome:
    """One arm with one seed, from the questions to the score."""
    method = resolve(job.arm.method, METHODS, "arm")
    study = Study(
        recipe.for_arm(job.arm),
        task,
        workspace,
        tell=(lambda what, figures: watch(Event(job.label, what, figures))) if watch else None,
        whole=recipe,
    )
    return method(study, job.seed)


def plan(recipe: Recipe, task: Task, folder: Path, job: Job) -> dict[str, Stage]:
    """The stages a job consists of, in order, each marked as there or to do."""
    workspace = Workspace(folder, planning=True)
    do(recipe, task, workspace, job)
    return workspace.plan


def outcome(recipe: Recipe, task: Task, folder: Path, job: Job) -> Outcome:
    """Where a finished job left its student and its score."""
    return do(recipe, task, Workspace(folder, planning=True), job)


# --- several at a time


def jobs_at_once(recipe: Recipe) -> int:
    """How many processes work side by side: as set, else one for each core, or one when there is a GPU to share."""
    if recipe.compute.jobs:
        return recipe.compute.jobs
    if recipe.compute.device != "cpu" and _has_gpu():
        return 1
    return max(1, cores() // recipe.compute.threads)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _work(recipe: Recipe, folder: Path, jobs: Sequence[Job], watch: Watch) -> None:
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


# --- what is left for the report and the user


def shelve(folder: Path, outcomes: Sequence[tuple[Job, Outcome]]) -> None:
    """Give every student a name a person can type: students/<arm>-seed<k>, a link to its Hugging Face folder."""
    shelf = folder / "students"
    shutil.rmtree(shelf, ignore_errors=True)
    shelf.mkdir(parents=True)
    for job, found in outcomes:
        target = os.path.relpath(found.student.folder / "model", shelf)
        (shelf / f"{job.arm.name.replace('/', '-').replace(' ', '-')}-seed{job.seed}").symlink_to(target)


def results(
    recipe: Recipe,
    recipe_text: str,
    task: Task,
    folder: Path,
    outcomes: Sequence[tuple[Job, Outcome]],
    *,
    name: str,
    command: str,
    started: datetime,
) -> dict[str, Json]:
    """Everything the report needs, with paths relative to the run folder."""
    questions = Study(recipe, task, Workspace(folder, planning=True)).questions()
    stages = {s.folder: s for job, _ in outcomes for s in plan(recipe, task, folder, job).values()}
    finished = datetime.now(UTC)
    return {
        "name": (called := Path(name).stem if Path(name).suffix in (".yaml", ".yml") else name),
        "title": recipe.title or called,
        "task": {
            "name": task.name,
            "answer_type": task.answer_type.name,
            "counts": {split: len(rows) for split, rows in task.questions.items()},
            "notes": list(task.notes),
        },
        "teacher": _teacher(recipe, [s for s in stages.values() if s.name == "rationales"]),
        "arms": [_arm(folder, job, found) for job, found in outcomes],
        "questions": _relative(questions.folder / "questions.jsonl", folder),
        "recipe": recipe.model_dump(mode="json"),
        "recipe_text": recipe_text,
        "command": command,
        "versions": {
            "tutelage": version("tutelage"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "transformers": version("transformers"),
        },
        "commit": _commit(),
        "seeds": list(recipe.seeds),
        "seconds": round(sum(stage.seconds for stage in stages.values()), 1),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "machine": _machine(recipe),
        "baseline": "fine-tuning" if any(job.arm.name == "fine-tuning" for job, _ in outcomes) else None,
        "warnings": list(_warnings(outcomes)),
    }


def _arm(folder: Path, job: Job, found: Outcome) -> dict[str, Json]:
    training: dict[str, Json] = read_json(found.student.folder / "training.json")  # type: ignore[assignment]
    return {
        "arm": job.arm.name,
        "title": TITLES.get(job.arm.name, job.arm.name),
        "seed": job.seed,
        "predictions": _relative(found.score.folder / "predictions.jsonl", folder),
        "history": _relative(found.student.folder / "history.jsonl", folder),
        "training": training,
        "seconds": {"train": found.student.seconds, "score": found.score.seconds},
    }


def _warnings(outcomes: Sequence[tuple[Job, Outcome]]) -> Iterator[str]:
    """What training left out, once for each arm: the seeds of an arm read the same examples."""
    told: set[str] = set()
    for job, found in outcomes:
        if job.arm.name in told:
            continue
        told.add(job.arm.name)
        cut = read_json(found.student.folder / "training.json")["cut"]
        title = TITLES.get(job.arm.name, job.arm.name)
        if cut["prompts"]:
            yield f"{title}: {cut['prompts']} training prompts were cut at student.max_prompt_tokens."
        if cut["targets"]:
            yield f"{title}: {cut['targets']} examples were left out, longer than student.max_target_tokens."


def _teacher(recipe: Recipe, stages: list[Stage]) -> Json:
    if not stages or recipe.teacher is None:
        return None
    found = read_json(stages[0].folder / "yield.json")
    source = recipe.teacher.backend + (f" ({Path(recipe.teacher.path).name})" if recipe.teacher.path else "")
    counts: dict[str, int] = found["counts"]
    return {
        "source": source,
        "yield": {**counts, "asked": sum(counts.values())},
        "per_question": round(counts.get("kept", 0) / found["questions"], 2) if found["questions"] else 0,
        "questions": found["questions"],
        "notes": found["notes"],
    }


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _machine(recipe: Recipe) -> str:
    if recipe.compute.device != "cpu" and _has_gpu():
        import torch

        return torch.cuda.get_device_name()
    return f"{cores()} CPU cores ({platform.machine()}), {recipe.compute.threads} thread(s) a student"


def _commit() -> str | None:
    """The commit of the source tree this package runs from, with "+" where it was changed; None outside of one."""
    source = Path(__file__).parent
    try:

        def git(*words: str) -> str:
            return subprocess.run(
                ["git", "-C", str(source), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()

        if not git("ls-files", str(Path(__file__))):
            return None
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "--", str(source)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def check_folder(folder: Path) -> None:
    """Refuse a run folder that holds something else, before it is written to."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; --out names the folder a run is kept in.")
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not ((folder / "stages").is_dir() or (folder / "run.lock").exists())
    ):
        raise RunError(f"{folder} is not empty and holds no run of tutelage. Choose another --out.")


def default_folder(name: str) -> Path:
    """Where a run of this recipe is kept when --out does not say: runs/<name>."""
    return Path("runs") / Path(name).with_suffix("").as_posix().strip("/.").replace("/", "-")
