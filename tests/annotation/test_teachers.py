"""A recipe's teacher behind a server: its stage, its money, and what happens when it fails."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from asked_study import PRICES, solve, study, write_questions
from asking import PRICE
from peer import Answer, FakeModel, Received, as_json
from pydantic import ValidationError

from tutelage.annotation.annotate import Finished
from tutelage.annotation.budget import Usage
from tutelage.annotation.progress import Progress
from tutelage.annotation.store import Store
from tutelage.errors import RecipeError, TeacherError
from tutelage.methods import asked_teachers
from tutelage.methods.annotating import annotated, asked_questions, leave, teacher_of, write
from tutelage.methods.asked_teachers import Desk, asked_of, check_asked, sampling_of
from tutelage.methods.estimate import Estimate, estimate
from tutelage.methods.sources import parts_of
from tutelage.methods.study import Study
from tutelage.recipe import TeacherSection
from tutelage.runs import read_json, read_jsonl

KEY = "sk-test-0123456789abcdefghijklmnop"


def desk(of: Study, **how: Any) -> Desk:
    return Desk(of.workspace.folder, of.task.answer_type.name, **how)


def section(**keys: Any) -> TeacherSection:
    return TeacherSection.model_validate(
        {"backend": "openai", "model": "m", "base_url": "http://localhost:1/v1", **keys}
    )


def estimated(of: Study) -> Estimate:
    at, teacher = desk(of), teacher_of(of)
    with Store(at.store) as store:
        return estimate(teacher, asked_of(teacher, of.recipe.task, list(asked_questions(of).values()), at), store)


def test_the_stage_holds_what_was_written_judged_and_kept(tmp_path: Path):
    """Nine questions to learn from or to choose by, two samples each; a third of the stories is answered wrong."""
    with FakeModel(solve) as model:
        stage = annotated(study(tmp_path, model.url, prices=PRICES))
    counts = read_json(stage.folder / "yield.json")["counts"]
    judged = read_jsonl(stage.folder / "rationales.jsonl")
    assert Counter(row["verdict"] for row in judged) == {"correct": counts["kept"], "wrong": counts["wrong"]}
    assert len(judged) == 2 * 9
    assert {row["source"] for row in judged} == {"teacher:m"}
    assert all(row["text"].endswith(".") and "Answer" not in row["text"] for row in judged)
    cost = read_json(stage.folder / "cost.json")
    assert cost["requests"] == model.calls == 9
    assert (cost["tokens_read"], cost["tokens_written"]) == (model.charged_read, model.charged_written)
    assert cost["spent"] == pytest.approx((model.charged_read + 2 * model.charged_written) / 1e6)
    assert cost["per_kept"] == pytest.approx(cost["spent"] / counts["kept"])


def test_test_questions_are_never_asked(tmp_path: Path):
    """A teacher that explains them teaches the test."""
    with FakeModel(solve) as model:
        of = study(tmp_path, model.url)
        annotated(of)
    sent = " ".join(received.body.decode() for received in model.received)
    assert all(question.text in sent for question in of.of("train"))
    assert not any(question.text in sent for question in of.of("test"))


def test_answers_survive_a_changed_recipe(tmp_path: Path):
    """Another choice among what was written, or another student, pays nothing; another prompt asks again."""
    with FakeModel(solve) as model:
        first = annotated(study(tmp_path, model.url))
        calls = model.calls
        second = annotated(study(tmp_path, model.url, keep=1, choose="shortest", concurrency=2))
        assert model.calls == calls
        assert second.folder != first.folder
        assert read_json(second.folder / "yield.json")["counts"]["over the limit"] > 0
        annotated(study(tmp_path, model.url, samples=3))
        assert model.calls == 2 * calls
        assert all(r.json.get("n", 1) == 1 for r in model.received[calls:])
        annotated(study(tmp_path, model.url, words=30))
        assert model.calls == 3 * calls


def test_settings_of_speed_and_address_make_no_new_stage(tmp_path: Path):
    """The same texts from another port are the same texts."""
    with FakeModel(solve) as model:
        first = annotated(study(tmp_path, model.url))
    again = annotated(study(tmp_path, "http://localhost:1/v1", timeout=5, retries=0, prices=PRICES, budget=3.0))
    assert again.folder == first.folder


def test_a_stage_that_was_interrupted_goes_on(tmp_path: Path):
    """The server dies in the middle of the night; in the morning only what is missing is asked."""
    with FakeModel(solve) as model:
        annotated(study(tmp_path, model.url, share=0.5))
        half = model.calls
    with pytest.raises(TeacherError, match=r"server not reached.*the same command asks for the rest"):
        annotated(study(tmp_path, model.url, retries=1))
    with FakeModel(solve) as model:
        annotated(study(tmp_path, model.url))
        assert model.calls == 9 - half


async def refuse_some(received: Received) -> Answer | None:
    question = received.body.decode().rpartition("Question: ")[2]
    return as_json({"error": {"message": "out of luck"}}, 500) if "has 11 " in question else None


def test_few_failures_are_counted_and_many_stop_the_stage(tmp_path: Path):
    """A stage with a hole in it looks whole ever after."""
    write_questions(tmp_path, 60)
    with FakeModel(solve, before=refuse_some) as model:
        stage = annotated(study(tmp_path, model.url, retries=0))
    counts = read_json(stage.folder / "yield.json")["counts"]
    assert counts["failed"] == 2
    assert sum(counts.values()) == 2 * 45


def test_many_failures_stop_the_stage_and_can_be_asked_again(tmp_path: Path):
    """One of nine is too many; `--retry-failed` asks for that one alone."""
    with FakeModel(solve, before=refuse_some) as model:
        of = study(tmp_path, model.url, retries=0)
        with pytest.raises(TeacherError, match=r"2 of 18 samples failed after 1 tries.*--retry-failed"):
            annotated(of)
        model.before = None
        calls = model.calls
        with pytest.raises(TeacherError, match="2 of 18"):
            write(of, desk(of))
        assert model.calls == calls
        found = write(of, desk(of, retry=True))
        assert model.calls == calls + 1
        assert found.written.notes == ["m: 2 samples were asked for again"]
        assert sum(found.counts.values()) == 18
        annotated(of)
        assert model.calls == calls + 1


def test_the_commonest_fault_stands_in_what_ends_a_stage(tmp_path: Path):
    """Whoever tries a few questions first, as our guide says, was told that all failed and not why."""

    async def page(_: Received) -> Answer:
        return Answer(200, b"Welcome to the router")

    with FakeModel(solve, before=page) as model:
        with pytest.raises(TeacherError, match=r"went wrong: answer not readable \(not JSON: 'Welcome"):
            annotated(study(tmp_path, model.url, retries=0))
        with pytest.raises(
            TeacherError, match=r"no room for another call.* What mostly went wrong: answer not readable"
        ):
            annotated(study(tmp_path, model.url, retries=9, prices=PRICES, budget=0.01, samples=3))


def test_a_page_in_place_of_an_api_is_told_after_three(tmp_path: Path):
    """Each may have been paid for, and a wrong address used up the budget of the right one."""

    async def page(_: Received) -> Answer:
        return Answer(200, b"\n<!doctype html><title>Welcome</title>")

    with FakeModel(solve, before=page) as model:
        with pytest.raises(TeacherError, match=r"is a page and no API .*doctype.* end in /v1"):
            annotated(study(tmp_path, model.url, concurrency=1))
        assert model.calls <= 4


def test_requests_that_are_all_rejected_are_an_error(tmp_path: Path):
    """A stage without a text, and an exit status of success."""
    write_questions(tmp_path, 6)

    async def reject(_: Received) -> Answer:
        return Answer(400, b'{"error": {"message": "temperature is not supported"}}')

    with (
        FakeModel(solve, before=reject) as model,
        pytest.raises(TeacherError, match=r"each of the \d requests.* temperature is not supported"),
    ):
        annotated(study(tmp_path, model.url))


def test_what_another_process_writes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The stage was finished without those samples, and looked whole ever after."""
    monkeypatch.setattr(asked_teachers, "_write", lambda *_: Finished(Progress(18), over_budget=False))
    with pytest.raises(TeacherError, match="18 samples are being written by another process"):
        annotated(study(tmp_path, "http://localhost:1/v1"))


