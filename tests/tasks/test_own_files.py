"""The user's own questions: every kind of file, how they are split, and what is said of bad rows."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import PluginError, TaskError
from tutelage.tasks import TASKS, Task, describe_tasks, load_task
from tutelage.tasks.answers import NUMBER
from tutelage.tasks.load import find_grader
from tutelage.tasks.questions import split_choices
from tutelage.tasks.task import Item, make_task
from tutelage.types import SPLITS


def sums(n: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {i} plus 1?", "answer": f"{i + 1}"} for i in range(n)]


def jsonl(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(path: Path, **settings: Any) -> Task:
    return load_task("sums", train=path, **{"answers": "number", **settings})


def ids(task: Task, split: Any) -> set[str]:
    return {question.id for question in task.questions[split]}


def test_jsonl_json_gzip_csv_tsv_and_parquet_give_the_same_task(tmp_path: Path):
    """A user who exports the same table twice must get the same study."""
    import pyarrow
    from pyarrow import parquet

    rows = sums(30)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "lines.json").write_text(text, encoding="utf-8")
    (tmp_path / "bom.jsonl").write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for name, sign in (("rows.csv", ","), ("rows.tsv", "\t")):
        lines = [f"question{sign}answer", *(f'"{row["question"]}"{sign}{row["answer"]}' for row in rows)]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    expected = load(jsonl(tmp_path / "rows.jsonl", rows))
    assert sum(len(expected.questions[split]) for split in SPLITS) == 30
    for name in ("list.json", "lines.json", "bom.jsonl", "rows.jsonl.gz", "rows.csv", "rows.tsv", "rows.parquet"):
        task = load(tmp_path / name)
        for split in SPLITS:
            assert [(q.id, q.answer) for q in task.questions[split]] == [
                (q.id, q.answer) for q in expected.questions[split]
            ], name


def test_a_hub_data_set_is_read_through_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder stands for the hub here: the same call, without the network."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "lab" / "sums"
    folder.mkdir(parents=True)
    jsonl(folder / "train.jsonl", sums(20))
    jsonl(folder / "test.jsonl", sums(5))
    task = load_task("sums", train=f"{folder}@train", test=f"{folder}@test", answers="number")
    assert len(task.questions["test"]) == 5
    assert len(task.questions["train"]) + len(task.questions["dev"]) == 15


def test_a_missing_hub_split_is_told(tmp_path: Path):
    jsonl(tmp_path / "train.jsonl", sums(3))
    with pytest.raises(TaskError, match=r"cannot be loaded.*Check its name and split"):
        load_task("sums", train=f"{tmp_path}@nowhere", answers="number")


def test_splits_share_no_question_and_depend_on_no_order(tmp_path: Path):
    rows = sums(100)
    task = load(jsonl(tmp_path / "a.jsonl", rows))
    again = load(jsonl(tmp_path / "b.jsonl", rows[::-1]))
    assert [len(task.questions[split]) for split in SPLITS] == [72, 8, 20]
    for split in SPLITS:
        assert ids(task, split) == ids(again, split)
        assert all(question.split == split for question in task.questions[split])
    assert len(ids(task, "train") | ids(task, "dev") | ids(task, "test")) == 100


def test_a_bigger_share_holds_out_the_same_questions_and_more(tmp_path: Path):
    """Choosing another fraction must not reshuffle what was seen before."""
    path = jsonl(tmp_path / "a.jsonl", sums(100))
    small, big = (load(path, test_fraction=share) for share in (0.1, 0.3))
    assert ids(small, "test") < ids(big, "test")


def test_limit_takes_training_questions_by_hash(tmp_path: Path):
    rows = sums(100)
    few = load(jsonl(tmp_path / "a.jsonl", rows), limit=10)
    more = load(jsonl(tmp_path / "b.jsonl", rows[::-1]), limit=20)
    assert len(few.questions["train"]) == 10
    assert ids(few, "train") < ids(more, "train")
    assert ids(few, "test") == ids(more, "test")
    assert "10 of 72 training questions used" in few.notes


def test_repeated_and_shared_questions_are_dropped_and_told(tmp_path: Path):
    """A test question in the training file is the commonest way to a score that means nothing."""
    train = jsonl(tmp_path / "train.jsonl", [*sums(20), {"question": " What is 3  plus 1?", "answer": "4.0"}])
    test = jsonl(tmp_path / "test.jsonl", sums(2))
    task = load(train, test=test)
    assert len(task.questions["train"]) + len(task.questions["dev"]) == 18
    assert not ids(task, "test") & (ids(task, "train") | ids(task, "dev"))
    assert task.notes[:2] == (
        "train: 1 rows repeat a question and were dropped",
        "2 question(s) stand in train and test: dropped from train",
    )


def test_two_gold_answers_for_one_question_name_both_rows(tmp_path: Path):
    train = jsonl(tmp_path / "train.jsonl", [*sums(9), {"question": "What is 3 plus 1?", "answer": "5"}])
    with pytest.raises(TaskError) as caught:
        load(train)
    assert "train.jsonl:10: answer '5', but train.jsonl:4 has '4' for the same question" in str(caught.value)


def test_a_contradiction_between_train_and_test_is_told_too(tmp_path: Path):
    test = jsonl(tmp_path / "test.jsonl", [{"question": "What is 3 plus 1?", "answer": "5"}])
    with pytest.raises(TaskError, match=r"test\.jsonl:1: answer '5', but train\.jsonl:4 has '4'"):
        load(jsonl(tmp_path / "train.jsonl", sums(9)), test=test)


def test_every_bad_row_is_told_at_once_with_its_line(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(sums(1)[0]).encode()
    path.write_bytes(
        b"\n".join(
            [
                good,
                b'{"question": "What?"}',
                b'{"question": "  ", "answer": "1"}',
                b"",
                b'{"question": "How many?", "answer": "maybe"}',
                b"{broken",
                b'{"question": "Wie viele \xe4pfel?", "answer": "1"}',
                b"[1]",
                b'{"question": 5, "answer": "1"}',
                b'{"question": "How many?", "answer": null}',
                b'{"question": "How many?", "answer": [1]}',
            ]
        )
    )
    with pytest.raises(TaskError) as caught:
        load(path)
    message = str(caught.value)
    for said in (
        "9 bad row(s), nothing was loaded",
        "rows.jsonl:2: no field 'answer'",
        "rows.jsonl:3: 'question' is empty",
        "rows.jsonl:5: answer 'maybe'; expected a number",
        "rows.jsonl:6: not JSON",
        "rows.jsonl:7: byte 0xe4 is not UTF-8",
        "rows.jsonl:8: expected an object {...}, got list",
        "rows.jsonl:9: 'question' is 5; expected a text",
        "rows.jsonl:10: 'answer' is null",
        "rows.jsonl:11: 'answer' is [1]; expected a text, a number or a date",
    ):
        assert said in message


def test_bad_rows_of_both_files_are_told_at_once(tmp_path: Path):
    train = jsonl(tmp_path / "train.jsonl", [{"question": "1?", "answer": "x"}])
    test = jsonl(tmp_path / "test.jsonl", [{"question": "2?"}])
    with pytest.raises(TaskError) as caught:
        load(train, test=test)
    assert "train.jsonl:1: answer 'x'" in str(caught.value)
    assert "test.jsonl:1: no field 'answer'" in str(caught.value)


def test_only_the_first_twenty_problems_are_listed(tmp_path: Path):
    path = jsonl(tmp_path / "rows.jsonl", [{"question": f"{i}?", "answer": "x"} for i in range(50)])
    with pytest.raises(TaskError, match="and 30 more"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"question,answer\nHow many, really?,5\n", "a.csv:2: 3 cells, but the header has 2. Quote commas"),
        ("a.csv", b'question,answer\n"two\nlines?",1\n"one?",x\n', "a.csv:4: answer 'x'"),
        ("a.csv", b"question,question\nx,y\n", "a.csv:1: column 'question' stands twice"),
        ("a.csv", b'question,answer\n"open,1\n', "a.csv:2: not CSV"),
        ("a.csv", b"question,answer\nfine?,1\n\xe4pfel?,1\n", "a.csv:3: byte 0xe4 is not UTF-8"),
        ("a.csv", b"", "a.csv:1: no header"),
        ("a.json", b'[{"question": "?", "answer": "1"}, 7]', "a.json: row 2: expected an object"),
        ("a.json", b'[{"question": ', "a.json: not JSON"),
        ("a.jsonl", b"", "no rows"),
        ("a.jsonl.gz", b"not gzip", "not a whole gzip file"),
        ("a.parquet", b"PAR1 not", "a.parquet: not Parquet"),
        ("a.xlsx", b"PK", "unknown kind of file"),
        ("a.jsonl", b'{"question": "?", "answer": "1"}', "too few to hold out"),
    ],
)
def test_a_broken_file_says_what_and_where(tmp_path: Path, name: str, content: bytes, said: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError) as caught:
        load(tmp_path / name)
    assert said in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(TaskError, match=r"no file .*absent\.csv"):
        load(tmp_path / "absent.csv")


def test_fields_and_choices_of_the_users_own_names(tmp_path: Path):
    rows = [{"q": f"Colour {i}?", "gold": gold, "opts": ["red", "blue"], "nr": i} for i, gold in enumerate("AB" * 5)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    fields = {"question": "q", "answer": "gold", "choices": "opts", "id": "nr", "rationale": None}
    task = load_task("colours", train=path, answers="letter", fields=fields)
    question = task.questions["train"][0]
    assert question.choices == ("red", "blue")
    assert question.meta["source_id"] in {str(i) for i in range(10)}


@pytest.mark.parametrize(
    ("gold", "answer"), [("B", "B"), ("(b)", "B"), ("blue", "B"), ("B. blue", "B"), (1, "B"), (0, "A")]
)
@pytest.mark.parametrize(
    ("choices", "fields"),
    [
        ({"opts": ["red", "blue", "green"]}, "opts"),
        ({"opts": {"B": "blue", "A": "red", "C": "green"}}, "opts"),
        ({"opts": {"text": ["red", "blue", "green"], "label": ["A", "B", "C"]}}, "opts"),
        ({"opts": '["red", "blue", "green"]'}, "opts"),
        ({"one": "red", "two": "blue", "three": "green", "four": ""}, ["one", "two", "three", "four"]),
    ],
)
def test_gold_letters_in_every_shape(tmp_path: Path, gold: Any, answer: str, choices: dict[str, Any], fields: Any):
    rows = [{"question": f"{i}?", "answer": gold, **choices} for i in range(5)]
    task = load_task(
        "x", train=jsonl(tmp_path / "a.jsonl", rows), answers="letter", fields={"choices": fields}, test_fraction=0.2
    )
    assert task.questions["test"][0].choices == ("red", "blue", "green")
    assert {q.answer for split in SPLITS for q in task.questions[split]} == {answer}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": "D", "opts": ["red", "blue"]}, "answer 'D'; expected the letter of a choice"),
        ({"answer": 2, "opts": ["red", "blue"]}, "(choices A to B)"),
        ({"answer": "2", "opts": ["red", "blue"]}, "answer '2'"),
        ({"answer": "A", "opts": ["red"]}, "expected 2 to 26 texts"),
        ({"answer": "A", "opts": ["red", ""]}, "expected 2 to 26 texts"),
        ({"answer": "A", "opts": "red or blue"}, "expected a list of texts"),
        ({"answer": "A", "options": ["red"]}, "no field 'opts'; did you mean 'options'?"),
    ],
)
def test_bad_choices_are_told(tmp_path: Path, row: dict[str, Any], said: str):
    path = jsonl(tmp_path / "a.jsonl", [{"question": "?", **row}])
    with pytest.raises(TaskError) as caught:
        load_task("x", train=path, answers="letter", fields={"choices": "opts"})
    assert said in str(caught.value)


def test_a_worked_solution_is_not_taken_for_the_answer(tmp_path: Path):
    """GSM8K's own files end on "#### 18"; the first number of the solution would be a wrong gold answer."""
    rows = [{"question": f"{i}?", "answer": "16 - 3 = <<16-3=13>>13\nThen 13 + 5.\n#### 1,018"} for i in range(4)]
    task = load(jsonl(tmp_path / "a.jsonl", rows))
    assert task.questions["train"][0].answer == "1018"
    path = jsonl(tmp_path / "b.jsonl", [{"question": "?", "answer": "Tom has 3.\nSo 5."}])
    with pytest.raises(TaskError, match="expected a number"):
        load(path)


