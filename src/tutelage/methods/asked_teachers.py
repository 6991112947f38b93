"""Teachers that are asked by prompts: behind a server, or a model on this machine. Their answers are kept for good.

    runs/my-own/teacher/answers.sqlite      every call and every answer, whatever stage or recipe it was asked for

Stages come and go with the settings; what was paid for stays beside them, keyed by what was asked.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tutelage import checkpoints
from tutelage.annotation.annotate import Finished, Wish, annotate
from tutelage.annotation.budget import Price, Usage, in_money, read_price
from tutelage.annotation.outcomes import RETRIED, Outcome, label
from tutelage.annotation.progress import Progress, Tell
from tutelage.annotation.prompting import Prompt, SolvedQuestion, default_prompt, our_shots, shots_fingerprint
from tutelage.annotation.reading import read_teacher
from tutelage.annotation.requests import Request
from tutelage.annotation.round import Manner
from tutelage.annotation.secrets import OFFICIAL, check_address, read_key
from tutelage.annotation.store import Answer, Store, Totals
from tutelage.annotation.thoughts import UNENDED, marks_note, solution_in
from tutelage.decimals import as_text
from tutelage.errors import RecipeError, TaskError, TeacherError, all_problems
from tutelage.formats import Format, get_format
from tutelage.methods.written import Taught
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.rows import read_rows
from tutelage.runs import Json, fingerprint
from tutelage.types import Passage, Question, Rationale

if TYPE_CHECKING:
    from tutelage.generation.generator import Generator
    from tutelage.models import LanguageModel

ASKED = ("openai", "local", "vllm")
"""Backends that are asked by prompts."""

STORE = Path("teacher") / "answers.sqlite"
"""Within a run folder."""

OURS = frozenset({"model", "messages", "prompt", "n", "best_of", "stream", "stream_options"})
"""Fields of a request that `teacher.extra` cannot set."""

FEW_FAILURES = 0.05
"""A stage may be finished with so large a share of samples failed; with more it waits for a better day."""


MANY_CUT = 0.1
"""A note is written when a larger share of the texts than this is cut off, or holds tags that are not known."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where teachers are asked from: what they are asked with, and where their answers go."""

    folder: Path
    """The run folder."""
    answers: str
    """Name of the task's answer type."""
    passages: Mapping[str, Sequence[Passage]] = field(default_factory=dict[str, Sequence[Passage]])
    """What each question finds, by id; for teachers that are shown it."""
    tell: Tell | None = None
    retry: bool = False
    part: int = 0
    """Of several teachers with one model, which: each has batches of its own."""
    """Ask again for what failed, was rejected or refused, or came back empty."""

    def telling(self, tell: Tell | None) -> Desk:
        """The same desk, watched."""
        return replace(self, tell=tell)

    @property
    def store(self) -> Path:
        """The file of answers."""
        return self.folder / STORE


class Asked(NamedTuple):
    """A question and what a teacher is sent for it."""

    question: Question
    wish: Wish
    passages: tuple[Passage, ...]


def check_asked(section: TeacherSection) -> None:
    """Raise what would stop a teacher before it is asked anything: no model, no key, no price, a broken template."""
    if section.model is None:
        raise RecipeError(f"teacher.model: missing; backend {section.backend!r} needs the name of a model")
    get_format(section.reads)
    prompt_of(section)
    if section.shots_file is not None:
        _read_shots(section)
    if section.backend == "openai":
        _check_extra(section)
        check_address(section.base_url, section.api_key_env)
        price = price_of(section)
        if price is None and section.budget is not None:
            raise RecipeError("teacher.prices: missing, and a budget needs them")
        if price is not None and section.max_tokens is None and section.budget is not None:
            raise RecipeError("teacher.max_tokens: null, so that no call has a highest price. Set it.")
    elif section.model is not None:
        checkpoints.check(section.model)
        _weights(section)


def _check_extra(section: TeacherSection) -> None:
    """Raise RecipeError where `extra` says what the package says itself: `n` would multiply what a call costs."""
    if taken := sorted(OURS & set(section.extra)):
        raise RecipeError(
            f"teacher.extra: {', '.join(taken)}: said by the package itself. The number of texts is `teacher.samples`, "
            "the model `teacher.model`, and answers are never streamed."
        )
    words = re.compile(r"api.?key|authorization|password|secret", re.IGNORECASE)
    if secret := next(filter(words.search, section.extra), None):
        raise RecipeError(f"teacher.extra: {secret}: a key belongs into the variable that `teacher.api_key_env` names.")


