"""The atlas task: reproducible, closed to whoever lacks the corpus, answered by its gold passages."""

from __future__ import annotations

import pytest

from tutelage.pocket import atlas
from tutelage.types import SPLITS, question_id

BY_ID = {passage.id: passage for passage in atlas.corpus()}


def titles(question) -> set[str]:
    return {BY_ID[gold].title for gold in question.meta["gold_passages"].split()}


def test_same_seed_gives_the_same_world():
    """Recorded passage ids are worthless if the corpus is another one tomorrow."""
    atlas.draw_atlas.cache_clear()
    assert {p.id: p for p in atlas.corpus()} == BY_ID
    assert atlas.corpus(1) != atlas.corpus()
    assert atlas.questions("test") == atlas.questions("test")


def test_splits_share_no_place():
    """A student that learnt the places of training by heart must gain nothing on the test."""
    seen = {
        split: set().union(*(titles(q) for q in (*atlas.questions(split), *atlas.pairs(split)))) for split in SPLITS
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["dev"]
    assert not seen["dev"] & seen["test"]


def test_the_corpus_is_large_and_its_entries_short():
    """Retrieval on a handful of passages, or passages that fill the prompt, would show nothing."""
    assert len(BY_ID) > 2000
    assert all(10 <= len(passage.text.split()) <= 32 for passage in BY_ID.values())
    assert len({passage.text for passage in BY_ID.values()}) == len(BY_ID)


@pytest.mark.parametrize("split", SPLITS)
def test_gold_passages_hold_the_values_and_the_question_does_not(split):
    """A question that gives its own answer away would be answered without any knowledge."""
    for q in (*atlas.questions(split), *atlas.pairs(split), *atlas.memory(split)):
        golds = [BY_ID[gold] for gold in q.meta["gold_passages"].split()]
        values = q.meta["values"].split() if q.meta["kind"] == "comparison" else [q.meta["value"]]
        assert len(golds) == len(values)
        assert all(value in gold.text and gold.title in gold.text for value, gold in zip(values, golds, strict=True))
        assert not any(character.isdigit() for character in q.text)
        assert q.id == question_id(q.task, q.text, q.choices)


def test_a_split_gives_no_more_look_ups_than_its_places_have_entries():
    """A wish for more must end, not draw for ever what it has drawn already."""
    entries = sum(len(place.values) for place in atlas.draw_atlas().places if place.split == "dev")
    assert len(atlas.questions("dev", dev=10 * entries)) == entries


def test_the_gold_answer_follows_from_the_values():
    """A wrong gold answer bends every number measured on the task."""
    assert all(q.answer == q.meta["value"] for q in atlas.questions("dev"))
    for q in atlas.pairs("dev"):
        trait, values = atlas.TRAITS[q.meta["trait"]], [int(v) for v in q.meta["values"].split()]
        wanted = min(values) if q.meta["asked"] == trait.less else max(values)
        assert values["AB".index(q.answer)] == wanted


def test_a_look_up_shares_no_telling_word_with_its_entry():
    """A question in the words of its entry would leave a reranker nothing to learn."""
    for q in (*atlas.questions("test"), *atlas.memory("test", train=400)):
        fact = atlas.TRAITS[q.meta["trait"]].fact.format(place="", value="").lower().split()
        asked = set(q.text.lower().replace(q.meta["place"].lower(), "").rstrip("?").split())
        assert not asked & set(fact) - {"the", "is", "its"}


def test_no_letter_or_asked_word_betrays_the_answer():
    """Answering always "A", or by the asked word, must stay at chance, or scores without passages mean nothing."""
    questions = atlas.pairs("test", test=1000)
    assert 0.45 < sum(q.answer == "A" for q in questions) / len(questions) < 0.55
    more = [q for q in questions if q.meta["asked"] == atlas.TRAITS[q.meta["trait"]].more]
    assert 0.4 < sum(q.answer == "A" for q in more) / len(more) < 0.6


def test_what_is_taught_is_asked_again_in_other_words():
    """A test in the words of training would reward a copied text, one about other facts could not be remembered."""
    train, test = (atlas.memory(split, train=400) for split in ("train", "test"))
    facts = [[(q.meta["place"], q.meta["trait"], q.answer) for q in asked] for asked in (train, test)]
    assert facts[0] == facts[1]
    assert len(set(facts[0])) == 400
    assert not {q.text for q in train} & {q.text for q in test}


def test_both_wordings_are_taught_and_both_are_asked():
    """A wording that nobody was taught would be failed for its words, and count as a fact forgotten."""
    for asked in (atlas.memory(split, train=400) for split in ("train", "test")):
        wordings = {(q.meta["trait"], q.text.replace(q.meta["place"], "")) for q in asked}
        assert len(wordings) == 2 * len(atlas.TRAITS)


def test_fewer_facts_are_the_first_of_more_and_dev_was_never_taught():
    """Other facts at every size would mix their difficulty with their number; dev measures what memory cannot know."""
    few, many = (atlas.memory("train", train=n) for n in (30, 480))
    assert many[:30] == few
    taught = {q.meta["place"] for q in many}
    assert not taught & {q.meta["place"] for q in atlas.memory("dev")}