def test_true_and_false_of_a_json_file_are_yes_and_no(tmp_path: Path):
    rows = [{"question": f"{i}?", "answer": i % 2 == 0} for i in range(8)]
    task = load_task("x", train=jsonl(tmp_path / "a.jsonl", rows), answers="yes_no")
    assert {(q.text, q.answer) for s in SPLITS for q in task.questions[s]} == {
        (f"{i}?", "yes" if i % 2 == 0 else "no") for i in range(8)
    }


def test_choices_inside_the_text_are_split_off_for_letters_only(tmp_path: Path):
    text = "Which is hot? Answer choices: (A) ice, (B) fire."
    assert split_choices(text) == ("Which is hot?", ("ice", "fire"))
    rows = [{"question": f"{i}: {text}", "answer": "B"} for i in range(5)]
    task = load_task("x", train=jsonl(tmp_path / "a.jsonl", rows), answers="letter")
    assert task.questions["train"][0].choices == ("ice", "fire")
    words = load_task("x", train=tmp_path / "a.jsonl", answers="words")
    assert words.questions["train"][0].choices == ()


@pytest.mark.parametrize(
    ("text", "stem", "choices"),
    [
        ("Q? Answer Choices:\nA. a, b\nB. new york\n", "Q?", ("a, b", "new york")),
        ("Q?\nWhich choice is true? Answer choices: (A) U.S., (B) x (y), (C) A. B.", "Q?", ("U.S.", "x (y)", "A. B")),
        (
            "Answer choices: (A) in a quote. Q? Answer choices: (A) x, (B) y.",
            "Answer choices: (A) in a quote. Q?",
            ("x", "y"),
        ),
        ("No choices here (A) or there", "No choices here (A) or there", ()),
        ("Q? Answer choices: (A) alone.", "Q? Answer choices: (A) alone.", ()),
    ],
)
def test_two_shapes_of_choices_inside_a_text(text: str, stem: str, choices: tuple[str, ...]):
    assert split_choices(text) == (stem, choices)