def asked_source(section: TeacherSection) -> Json:
    """What a teacher's words depend on besides its settings: those of its prompt, and its weights if they are here."""
    told: dict[str, Json] = {"prompt": prompt_of(section).fingerprint, "weights": _weights(section)}
    if section.shots_file:
        rows: list[Json] = [list(map(str, shot)) for shot in _read_shots(section)]
        return {**told, "shots": fingerprint({"rows": rows})}
    return {**told, "shots": shots_fingerprint() if section.shots else None}


def _weights(section: TeacherSection) -> str | None:
    """Digest of a model on this machine; None for a server's, whose name is all that is known of it."""
    if section.backend == "openai" or section.model is None:
        return None
    files = [(path.name, path.stat()) for path in checkpoints.files(section.model)]
    return _digest(section.model, tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in files))


@cache
def _digest(model: str, _: tuple[tuple[str, int, int], ...]) -> str:
    """Many gigabytes are read once, for as long as their files stay as they are."""
    return checkpoints.fingerprint(model)


# --- what is sent


def asked_of(section: TeacherSection, task: TaskSection, questions: Sequence[Question], desk: Desk) -> list[Asked]:
    """What a teacher is sent for each question, in the order in which a larger share adds them.

    So what a budget has bought is the share of a smaller study, which costs nothing more.
    """
    prompt, sampling = prompt_of(section), sampling_of(section)
    shots = _shots(section, task, desk.answers)
    weights = _weights(section)
    found: list[Asked] = []
    for question in sorted(questions, key=share_order):
        passages = tuple(desk.passages.get(question.id, ())) if section.passages else ()
        fewer = [shot for shot in shots if shot.question != question.text]
        messages = prompt.messages(question, desk.answers, passages=passages, shots=fewer, words=section.words)
        request = Request(section.model or "", messages, sampling, section.endpoint, weights)
        found.append(Asked(question, Wish(request, section.samples or 1), passages))
    if len({each.question.text for each in found}) > 1 and len({each.wish.request.key for each in found}) == 1:
        raise RecipeError(
            f"teacher.prompt: {prompt.name}: all {len(found):,} questions get one and the same prompt, and so one "
            "answer. Where is {{ question }}?"
        )
    return found


def share_order(question: Question) -> str:
    """The order in which questions join a growing share."""
    return hashlib.sha256(f"share:{question.id}".encode()).hexdigest()


def prompt_of(section: TeacherSection) -> Prompt:
    """The template of a teacher."""
    return Prompt(section.prompt or default_prompt(hint=section.hint, shots=section.shots), hint=section.hint)


def sampling_of(section: TeacherSection) -> dict[str, Any]:
    """Sampling in the server's words. OpenAI's own newer models know the limit by its newer name alone."""
    official = section.backend == "openai" and (section.base_url or OFFICIAL).rstrip("/") == OFFICIAL
    limit = "max_completion_tokens" if official and section.endpoint == "chat" else "max_tokens"
    values = {"temperature": section.temperature, "top_p": section.top_p, limit: section.max_tokens}
    seeded = {} if section.backend == "openai" else {"seed": section.seed}
    return {key: value for key, value in values.items() if value is not None} | seeded | section.extra


def _shots(section: TeacherSection, task: TaskSection, answers: str) -> Sequence[SolvedQuestion]:
    if not section.shots:
        return ()
    known = _read_shots(section) if section.shots_file else our_shots(task.name, answers)
    if len(known) < section.shots:
        where = section.shots_file or "our own solved questions"
        raise RecipeError(f"teacher.shots: {section.shots} wanted, but {where} holds {len(known)}")
    return known[: section.shots]


def _read_shots(section: TeacherSection) -> list[SolvedQuestion]:
    problems: list[str] = []
    found: list[SolvedQuestion] = []
    for row in read_rows(section.shots_file or "", problems):
        question, rationale, answer = (row.values.get(name) for name in ("question", "rationale", "answer"))
        if not question or not rationale or answer is None:
            problems.append(
                f"{row.where}: expected question, rationale and answer; the row has {', '.join(row.values)}"
            )
            continue
        choices = tuple(map(as_text, row.values.get("choices") or ()))
        found.append(SolvedQuestion(str(question), choices, str(rationale), as_text(answer)))
    if problems:
        raise TaskError(all_problems(f"teacher.shots_file: {section.shots_file}:", problems))
    return found


# --- asking


