"""What is looked up for a study: whose words search, what is shown, what is made anew, and what is told beforehand."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_study import corpus_of, jsonl, planned, recipe, stages, study_of, write_world

from tutelage.errors import CorpusError, RecipeError, TextError
from tutelage.methods.check import problems
from tutelage.methods.knowledge import Knowledge, read_hits
from tutelage.methods.looking_up import LookUp
from tutelage.methods.reranking import paired
from tutelage.methods.run import run
from tutelage.methods.silver import reasons
from tutelage.retrieval.bm25 import Bm25
from tutelage.runs import read_json, read_jsonl
from tutelage.tasks.answers import LETTER
from tutelage.types import SPLITS, Hit, Passage, Question, Split, rationale_from_json


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


# --- what is told before anything runs


@pytest.mark.parametrize(
    ("knowledge", "said"),
    [
        (None, "knowledge: missing, and arm 'kard' looks something up"),
        ({"reranker": None}, "knowledge.reranker: missing, and arm 'kard' orders passages with one"),
        ({"corpus": "./nowhere.jsonl"}, "knowledge.corpus: no file or folder of that name"),
        ({"corpus": "pocket/atls"}, "did you mean 'pocket/atlas'?"),
        ({"corpus": []}, "knowledge.corpus: an empty list"),
        ({"retriever": "bm-25"}, "knowledge.retriever: no retriever 'bm-25'; did you mean 'bm25'?"),
        ({"reranker": {"base": "pocket/nono"}}, "knowledge.reranker.base: no bundled checkpoint 'pocket/nono'"),
        ({"reranker": {"base": "pocket/causal-nano"}}, "knowledge.reranker.base: model 'pocket/causal-nano' is a "),
        ({"reranker": {"path": "./nowhere"}}, "knowledge.reranker.path: model './nowhere': no such folder"),
        ({"reranker": {"base": "pocket/nano", "kind": "late"}}, "knowledge.reranker.kind: no reranker 'late'"),
        ({"corpus": None, "index": "./nowhere"}, "knowledge.index: no folder './nowhere'; `tutelage index"),
    ],
)
def test_what_a_search_lacks_is_told_once_with_its_key_before_anything_runs(world: Path, knowledge: Any, said: str):
    """A night of training must not end with the sentence that there is no such corpus."""
    (found,) = problems(recipe(world, ["kard"], knowledge=knowledge))
    assert said in found
    assert found.count("knowledge.corpus:") <= 1, "the key stands once"


@pytest.mark.parametrize("arm", ["kard-bm25", "grounded-mentor"])
def test_a_wrong_reranker_is_told_of_arms_that_can_do_without_one(world: Path, arm: str):
    """Their epochs are chosen with what it finds, so it would be loaded in the middle of the night all the same."""
    told = problems(
        recipe(world, [arm], mentor={"model": "pocket/nano"}, knowledge={"reranker": {"base": "pocket/nono"}})
    )
    assert len(told) == 1
    assert "knowledge.reranker.base" in told[0]


@pytest.mark.parametrize(
    ("knowledge", "said"),
    [
        ({"reranker": {"path": "./mine", "epochs": 5}}, "`epochs` is for a reranker trained from `base:`"),
        ({"reranker": {"path": "./mine", "lora": None, "loss": "ce"}}, "`lora` and `loss` are for a reranker trained"),
        ({"corpus": None, "index": "./mine", "words": 50}, "`words` is for making passages of a `corpus:`"),
        ({"retriever": "mine:Search", "k1": 1.2}, "`k1` is for bm25; mine:Search is opened with its folder alone"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(world: Path, knowledge: dict[str, Any], said: str):
    """Whoever sets five epochs believes afterwards that five were trained."""
    with pytest.raises(RecipeError, match=re.escape(said)):
        recipe(world, ["kard"], knowledge=knowledge)


def test_what_only_the_data_tells_about_a_verifier_and_shots_is_told_before(world: Path):
    """Both were found after a night, when their stage came."""
    wanted = recipe(world, ["few-shot", "kard"], verifier={"model": "pocket/nano", "shots": 30}, few_shot={"shots": 99})
    told = problems(wanted)
    assert any(line.startswith("verifier: verification by a model compares options") for line in told)
    assert "few_shot.shots: 99 solved questions wanted, and there are 19 training questions; ask for fewer" in told
    assert "verifier.shots: 30 solved questions wanted, and there are 19 training questions; ask for fewer" in told
    assert len(told) == 3


def test_a_folder_that_holds_no_index_is_told(world: Path, tmp_path: Path):
    """A folder of another retriever, or of anything else, is there and yet is none."""
    (tmp_path / "faiss.bin").write_bytes(b"another retriever's")
    (told,) = problems(recipe(world, ["kard-bm25"], knowledge={"corpus": None, "index": str(tmp_path)}))
    assert told.startswith("knowledge.index: no index in")


def test_arms_that_look_nothing_up_need_no_knowledge(world: Path):
    assert not problems(recipe(world, ["reasoning-distillation"], knowledge=None))


# --- whose words search


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every query of every search."""
    queries: list[str] = []
    search = Bm25.search

    def noting(self: Bm25, asked: Sequence[str], k: int) -> list[list[Hit]]:
        queries.extend(asked)
        return search(self, asked, k)

    monkeypatch.setattr(Bm25, "search", noting)
    return queries