def test_a_budget_counts_what_was_asked_before_prices_were_given(tmp_path: Path):
    """The report said that 18 answers were free, and the budget was spent a second time."""
    with FakeModel(solve) as model:
        first = annotated(study(tmp_path, model.url))
        assert read_json(first.folder / "cost.json")["spent"] is None
        of = study(tmp_path, model.url, prices=PRICES, budget=0.0002, samples=4)
        with pytest.raises(TeacherError, match=r"the budget of 0\.0002 has no room"):
            annotated(of)
        with Store(desk(of).store) as store:
            assert store.totals().spent == PRICE.of(Usage(model.charged_read, model.charged_written)) > 0


def test_refused_empty_and_cut_answers_are_in_the_yield(tmp_path: Path):
    """The yield accounts for every sample, and says when the limit is too low."""
    ends = iter(["empty", "refused", "cut off", "cut off", "answer alone"])

    def say(prompt: str, number: int) -> str | tuple[str, str]:
        end, right = next(ends, ""), solve(prompt, number)
        by_end = {"empty": "", "refused": ("", "content_filter"), "cut off": (f"{right[:-12]}", "length")}
        return by_end.get(end, right.partition("\n")[2] if end == "answer alone" else right)

    with FakeModel(say) as model:
        of = study(tmp_path, model.url, samples=1, max_tokens=77)
        found = write(of, desk(of))
    assert sum(found.counts.values()) == 9
    assert (found.counts["refused"], found.counts["empty"]) == (1, 2)  # one said nothing, one gave no reasons
    assert found.counts["cut off"] == 2
    assert found.written.books[0]["samples"] == {"cut off": 2, "empty": 1, "refused": 1, "written": 5}
    assert "2 of 9 texts reached `teacher.max_tokens` (77)" in found.written.notes[0]


