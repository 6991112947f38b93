"""Predicting by vote, and picking up where an interrupted run stopped."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest
from verdict_letters import rationale

from tutelage.evaluation.metrics import agreement
from tutelage.evaluation.predict import Vote, _concluded, majority, predict, united
from tutelage.formats import FORMATS
from tutelage.generation.generator import Written
from tutelage.tasks.answers import WORDS
from tutelage.tasks.grading import Judgement
from tutelage.types import Passage, Question, Verdict

ARROW = FORMATS["arrow"]
QUESTIONS = [Question(f"q-{n}", "sums", "test", f"What is {n} + 1?", (), str(n + 1)) for n in range(10)]


class Student:
    """Adds by luck in batches of 3: a text depends on the seed and its batch, as the rounding of a real one does."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: list[tuple[list[str], int, float, float]] = []
        """Prompts and settings of each batch that was written."""
        self.stop_after = stop_after

    name = "luck"

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
        written: list[list[Written]] = [[] for _ in prompts]
        for batch in batched(reversed(range(len(prompts))), 3):
            if set(done).issuperset(batch):
                continue
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(([prompts[i] for i in batch], samples, temperature, top_p))
            luck = random.Random(f"{seed} {batch}")
            for index in batch:
                texts = [f"I think of {luck.random()}. --> {luck.randint(1, 11)}" for _ in range(samples)]
                written[index] = [Written(text, 9, True) for text in texts]
            if on_done:
                on_done({index: written[index] for index in batch})
        return written


def batched(indices: Iterable[int], n: int) -> Iterator[tuple[int, ...]]:
    rest = iter(indices)
    while batch := tuple(islice(rest, n)):
        yield batch


def judge(question: Question, text: str) -> Judgement:
    reading = ARROW.read(text)
    if reading.answer is None:
        return Judgement(reading.rationale, None, Verdict.UNREAD, "nowhere")
    verdict = Verdict.CORRECT if reading.answer == question.answer else Verdict.WRONG
    return Judgement(reading.rationale, reading.answer, verdict, "marker")


def vote(*answers: str | None) -> Vote:
    """A vote where "17" is right."""
    verdicts = {None: Verdict.UNREAD, "17": Verdict.CORRECT}
    return majority([rationale(a, verdicts.get(a, Verdict.WRONG), sample=n) for n, a in enumerate(answers)])


def test_the_most_frequent_answer_wins():
    """Self-consistency is a vote, not the first or the last word."""
    assert vote("18", "17", "19", "17") == ("17", Verdict.CORRECT)


def test_a_tie_goes_to_the_answer_written_first():
    """A tie broken by chance or by the order of a set gives another score at every run."""
    assert vote("18", "17", "17", "18") == ("18", Verdict.WRONG)
    assert vote("17", "18") == ("17", Verdict.CORRECT)


def test_answers_that_the_grader_calls_the_same_are_one_vote():
    """Counted apart, "new york" and "newyork" lose to "york", which has fewer votes."""
    answers = ["york", "new york", "newyork", "york", "New-York"]
    rationales = [
        rationale(a, Verdict.WRONG if a == "york" else Verdict.CORRECT, sample=n) for n, a in enumerate(answers)
    ]
    assert majority(rationales, WORDS.same) == ("new york", Verdict.CORRECT)
    assert majority(rationales) == ("york", Verdict.WRONG)
    assert [r.answer for r in united(rationales, WORDS.same)] == ["york", "new york", "new york", "york", "new york"]


def test_votes_that_are_the_same_are_kept_in_one_form():
    """The share of votes for the answer, and every table made of it, compares the kept forms."""
    found = predict(Student(), QUESTIONS[:1], ARROW, judge, source="s", same=lambda one, other: True, votes=5, seed=1)
    assert {r.answer for r in found[0].rationales} == {found[0].answer}
    assert agreement(found) == 1.0


def test_the_unread_have_no_vote():
    """Three mute samples must not outvote one that answers; if all are mute, so is the question."""
    assert vote(None, None, "17", None) == ("17", Verdict.CORRECT)
    assert vote(None, None) == (None, Verdict.UNREAD)
    assert vote() == (None, Verdict.UNREAD)


def test_a_prediction_keeps_every_rationale_behind_it():
    """A vote that cannot be looked into cannot be trusted."""
    found = predict(Student(), QUESTIONS, ARROW, judge, source="student:x", votes=3, seed=1)
    assert [p.question_id for p in found] == [q.id for q in QUESTIONS]
    first = found[0].rationales
    assert [(r.question_id, r.source, r.sample, r.tokens, r.finished) for r in first] == [
        ("q-0", "student:x", n, 9, True) for n in range(3)
    ]
    assert all(r.text.startswith("I think of") and "-->" not in r.text for r in first)
    assert found[0].answer in {r.answer for r in first}


