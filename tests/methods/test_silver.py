"""What an oracle searches with, and what makes it another oracle."""

from __future__ import annotations

import json
from pathlib import Path

from tutelage.methods.silver import facts_fingerprint
from tutelage.recipe import TaskSection
from tutelage.types import Question

ASKED = [Question("q-1", "obqa", "test", "What melts?", ("ice", "stone"), "A", meta={"source_id": "8-343"})]


def told(folder: Path, fact: str) -> str:
    (folder / "test_complete.jsonl").write_text(json.dumps({"id": "8-343", "fact1": fact}) + "\n")
    return facts_fingerprint(TaskSection(name="obqa", data=str(folder)), ASKED)


def test_other_facts_make_another_oracle(tmp_path: Path):
    """The upper bound of the old file would stand in the table of the new one."""
    first = told(tmp_path, "ice melts in the sun")
    assert told(tmp_path, "ice melts in the sun") == first
    assert told(tmp_path, "stones do not melt") != first
