"""Predictions by the dozen, for tests of figures that depend on verdicts alone."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.types import Prediction, Rationale, Verdict

VERDICTS = {"c": Verdict.CORRECT, "w": Verdict.WRONG, "u": Verdict.UNREAD}


def rationale(
    answer: str | None, verdict: Verdict, *, question: str = "q", sample: int = 0, tokens: int = 0
) -> Rationale:
    return Rationale(question, "student:test", sample, f"So it is {answer}.", answer, verdict, tokens=tokens)


def predictions(verdicts: str, tokens: int = 0) -> list[Prediction]:
    """One prediction a letter: c correct, w wrong, u unread."""
    found: list[Prediction] = []
    for number, letter in enumerate(verdicts):
        verdict = VERDICTS[letter]
        answer = None if verdict is Verdict.UNREAD else "17" if verdict is Verdict.CORRECT else "18"
        name = f"q-{number:04d}"
        found.append(Prediction(name, answer, verdict, (rationale(answer, verdict, question=name, tokens=tokens),)))
    return found


def by_seed(*verdicts: str) -> dict[int, Sequence[Prediction]]:
    """An arm with seeds 1, 2, ..., one text of letters each."""
    return {seed: predictions(letters) for seed, letters in enumerate(verdicts, start=1)}