def ask_teacher(section: TeacherSection, task: TaskSection, questions: Sequence[Question], desk: Desk) -> Taught:
    """What a teacher writes for these questions, read but not judged.

    Raises TeacherError where the budget ends it, or where too many samples failed: all that was answered is stored.
    """
    asked = asked_of(section, task, questions, desk)
    wishes = [each.wish for each in asked]
    with Store(desk.store) as store:
        before = forget(store, wishes, desk)
        _check_batches(store, wishes)
        keys = {wish.request.key for wish in wishes}
        price = price_of(section) if section.backend == "openai" else None
        if price:  # what was asked before prices were given counts, too
            store.reprice(keys, lambda read, written: price.of(Usage(read, written)))
        finished = _write(section, wishes, store, desk)
        known, totals, fault = store.answers(keys), store.totals(keys), store.commonest_fault(keys)
    if finished.over_budget:
        raise TeacherError(_out_of_money(section, asked, known, len(questions)) + _mostly(fault))
    lacking = sum(sample not in known.get(wish.request.key, {}) for wish in wishes for sample in range(wish.samples))
    if lacking:
        raise TeacherError(f"{lacking:,} samples are being written by another process. Run again when it is done.")
    failed = finished.progress.outcomes[Outcome.FAILED]
    if failed > FEW_FAILURES * finished.progress.total:
        raise TeacherError(
            f"{failed} of {finished.progress.total} samples failed after {section.retries + 1} tries each. What was "
            "answered is stored. `tutelage annotate RECIPE --retry-failed` asks for the failed ones again."
            + _mostly(fault)
        )
    if (rejected := finished.progress.outcomes[Outcome.REJECTED]) == finished.progress.total > 0:
        raise TeacherError(
            f"the server finds fault with each of the {rejected:,} requests. `--retry-failed` asks again when that is "
            "mended." + _mostly(fault)
        )
    return read_taught(section, asked, known, totals, before)


def _mostly(fault: str) -> str:
    return f" What mostly went wrong: {fault}." if fault else ""


def _check_batches(store: Store, wishes: Sequence[Wish]) -> None:
    """Raise TeacherError where a batch has what is wanted: waiting for it here could take a day."""
    under_way = store.in_batches({wish.request.key for wish in wishes})
    if count := sum(sample < wish.samples for wish in wishes for sample in under_way.get(wish.request.key, ())):
        raise TeacherError(
            f"{count:,} samples are in a batch that is under way. `tutelage annotate RECIPE --batch collect` fetches "
            "them when it is done, and gives back what it left out."
        )


def forget(store: Store, wishes: Sequence[Wish], desk: Desk) -> int:
    """Forget failed samples where they are to be asked for again; how many."""
    return store.forget({wish.request.key for wish in wishes}, RETRIED) if desk.retry else 0


def _write(section: TeacherSection, wishes: Sequence[Wish], store: Store, desk: Desk) -> Finished:
    if section.backend != "openai":
        return Finished(_write_here(section, wishes, store, desk.tell), over_budget=False)
    from tutelage.annotation.client import Client

    key = read_key(section.base_url, section.api_key_env)
    return annotate(
        wishes,
        store,
        lambda: Client(base_url=section.base_url, key=key, timeout=section.timeout),
        manner=Manner(concurrency=section.concurrency, retries=section.retries, backoff=section.backoff),
        price=price_of(section),
        budget=section.budget,
        tell=desk.tell,
    )


def _write_here(section: TeacherSection, wishes: Sequence[Wish], store: Store, tell: Tell | None) -> Progress:
    from tutelage.annotation.in_process import annotate_here

    writer = _Here(section)
    return annotate_here(wishes, store, writer.generator, writer.put, seed=section.seed, tell=tell)


class _Here:
    """A model in this process, loaded when it is needed, and how it is put to it."""

    def __init__(self, section: TeacherSection) -> None:
        self.section = section
        self._chats = section.endpoint == "chat"

    def generator(self) -> Generator:
        section, limit = self.section, self.section.max_tokens or 512
        assert section.model is not None  # `check_asked` has looked
        if section.backend == "vllm":
            from tutelage.generation.vllm import VllmGenerator

            return VllmGenerator(section.model, max_new_tokens=limit, chat=self._chats)
        from tutelage import models
        from tutelage.generation.chat import conversing
        from tutelage.generation.local import LocalGenerator

        plain = models.load(section.model, device=None if section.device == "auto" else section.device)
        chat = conversing(plain) if self._chats else None
        self._chats = chat is not None
        lm: LanguageModel = models.in_precision(chat or plain, "auto")
        return LocalGenerator(lm, max_new_tokens=limit, batch_tokens=section.batch_tokens)

    def put(self, request: Request) -> str:
        """A conversation as JSON for a model that converses, else one text."""
        import json

        if self._chats:
            return json.dumps(request.body["messages"])
        return "\n\n".join(message.text for message in request.messages)


