"""What dev said of passages."""

from __future__ import annotations

from looked_up import GATES

from tutelage.report.lookups.gates import about, read_gates


def test_a_gate_tells_both_figures_and_what_follows():
    """An arm called KARD that answered without any passage is another method; nobody may overlook it."""
    gates = read_gates({"gates": GATES})
    assert [gate.cells for gate in gates] == [
        ["KARD", "1", "62.5%", "40.0%", "answers with passages"],
        ["KARD", "2", "35.0%", "40.0%", "answers without passages"],
    ]
    assert about(gates).startswith("Accuracy of 40 dev questions.")


def test_runs_without_gates_have_none():
    """Most recipes ask dev nothing."""
    assert read_gates({}) == []