@pytest.mark.parametrize(
    "ending",
    [
        "\nAnswer: {a}",
        " --> {a}",
        " Therefore, the answer is {a}.",
        "\n#### {a}",
        "\nAnswer: {a}.",
        " So the right answer is {a}.",
    ],
)
def test_no_rationale_searches_with_its_answer_line(tmp_path: Path, searched: list[str], ending: str):
    """The published code does, so its passages are found by the letter of an option (K6)."""
    world = write_world(tmp_path, told=True)
    for name in ("rows.jsonl", "test.jsonl"):
        rows = read_jsonl(world / name)
        jsonl(world / name, [{**r, "why": [why + ending.format(a=r["answer"]) for why in r["why"]]} for r in rows])
    whole = write_recorded(world)
    study = study_of(recipe(world, teacher={"path": str(whole)}, knowledge={"reranker": None}), tmp_path / "run")
    taught = study.taught()
    assert all(ending.strip()[:4] in row["text"] for row in read_jsonl(taught.folder / "kept.jsonl"))
    for per in ("rationale", "question"):
        Knowledge(study, study.knowledge.settings.model_copy(update={"per": per})).beside(taught)
    for split in SPLITS:
        study.knowledge.silver(split)
    paired(study.knowledge, [rationale_from_json(row) for row in read_jsonl(taught.folder / "kept.jsonl")])
    assert len(searched) > 30
    assert not [query for query in searched if any(marker in query for marker in ("Answer:", "-->", "####"))]
    assert not [query for query in searched if "answer is" in query]


def write_recorded(world: Path) -> Path:
    """One file of rationales for all questions, as a teacher leaves it."""
    rows = [row for name in ("rows.jsonl", "test.jsonl") for row in read_jsonl(world / name)]
    return jsonl(
        world / "teacher.jsonl",
        [{"question": r["question"], "rationales": r["why"], "verdict": "correct"} for r in rows],
    )


def test_a_marker_in_the_middle_of_an_argument_is_searched_with():
    """Only a last line that gives the answer is none of the reasons."""
    question = Question("q", "t", "train", "Which?", ("a fork", "a spoon"), "B")
    for text in ("Soup --> spoons, since forks leak.", "Answer: B", "A fork leaks. Answer: A", "A fork leaks."):
        assert reasons(text, question, LETTER) == text
    assert reasons("A fork leaks.\nAnswer: B", question, LETTER) == "A fork leaks."
    assert reasons("Answer: A? No.\nAnswer: (B)", question, LETTER) == "Answer: A? No."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A fork leaks. Therefore, the correct answer is (B).", "A fork leaks."),
        ("A fork leaks.\n\nTherefore, option (B) is the correct answer.\nAnswer: B", "A fork leaks."),
        ("A fork leaks. So it is a spoon. The best answer is (B) a spoon.", "A fork leaks. So it is a spoon."),
        ("A fork leaks. The answer is (A).", None),
        ("The answer is (B).", None),
        ("A fork leaks. Option (B) is the correct answer because a spoon is deep enough to hold a whole soup.", None),
        ("A fork leaks.  So a spoon it is.", None),
    ],
)
def test_a_sentence_that_only_gives_the_answer_does_not_search(text: str, left: str | None):
    """It finds passages by the words of an option; one that argues besides is worth its words."""
    question = Question("q", "t", "train", "Which?", ("a fork", "a spoon"), "B")
    assert reasons(text, question, LETTER) == (text if left is None else left)


