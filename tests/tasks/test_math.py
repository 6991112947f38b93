r"""Mathematical answers: what math-verify reads, what it is kept from, and where the number reader disagrees."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.errors import TaskError
from tutelage.formats import FORMATS
from tutelage.tasks.answers import MATH
from tutelage.tasks.grading import Disagreement, grade_file
from tutelage.types import Verdict

MATH.canonical("1/2")


@pytest.mark.parametrize(
    ("span", "canonical"),
    [
        (r"$\boxed{\frac{1}{2}}$", "0.5"), (r"\(\sqrt{2}\)", r"\sqrt{2}"), ("x^2 - 1", "x^2 - 1"),
        ("(0, 1]", "(0, 1]"),
        (r"The answer is $\boxed{x+1}$.", "x+1"), (r"**Answer:** $\frac{\pi}{2}$", r"\frac{\pi}{2}"),
        ("5!", "5!"),
        ("12 apples", "12"), ("negative 5", "-5"), ("1,200", "1200"), (r"\sqrt{16}", "4"), (r"10^{5}", "100000"),
        (r"$\{1, 2\}$", r"\{1, 2\}"), (r"x = 5</s>", "x = 5"), (r"5 \text{ cm}", "5"), ("the cat", None), ("", None),
        ("not 5", None), ("1/0", None), ("2½", None), ("x" * 400, None), ("maybe x", None),
    ],
)  # fmt: skip
def test_canonical_expressions(span: str, canonical: str | None):
    assert MATH.canonical(span) == canonical
    assert canonical is None or MATH.canonical(canonical) == canonical


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("x^2-1", "(x-1)(x+1)", True), (r"\sqrt{2}", r"\frac{\sqrt{8}}{2}", True), ("5!", "120", True),
        ("x=5", "5", True),
        ("0.5", r"\frac{1}{2}", True), ("(0,1]", "[0,1)", False), ("1/3", "0.333", False), ("x", "y", False),
        (r"\{1,2\}", r"\{2,1\}", True), (r"\pi", "3.14", False), ("2x", "x+x", True), ("4", "-4", False),
    ],
)  # fmt: skip
def test_equality_is_mathematical_and_symmetric(first: str, second: str, same: bool):
    assert MATH.same(first, second) is MATH.same(second, first) is same


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So $x = 2$. Thus \boxed{\frac{\sqrt{3}}{2}} is it.", r"\frac{\sqrt{3}}{2}"),
        (r"The answer is $\sqrt{2}$.", r"\sqrt{2}"),
        ("3 + 9 = 12. She has 12 apples.", "12"), ("Nobody knows.", None),
    ],
)  # fmt: skip
def test_an_expression_without_marker(text: str, answer: str | None):
    assert MATH.find(text) == answer


@pytest.mark.parametrize(
    "span",
    ["9^9^9^9", "9^{9^{9^9}}", "99999999!", "(x+1)^{999999}", "((((((((((((((((((((((((((1))))))))))))))))))))))))))",
     "10**10**10", "3!!!!", r"\frac{" * 70, "{" * 299, "((9^{99})^{99})^{99}", "1" * 299],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_what_cannot_be_computed_is_unread_in_no_time(span: str):
    """math-verify's own time limit is a signal, which only the main thread receives: a server would hang."""
    began = time.process_time()
    assert MATH.canonical(span) is None
    assert time.process_time() - began < 2


def test_a_thread_reads_and_compares_too():
    """The student is served from worker threads, where a signal cannot be set."""
    found: list[object] = []

    def read() -> None:
        found.extend([MATH.canonical(r"$\frac{\sqrt{8}}{2}$"), MATH.same(r"\frac{\sqrt{8}}{2}", r"\sqrt{2}")])

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == [r"\frac{\sqrt{8}}{2}", True]


def test_disagreements_of_the_two_readers_are_unread_and_listed(tmp_path: Path):
    """Of "2½" math-verify reads 2; whichever of the two is right, neither is believed."""
    path = tmp_path / "texts.jsonl"
    rows = [
        {"id": "a", "answer": r"\sqrt{2}", "text": r"--> $\frac{\sqrt{8}}{2}$"},
        {"id": "b", "answer": "2", "text": "--> $2½$"},
        {"id": "c", "answer": "0.5", "text": r"--> \boxed{\frac{1}{3}}"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    grades = grade_file(path, MATH, FORMATS["arrow"])
    assert [row.judgement.verdict for row in grades.rows] == [Verdict.CORRECT, Verdict.UNREAD, Verdict.WRONG]
    assert grades.disagreements == (Disagreement("b", "2", "2.5"),)
    told = CliRunner().invoke(app, ["grade", str(path), "-t", "math"])
    assert "b: read as 2 by math-verify and as 2.5 by the number reader; counted as unread" in told.output
    as_json = json.loads(CliRunner().invoke(app, ["grade", str(path), "-t", "math", "--json"]).output)
    assert as_json["disagreements"] == [{"id": "b", "math_verify": "2", "number": "2.5"}]


@pytest.mark.parametrize("gold", ["the cat", "2½", "not 5", "1/0"])
def test_a_gold_answer_that_cannot_be_read_is_refused(tmp_path: Path, gold: str):
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"id": 1, "answer": gold, "text": "--> 2"}) + "\n", encoding="utf-8")
    with pytest.raises(TaskError, match="expected an expression"):
        grade_file(path, MATH, FORMATS["arrow"])