def test_nothing_kept_is_told_with_what_became_of_it(tmp_path: Path):
    """And with what to look at."""
    with FakeModel(lambda prompt, n: "I do not know") as model, pytest.raises(RecipeError) as told:
        annotated(study(tmp_path, model.url))
    assert "18 unread" in str(told.value)
    assert "--preview 3" in str(told.value)


def test_several_teachers_are_asked_a_part_each(tmp_path: Path):
    """By the hash of a question's id: who joins later takes no question from one who has answered already."""
    write_questions(tmp_path, 80)
    mix = [{"share": 0.75, "set": {"words": 20}}, {"share": 0.25, "set": {"model": "large", "samples": 1}}]
    with FakeModel(solve) as model:
        of = study(tmp_path, model.url, mix=mix, prices=PRICES)
        stage = annotated(of)
    models = Counter(received.json["model"] for received in model.received)
    assert models.total() == 60
    assert 5 <= models["large"] <= 25
    assert all(("about 20 words" in r.body.decode()) == (r.json["model"] == "m") for r in model.received)
    by_source = Counter(row["source"] for row in read_jsonl(stage.folder / "rationales.jsonl"))
    assert by_source == {"teacher:m": 2 * models["m"], "teacher:large": models["large"]}
    cost = read_json(stage.folder / "cost.json")
    assert [each["model"] for each in cost["teachers"]] == ["m", "large"]
    assert cost["requests"] == sum(sum(each["calls"].values()) for each in cost["teachers"]) == 60
    teacher, questions = teacher_of(of), list(asked_questions(of).values())
    [(_, few), _] = parts_of(teacher, questions[:30])
    [(_, all_), _] = parts_of(teacher, questions)
    assert {q.id for q in few} <= {q.id for q in all_}


def test_a_budget_ends_a_stage_and_says_how_to_make_do(tmp_path: Path):
    """What was bought is a share of the questions that another run can learn from without paying."""
    write_questions(tmp_path, 40)
    with FakeModel(solve) as model:
        with pytest.raises(TeacherError, match=r"teacher\.share=0\.\d+") as told:
            annotated(study(tmp_path, model.url, prices=PRICES, budget=0.006, concurrency=1))
        share = float(str(told.value).partition("teacher.share=")[2][:6])
        calls = model.calls
        stage = annotated(study(tmp_path, model.url, prices=PRICES, budget=0.006, share=share))
        assert model.calls == calls
    assert read_json(stage.folder / "cost.json")["spent"] <= 0.006