@pytest.mark.parametrize(
    ("name", "settings", "error", "said"),
    [
        ("svmap", {}, TaskError, "no task 'svmap'; did you mean 'svamp'?"),
        ("birds", {"train": "x.csv"}, TaskError, "what are its answers? Set `answers:` to one of letter"),
        ("birds", {"train": "x.csv", "answers": "colour"}, PluginError, "no answer type 'colour'"),
        ("svamp", {"test": "x.csv"}, TaskError, "`test:` without `train:`"),
        ("svamp", {"answers": "words", "data": "x"}, TaskError, "describe a file of your own"),
        ("no_such_lab.tasks:load", {}, PluginError, "cannot import 'no_such_lab.tasks'"),
        (
            "birds",
            {"train": "x.csv", "answers": "words", "fields": {"qestion": "q"}},
            TaskError,
            "did you mean 'question'?",
        ),
    ],
)
def test_wrong_settings_say_what_to_do(name: str, settings: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error) as caught:
        load_task(name, **settings)
    assert said in str(caught.value)


def test_without_a_data_folder_the_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    with pytest.raises(TaskError, match="environment variable TUTELAGE_DATA"):
        load_task("svamp")


def test_a_data_folder_without_the_files_lists_what_was_looked_for(tmp_path: Path):
    with pytest.raises(TaskError, match=r"none of these is there: .*svamp_train\.json"):
        load_task("svamp", data=tmp_path)