@pytest.mark.parametrize(
    ("kind", "words"), [("question", "Which one?"), ("question-and-choices", "Which one? red blue")]
)
def test_a_question_searches_with_its_choices_or_without_as_set(world: Path, tmp_path: Path, kind: str, words: str):
    """KARD searches with them; a list of wrong options finds wrong passages."""
    study = study_of(recipe(world, knowledge={"query": kind}), tmp_path, planning=True)
    assert study.knowledge.query(Question("q", "t", "test", "Which one?", ("red", "blue"), "A")) == words


def test_every_question_of_every_split_is_asked_once(world: Path, tmp_path: Path, searched: list[str]):
    study = study_of(recipe(world), tmp_path)
    found = read_hits(study.knowledge.asked())
    questions = [q for split in SPLITS for q in study.of(split)]
    assert found.keys() == {q.id for q in questions}
    assert searched == [q.text for q in questions]
    assert all([hit.rank for hit in row] == list(range(len(row))) for row in found.values())
    assert all(row == sorted(row, key=lambda hit: (-hit.score, hit.passage_id)) for row in found.values())


def test_by_question_all_rationales_of_a_question_show_what_its_first_one_finds(world: Path, tmp_path: Path):
    """KARD's own set-up, one passage a question, for comparison."""
    study = study_of(recipe(world, knowledge={"per": "question"}), tmp_path)
    taught = study.taught()
    kept = [rationale_from_json(row) for row in read_jsonl(taught.folder / "kept.jsonl")]
    first = {r.question_id: r.text for r in reversed(kept)}
    beside = study.knowledge.beside(taught)
    index = Bm25.open(study.knowledge.index().folder)
    assert read_hits(beside).keys() == first.keys()
    for id, text in first.items():
        assert [h.passage_id for h in read_hits(beside)[id]] == [h.passage_id for h in index.search([text], 10)[0]]
    prompts: dict[str, set[str]] = {}
    for row in read_jsonl(study.lessons.rationales(taught, beside=beside).folder / "train.jsonl"):
        prompts.setdefault(row["id"].split("#")[0], set()).add(row["prompt"])
    assert {len(mine) for mine in prompts.values()} == {1}
    assert sum(r.question_id in prompts for r in kept) > len(prompts), "some questions have two rationales"


# --- what is found and shown


class ByLength:
    """A reranker that likes long passages."""

    name, fingerprint = "by-length", "0"

    def __init__(self, source: object, device: str = "auto") -> None: ...

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        return [[float(len(p.text)) for p in row] for row in candidates]


