"""Rows that no text can be made of are told, each with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.rows import read_rows

HALF = '"\\ud83d"'


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.jsonl", f'{{"q": "whole \\ud83d\\ude00"}}\n{{"q": {HALF}}}\n', "a.jsonl:2"),
        ("a.json", f'[{{"q": "x"}}, {{"q": [{HALF}]}}]', "a.json: row 2"),
    ],
)
def test_half_a_character_is_told_with_its_row(tmp_path: Path, name: str, content: str, where: str):
    """It can be read, and then neither hashed nor written: a traceback hours later."""
    (tmp_path / name).write_text(content.encode("ascii", "backslashreplace").decode())
    problems: list[str] = []
    rows = read_rows(tmp_path / name, problems)
    assert len(rows) == 1
    json.dumps(rows[0].values, ensure_ascii=False).encode()
    assert len(problems) == 1
    assert problems[0].startswith(f"{where}: holds half of a character")