@pytest.mark.parametrize("name", ["addsub", "multiarith", "single_eq", "gsm8k", "asdiv", "svamp"])
def test_a_number_task_loads_from_files_in_the_shape_of_mentor_kd(tmp_path: Path, name: str):
    for split, rows in (("train", sums(20)), ("test", [{"question": "What is 70 plus 1?", "answer": "71"}])):
        shaped = [{"input": row["question"] + "\n", "answer": row["answer"]} for row in rows]
        (tmp_path / f"{name}_{split}.json").write_text(json.dumps(shaped), encoding="utf-8")
    task = load_task(name, data=tmp_path)
    assert [len(task.questions[split]) for split in SPLITS] == [18, 2, 1]
    assert task.questions["test"][0].meta["source_text"] == "What is 70 plus 1?\n"
    held_out = load_task(name, data=tmp_path / f"{name}_train.json")
    assert [len(held_out.questions[split]) for split in SPLITS] == [14, 2, 4]


def test_aqua_and_coin_flip_load_from_the_same_shape(tmp_path: Path):
    aqua = [{"input": f"{i}? Answer Choices: (A) 21, (B) 21.5, (C) 22", "answer": "C"} for i in range(9)]
    task = load_task("aqua", train=write_list(tmp_path / "aqua.json", aqua))
    assert task.questions["train"][0].choices == ("21", "21.5", "22")
    coins = [{"input": f"Is coin {i} still heads up?", "answer": "no"} for i in range(9)]
    assert load_task("coin_flip", train=write_list(tmp_path / "coin.json", coins)).questions["train"][0].answer == "no"


