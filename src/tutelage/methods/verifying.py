"""Verification by a model: which of the teacher's rationales lead another model to the gold answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import checkpoints
from tutelage.errors import RecipeError, all_problems
from tutelage.formats import Format
from tutelage.methods.annotating import chosen
from tutelage.methods.predicting import device_of
from tutelage.recipe import VerifierSection
from tutelage.runs import Json, Stage, read_json, read_jsonl, write_json, write_jsonl
from tutelage.types import Question, rationale_from_json, to_json

if TYPE_CHECKING:
    from tutelage.methods.study import Study
    from tutelage.models import LanguageModel


def verified(study: Study, taught: Stage, settings: VerifierSection) -> Stage:
    """The rationales that a model follows to the gold answer, of those a teacher wrote (KARD, row 4 of its features).

    The stage holds every rationale with the verifier's log-probabilities, and what is kept, as the teacher's does.
    """
    inputs: dict[str, Json] = {
        "rationales": taught.fingerprint,
        "verifier": settings.model_dump(mode="json"),
        "model": checkpoints.fingerprint(settings.model),
        "format": study.recipe.format,
        "keep": study.recipe.teacher.keep if study.recipe.teacher else None,
    }

    def make(folder: Path) -> None:
        from tutelage import models
        from tutelage.generation.options import option_log_probs
        from tutelage.rationales.verify import combined, counts, verify

        questions = {q.id: q for q in (*study.of("train"), *study.of("dev"))}
        written = [rationale_from_json(row) for row in read_jsonl(taught.folder / "rationales.jsonl")]
        lm = models.load(settings.model, device=device_of(study.recipe.compute.device))
        lm = models.in_precision(lm, "auto")
        fmt = study.format if lm.kind == "causal" else study.format.in_line()
        found = verify(
            partial(
                option_log_probs,
                lm,
                max_prompt_tokens=settings.max_prompt_tokens,
                batch_tokens=settings.batch_tokens,
                on_done=lambda done, total: study.tell("verifies", {"done": done, "total": total}),
            ),
            fmt,
            study.task.answer_type.name,
            [(questions[r.question_id], r) for r in written if r.question_id in questions],
            place=settings.place,
            prompt=_with_shots(study, taught, settings, lm, fmt) if settings.shots else None,
        )
        kept = chosen(combined(found, match=settings.match), study.recipe.teacher, questions)
        if not kept.rationales:
            told = [f"{count} {outcome}" for outcome, count in counts(found).items()]
            advice = "A larger verifier, or `verifier.shots`, may follow them better; or leave the verifier out."
            raise RecipeError(all_problems("verifier: no rationale was kept:", told, advice))
        write_jsonl(folder / "rationales.jsonl", (v.row() for v in found))
        write_jsonl(folder / "kept.jsonl", (to_json(r) for r in kept.rationales))
        before = read_json(taught.folder / "yield.json")
        outcomes: dict[str, Json] = {str(k): v for k, v in counts(found).items()}
        write_json(
            folder / "yield.json",
            {
                "counts": dict(kept.counts),
                "questions": kept.questions,
                "asked": before["asked"],
                "verifier": outcomes,
                "notes": [],
            },
        )

    return study.workspace.stage("verified", inputs, make)


def _with_shots(
    study: Study, taught: Stage, settings: VerifierSection, lm: LanguageModel, fmt: Format
) -> Callable[[Question, str], str]:
    """Prompts with solved training questions first, as many as leave room for the rationale."""
    from tutelage.few_shot import choose_shots, pack

    rationales = [rationale_from_json(row) for row in read_jsonl(taught.folder / "kept.jsonl")]
    shots = choose_shots(study.of("train"), settings.shots, rationales=rationales)

    def length(text: str) -> int:
        return len(lm.prompt_ids(text))

    def prompt(question: Question, behind: str) -> str:
        packed: Any = pack(
            fmt,
            shots,
            question,
            length=lambda text: length(text + fmt.joint + behind),
            limit=settings.max_prompt_tokens,
            lines=lm.kind == "causal",
        )
        return packed.prompt

    return prompt
