"""Sweeps found by the names of their arms, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.report.plots import LogAxis, Tick
from tutelage.report.report import make_report
from tutelage.report.run import ArmRun, read_run
from tutelage.report.sweeps import SweptArm, find_sweeps, looks, spaced, sweep_plot, swept, value_axis


def arms(*names: str) -> list[ArmRun]:
    return [ArmRun(name, name, {}) for name in names]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mentor-kd samples=3", SweptArm("mentor-kd", "", "samples", 3.0)),
        ("few texts weight=1e-3", SweptArm("few texts", "", "weight", 1e-3)),
        ("mentor-kd loss=kl samples=2", SweptArm("mentor-kd", "loss=kl", "samples", 2.0)),
        ("mentor-kd", None),
        ("mentor-kd loss=kl", None),
        ("samples=3", None),
        ("mentor-kd samples=nan", None),
    ],
)
def test_names_say_what_was_swept(name: str, expected: SweptArm | None):
    """A name taken for a number is a point at a place nobody chose."""
    assert swept(name) == expected


def test_sweeps_are_sorted_by_number_not_by_name():
    """samples=10 comes after samples=9."""
    names = ("fine-tuning", "m samples=10", "m samples=9", "m samples=1")
    (sweep,) = find_sweeps(arms(*names))
    assert (sweep.name, sweep.key) == ("m", "samples")
    assert [(p.value, p.arm) for p in sweep.series[0].points] == [(1, 3), (9, 2), (10, 1)]


def test_two_points_are_no_line():
    """Nothing goes along two points that the table does not say."""
    assert find_sweeps(arms("m samples=1", "m samples=2", "n samples=3", "m weight=3")) == []


def test_a_sweep_over_two_keys_has_a_line_for_each_value_of_the_first():
    """Points of different temperatures on one line would draw a zigzag."""
    names = [f"m temperature={t} samples={n}" for t in (1, 2) for n in (1, 2, 3)]
    (sweep,) = find_sweeps(arms(*names))
    assert [series.label for series in sweep.series] == ["temperature=1", "temperature=2"]
    assert [[p.arm for p in series.points] for series in sweep.series] == [[0, 1, 2], [3, 4, 5]]


def test_references_are_in_no_sweep():
    """A mentor of every size is no student."""
    names = [f"mentor layers={n}" for n in (1, 2, 3)]
    assert find_sweeps([ArmRun(name, name, {}, True) for name in names]) == []


def test_a_sweep_takes_one_colour_in_shades_and_others_keep_theirs():
    """Nine arms in nine colours say nothing of their order."""
    found = arms("fine-tuning", "m samples=4", "m samples=1", "m samples=2", "kard")
    assert looks(found, find_sweeps(found)) == ["arm-0", "arm-1 tone-9", "arm-1 tone-0", "arm-1 tone-4", "arm-2"]


def test_no_two_arms_look_alike():
    """The ninth arm in the colour of the first is taken for it."""
    found = arms(*"abcdefghijklmnop")
    assert len(set(looks(found, []))) == 16


def test_marks_stand_where_the_scores_are(make_run: Callable[..., Path]):
    """A plot that disagrees with its table is worse than none."""
    names = ("fine-tuning", *(f"m samples={n}" for n in (1, 2, 3)))
    report = make_report(read_run(make_run(test=50, arms=names)))
    (sweep,) = find_sweeps(report.arms)
    plot = sweep_plot(sweep, report.arms, report.scores, "fine-tuning")
    low, high = plot.y_ticks[0], plot.y_ticks[-1]
    scale = (float(high.label[:-1]) - float(low.label[:-1])) / (high.place - low.place)
    for mark, arm in zip(plot.paths[0].marks, names[1:], strict=True):
        score = report.scores[arm]
        for y, share in ((mark.y, score.accuracy), (mark.low, score.low), (mark.high, score.high)):
            assert float(low.label[:-1]) + scale * (100 - y - low.place) == pytest.approx(100 * share, abs=0.01)
        assert f"{100 * score.accuracy:.1f}%" in mark.label
    assert [tick.label for tick in plot.x_ticks] == ["1", "2", "3"]
    assert plot.level is not None
    assert plot.level.label == f"Fine-tuning {100 * report.scores['fine-tuning'].accuracy:.1f}%"
    assert sweep_plot(sweep, report.arms, report.scores, None).level is None


def test_numbers_over_powers_of_ten_have_a_logarithmic_axis():
    """Learning rates from 1e-5 to 1e-2 would stand in one heap."""
    assert isinstance(value_axis([1e-5, 1e-4, 1e-2]), LogAxis)
    assert not isinstance(value_axis([1, 2, 16]), LogAxis)
    assert not isinstance(value_axis([0, 0.1, 100]), LogAxis), "zero has no logarithm"


def test_labels_that_would_touch_are_left_out():
    """1 and 2 printed over each other are neither."""
    assert [t.label for t in spaced([Tick(0, "a"), Tick(3, "b"), Tick(8, "c")])] == ["a", "c"]
