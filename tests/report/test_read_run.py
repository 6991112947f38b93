"""Reading a run folder back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import RunError
from tutelage.report.run import read_run

MakeRun = Callable[..., Path]


def change(run: Path, **values: Any) -> Path:
    """Set top-level values of results.json."""
    path = run / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return run


def test_arms_keep_their_order_and_seeds_are_sorted(make_run: MakeRun):
    """The recipe's author chose the order; a resumed run may list seeds in another one."""
    run = make_run(arms=("kard", "fine-tuning"), seeds=(3, 1, 2), test=5)
    found = read_run(run)
    assert [arm.arm for arm in found.arms] == ["kard", "fine-tuning"]
    assert [list(arm.by_seed) for arm in found.arms] == [[1, 2, 3]] * 2
    assert [arm.title for arm in found.arms] == ["KARD", "Fine-tuning"]


def test_only_answered_questions_are_shown(make_run: MakeRun):
    """Training questions in the browser of the report would look like test questions."""
    found = read_run(make_run(test=12))
    assert len(found.questions) == 12
    assert {q.split for q in found.questions} == {"test"}


def test_the_reference_is_the_common_answer_of_training(make_run: MakeRun):
    """53% on yes-or-no questions is nothing when "yes" alone scores 53%; it is chosen without the test split."""
    run = make_run(test=30, choices=True)
    rows = [json.loads(line) for line in (run / "stages/questions-ab12/questions.jsonl").read_text().splitlines()]
    for row in rows:
        row["answer"] = "B" if row["split"] == "train" else "A"
    rows[-1]["answer"] = "B"
    (run / "stages/questions-ab12/questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    reference = read_run(run).reference
    assert reference is not None
    assert (reference.answer, reference.accuracy) == ("B", 1 / 30)


def test_numbers_have_no_reference(make_run: MakeRun):
    """Always saying 72 is nobody's baseline."""
    assert read_run(make_run(test=10)).reference is None


def test_nan_becomes_nothing(make_run: MakeRun):
    """A loss that broke off must not make the report unreadable for every other program."""
    run = make_run(test=4, seeds=(1,))
    history = run / "stages/student-fine-tuning-1/history.jsonl"
    history.write_text('{"epoch": 1, "loss": NaN, "dev_accuracy": null}\n')
    assert dict(read_run(run).arms[0].by_seed[1].history[0]) == {"epoch": 1, "loss": None, "dev_accuracy": None}


def test_an_unfinished_run_says_so(tmp_path: Path):
    """The usual mistake is the wrong folder or a run that stopped; the message has to name both."""
    with pytest.raises(RunError, match=r"results\.json is not there\. Is .* a run folder, and has its run finished"):
        read_run(tmp_path)


def test_damage_is_named_by_file_and_line(make_run: MakeRun):
    """Someone has to find it among a hundred thousand lines."""
    run = make_run(test=4)
    path = run / "stages/score-fine-tuning-2/predictions.jsonl"
    path.write_text(path.read_text() + '{"question_id": "q-1')
    with pytest.raises(RunError, match=r"score-fine-tuning-2/predictions\.jsonl:5: not JSON"):
        read_run(run)
    path.unlink()
    with pytest.raises(RunError, match=r"score-fine-tuning-2/predictions\.jsonl is not there"):
        read_run(run)


def test_predictions_for_unknown_questions_are_refused(make_run: MakeRun):
    """Answers to questions of another data version cannot be read against these."""
    run = make_run(test=4)
    (run / "stages/questions-ab12/questions.jsonl").write_text("")
    with pytest.raises(RunError, match="4 predictions are for questions that are not in stages"):
        read_run(run)


def test_missing_parts_of_the_results_are_named(make_run: MakeRun):
    """A KeyError tells nobody what to do."""
    run = make_run(test=4)
    with pytest.raises(RunError, match=r"results\.json: 'predictions' is missing"):
        read_run(change(run, arms=[{"arm": "a", "seed": 1}]))
