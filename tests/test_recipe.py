"""Recipes: wrong ones are told all their faults at once, before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tutelage.errors import RecipeError
from tutelage.recipe import PUBLISHED, Recipe, builtin, find, load, override, parse

MINIMAL = {"task": {"name": "pocket/steps"}, "student": {"model": "pocket/nano"}, "arms": ["fine-tuning"]}


def test_a_minimal_recipe_needs_three_sections():
    """Every further key must have a sane default, or the first recipe of a newcomer fails."""
    recipe = parse(MINIMAL, where="r")
    assert recipe.arms[0].name == recipe.arms[0].method == "fine-tuning"
    assert recipe.seeds == [1]


def test_all_problems_are_told_at_once_with_key_and_nearest_name():
    """One error a try makes a user run the check eight times."""
    raw = {
        "task": {"name": "pocket/steps"},
        "studnt": {},
        "student": {"model": "pocket/nano", "learning_rat": 3, "epochs": 0, "lora": {"rnk": 3}},
        "arms": ["fine-tuning", {"metod": "x"}],
        "seeds": [1, 1],
    }
    with pytest.raises(RecipeError) as caught:
        parse(raw, where="my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: 7 problem(s):")
    for part in (
        "recipe: no key 'studnt'; did you mean 'student'?",
        "student: no key 'learning_rat'; did you mean 'learning_rate'?",
        "student.lora: no key 'rnk'; did you mean 'rank'?",
        "student.epochs: Input should be greater than 0; got 0",
        "arms.1.method: missing",
        "seeds: a seed stands twice",
    ):
        assert part in message


def test_overrides_change_one_value_and_read_numbers_as_people_write_them(tmp_path: Path):
    """YAML reads 3e-4 as text; a learning rate that silently stays a string would fail late."""
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    recipe, text = load(str(path), ["student.learning_rate=3e-4", "seeds=[4, 5]", "score.votes=5", "teacher.samples=2"])
    assert recipe.student.learning_rate == 3e-4
    assert recipe.seeds == [4, 5]
    assert recipe.score.votes == 5
    assert recipe.teacher is not None
    assert recipe.teacher.samples == 2
    assert text == path.read_text()


@pytest.mark.parametrize("wrong", ["student.epochs", "=3", "studnt.epochs=3"])
def test_a_wrong_override_is_refused(tmp_path: Path, wrong: str):
    """A mistyped override that is ignored gives the numbers of another setting."""
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(RecipeError):
        load(str(path), [wrong])


def test_an_unknown_recipe_names_the_nearest():
    """A typo in the first command of the README should cost seconds."""
    with pytest.raises(RecipeError, match="did you mean 'pocket/steps'"):
        find("pocket/step")
    with pytest.raises(RecipeError, match=r"no file 'gone\.yaml'"):
        find("gone.yaml")


def test_a_file_that_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path):
    """The message must name the recipe, not a line of the YAML library."""
    path = tmp_path / "r.yaml"
    for text in ("- a\n- b\n", "a: [1,\n"):
        path.write_text(text)
        with pytest.raises(RecipeError, match=r"r\.yaml"):
            load(str(path))


def test_an_arm_may_change_settings_for_itself_alone():
    """A sweep over one value must not need a recipe for each point."""
    raw = {
        **MINIMAL,
        "arms": ["fine-tuning", {"method": "fine-tuning", "name": "longer", "set": {"student.epochs": 4}}],
    }
    recipe = parse(raw, where="r")
    assert recipe.for_arm(recipe.arms[0]).student.epochs == 10
    assert recipe.for_arm(recipe.arms[1]).student.epochs == 4


def test_two_arms_of_one_name_are_refused():
    """Rows of the same name in the table cannot be told apart."""
    with pytest.raises(RecipeError, match="stands twice"):
        parse({**MINIMAL, "arms": ["fine-tuning", "fine-tuning"]}, where="r")


def test_arms_chosen_by_name_keep_their_settings():
    """A few arms of a study must be those arms, or their numbers are of something else."""
    names = ["reasoning-distillation", "soft labels only", "mentor-kd", "mcc-kd"]
    chosen, _ = load("pocket/mentor-kd", [f"arms=[{', '.join(names)}]"])
    whole = {arm.name: arm for arm in load("pocket/mentor-kd")[0].arms}
    assert [arm.name for arm in chosen.arms] == names
    assert chosen.arms[:3] == [whole[name] for name in names[:3]]
    assert chosen.arms[1].set == {"mentor.samples": 0, "student.epochs": 28}
    assert (chosen.arms[3].method, chosen.arms[3].set) == ("mcc-kd", {})


def test_override_leaves_the_original_alone():
    """Arms share one raw recipe; a change for one must not leak into the next."""
    raw = {"student": {"epochs": 1}}
    assert override(raw, {"student.epochs": 2, "score.votes": 3}) == {"student": {"epochs": 2}, "score": {"votes": 3}}
    assert raw == {"student": {"epochs": 1}}


@pytest.mark.parametrize("name", list(builtin()))
def test_every_built_in_recipe_is_valid_and_says_what_it_is(name: str):
    """A shipped recipe with a mistyped key would fail in a user's hands."""
    recipe, text = load(name)
    assert recipe.arms
    assert text.startswith("# ")


