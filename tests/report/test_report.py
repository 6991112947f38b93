"""What `write_report` leaves in a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looked_up import GATES, learning, look_up

from tutelage.report import write_report

MakeRun = Callable[..., Path]


def read_strictly(path: Path) -> Any:
    """JSON as the standard has it: NaN and Infinity are errors."""

    def refuse(name: str):
        raise ValueError(name)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "started", "finished")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_the_json_holds_every_figure_of_the_table(make_run: MakeRun):
    """Programs read this file; a key that moves breaks them."""
    run = make_run(test=40)
    write_report(run)
    report = read_strictly(run / "report.json")
    arm = report["arms"][1]
    assert {
        "arm",
        "title",
        "accuracy",
        "low",
        "high",
        "n",
        "correct",
        "unread",
        "seeds",
        "per_seed",
        "tokens_mean",
    } <= set(arm)
    assert (arm["arm"], arm["n"], arm["seeds"]) == ("reasoning-distillation", 40, [1, 2])
    assert arm["low"] < arm["accuracy"] < arm["high"]
    assert arm["accuracy"] == pytest.approx(sum(arm["per_seed"]) / 2) == pytest.approx(arm["correct"] / 80)
    assert arm["seconds"] == {"train": 83.0, "score": 12.5}
    (pair,) = report["comparisons"]
    assert {"a", "b", "difference", "low", "high", "p", "p_holm", "n", "test", "discordant"} <= set(pair)
    assert (pair["a"], pair["b"]) == ("reasoning-distillation", "fine-tuning")
    assert {"versions", "seeds", "seconds", "recipe", "task", "sources", "soft_labels", "commit", "command"} <= set(
        report
    )


def test_the_json_is_strict_even_where_a_training_broke_off(make_run: MakeRun):
    """A single NaN makes the whole file unreadable in a browser."""
    run = make_run(test=6)
    results = json.loads((run / "results.json").read_text())
    results["arms"][0]["training"]["loss"] = float("nan")
    (run / "results.json").write_text(json.dumps(results))
    write_report(run)
    assert read_strictly(run / "report.json")["arms"][0]["training"][0]["loss"] is None


def test_the_same_results_give_the_same_report(make_run: MakeRun):
    """An interrupted and resumed run must end with the report of one that was not, but for its times."""
    quick, slow = make_run(test=30), make_run(test=30, slowness=3.0)
    for run in (quick, slow):
        write_report(run)
    assert without_times(read_strictly(quick / "report.json")) == without_times(read_strictly(slow / "report.json"))
    lines = [
        [x for x in (run / "report.md").read_text().splitlines() if not x.startswith("Took ")] for run in (quick, slow)
    ]
    assert lines[0] == lines[1]
    before = {name: (quick / name).read_bytes() for name in ("report.json", "report.md", "report.html")}
    write_report(quick)
    assert before == {name: (quick / name).read_bytes() for name in before}


def test_markdown_reads_like_this(make_run: MakeRun):
    """It is shown unrendered in terminals and rendered on GitHub; both are spoilt by one stray sign."""
    run = make_run(test=20, seeds=(1,), skills={"fine-tuning": 0.2, "reasoning-distillation": 0.8})
    write_report(run)
    assert (run / "report.md").read_text(encoding="utf-8") == EXPECTED


EXPECTED = """\
# Made-up figures for a test: step-by-step sums

**Reasoning distillation beats fine-tuning by 50.0 points.**

Task pocket/steps (200 train, 40 dev, 20 test); 20 test questions answered, 1 seed an arm (1). Intervals are 95%.

| arm                    | accuracy |     interval | by seed | unread | tokens |
| ---------------------- | -------: | -----------: | ------: | -----: | -----: |
| Fine-tuning            |    20.0% |  [8.1, 41.6] |   20.0% |   0.0% |      8 |
| Reasoning distillation |    70.0% | [48.1, 85.5] |   70.0% |   0.0% |     44 |

- Reasoning distillation beats fine-tuning by 50.0 points [19.2, 69.8], p = 0.002 (Holm).

## Comparisons

| pair                                 | points |     interval |     p | p (Holm) | won : lost | shown |
| ------------------------------------ | -----: | -----------: | ----: | -------: | ---------: | ----: |
| Reasoning distillation − Fine-tuning |  +50.0 | [19.2, 69.8] | 0.002 |    0.002 |     10 : 0 |   yes |

Test: exact McNemar; Holm's correction covers 1 comparison. Won and lost count questions answered correctly more \
often by the first or the second of a pair.

## Keep in mind

- Every arm was trained once. Intervals and tests speak of these students, not of the methods: another seed may turn \
a small difference around. Set “seeds: [1, 2, 3]” in the recipe for more.

## Where the rationales came from

- Teacher pocket (rule-based, 7% mistakes): 214 kept, 9 duplicate, 15 wrong, 2 unread. 240 texts; 1.07 kept a question \
that has any. 200 of 240 questions have a kept one.

## Again

```sh
tutelage run pocket/steps
```

tutelage 0.1.0, python 3.11.7, torch 2.8.0, transformers 5.20.1, commit abc1234.

