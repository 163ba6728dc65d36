"""Text in figures: names on one line, numbers in short, labels that keep apart."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from results.figures.labels import label_points, log_ticks, plain, spread, stage_borders
from results.wording import count


@given(st.text(max_size=80), st.integers(3, 60))
def test_a_name_is_one_line_that_can_be_printed(text: str, longest: int) -> None:
    line = plain(text, longest)
    assert len(line) <= longest
    assert line.isprintable()
    if text.isprintable() and len(text) <= longest:
        assert line == text


def test_numbers_in_short() -> None:
    assert [count(n) for n in (385_814_752, 999_999, 12, 37.75e9)] == ["386 M", "1 M", "12", "37.8 G"]
    assert (plain(0.25), plain(3), plain("abcdefgh", 5)) == ("0.25", "3", "ab…gh")


@given(st.lists(st.floats(-50, 150), max_size=12), st.floats(0.1, 20))
def test_places_are_spread_in_order_between_the_ends(places: list[float], gap: float) -> None:
    moved = spread(sorted(places), gap, 0.0, 100.0)
    assert len(moved) == len(places)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in moved)
    room = min(gap, 100 / max(1, len(places) - 1))
    assert all(b - a >= room - 1e-6 for a, b in itertools.pairwise(moved))


def test_places_with_room_stay() -> None:
    assert spread([10.0, 30.0, 31.0, 80.0], 5.0, 0.0, 100.0) == [10.0, 28.0, 33.0, 80.0]


def test_stages_are_told_by_what_stands_before_the_dot() -> None:
    assert stage_borders(["stage1.op", "stage1.kernel", "stage2.op", "stage2.kernel", "head"]) == [2, 4]
    assert stage_borders(["a", "b", "c"]) == []  # no stages
    assert stage_borders([]) == []


def test_labels_keep_clear_of_one_another_and_of_points_and_lines() -> None:
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    points = [(0.5, 0.5), (0.52, 0.5), (0.5, 0.52), (0.98, 0.5), (0.02, 0.02)]
    axes.plot([0, 1], [0.02, 0.02])
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels = label_points(axes, points, ["one", "two", "three", "at the end", "$x$"], ["black"] * 5, 8)
    figure.draw_without_rendering()
    boxes = np.array([Text.get_window_extent(label).extents for label in labels])
    for one, other in itertools.combinations(boxes, 2):
        assert (np.minimum(one[2:], other[2:]) <= np.maximum(one[:2], other[:2])).any()
    dots = axes.transData.transform(points)
    for low, high in zip(boxes[:, :2], boxes[:, 2:], strict=True):
        assert not ((dots > low) & (dots < high)).all(axis=1).any()
    assert boxes[:, 2].max() <= axes.bbox.x1
    assert "$x$" in [label.get_text() for label in labels]


def test_ticks_of_logarithmic_axes_are_plain_numbers() -> None:
    for high, expected in ((30.0, ["3", "5", "7", "10", "15", "20", "30"]), (300.0, ["5", "10", "20"])):
        figure = Figure()
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_xlim(3, high)
        log_ticks(axes.xaxis)
        figure.draw_without_rendering()
        said = [label.get_text() for label in axes.get_xticklabels()]
        assert [text for text in expected if text not in said] == []