@pytest.mark.parametrize("key", ["task.limit", "seeds", "compute.threads"])
def test_an_arm_may_not_change_what_all_arms_share(key: str):
    """The questions are loaded once for all arms; a changed limit would be ignored and reported as a finding."""
    with pytest.raises(RecipeError, match="the same for all arms"):
        parse({**MINIMAL, "arms": [{"method": "fine-tuning", "set": {key: 5}}]}, where="r")


def with_mentor(**more: Any) -> Recipe:
    raw = {
        "task": {"name": "pocket/steps"},
        "teacher": {"backend": "pocket"},
        "student": {"model": "pocket/nano", "epochs": 7, "lora": {"rank": 2}},
        "mentor": {"model": "pocket/mini", "samples": 2},
        "arms": ["mentor-kd"],
    }
    return parse({**raw, **more}, where="r")


def test_a_mentor_takes_over_what_it_does_not_say_from_the_student():
    """Limits that differ by accident would cut the mentor's rationales where the student's are whole."""
    recipe = with_mentor(mentor={"model": "pocket/mini", "mentor": {"model": "pocket/mini", "epochs": 3}})
    assert recipe.mentor is not None
    assert recipe.mentor.epochs == 7
    assert recipe.mentor.lora is None, "adapters are for one model"
    assert [m.epochs for m in recipe.mentors] == [3, 7], "the one nearest to the teacher first"


def test_an_arm_that_changes_the_student_leaves_the_mentor_alone():
    """A sweep over the student's settings must not train the mentor anew."""
    recipe = with_mentor(arms=[{"method": "mentor-kd", "set": {"student.epochs": 2}}])
    seen = recipe.for_arm(recipe.arms[0])
    assert (seen.student.epochs, seen.mentor and seen.mentor.epochs) == (2, 7)


def test_a_sweep_is_one_arm_for_each_combination():
    """Forty lines of arms in a recipe hide the one number that differs."""
    sweep = {"mentor.samples": [1, 3], "soft_labels.weight": [0, 0.5]}
    recipe = with_mentor(arms=["mentor-kd", {"method": "mentor-kd", "name": "kd", "sweep": sweep}])
    assert [arm.name for arm in recipe.arms] == [
        "mentor-kd",
        "kd samples=1 weight=0",
        "kd samples=1 weight=0.5",
        "kd samples=3 weight=0",
        "kd samples=3 weight=0.5",
    ]
    last = recipe.for_arm(recipe.arms[-1])
    assert last.mentor is not None
    assert (last.mentor.samples, last.soft_labels.weight) == (3, 0.5)
    assert recipe.most_samples(last.mentor) == 3
    (other,) = with_mentor(arms=[{"method": "mentor-kd", "set": {"mentor.temperature": 1.3}}]).arms
    hotter = recipe.for_arm(other).mentor
    assert hotter is not None
    assert recipe.most_samples(hotter) == 2, "a mentor that writes otherwise shares nothing"


def test_published_sets_what_the_published_code_did_for_all_arms_or_one():
    """A switch that leaves one convention out measures a mixture that nobody published."""
    theirs = {"method": "mentor-kd", "name": "as published", "set": {"published": True}}
    recipe = with_mentor(arms=["mentor-kd", theirs])
    ours, published = (recipe.for_arm(arm) for arm in recipe.arms)
    assert ours.student.select == "dev_accuracy"
    for key, value in PUBLISHED.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(published, section), name) == value, key
        assert getattr(getattr(ours, section), name) != value, key


def test_an_arm_may_not_be_published_and_corrected_at_once():
    """`published` decided, and the arm's own value was dropped without a word: a row named for what it did not do."""
    mixed = {"method": "mentor-kd", "set": {"published": True, "student.select": "dev_accuracy"}}
    with pytest.raises(RecipeError, match=r"sets 'student\.select'"):
        with_mentor(arms=[mixed])
    inside = {"method": "mentor-kd", "set": {"published": True, "mentor": {"select": "dev_loss"}}}
    with pytest.raises(RecipeError, match=r"sets 'mentor\.select'"):
        with_mentor(arms=[inside])
    assert with_mentor(arms=[{"method": "mentor-kd", "set": {"published": True, "student.epochs": 2}}]).arms