@pytest.fixture
def by_length(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a reranker from outside."""
    module = ModuleType("lab")
    module.ByLength = ByLength  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lab", module)
    return {"path": "pocket/nano", "kind": "lab:ByLength"}


@pytest.mark.parametrize("candidates", [1, 3, 20])
def test_a_reranker_orders_as_many_candidates_as_set(
    world: Path, tmp_path: Path, by_length: dict[str, Any], candidates: int
):
    """Of a thousand candidates the longest would always win; of one nobody can choose."""
    wanted = recipe(world, knowledge={"candidates": candidates, "reranker": by_length})
    knowledge = study_of(wanted, tmp_path).knowledge
    asked, best, texts = read_hits(knowledge.asked()), read_hits(knowledge.reranked("test")), corpus_of(world)
    for id, hits in best.items():
        mine = [hit.passage_id for hit in asked[id][:candidates]]
        assert [hit.passage_id for hit in hits] == sorted(mine, key=lambda i: (-len(texts[i].text), i))[:10]


def test_a_question_that_finds_nothing_is_asked_without_passages(tmp_path: Path, by_length: dict[str, Any]):
    """No word of it need stand in the corpus, and a run of hours must not end there."""
    world = write_world(tmp_path)
    rows = read_jsonl(world / "test.jsonl")
    jsonl(world / "test.jsonl", [{"question": "Zyx wvu?", "answer": "none"}, *rows])
    study = study_of(recipe(world, knowledge={"reranker": by_length}), tmp_path / "run")
    (lost,) = [q.id for q in study.of("test") if q.text == "Zyx wvu?"]
    for stage in (study.knowledge.asked(), study.knowledge.reranked("test"), study.knowledge.silver("test")):
        assert read_hits(stage)[lost] == []
        assert study.knowledge.passages(stage, [lost]) == {lost: []}


def test_nobodys_question_finding_anything_is_no_fault(tmp_path: Path, by_length: dict[str, Any]):
    """A corpus of the wrong language gives a bad score, not a traceback."""
    world = write_world(tmp_path)
    jsonl(world / "corpus.jsonl", [{"id": "x", "title": "", "text": "Zyx wvu."}])
    study = study_of(recipe(world, knowledge={"reranker": by_length}), tmp_path / "run")
    assert not any(read_hits(study.knowledge.reranked("test")).values())
    rows = read_jsonl(study.lessons.answers(beside=study.knowledge.asked()).folder / "train.jsonl")
    assert {row["prompt"] for row in rows} == {q.text for q in study.of("train")}


def test_a_trained_reranker_reads_questions_without_candidates(tmp_path: Path):
    """Encoding nothing is a special case of every library."""
    world = write_world(tmp_path)
    knowledge = {"reranker": {"base": "pocket/nano", "epochs": 1, "searched": 2, "lora": None, "dimension": None}}
    jsonl(world / "test.jsonl", [{"question": "Zyx wvu?", "answer": "none"}])
    study = study_of(recipe(world, knowledge=knowledge), tmp_path / "run")
    assert list(read_hits(study.knowledge.reranked("test")).values()) == [[]]


def test_an_empty_corpus_is_told(tmp_path: Path):
    world = write_world(tmp_path)
    (world / "corpus.jsonl").write_text("")
    with pytest.raises(CorpusError, match="empty"):
        study_of(recipe(world), tmp_path / "run").knowledge.asked()


def test_a_corpus_of_one_passage_is_searched_and_teaches_no_reranker(tmp_path: Path):
    """There is nothing to choose from, and that is what the user must hear."""
    world = write_world(tmp_path)
    jsonl(
        world / "corpus.jsonl",
        [{"id": "x", "title": "", "text": "Mount Baleth, Lake Arno and Port Ilse stand stands."}],
    )
    study = study_of(recipe(world), tmp_path / "run")
    assert {len(row) for row in read_hits(study.knowledge.asked()).values()} <= {0, 1}
    with pytest.raises(TextError, match="no rankings to learn from"):
        study.knowledge.reranker()


# --- whose index


def test_a_users_own_index_gives_the_same_passages_as_its_corpus(world: Path, tmp_path: Path):
    """Ten million passages are indexed once, and not for every study."""
    Bm25.build(corpus_of(world).values(), tmp_path / "index")
    own = study_of(recipe(world, knowledge={"corpus": None, "index": str(tmp_path / "index")}), tmp_path / "own")
    made = study_of(recipe(world), tmp_path / "made")
    assert read_hits(own.knowledge.asked()) == read_hits(made.knowledge.asked())
    assert not stages(tmp_path / "own", "index")


def test_an_index_that_changed_on_disk_is_searched_again(world: Path, tmp_path: Path):
    """Yesterday's passages under today's index would be cited by ids that mean something else."""
    index = Bm25.build(corpus_of(world).values(), tmp_path / "index")
    wanted = recipe(
        world, ["kard-bm25"], knowledge={"corpus": None, "index": str(tmp_path / "index"), "reranker": None}
    )
    before = planned(wanted, tmp_path / "run", "kard-bm25")
    index.add([Passage("new", "Mount Baleth", "Mount Baleth is new.")])
    after = planned(wanted, tmp_path / "run", "kard-bm25")
    changed = {stage.name for name, stage in after.items() if name not in before}
    assert changed == {"asked", "beside", "silver", "silver-hits", "examples", "student", "score"}
    index.delete(["new"])
    assert planned(wanted, tmp_path / "run", "kard-bm25").keys() == before.keys()


def test_two_corpora_that_share_an_id_are_refused(tmp_path: Path):
    """One of the two would be cited for the other."""
    world = write_world(tmp_path)
    twin = jsonl(world / "twin.jsonl", [{**read_jsonl(world / "corpus.jsonl")[0], "text": "Something else."}])
    study = study_of(recipe(world, knowledge={"corpus": [str(world / "corpus.jsonl"), str(twin)]}), tmp_path / "run")
    with pytest.raises(CorpusError):
        study.knowledge.index()


class Alphabet:
    """A retriever from outside, as the protocol has it: it is opened with a folder, and knows nothing of k1 and b."""

    fingerprint = "alphabet"

    def __init__(self, rows: Iterable[dict[str, str]]) -> None:
        self.rows = {row["id"]: Passage(**row) for row in rows}

    @classmethod
    def build(cls, passages: Iterable[Passage], folder: Path) -> Alphabet:
        folder.mkdir(parents=True)
        jsonl(folder / "rows.jsonl", [{"id": p.id, "title": p.title, "text": p.text} for p in passages])
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Alphabet:
        return cls(read_jsonl(folder / "rows.jsonl"))

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        return [[Hit(id, -float(rank), rank) for rank, id in enumerate(sorted(self.rows)[:k])] for _ in queries]

    def score(self, query: str, passage_ids: Sequence[str]) -> list[float]:
        return [-float(sorted(self.rows).index(id)) for id in passage_ids]

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        return [self.rows[id] for id in ids]


def test_a_retriever_from_outside_runs_a_whole_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The recipe promises "package.module:Class"; k1 and b were forced upon it."""
    module = ModuleType("lab")
    module.Alphabet = Alphabet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lab", module)
    world = write_world(tmp_path, train=12, test=3)
    wanted = recipe(world, ["kard-bm25"], knowledge={"retriever": "lab:Alphabet", "reranker": None})
    assert not problems(wanted)
    run(wanted, "# text", world / "run", name="lab")
    first = min(corpus_of(world))
    assert {row["id"] for row in read_jsonl(world / "run" / "passages.jsonl")} == {first}
    student = world / "run" / "students" / "kard-bm25-seed1"
    found = LookUp(student, read_json(student / "tutelage.json")["knowledge"])
    assert [p.id for p in found.passages(Question("q", "t", "test", "Anything?", (), ""))] == [first]


# --- whose reranker


def test_a_reranker_trained_before_is_used_as_it_is(world: Path, tmp_path: Path):
    """A reranker of yesterday's study, or a published one, needs no training and no dev rationales."""
    first = study_of(recipe(world), tmp_path / "first")
    trained = first.knowledge.reranker()
    second = study_of(recipe(world, knowledge={"reranker": {"path": str(trained.folder)}}), tmp_path / "second")
    assert read_hits(second.knowledge.reranked("test")) == read_hits(first.knowledge.reranked("test"))
    assert not stages(tmp_path / "second", "reranker")


def test_a_path_may_begin_at_home(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`~` in a recipe is not expanded by a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "reranker").mkdir()
    (tmp_path / "reranker" / "config.json").write_text("{}")
    wanted = recipe(world, knowledge={"reranker": {"path": "~/reranker"}})
    assert study_of(wanted, tmp_path / "run").knowledge.reranker().folder == tmp_path / "reranker"


# --- what a record says


def test_a_passage_without_room_is_not_said_to_have_stood_there(world: Path, tmp_path: Path):
    """A report that cites what the student never read blames it for not using that."""
    changes = {"student": {"max_prompt_tokens": 45}, "knowledge": {"passages": 3, "reranker": None}}
    run(recipe(world, ["rag"], **changes), "# text", tmp_path / "run", name="rag")
    (score,) = stages(tmp_path / "run", "score")
    rows = read_jsonl(score / "predictions.jsonl")
    assert {len(row["hits"]) for row in rows} <= {1, 2}
    for row in rows:
        assert [hit["passage_id"] for hit in row["hits"]] == row["rationales"][0]["passage_ids"]


@pytest.mark.parametrize(("select", "split"), [("dev_accuracy", "dev"), ("dev_loss", "dev"), ("test_accuracy", "test")])
def test_an_epoch_is_chosen_with_passages_for_the_questions_that_choose_it(
    world: Path, tmp_path: Path, select: str, split: Split
):
    """With the passages of dev beside test questions a student that learnt with passages is shown none."""
    study = study_of(recipe(world, student={"select": select}, knowledge={"reranker": None}), tmp_path)
    shown = read_hits(study.knowledge.chosen_by(study.recipe.student))
    assert {q.id for q in study.of(split)} <= shown.keys()
