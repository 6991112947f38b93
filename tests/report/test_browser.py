"""The page in a real browser: filters, keys, links, and no word to anyone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import Page
from looked_up import GATES, learning, look_up
from synthetic_run import HOSTILE, SKILLS

from tutelage.evaluation.compare import Comparison
from tutelage.report import Report, write_report

pytestmark = pytest.mark.browser
MakeRun = Callable[..., Path]


@pytest.fixture
def report(make_run: MakeRun) -> Report:
    return write_report(make_run(test=90))


def shown(page: Page) -> int:
    return int(page.js("document.documentElement.dataset.shown"))


def chosen(page: Page) -> str:
    return page.js("document.querySelector('.detail .question').textContent")


def file_of(report: Report) -> Path:
    return report.run.folder / "report.html"


def test_the_page_loads_nothing_and_complains_of_nothing(chromium: Page, report: Report):
    """One request more, and the report tells its server who reads it; one error, and half of it is dead."""
    chromium.complaints.clear()
    page = chromium.open(file_of(report))
    assert page.requests == [file_of(report).resolve().as_uri()]
    assert page.js("document.documentElement.dataset.ready") == "yes"
    assert page.complaints == []


def test_hostile_texts_are_shown_as_text(chromium: Page, make_run: MakeRun):
    """The one test that cannot be fooled by a regular expression: the browser itself says what became an element."""
    run = make_run(test=8, hostile=True, choices=True, votes=3)
    write_report(run)
    chromium.complaints.clear()
    page = chromium.open(run / "report.html", "#q=q-hostile")
    assert chosen(page) == HOSTILE
    assert HOSTILE in page.js("[...document.querySelectorAll('.rationale')].map(e => e.textContent)")
    assert page.js("document.querySelectorAll('img, .question b, .rationale b').length") == 0
    assert "broken" not in page.js("document.title")
    assert page.complaints == []


def test_won_and_lost_open_just_these_questions(chromium: Page, report: Report):
    """The number in the table and the list behind it must be the same questions."""
    pair: Comparison = report.comparisons[0]
    page = chromium.open(file_of(report), f"#a={pair.a}&b={pair.b}&filter=right-wrong")
    assert shown(page) == pair.a_only
    page.js("document.querySelector('.pairs tbody tr a:nth-of-type(2)').click()")
    page.js("new Promise(go => setTimeout(go, 50))")
    assert shown(page) == pair.b_only
    assert page.js("document.querySelector('[name=filter]').value") == "wrong-right"


@pytest.mark.parametrize("filter_", ["unread", "a-unread", "all-right", "none-right", "a-right", "a-wrong"])
def test_filters_show_what_the_predictions_say(chromium: Page, report: Report, filter_: str):
    """A filter that drops one question hides the very failure one is looking for."""
    answered = {
        q.id: [
            [{p.question_id: p for p in t.predictions}[q.id].verdict[0] for t in a.by_seed.values()]
            for a in report.arms
        ]
        for q in report.run.questions
    }
    rules: dict[str, Callable[[list[list[str]]], bool]] = {
        "unread": lambda v: any("u" in seeds for seeds in v),
        "a-unread": lambda v: "u" in v[0],
        "all-right": lambda v: all(x == "c" for seeds in v for x in seeds),
        "none-right": lambda v: all(x != "c" for seeds in v for x in seeds),
        "a-right": lambda v: set(v[0]) == {"c"},
        "a-wrong": lambda v: "w" in v[0],
    }
    page = chromium.open(file_of(report), f"#a=fine-tuning&filter={filter_}")
    assert shown(page) == sum(rules[filter_](verdicts) for verdicts in answered.values())


def test_search_finds_words_in_questions_and_rationales(chromium: Page, report: Report):
    """Words in any order; rationales only when asked, since all of them speak of adding."""
    texts = [q.text.lower() for q in report.run.questions]
    page = chromium.open(file_of(report), "#search=BEADS+tova")
    assert shown(page) == sum("beads" in t and "tova" in t for t in texts)
    assert shown(chromium.open(file_of(report), "#search=count+step")) == 0
    assert shown(chromium.open(file_of(report), "#search=count+step&deep=1")) > 0
    assert shown(chromium.open(file_of(report), "#search=nosuchword")) == 0
    assert "No question fits" in page.js("document.querySelector('.list').textContent")


def test_keys_lead_through_the_questions(chromium: Page, report: Report):
    """Reading a hundred answers with the mouse is reading ten."""
    page = chromium.open(file_of(report))
    questions = [q.text for q in report.run.questions]
    assert chosen(page) == questions[0]
    page.press("j")
    page.press("j")
    assert chosen(page) == questions[2]
    page.press("k")
    assert chosen(page) == questions[1]
    page.press("/")
    page.press("j")
    assert page.js("document.querySelector('[name=search]').value") == "j"
    page.js("document.querySelector('.list').focus()")
    page.js("document.querySelector('.reset').click()")
    page.js("document.querySelector('.list').focus()")
    page.press("End")
    assert chosen(page) == questions[-1]
    assert (
        page.js("document.querySelector('.list').getAttribute('aria-activedescendant')") == f"row-{len(questions) - 1}"
    )


def test_the_address_leads_back_to_the_same_view(chromium: Page, report: Report):
    """A link to a failure is how people talk about it."""
    page = chromium.open(file_of(report), "#filter=right-wrong&sort=hard")
    page.press("j")
    question, address = chosen(page), page.js("location.hash")
    assert chosen(chromium.open(file_of(report), address)) == question
    assert "filter=right-wrong" in address


def test_a_detail_shows_every_arm_seed_and_vote(chromium: Page, make_run: MakeRun):
    """A vote that cannot be looked into cannot be trusted."""
    run = make_run(test=6, votes=5)
    report = write_report(run)
    first = report.run.questions[0].id
    page = chromium.open(run / "report.html", f"#q={first}")
    cards = page.js("[...document.querySelectorAll('.card')].map(c => c.textContent)")
    assert len(cards) == 2
    assert page.js("document.querySelectorAll('.card .answer').length") == 4
    assert page.js("document.querySelectorAll('.card .rationale').length") == 4 * 5
    for arm in report.arms:
        (card,) = [c for c in cards if c.startswith(arm.title)]
        for trained in arm.by_seed.values():
            prediction = next(p for p in trained.predictions if p.question_id == first)
            votes = sum(r.answer == prediction.answer is not None for r in prediction.rationales)
            assert f"{votes} of 5 votes" in card


@pytest.mark.parametrize(("width", "dark"), [(360, False), (820, True), (1600, False)])
def test_nothing_stands_out_of_the_window(chromium: Page, make_run: MakeRun, width: int, dark: bool):
    """A page that scrolls sideways is not read on a phone."""
    run = make_run(test=12, arms=tuple(SKILLS), seeds=(1, 2, 3))
    write_report(run)
    page = chromium.open(run / "report.html", width=width, dark=dark)
    assert page.js("document.documentElement.scrollWidth") <= width
    dark_paper = page.js("getComputedStyle(document.body).backgroundColor").startswith("rgb(1")
    assert dark_paper is dark


def test_curves_can_be_hovered_and_hidden(chromium: Page, report: Report):
    """Seven arms in one plot are told apart only one by one."""
    page = chromium.open(file_of(report), height=4000)
    place = page.js(
        "(r => [r.left + r.width / 2, r.top + 20])(document.querySelector('.field').getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    tip = page.js("document.querySelector('.tip').textContent")
    assert tip.startswith("epoch ")
    assert "Fine-tuning" in tip
    page.js("document.querySelector('.legend button').click()")
    assert page.js("document.querySelectorAll('.curves .gone[data-arm=\"0\"]').length") >= 2 * 3
    assert page.js("document.querySelectorAll('.curves .gone[data-arm=\"1\"]').length") == 0


HOVER = """
(() => {
  const field = document.querySelector(".learning .field"), box = field.getBoundingClientRect();
  field.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + %s * box.width, clientY: box.top + 9 }));
})()
"""
"""The pointer at a share of the width of the first plot."""

SWEEP = ("fine-tuning", *(f"mentor-kd temperature=0.5 soft_labels.weight=0.{n}" for n in range(1, 10)), "mentor")


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_a_sweep_with_long_names_stays_in_the_window(chromium: Page, make_run: MakeRun, width: int, dark: bool):
    """Names of sweeps are the longest there are; everything that can be opened is opened."""
    run = make_run(test=12, arms=SWEEP, mentors=True, terms=dict.fromkeys(SWEEP[1:-1], 3.0))
    write_report(run)
    chromium.complaints.clear()
    page = chromium.open(run / "report.html", width=width, dark=dark)
    page.js("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.js("document.querySelectorAll('.sweep .spot').length") == 9
    assert page.js("document.querySelectorAll('.term-figure').length") == 9
    colours = "[...document.querySelectorAll('.legend .swatch')].map(e => getComputedStyle(e).backgroundColor)"
    assert len(set(page.js(colours))) == len(SWEEP), "no two arms may look alike"
    for place in (0.1, 0.45, 0.55, 0.95):
        page.js(HOVER % place)
        left, right = page.js("(r => [r.left, r.right])(document.querySelector('.tip').getBoundingClientRect())")
        assert 0 <= left < right <= width
    assert page.complaints == []


def test_a_reference_is_not_what_one_starts_with(chromium: Page, make_run: MakeRun):
    """A and B open with the best student and the baseline."""
    run = make_run(test=40, arms=("fine-tuning", "mentor-kd", "mentor"))
    write_report(run)
    page = chromium.open(run / "report.html")
    assert page.js("document.querySelector('[name=a]').value") == "mentor-kd"
    assert page.js("document.querySelector('.legend [data-arm=\"2\"]').textContent.trim()").endswith("(reference)")


def test_terms_can_be_hovered_and_arms_lit(chromium: Page, make_run: MakeRun):
    """The tip of a plot of terms names terms, not arms; one line among twelve is found by its name."""
    run = make_run(test=9, arms=("fine-tuning", "mentor-kd", "mcc-kd"), terms={"mentor-kd": 3.0, "mcc-kd": 9.0})
    write_report(run)
    page = chromium.open(run / "report.html", height=6000)
    place = page.js(
        "(r => [r.right - 1, r.top + 20])"
        "(document.querySelectorAll('.term-figure')[1].querySelectorAll('.field')[1].getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    tip = page.js("[...document.querySelectorAll('.tip')].filter(t => !t.hidden).map(t => t.textContent).join()")
    norm = 1.5 * 0.62**5
    assert tip == f"epoch 10rationale{norm:.3f}soft{norm / 9:.3f}"
    page.js("document.querySelector('.legend [data-arm=\"1\"]').focus()")
    assert page.js("document.querySelectorAll('.learning .dim[data-arm=\"1\"]').length") == 0
    assert page.js("document.querySelectorAll('.learning .dim').length") >= 2 * 2 * 3


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1280, True)])
def test_answers_cite_their_passages_folded(chromium: Page, make_run: MakeRun, width: int, dark: bool):
    """Title, score, whether it is right and was shown, its words; closed until wanted, never wider than the window."""
    run = make_run(test=9, arms=("fine-tuning", "kard"), seeds=(1,))
    look_up(run, history=learning(0.3, 0.5, 0.8), gates=GATES, unshown=1, text=f"{HOSTILE} {'long' * 90}")
    report = write_report(run)
    chromium.complaints.clear()
    page = chromium.open(run / "report.html", f"#q={report.run.questions[0].id}", width=width, dark=dark)
    assert page.js("document.querySelectorAll('.passages').length") == 1
    assert page.js("document.querySelector('.passages').open") is False
    assert page.js("document.querySelector('.passages summary').textContent") == "2 passages found, 1 right"
    page.js("document.querySelector('.passages summary').click()")
    first, second = page.js(
        "[...document.querySelectorAll('.cited li')].map(e => e.innerText.split('\\n').join(' | '))"
    )
    assert first.startswith("Jar p-0 | score 9.50 | right")
    assert "not shown: no room" in second
    assert "</script>" in second
    assert page.js("document.querySelectorAll('img, .cited p b').length") == 0
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.complaints == []


def test_the_curves_of_a_reranker_can_be_hovered(chromium: Page, make_run: MakeRun):
    """The tip names the reranker and the question, not the arms that happen to have their numbers."""
    run = look_up(make_run(test=5, arms=("fine-tuning", "kard"), seeds=(1,)), history=learning(0.3, 0.5, 0.8))
    write_report(run)
    page = chromium.open(run / "report.html", height=6000)
    place = page.js(
        "(r => [r.right - 1, r.top + 20])"
        "(document.querySelectorAll('[aria-labelledby=found-title] [data-panel] .field')[1].getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    tip = page.js("[...document.querySelectorAll('.tip')].filter(t => !t.hidden).map(t => t.textContent).join()")
    assert tip == "epoch 2reranker0.800question alone0.600"


TYPE_SHELLS = """
(() => {
  const start = performance.now(), search = document.querySelector("[name=search]");
  search.value = "shells";
  search.dispatchEvent(new Event("input", { bubbles: true }));
  return performance.now() - start;
})()
"""
"""Milliseconds that one key stroke takes."""


@pytest.mark.slow
def test_a_large_study_stays_quick(chromium: Page, make_run: MakeRun):
    """1300 questions, 7 arms, 3 seeds: a list drawn whole would be 27,300 marks at every key stroke."""
    run = make_run(test=1300, arms=tuple(SKILLS), seeds=(1, 2, 3))
    write_report(run)
    page = chromium.open(run / "report.html")
    assert page.js("document.querySelectorAll('.list li').length") < 200
    took = page.js(TYPE_SHELLS)
    assert 0 < shown(page) < 1300
    assert took < 2000


def test_the_data_of_the_page_is_that_of_the_report(chromium: Page, report: Report):
    """Marks counted in the browser must give the accuracy in the table."""
    page = chromium.open(file_of(report))
    data = json.loads(page.js("document.getElementById('data').textContent"))
    for arm, verdicts in zip(data["arms"], data["verdicts"], strict=True):
        assert sum(row.count("c") for row in verdicts) == report.scores[arm["arm"]].correct
