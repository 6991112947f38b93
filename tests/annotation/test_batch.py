"""Batch files: written, started once, collected once, at half the price, and nothing is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import PRICE, ask, wishes
from batch_peer import BatchModel
from peer import Answer, Received

from tutelage.annotation import batch as batch_module
from tutelage.annotation.batch import Batches
from tutelage.annotation.budget import Price, Usage, amount
from tutelage.annotation.outcomes import Outcome
from tutelage.annotation.store import Store
from tutelage.errors import TeacherError

HALF = Price(PRICE.input, PRICE.output, factor=0.5)
KEY = "sk-test-0123456789abcdefghijklmnop"


@contextmanager
def batches(folder: Path, model: BatchModel) -> Generator[Batches]:
    """As each command opens them: from disk."""
    with Store(folder / "answers.sqlite") as store:
        yield Batches(store, folder / "batches", base_url=model.url, key=KEY, timeout=20)


def written(folder: Path, model: BatchModel, questions: int = 4, samples: int = 2) -> list[Path]:
    with batches(folder, model) as books:
        return books.write(wishes(questions, samples))


def submitted(folder: Path, model: BatchModel, questions: int = 4, samples: int = 2, **how: int) -> list[str]:
    with batches(folder, model) as books:
        return books.submit(wishes(questions, samples), price=HALF, **how)


def collected(folder: Path, model: BatchModel) -> list[str]:
    with batches(folder, model) as books:
        return books.collect(price=HALF)


def outcomes(folder: Path, questions: int = 4) -> dict[int, list[Outcome]]:
    """By the number of the question."""
    with Store(folder / "answers.sqlite") as store:
        keys = [wish.request.key for wish in wishes(questions)]
        found = store.answers(keys)
        return {n: [found[k][s].outcome for s in sorted(found[k])] for n, k in enumerate(keys) if k in found}


def test_a_file_holds_a_line_for_each_question(tmp_path: Path):
    """In the shape that the API takes: an id, an address, and the very body that a call would send."""
    with BatchModel() as model:
        [path] = written(tmp_path, model)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    expected = [wish.request.asking((0, 1)) for wish in wishes(4, 2)]
    assert [line["body"] for line in lines] == expected
    assert all(body["n"] == 2 for body in expected)
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    assert len({line["custom_id"] for line in lines}) == 4
    assert all(len(line["custom_id"]) <= 64 for line in lines)


def test_write_submit_collect(tmp_path: Path):
    """Three commands, days apart, and the answers stand where every other answer stands, at half the price."""
    with BatchModel() as model:
        written(tmp_path, model)
        assert submitted(tmp_path, model) == ["batch-0"]
        assert collected(tmp_path, model) == ["batch-1.jsonl: in_progress, 0 of 4 requests done"]
        assert outcomes(tmp_path) == {}
        model.finish()
        assert collected(tmp_path, model) == ["batch-1.jsonl: completed, 4 answers stored"]
        assert outcomes(tmp_path) == {n: [Outcome.WRITTEN] * 2 for n in range(4)}
        assert written(tmp_path, model) == []
        done = ask(model.url, tmp_path / "answers.sqlite", wishes(4, 2))
        assert done.progress.before == 8
    with Store(tmp_path / "answers.sqlite") as store:
        totals = store.totals()
    assert totals.spent == 4 * PRICE.of(Usage(10, 10)) // 2
    assert (totals.perhaps, totals.reserved) == (0, 0)


def test_a_batch_knows_why_its_texts_ended(tmp_path: Path):
    """As an answer that comes at once does: a text that is cut is no whole one."""
    with BatchModel(say=lambda prompt, n: ("half a text", "max_tokens" if n else "eos")) as model:
        written(tmp_path, model)
        submitted(tmp_path, model)
        model.finish()
        collected(tmp_path, model)
    with Store(tmp_path / "answers.sqlite") as store:
        found = store.answers([wishes(1)[0].request.key])
    assert [(a.outcome, a.reason) for [answers] in [found.values()] for a in answers.values()] == [
        (Outcome.WRITTEN, ""),
        (Outcome.CUT, "max_tokens"),
    ]


def test_collected_twice_is_stored_once(tmp_path: Path):
    """Half of a file is read, the process dies, and the command is given again."""
    with BatchModel() as model:
        written(tmp_path, model)
        submitted(tmp_path, model)
        model.finish()
        collected(tmp_path, model)
        books = json.loads((tmp_path / "batches" / "batches.json").read_text())
        books[0]["status"] = "submitted"
        (tmp_path / "batches" / "batches.json").write_text(json.dumps(books))
        assert collected(tmp_path, model) == ["batch-1.jsonl: completed, 0 answers stored"]
    with Store(tmp_path / "answers.sqlite") as store:
        assert store.totals().fates == {"answered": 4}


def test_a_batch_whose_number_was_lost_is_found_and_not_started_again(tmp_path: Path):
    """The server had started it when the connection broke; a second one would be paid for too."""
    with BatchModel() as model:
        written(tmp_path, model)
        model.lose_next_start = True
        with pytest.raises(TeacherError, match="Nothing was lost"):
            submitted(tmp_path, model)
        assert submitted(tmp_path, model) == ["batch-0"]
        assert list(model.batches) == ["batch-0"]


def test_what_an_expired_batch_left_is_asked_again(tmp_path: Path):
    """Its day is over, half of it is answered and paid for; the other half cost nothing."""
    with BatchModel() as model:
        written(tmp_path, model)
        submitted(tmp_path, model)
        model.finish("expired", only=2)
        [told] = collected(tmp_path, model)
        assert told == (
            "batch-1.jsonl: expired, 2 answers stored; 2 came back without an answer and can be asked again"
        )
        assert sorted(outcomes(tmp_path)) == [0, 1]
        [path] = written(tmp_path, model)
        assert len(path.read_text().splitlines()) == 2
        submitted(tmp_path, model)
        model.finish()
        collected(tmp_path, model)
    assert sorted(outcomes(tmp_path)) == [0, 1, 2, 3]


def test_failed_lines_are_outcomes_or_asked_again(tmp_path: Path):
    """A rejected question is recorded with its reason; a fault of the server is no answer; garbage is passed over."""
    rejected = {"response": {"status_code": 400, "body": {"error": {"message": "too long"}}}, "error": {"code": "x"}}
    broken = {"response": {"status_code": 500, "body": {}}, "error": {"message": "oops"}}
    strange = {"response": {"status_code": 200, "body": {"choices": []}}}
    with BatchModel() as model:
        written(tmp_path, model)
        submitted(tmp_path, model)
        model.finish(question_0=rejected, question_1=broken, question_2=strange)
        model.files["batch-0-output_file_id"] += b'\nno json\n[]\n{"custom_id": "of another file"}\n'
        [told] = collected(tmp_path, model)
        assert "2 answers stored" in told
        assert outcomes(tmp_path) == {0: [Outcome.REJECTED] * 2, 3: [Outcome.WRITTEN] * 2}
        [path] = written(tmp_path, model)
        assert len(path.read_text().splitlines()) == 2
    with Store(tmp_path / "answers.sqlite") as store:
        assert store.totals().reserved == 0
        assert store.totals().perhaps == HALF.most(wishes(4)[2].request, 2)  # an answer was written, whatever it was
        assert store.totals().fates == {
            "answered": 1,
            "request rejected": 1,
            "server error": 1,
            "answer not readable": 1,
        }


def test_a_batch_under_way_is_claimed_and_reserved(tmp_path: Path):
    """Meanwhile `annotate` must not ask for the same, nor spend the money twice; it outlives the process."""
    with BatchModel() as model:
        written(tmp_path, model)
        submitted(tmp_path, model)
        with Store(tmp_path / "answers.sqlite") as store:
            most = sum(HALF.most(wish.request, 2) for wish in wishes(4, 2))
            assert store.committed() == most
            with store.writing():
                assert store.claim(wishes(4)[0].request, (0, 1, 2)).granted == (2,)


def test_a_batch_without_room_in_the_budget_is_not_started(tmp_path: Path):
    """All of it or nothing: a file cannot be started by half."""
    most = sum(HALF.most(wish.request, 2) for wish in wishes(4, 2))
    with BatchModel() as model:
        written(tmp_path, model)
        with pytest.raises(TeacherError, match="no room"):
            submitted(tmp_path, model, budget=most - 1)
        assert model.batches == {}
        with Store(tmp_path / "answers.sqlite") as store:
            assert store.committed() == 0
        assert submitted(tmp_path, model, budget=most) == ["batch-0"]
        assert amount(1.0) > most


def test_a_batch_that_failed_is_sent_again(tmp_path: Path):
    """The same questions make the same file: it was taken for the failed batch, for ever."""
    with BatchModel() as model:
        written(tmp_path, model)
        assert submitted(tmp_path, model) == ["batch-0"]
        model.finish("failed", only=0)
        assert "failed, 0 answers stored; 4 came back" in collected(tmp_path, model)[0]
        written(tmp_path, model)
        assert submitted(tmp_path, model) == ["batch-1"]
        model.finish()
        assert "completed, 4 answers stored" in collected(tmp_path, model)[0]
    assert outcomes(tmp_path) == {n: [Outcome.WRITTEN] * 2 for n in range(4)}


def test_what_is_in_a_batch_is_not_written_again(tmp_path: Path):
    """More questions beside a batch that runs: its own stood in the second file too, which could never be sent."""
    with BatchModel() as model:
        written(tmp_path, model, 4)
        submitted(tmp_path, model, 4)
        [path] = written(tmp_path, model, 6)
        assert len(path.read_text().splitlines()) == 2
        assert submitted(tmp_path, model, 6) == ["batch-0", "batch-1"]
        model.finish()
        assert len(collected(tmp_path, model)) == 2
    assert outcomes(tmp_path, 6) == {n: [Outcome.WRITTEN] * 2 for n in range(6)}


def test_a_server_without_batches_keeps_nothing_claimed(tmp_path: Path):
    """Its questions waited for a batch that nobody had started, and asking one by one waited for them."""

    class WithoutBatches(BatchModel):
        async def answer(self, request: Received) -> Answer:
            if "/batches" in request.path:
                return Answer(404, b'{"error": {"message": "no such path"}}')
            return await super().answer(request)

    with WithoutBatches() as model:
        written(tmp_path, model)
        with pytest.raises(TeacherError, match="no Batch API; ask without --batch"):
            submitted(tmp_path, model)
        done = ask(model.url, tmp_path / "answers.sqlite", wishes(4, 2))
    assert done.progress.outcomes == {Outcome.WRITTEN: 8}


def test_a_file_of_another_recipe_is_refused(tmp_path: Path):
    """Between `write` and `submit` the prompt was changed."""
    with BatchModel() as model:
        written(tmp_path, model, questions=5)
        with pytest.raises(TeacherError, match="not of this recipe any more"):
            submitted(tmp_path, model, questions=4)


def test_more_than_a_file_takes_goes_into_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """50,000 lines or 200 MB are the API's limits."""
    monkeypatch.setattr(batch_module, "MOST_LINES", 3)
    with BatchModel() as model:
        paths = written(tmp_path, model, questions=8)
        assert [len(path.read_text().splitlines()) for path in paths] == [3, 3, 2]
        monkeypatch.setattr(batch_module, "MOST_BYTES", 1)
        assert len(written(tmp_path, model, questions=8)) == 8
        assert len(submitted(tmp_path, model, questions=8)) == 8
        model.finish()
        collected(tmp_path, model)
    assert len(outcomes(tmp_path, 8)) == 8


def test_a_wrong_key_is_told_without_it(tmp_path: Path):
    """Also where files are uploaded."""
    from peer import as_json

    class Denying(BatchModel):
        async def answer(self, request: Received) -> Answer:
            return as_json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)

    with Denying() as model:
        written(tmp_path, model)
        with pytest.raises(TeacherError, match=r"Incorrect API key provided: \*\*\*") as told:
            submitted(tmp_path, model)
    assert KEY not in str(told.value)
    assert told.value.__cause__ is None
