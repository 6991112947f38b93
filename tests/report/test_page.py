"""The page as a file: nothing from outside, nothing that runs but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from looked_up import GATES, learning, look_up
from synthetic_run import HOSTILE

from tutelage.report import write_report
from tutelage.report.page import digest, duration, script_json, whole_words, yield_row
from tutelage.types import prediction_from_json

MakeRun = Callable[..., Path]


class Elements(HTMLParser):
    """Every element with its attributes, and the text of those that hold data."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = (dict(attrs).get("id") or tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside] = self.texts.get(self.inside, "") + data


def read_page(run: Path) -> Elements:
    write_report(run)
    return Elements((run / "report.html").read_text(encoding="utf-8"))


def test_the_page_asks_for_nothing(make_run: MakeRun):
    """A report opened on a train, or in ten years, must look the same; and it must tell nobody that it was opened."""
    for tag, attributes in read_page(make_run(test=8, hostile=True, choices=True)).found:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "video", "audio")
        assert "src" not in attributes
        assert not (attributes.get("href") or "#").startswith(("http", "//", "data", "javascript"))


def test_texts_of_models_are_never_markup(make_run: MakeRun):
    """Models write </script> sooner or later; a page that runs it belongs to the model."""
    page = read_page(make_run(test=8, hostile=True, choices=True, votes=3))
    assert "img" not in {tag for tag, _ in page.found}
    assert [tag for tag, _ in page.found].count("script") == 1 + 4 + 1 + 1
    data = json.loads(page.texts["data"])
    assert data["questions"][-1]["text"] == HOSTILE
    assert "<" not in page.texts["data"]
    assert json.loads(page.texts["texts-1-1"])[-1][1][0][0] == HOSTILE


def test_titles_and_recipes_are_never_markup(make_run: MakeRun):
    """What the user wrote is text too: an arm called <b> is not bold."""
    run = make_run(test=8)
    results = json.loads((run / "results.json").read_text())
    results.update(title=HOSTILE, recipe_text=HOSTILE, command=HOSTILE, warnings=[HOSTILE])
    results["arms"][0]["title"] = results["arms"][2]["title"] = HOSTILE
    results["sources"][0].update(source=HOSTILE, arms=[HOSTILE], notes=[HOSTILE])
    results["sources"][0]["yield"][HOSTILE] = 3
    results["soft_labels"] = [{"mentor": HOSTILE, "tokens": 3}]
    (run / "results.json").write_text(json.dumps(results))
    page = read_page(run)
    assert "img" not in {tag for tag, _ in page.found}
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)