def test_what_contradicts_published_is_refused_at_the_top_and_counts_in_an_arm():
    """Explicit values were overwritten without a word, at every parse again."""
    with pytest.raises(RecipeError, match=r"sets 'soft_labels\.scaled'"):
        with_mentor(published=True, soft_labels={"scaled": True})
    one = {"method": "mentor-kd", "set": {"student.select": "last", "soft_labels.live": False}}
    recipe = with_mentor(published=True, arms=[one])
    seen = recipe.for_arm(recipe.arms[0])
    assert (seen.student.select, seen.soft_labels.live) == ("last", False)
    assert (seen.soft_labels.scaled, seen.student.schedule) == (False, "constant"), "the rest is as published"
    undone = with_mentor(published=True, arms=[{"method": "mentor-kd", "set": {"published": False}}])
    with pytest.raises(RecipeError, match="give it to the arms that are to have it"):
        undone.for_arm(undone.arms[0])


@pytest.mark.parametrize("where", ["top", "arm"])
def test_published_reaches_every_mentor_of_a_chain(where: str):
    """The inner mentor chose its epoch on the test split, as nobody ever did."""
    chain = {"model": "pocket/nano", "mentor": {"model": "pocket/mini", "mentor": {"model": "pocket/mini"}}}
    arm = {"method": "mentor-kd", "set": {"published": True} if where == "arm" else {}}
    recipe = with_mentor(mentor=chain, arms=[arm], **({"published": True} if where == "top" else {}))
    assert [m.select for m in recipe.for_arm(recipe.arms[0]).mentors] == ["last"] * 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"soft_labels": {"loss": "logit-mse", "live": True, "temperature": 2}}, "it has no temperature"),
        ({"soft_labels": {"loss": "hidden-mse", "live": True}, "student.lora": {"rank": 4}}, "cannot train adapters"),
        ({"soft_labels": {"live": True, "top_k": 4}}, "`top_k` is for the cache"),
        ({"soft_labels": {"draws": 8, "top_k": 4}}, "leave `top_k` out"),
        ({"student.schedule": "constant", "student.warmup": 0.5}, "has no warm-up"),
        ({"student.select": "last", "student.patience": 2}, "`patience` waits for a better epoch"),
    ],
)
def test_what_cannot_be_or_would_do_nothing_is_told_before_a_mentor_is_trained(changed: dict[str, Any], said: str):
    """It was told after the mentor had been trained, had written and had lent, or never."""
    recipe = with_mentor(arms=[{"method": "mentor-kd", "set": changed}])
    with pytest.raises(RecipeError, match=said):
        recipe.for_arm(recipe.arms[0])


@pytest.mark.parametrize(
    ("soft", "said"),
    [
        ({"loss": "kll"}, "did you mean 'kl'"),
        ({"loss": "hidden-mse"}, "live: true"),
        ({"draws": 8, "loss": "jsd"}, "draws"),
        ({"layers": [[1, 1]]}, "layers"),
        ({"weight": 1.5}, "soft_labels.weight"),
    ],
)
def test_impossible_soft_labels_are_refused(soft: dict[str, Any], said: str):
    """What cannot work must be told before a mentor has been trained for a night."""
    with pytest.raises(RecipeError, match=said):
        with_mentor(soft_labels=soft)


def test_a_baseline_that_is_no_arm_is_refused():
    """The report would compare with nothing and say nothing of it."""
    assert with_mentor(baseline="mentor-kd").baseline == "mentor-kd"
    with pytest.raises(RecipeError, match="did you mean 'mentor-kd'"):
        with_mentor(baseline="mentor")


@pytest.mark.parametrize(
    ("knowledge", "told"),
    [
        ({"candidates": 2, "passages": 5, "reranker": {"base": "pocket/nano"}}, "must be at least `passages`, 5"),
        ({"reranker": {"base": "pocket/nano", "kind": "my_lab:Mine"}}, "give its `path:`"),
    ],
)
def test_knowledge_that_would_be_something_else_at_test_is_refused(knowledge: dict[str, Any], told: str):
    """Students learnt with five passages and were tested with two; a class from outside ended in a traceback."""
    with pytest.raises(RecipeError, match=told):
        parse({**MINIMAL, "knowledge": {"corpus": "pocket/atlas", **knowledge}}, where="r")