def test_an_upper_bound_holds_for_a_server_that_writes_one_text_a_call(tmp_path: Path):
    """It reads the prompt again for each, and the bound was for reading it once."""
    write_questions(tmp_path)
    keys: dict[str, Any] = {"prices": {"input": 1000.0, "output": 1.0}, "max_tokens": 1, "samples": 40}
    with FakeModel(solve, writes_several=False) as model:
        before = estimated(study(tmp_path, model.url, **keys))
        spent = read_json(annotated(study(tmp_path, model.url, **keys)).folder / "cost.json")["spent"]
        assert before.most
        assert model.calls > 9
    assert spent <= before.most


def test_an_estimate_knows_what_is_there_and_what_is_missing(tmp_path: Path):
    """Before the first cent: an upper bound; with the first answers: what is likely."""
    with FakeModel(solve) as model:
        before = estimated(study(tmp_path, model.url, prices=PRICES, max_tokens=100))
        assert (before.wanted, before.there, before.missing) == (18, 0, 18)
        assert (before.tokens_written, before.most_written, before.cost) == (None, 1800, None)
        assert before.most
        spent = read_json(annotated(study(tmp_path, model.url, prices=PRICES, max_tokens=100)).folder / "cost.json")
        assert spent["spent"] <= before.most
        more = estimated(study(tmp_path, model.url, prices=PRICES, max_tokens=100, samples=4))
        assert (more.wanted, more.there, more.missing) == (36, 18, 18)
        assert more.cost
        assert 0.5 * spent["spent"] <= more.cost <= 1.5 * spent["spent"]
        done = estimated(study(tmp_path, model.url, prices=PRICES, max_tokens=100))
    assert done.line() == "m: 18 samples, 18 there, 0 to ask for"
    assert "at most 1,800 to write, at most" in before.line()
    assert ", likely 0.00" in more.line()


def test_answers_from_another_address_are_told(tmp_path: Path):
    """One name may stand for other weights there; what is in the store is not asked again."""
    with FakeModel(solve) as model:
        annotated(study(tmp_path, model.url))
        assert "answered by" not in estimated(study(tmp_path, model.url)).line()
    found = estimated(study(tmp_path, "http://localhost:1/v1"))
    assert found.line() == f"m: 18 samples, 18 there, 0 to ask for, some of them answered by {model.url}"


def test_an_estimate_counts_equal_prompts_once(tmp_path: Path):
    """A user's template may put two questions in the same words; they share the answers, and the price."""
    (tmp_path / "same.j2").write_text("Say {{ 'something' if question | length is odd else 'anything' }}.")
    found = estimated(study(tmp_path, "http://localhost:1/v1", prompt=str(tmp_path / "same.j2")))
    assert (found.wanted, found.there, found.missing) == (18, 0, 4)
    assert "4 to ask for (14 more have the same prompt)" in found.line()