def write_list(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_a_loader_from_another_package_is_called_with_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The contract of "my_lab.tasks:load": name, then data, dev_fraction, test_fraction and limit as keywords."""
    module = (
        "from tutelage.tasks.answers import NUMBER\n"
        "from tutelage.tasks.task import Item, make_task\n"
        "def load(name, *, data, dev_fraction, test_fraction, limit):\n"
        "    rows = [Item(f'row {i}', f'{i} and {data}?', (), str(i)) for i in range(10)]\n"
        "    return make_task(name, NUMBER, rows, None, dev_fraction=dev_fraction, test_fraction=test_fraction)\n"
    )
    (tmp_path / "tutelage_test_lab.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    task = load_task("tutelage_test_lab:load", data="x", test_fraction=0.5)
    assert [len(task.questions[split]) for split in SPLITS] == [4, 1, 5]
    assert task.name == "tutelage_test_lab:load"
    sys.modules.pop("tutelage_test_lab")


def test_a_dev_split_as_shipped_loses_what_stands_in_test():
    def items(*numbers: int) -> list[Item]:
        return [Item(f"row {i}", f"{i}?", (), str(i)) for i in numbers]

    task = make_task("x", NUMBER, items(*range(10)), items(1, 2), items(2, 3, 40))
    assert {split: [q.answer for q in task.questions[split]] for split in SPLITS} == {
        "train": ["0", "4", "5", "6", "7", "8", "9"],
        "dev": ["3", "40"],
        "test": ["1", "2"],
    }


def test_a_split_with_nothing_left_is_told():
    rows = [Item("row 1", "1?", (), "1")]
    with pytest.raises(TaskError, match="too few to hold out a dev split"):
        make_task("x", NUMBER, rows, rows)
    with pytest.raises(TaskError, match="no train question is left"):
        make_task("x", NUMBER, rows, rows, [Item("row 2", "2?", (), "2")])


def test_a_fraction_outside_its_range_is_told(tmp_path: Path):
    with pytest.raises(TaskError, match=r"dev_fraction: got 1\.5"):
        load(jsonl(tmp_path / "a.jsonl", sums(9)), dev_fraction=1.5)


def test_tasks_are_listed_with_or_without_their_data(tmp_path: Path):
    """`tutelage tasks` must say what is missing instead of failing at the first absent file."""
    lines = {line.name: line for line in describe_tasks(tmp_path)}
    assert list(lines) == list(TASKS)
    assert (lines["svamp"].answers, lines["svamp"].source, lines["svamp"].counts) == ("number", "mentor-kd", None)
    assert "svamp_train.json" in lines["svamp"].problem
    steps = lines["pocket/steps"].counts
    assert steps is not None
    assert all(steps.values())
    assert "never mix" in lines["strategyqa"].licence


def test_a_grader_is_found_without_any_data(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    assert find_grader("gsm8k") == (NUMBER, ())
    assert find_grader("number") == (NUMBER, ())
    assert find_grader("pocket/steps")[1]
    with pytest.raises(TaskError, match="no task or answer type 'numbr'; did you mean 'number'"):
        find_grader("numbr")


def test_a_failing_loader_from_outside_is_told_by_the_grader_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tutelage_test_broken.py").write_text(
        "from tutelage.errors import TaskError\ndef load(name, **settings):\n    raise TaskError('lab: no rows')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskError, match="lab: no rows"):
        find_grader("tutelage_test_broken:load")


# --- gold answers that are no texts


def pens(golds: Sequence[object]) -> list[dict[str, Any]]:
    """Questions whose rationales conclude n tenths."""
    return [
        {"question": f"What is {n} tenths?", "gold": gold, "why": f"So the answer is {n / 10:.1f}."}
        for n, gold in enumerate(golds, start=1)
    ]


PENS = {"question": "question", "answer": "gold"}


def golds(task: Task) -> set[str]:
    return {question.answer for split in SPLITS for question in task.questions[split]}


def test_gold_floats_are_read_at_their_own_precision(tmp_path: Path):
    """Of 24 right rationales 12 were dropped with JSON's floats, 19 with those of Parquet."""
    import pyarrow
    from pyarrow import parquet

    expected = {NUMBER.canonical(f"{n / 10:.1f}") for n in range(1, 31)}
    floats = [0.1 * n for n in range(1, 31)]
    rows = pens(floats)
    (tmp_path / "f.csv").write_text("question,gold\n" + "".join(f"{r['question']},{r['gold']!r}\n" for r in rows))
    jsonl(tmp_path / "f.jsonl", rows)
    table = pyarrow.Table.from_pylist(rows)
    for name, kind in (("double", pyarrow.float64()), ("float", pyarrow.float32()), ("half", pyarrow.float16())):
        column = table["gold"].cast(kind)
        parquet.write_table(table.set_column(1, "gold", column), tmp_path / f"{name}.parquet")
    decimals = pyarrow.array([f"{n / 10:.2f}" for n in range(1, 31)]).cast(pyarrow.decimal128(10, 2))
    parquet.write_table(table.set_column(1, "gold", decimals), tmp_path / "decimal.parquet")
    for name in ("f.csv", "f.jsonl", "double.parquet", "float.parquet", "half.parquet", "decimal.parquet"):
        assert golds(load(tmp_path / name, fields=PENS)) == expected, name


def test_whole_floats_are_whole_numbers(tmp_path: Path):
    """A column of whole numbers with one gap is one of floats to pandas: 2.0 is the third choice, and 3.0 is 3."""
    rows = [{"q": f"Which is it, {n}?", "a": float(n % 3), "c": ["red", "green", "blue"]} for n in range(9)]
    fields = {"question": "q", "answer": "a", "choices": "c"}
    assert golds(load(jsonl(tmp_path / "l.jsonl", rows), answers="letter", fields=fields)) == {"A", "B", "C"}
    rows = [{"question": f"How many, {n}?", "answer": float(n)} for n in range(9)]
    assert golds(load(jsonl(tmp_path / "w.jsonl", rows), answers="words")) == {str(n) for n in range(9)}


def test_dates_and_numbers_among_choices_are_read(tmp_path: Path):
    """As a person would write them."""
    import datetime

    import pyarrow
    from pyarrow import parquet

    rows = [{"question": f"When, {n}?", "answer": datetime.date(2021, 5, n)} for n in range(1, 9)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    assert golds(load(tmp_path / "d.parquet", answers="words")) == {f"2021-05-0{n}" for n in range(1, 9)}
    rows = [{"q": f"How much, {n}?", "a": "B", "c": [0.1 * 3, 0.1 * n]} for n in range(4, 9)]
    task = load(
        jsonl(tmp_path / "c.jsonl", rows), answers="letter", fields={"question": "q", "answer": "a", "choices": "c"}
    )
    assert {question.choices[0] for split in SPLITS for question in task.questions[split]} == {"0.3"}


def test_what_is_no_number_is_no_gold_answer(tmp_path: Path):
    """NaN is how pandas writes a gap, and would become the word "nan"."""
    path = tmp_path / "n.jsonl"
    rows = [{"question": f"{n}?", "answer": gold} for n, gold in enumerate([float("nan"), float("-inf"), 1])]
    jsonl(path, rows)
    with pytest.raises(TaskError) as told:
        load(path, answers="words")
    assert "n.jsonl:1: 'answer' is null" in str(told.value)
    assert "n.jsonl:2: 'answer' is -inf, which is no answer" in str(told.value)