def test_only_the_pages_own_script_may_run(make_run: MakeRun):
    """The policy in the page is the second lock, should the escaping ever fail."""
    page = read_page(make_run(test=8))
    policy = next(a["content"] or "" for tag, a in page.found if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    for key, rule in (("script", "script-src"), ("style", "style-src")):
        hashed = base64.b64encode(hashlib.sha256(page.texts[key].encode()).digest()).decode()
        assert f"{rule} 'sha256-{hashed}'" in policy
    assert "unsafe" not in policy
    assert not any("style" in attributes for _, attributes in page.found)


def test_every_prediction_is_in_the_page(make_run: MakeRun):
    """The verdicts shown for a question must be its own: by id, whatever the order of the files."""
    run = make_run(test=25, votes=3)
    path = run / "stages/score-fine-tuning-2/predictions.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(reversed(lines)) + "\n")
    page = read_page(run)
    data = json.loads(page.texts["data"])
    places = {question["id"]: n for n, question in enumerate(data["questions"])}
    texts = json.loads(page.texts["texts-0-2"])
    for prediction in (prediction_from_json(json.loads(line)) for line in lines):
        at = places[prediction.question_id]
        assert data["verdicts"][0][1][at] == prediction.verdict[0]
        answer, rationales, _ = texts[at]
        assert answer == prediction.answer
        assert [r[:2] for r in rationales] == [[r.text, r.answer] for r in prediction.rationales]


def test_the_yield_adds_up(make_run: MakeRun):
    """A part left out of the bar is a loss nobody hears of; one never seen before must show as well."""
    run = make_run(test=4)
    results = json.loads((run / "results.json").read_text())
    results["sources"][0]["yield"] = {
        "wrong": 10,
        "kept": 60,
        "asked": 100,
        "cut off": 5,
        "eaten by the dog": 25,
        "empty": 0,
    }
    (run / "results.json").write_text(json.dumps(results))
    (source,) = write_report(run).sources
    shown = yield_row(source)
    assert [(p["name"], p["kind"], p["start"], p["width"]) for p in shown["parts"]] == [
        ("kept", "kept", 0, 60),
        ("wrong", "wrong", 60, 10),
        ("cut off", "cut-off", 70, 5),
        ("eaten by the dog", "other", 75, 25),
    ]


def test_questions_are_divided_among_teacher_and_mentors(make_run: MakeRun):
    """A bar that counts a question twice makes the mentor look better than it was."""
    report = write_report(make_run(test=4, arms=("fine-tuning", "mentor-kd"), seeds=(1, 2), mentors=True))
    teacher, mentor = map(yield_row, report.sources)
    assert teacher["covered"] == []
    assert [(p["name"], p["count"]) for p in mentor["covered"]] == [
        ("from the teacher", 2 * 540 - 2 * 340),
        ("filled by the mentor", 231 + 232),
        ("still without", 2 * 340 - 231 - 232),
    ]
    assert mentor["covered"][-1]["start"] + mentor["covered"][-1]["width"] == pytest.approx(100, abs=0.01)


def read_text(run: Path) -> str:
    """What stands on the page without scripts."""
    text = re.sub(r"<(script|style).*?</\1>", "", (run / "report.html").read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", text).split())


def test_the_page_tells_of_mentors_terms_soft_labels_and_references(make_run: MakeRun):
    """All that a mentor's arms leave has a place to be looked up; none of it may hide behind a hover."""
    arms = ("fine-tuning", "mentor-kd", "mentor")
    run = make_run(test=30, arms=arms, mentors=True, terms={"mentor-kd": 3.0})
    write_report(run)
    text = read_text(run)
    for words in ("Mentor pocket/mini", "for Mentor-KD", "2 seeds (1, 2), summed"):
        assert words in text
    assert "The teacher left 680 without a rationale; the mentors filled 463 of them (68.1%)." in text
    assert "80,003 tokens in 2 caches, top 16, temperature 1, 100 bytes a token, 8.0 MB" in text
    assert "What their losses are made of" in text
    assert text.count("The mentor itself (reference)") == 2, "in the table and in the legend"


def test_the_page_tells_what_was_found(make_run: MakeRun):
    """Searches, gates and rerankers stand on the page as text, leaks in words and not by colour alone."""
    run = make_run(test=8, arms=("fine-tuning", "kard"), seeds=(1, 2))
    look_up(run, history=learning(0.3, 0.8), gates=GATES, leaks="it knows the answer")
    write_report(run)
    text = read_text(run)
    for words in (
        "What was found",
        "BM25 by words that know the answer (leaks) 95.0% [92.4, 96.7]",
        "answers without passages",
        "How the reranker learnt",
        "Epoch 1 of 1 was kept, chosen by nDCG@10 on dev: Hits@1 40.0% (by the question 30.0%)",
        "KARD (leaks)",
    ):
        assert words in text
    assert "What was found" not in read_text_of(make_run(test=4))


def read_text_of(run: Path) -> str:
    write_report(run)
    return read_text(run)


def test_of_many_pairs_most_stand_behind_show_all(make_run: MakeRun):
    """190 rows hide the one that matters; none may be lost."""
    arms = ("fine-tuning", *(f"mentor-kd samples={n}" for n in (1, 2, 4, 8, 16)))
    run = make_run(test=20, arms=arms, seeds=(1,))
    report = write_report(run)
    shown, found, more = (
        (run / "report.html").read_text().partition(f"Show the other {report.leading.count(False)} pairs")
    )
    assert found
    assert shown.count('<span class="versus">') == report.leading.count(True) in (9, 10)
    assert more.count('<span class="versus">') == report.leading.count(False)
    assert len(report.comparisons) == 15
    pairs = {(c.a, c.b) for c, leads in zip(report.comparisons, report.leading, strict=True) if leads}
    assert ("mentor-kd samples=4", "mentor-kd samples=2") in pairs
    assert {b for _, b in pairs} >= {"fine-tuning"}


def test_figures_can_be_read_without_the_script(make_run: MakeRun):
    """Printed, mailed or blocked, the findings are still there."""
    run = make_run(test=40)
    report = write_report(run)
    text = re.sub(r"<script.*?</script>", "", (run / "report.html").read_text(), flags=re.DOTALL)
    bare = " ".join(re.sub(r"<[^>]+>", "", text).split())
    assert report.headline in bare
    for score in report.scores.values():
        assert f"{100 * score.accuracy:.1f}%" in bare
    assert report.findings[0] in bare
    assert "214 kept" in bare


@pytest.mark.parametrize("value", [["</script>", "<!--", "]]>", "&amp;"], {"a": "\u2028 \ud800 ☃"}])
def test_embedded_json_survives(value: Any):
    """What is escaped for the page must come back as it was."""
    text = str(script_json(value))
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_digests_are_those_of_the_standard():
    """A wrong hash leaves a page without script or style."""
    assert digest("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


def test_hyphenated_names_stay_whole_and_escaped():
    """Fine- / tuning at the end of a headline's line looks broken."""
    assert whole_words("No <b> fine-tuning") == 'No &lt;b&gt; <span class="whole">fine-tuning</span>'


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (48, "48 s"), (142, "2 min 22 s"), (11_100, "3 h 5 min")])
def test_durations_come_in_units_that_suit_them(seconds: float, text: str):
    """11100 s is no time of day."""
    assert duration(seconds) == text