def test_a_prompt_without_the_question_is_refused(tmp_path: Path):
    """All questions would share one answer, right for hardly any."""
    (tmp_path / "same.j2").write_text("Say something.")
    with pytest.raises(RecipeError, match=r"all 9 questions get one and the same prompt.*\{\{ question \}\}"):
        estimated(study(tmp_path, "http://localhost:1/v1", prompt=str(tmp_path / "same.j2")))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model": None}, r"teacher\.model: missing"),
        ({"extra": {"n": 5}}, r"teacher\.extra: n: said by the package"),
        ({"extra": {"stream": True, "messages": []}}, "messages, stream"),
        ({"extra": {"api_key": KEY}}, r"teacher\.extra: api_key: a key belongs into the variable"),
        ({"prices": PRICES, "budget": 1.0, "max_tokens": None}, r"teacher\.max_tokens: null"),
        ({"prompt": "zero-short"}, "did you mean 'zero-shot'"),
        ({"prompt": "hinted", "hint": True}, None),
        ({"shots": 2, "shots_file": "/no/such/file.jsonl"}, "file"),
        ({"reads": "arow"}, "did you mean 'arrow'"),
        ({"base_url": "localhost:8000"}, r"teacher\.base_url"),
        ({"base_url": "https://user:secret@host/v1"}, "name, a password or a query"),
        ({"base_url": "http://api.example.com/v1", "api_key_env": "HOME"}, "unencrypted"),
        ({"api_key_env": KEY}, "expected the NAME"),
        ({"api_key_env": "NO_SUCH_VARIABLE_HERE"}, "NO_SUCH_VARIABLE_HERE is not set"),
    ],
)
def test_what_would_stop_a_teacher_is_told_before_it_is_asked(keys: dict[str, Any], told: str | None):
    """Without the key, wherever it was written."""
    if told is None:
        check_asked(section(**keys))
        return
    with pytest.raises(Exception, match=told) as error:
        check_asked(section(**keys))
    assert KEY not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"mix": [{"share": 1.0, "set": {"keep": 1, "words": 9}}]}, "`keep` is about all teachers together"),
        ({"choose": "shortest"}, "`choose: shortest` chooses what `keep` keeps"),
        ({"shots_file": "mine.jsonl"}, "`shots_file` without `shots`"),
        ({"prompt": "zero-shot", "hint": True}, "`prompt: zero-shot` lacks `hint`"),
        ({"prompt": "hinted"}, "`prompt: hinted` needs `hint`"),
        ({"prompt": "few-shot"}, "`prompt: few-shot` needs `shots`"),
        ({"prompt": "hinted", "hint": True, "shots": 2}, "`prompt: hinted` lacks `shots`"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(keys: dict[str, Any], told: str):
    """Whoever sets it believes that it was done."""
    with pytest.raises(ValidationError, match=re.escape(told)):
        section(**keys)


def test_openai_itself_is_asked_in_its_own_words():
    """Its newer models refuse `max_tokens`; other servers know nothing else."""
    assert sampling_of(section(base_url=None)) == {"temperature": 0.7, "max_completion_tokens": 512}
    assert sampling_of(section()) == {"temperature": 0.7, "max_tokens": 512}
    assert sampling_of(section(temperature=None, extra={"reasoning_effort": "low"})) == {
        "max_tokens": 512,
        "reasoning_effort": "low",
    }


def test_a_local_model_with_other_weights_is_asked_again(tmp_path: Path, tiny_gpt_folder: Path):
    """It was trained on in its folder: under the same name it writes other texts."""
    import shutil

    from tutelage import checkpoints

    model = Path(shutil.copytree(tiny_gpt_folder, tmp_path / "model"))
    of = study(tmp_path, "http://localhost:1/v1", backend="local", model=str(model), base_url=None)
    teacher, questions = teacher_of(of), list(asked_questions(of).values())

    def keys() -> set[str]:
        return {each.wish.request.key for each in asked_of(teacher, of.recipe.task, questions, desk(of))}

    before, weights = keys(), checkpoints.fingerprint(str(model))
    assert keys() == before
    digested = asked_teachers._digest.cache_info().misses
    keys()
    assert asked_teachers._digest.cache_info().misses == digested, "a teacher of many gigabytes is read once"
    (model / "config.json").write_text(json.dumps({**json.loads((model / "config.json").read_text()), "note": 1}))
    assert checkpoints.fingerprint(str(model)) != weights
    assert keys().isdisjoint(before)


def test_a_local_model_is_asked_through_the_same_store(tmp_path: Path, tiny_gpt_folder: Path):
    """Nothing that it writes is right, and every text is accounted for."""
    of = study(
        tmp_path, "http://localhost:1/v1", backend="local", model=str(tiny_gpt_folder), base_url=None, max_tokens=4
    )
    (tmp_path / "p.j2").write_text("{{ question[:20] }}")
    of = study(
        tmp_path,
        "http://localhost:1/v1",
        **{"backend": "local", "model": str(tiny_gpt_folder), "base_url": None, "max_tokens": 4},
        prompt=str(tmp_path / "p.j2"),
    )
    found = write(of, desk(of))
    assert sum(found.written.books[0]["samples"].values()) == 18  # type: ignore[union-attr]
    assert found.written.books[0]["spent"] is None
    leave(tmp_path, found)
    assert (tmp_path / "cost.json").exists()