def price_of(section: TeacherSection) -> Price | None:
    """What the teacher's model costs; None where the recipe does not say."""
    if section.prices is None or section.model is None:
        return None
    return read_price(section.model, section.prices if isinstance(section.prices, str) else section.prices.model_dump())


def _out_of_money(
    section: TeacherSection, asked: Sequence[Asked], known: Mapping[str, Mapping[int, Answer]], questions: int
) -> str:
    whole = 0
    for each in asked:
        if len(known.get(each.wish.request.key, {})) < each.wish.samples:
            break
        whole += 1
    share = section.share * whole / max(1, questions)
    enough = f", or `teacher.share={share:.4f}`, which makes do with what is there" if whole else ""
    return (
        f"the budget of {section.budget:g} has no room for another call at its highest price, after {whole} of "
        f"{len(asked)} questions. All answers are stored. Raise `teacher.budget`{enough}."
    )


# --- reading


def read_taught(
    section: TeacherSection,
    asked: Sequence[Asked],
    known: Mapping[str, Mapping[int, Answer]],
    totals: Totals,
    retried: int = 0,
) -> Taught:
    """Rationales out of the answers that are there; what has no text is counted by its outcome."""
    fmt = get_format(section.reads)
    rationales: list[Rationale] = []
    said: list[str] = []
    outcomes: Counter[str] = Counter()
    unwritten: Counter[str] = Counter()
    for each in asked:
        for sample, answer in sorted(known.get(each.wish.request.key, {}).items()):
            if sample >= each.wish.samples:
                continue
            ended = label(answer.outcome, answer.reason)
            outcomes[ended] += 1
            solution = solution_in(answer.text, section.reasoning_pairs) if answer.outcome.has_text else None
            if solution is not None:
                said.append(solution)
                rationales.append(_rationale(section, each, answer, solution, fmt))
            else:
                unwritten[UNENDED if answer.outcome.has_text else ended] += 1
    notes = [f"{section.model}: {retried} samples were asked for again"] if retried else []
    notes += _endings(section, unwritten, outcomes.total())
    if told := marks_note(section.model or "", said, many=MANY_CUT):
        notes.append(told)
    return Taught(rationales, len(asked), notes, dict(unwritten), [_books(section, outcomes, totals)])


def _endings(section: TeacherSection, unwritten: Mapping[str, int], total: int) -> list[str]:
    """What to do where many texts did not end as a whole text does."""
    notes: list[str] = []
    cut = sum(n for name, n in unwritten.items() if name.startswith(Outcome.CUT))
    if cut + unwritten.get(UNENDED, 0) > MANY_CUT * total:
        unended = f", and {n:,} end in the middle of a thought" if (n := unwritten.get(UNENDED, 0)) else ""
        limit = f"`teacher.max_tokens` ({section.max_tokens})"
        notes.append(
            f"{section.model}: {cut:,} of {total:,} texts reached {limit}{unended}. "
            "Raise it, ask for fewer `teacher.words`, or let a reasoning model think less."
        )
    stopped = {name: n for name, n in unwritten.items() if name.startswith(Outcome.STOPPED)}
    if stopped:
        counted = ", ".join(f"{n:,} {name.partition(': ')[2]}" for name, n in sorted(stopped.items()))
        notes.append(
            f"{section.model}: {sum(stopped.values()):,} of {total:,} texts are not used for training, since their "
            f"`finish_reason` says that they are incomplete: {counted}. `--retry-failed` requests them again."
        )
    return notes


def _rationale(section: TeacherSection, asked: Asked, answer: Answer, solution: str, fmt: Format) -> Rationale:
    reading = read_teacher(solution, fmt)
    return Rationale(
        question_id=asked.question.id,
        source=f"teacher:{section.model}",
        sample=answer.sample,
        text=reading.rationale,
        answer=reading.answer,
        verdict=None,
        passage_ids=tuple(passage.id for passage in asked.passages),
        tokens=answer.tokens,
    )


def _books(section: TeacherSection, outcomes: Mapping[str, int], totals: Totals) -> dict[str, Json]:
    price = price_of(section) if section.backend == "openai" else None
    return {
        "model": section.model,
        "samples": dict(sorted(outcomes.items())),
        "calls": dict(totals.fates),
        "tokens_read": totals.tokens_read,
        "tokens_written": totals.tokens_written,
        "spent": in_money(totals.spent) if price else None,
        "perhaps": in_money(totals.perhaps) if price else None,
        "currency": price.currency if price else None,
    }