def test_one_vote_is_greedy_and_several_are_sampled():
    """Votes by greedy decoding are copies of one; a single sampled text is noise."""
    greedy, sampled, set_ = Student(), Student(), Student()
    predict(greedy, QUESTIONS[:1], ARROW, judge, source="s")
    predict(sampled, QUESTIONS[:1], ARROW, judge, source="s", votes=5)
    predict(set_, QUESTIONS[:1], ARROW, judge, source="s", votes=5, temperature=0.3, top_p=0.9)
    prompt = ["What is 0 + 1?"]
    assert greedy.asked == [(prompt, 1, 0.0, 1.0)]
    assert sampled.asked == [(prompt, 5, 0.7, 1.0)]
    assert set_.asked == [(prompt, 5, 0.3, 0.9)]


def test_passages_stand_in_the_prompt_and_in_the_record():
    """A grounded student scored without its passages is another student."""
    student, passage = Student(), Passage("p-1", "Sums", "One and one is two.")
    found = predict(student, QUESTIONS[:2], ARROW, judge, source="s", passages={"q-1": [passage]})
    assert student.asked[0][0] == ["One and one is two. What is 1 + 1?", "What is 0 + 1?"]
    assert [p.rationales[0].passage_ids for p in found] == [(), ("p-1",)]


@pytest.mark.parametrize("batches_done", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", [0, 2, 40])
def test_an_interrupted_run_ends_with_the_same_texts(tmp_path: Path, batches_done: int, torn: int):
    """If a crash changed the answers, a resumed score would be the score of nothing in particular."""
    whole = predict(Student(), QUESTIONS, ARROW, judge, source="s", votes=2, seed=7)
    partial = tmp_path / "predictions.partial.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predict(Student(batches_done), QUESTIONS, ARROW, judge, source="s", votes=2, seed=7, partial=partial)
    if batches_done and torn:
        partial.write_bytes(partial.read_bytes()[:-torn])
    again = Student()
    assert predict(again, QUESTIONS, ARROW, judge, source="s", votes=2, seed=7, partial=partial) == whole
    assert len(again.asked) == 4 - batches_done + bool(batches_done and torn)
    resumed = Student()
    assert predict(resumed, QUESTIONS, ARROW, judge, source="s", votes=2, seed=7, partial=partial) == whole
    assert resumed.asked == []


def test_a_batch_is_saved_by_one_write_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A mentor writes for hours; what it has finished must be on the disk, not in memory."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    partial, lines = tmp_path / "partial.jsonl", list[int]()
    predict(
        Student(),
        QUESTIONS,
        ARROW,
        judge,
        source="s",
        partial=partial,
        on_done=lambda done, total: lines.append(partial.read_bytes().count(b"\n")),
    )
    assert lines == [3, 6, 9, 10]
    assert len(synced) == 4
    assert synced[-1] == partial.stat().st_size


def test_predictions_of_another_student_are_not_taken_over(tmp_path: Path):
    """A file left by another student would give its score to this one."""
    partial = tmp_path / "predictions.partial.jsonl"
    predict(Student(), QUESTIONS, ARROW, judge, source="one", partial=partial)
    other = Student()
    found = predict(other, QUESTIONS, ARROW, judge, source="other", partial=partial)
    assert len(other.asked) == 4
    assert {r.source for p in found for r in p.rationales} == {"other"}


def test_progress_is_told_after_each_batch():
    """Half an hour of silence looks like a hang."""
    heard: list[tuple[int, int]] = []
    predict(Student(), QUESTIONS, ARROW, judge, source="s", on_done=lambda done, all_: heard.append((done, all_)))
    assert heard == [(3, 10), (6, 10), (9, 10), (10, 10)]


def test_a_text_cut_before_its_marker_is_unread():
    """Half of "14 + 6 = 20" ends on 2; reading it would be guessing, and sometimes right by luck."""
    found = Judgement("14 + 6 = 2", "2", Verdict.CORRECT, "fallback")
    cut, whole = Written("14 + 6 = 2", 9, finished=False), Written("14 + 6 = 2", 9, finished=True)
    assert _concluded(found, cut) == Judgement("14 + 6 = 2", None, Verdict.UNREAD, "nowhere")
    assert _concluded(found, whole) == found
    marked = found._replace(read="marker")
    assert _concluded(marked, cut) == marked