Took 142 s on 2 CPU cores (x86_64), 1 thread(s) a student.
"""


def test_signs_in_titles_are_no_markup(make_run: MakeRun):
    """A title with a bar would tear the table."""
    run = make_run(test=6)
    results = json.loads((run / "results.json").read_text())
    for row in results["arms"]:
        row["title"] = "a|b*c* <b>" if row["arm"] == "fine-tuning" else "B"
    (run / "results.json").write_text(json.dumps(results))
    write_report(run)
    text = (run / "report.md").read_text()
    assert r"| a\|b\*c\* \<b\> |" in text
    assert "a|b" not in text


def test_a_run_without_teacher_history_or_commit_has_a_report(make_run: MakeRun):
    """Plain fine-tuning has no teacher; an installed package has no commit."""
    run = make_run(test=6, arms=("fine-tuning",), seeds=(1,))
    results = json.loads((run / "results.json").read_text())
    results.update(sources=[], soft_labels=[], commit=None, baseline=None, recipe_text=None)
    del results["arms"][0]["history"]
    (run / "results.json").write_text(json.dumps(results))
    report = write_report(run)
    assert report.comparisons == ()
    assert "rationales came from" not in (run / "report.md").read_text()
    assert "How they learnt" not in (run / "report.html").read_text()


def test_a_run_of_before_there_were_mentors_has_a_report(make_run: MakeRun):
    """Nobody trains a hundred students again to see their figures."""
    run = make_run(test=6)
    results = json.loads((run / "results.json").read_text())
    del results["sources"], results["soft_labels"]
    for row in results["arms"]:
        del row["reference"]
    results["teacher"] = {"source": "old.json", "yield": {"kept": 3, "wrong": 1, "asked": 4}, "per_question": 1.5}
    (run / "results.json").write_text(json.dumps(results))
    write_report(run)
    assert "- Teacher old.json: 3 kept, 1 wrong. 4 texts; 1.5 kept a question" in (run / "report.md").read_text()
    report = read_strictly(run / "report.json")
    assert report["sources"][0]["role"] == "teacher"
    assert [arm["reference"] for arm in report["arms"]] == [False, False]
    results["teacher"] = None
    (run / "results.json").write_text(json.dumps(results))
    assert write_report(run).sources == []


def test_markdown_and_json_tell_of_mentors(make_run: MakeRun):
    """Seeds are summed for people and stand apart for programs."""
    run = make_run(test=6, arms=("fine-tuning", "mentor-kd", "mentor"), seeds=(1, 2, 3), mentors=True)
    write_report(run)
    text = (run / "report.md").read_text()
    assert "- Mentor pocket/mini, for Mentor-KD, 3 seeds (1, 2, 3): 2,076 kept, 192 duplicate, 864 wrong," in text
    assert "the mentors filled 696 of them (68.2%)." in text
    assert "Soft labels: pocket/mini: 120,006 tokens in 3 caches" in text
    assert "| *The mentor itself* (reference) |" in text
    report = read_strictly(run / "report.json")
    assert [(s["role"], s["seeds"]) for s in report["sources"]] == [
        ("teacher", []),
        ("mentor", [1]),
        ("mentor", [2]),
        ("mentor", [3]),
    ]
    assert [arm["reference"] for arm in report["arms"]] == [False, False, True]


def test_markdown_of_many_arms_stays_short(make_run: MakeRun):
    """A table of all pairs of twenty arms is read by nobody; where the others are is said."""
    run = make_run(test=10, arms=("fine-tuning", *(f"mentor-kd samples={n}" for n in range(1, 9))), seeds=(1,))
    report = write_report(run)
    text = (run / "report.md").read_text()
    assert text.count(" − ") == sum(report.leading) < 20
    assert f"{36 - sum(report.leading)} other pairs of arms: see report.json" in text
    assert len(read_strictly(run / "report.json")["comparisons"]) == 36


def test_markdown_and_json_tell_what_was_found(make_run: MakeRun):
    """A reader of the text alone must learn whether passages were right, helped, and leaked."""
    run = make_run(test=8, arms=("fine-tuning", "kard"), seeds=(1, 2))
    look_up(run, history=learning(0.3, 0.8), gates=GATES, leaks="it knows the answer")
    write_report(run)
    text = (run / "report.md").read_text()
    assert "- The reranker puts a right passage first for 84.0% of 400 test questions [80.1, 87.3], BM25" in text
    assert "| BM25 by the question                       | 19.0% [15.5, 23.1] |" in text
    assert "Reranker from pocket/nano, for KARD: Epoch 1 of 1 was kept, chosen by nDCG@10 on dev" in text
    assert "| KARD |    2 |              35.0% |        40.0% | answers without passages |" in text
    assert "| *KARD* (leaks) |" in text
    assert "KARD (leaks) − Fine-tuning" in text
    report = read_strictly(run / "report.json")
    assert [arm["leaks"] for arm in report["arms"]] == ["", "it knows the answer"]
    assert len(report["retrieval"]) == 5
    assert [gate["open"] for gate in report["gates"]] == [True, False]
    assert [row["ndcg@10"] for row in report["rerankers"][0]["history"]] == [0.3, 0.8]
    assert report["findings"][-1].startswith("The reranker puts")


def test_pairs_that_mcc_kd_compared_are_told(make_run: MakeRun):
    """A consistency term over no pairs is plain distillation under another name."""
    run = make_run(test=6, arms=("fine-tuning", "mcc-kd"), seeds=(1, 2))
    results = json.loads((run / "results.json").read_text())
    for row in results["arms"]:
        if row["arm"] == "mcc-kd":
            row["training"]["pairs"] = {"used": 820, "skipped": 6}
    (run / "results.json").write_text(json.dumps(results))
    write_report(run)
    assert "Pairs of rationales: MCC-KD: 1,640 used, 12 skipped." in (run / "report.md").read_text()
    assert "MCC-KD: 1,640 used, 12 skipped" in (run / "report.html").read_text()
