"""Figures of scaling: what is drawn is what was given, and can be read, however much or little there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from results.figures import (
    FamilyStep,
    GridPoint,
    ScaledLine,
    ScaledPoint,
    WidthLine,
    dimensions_figure,
    save_figure,
    scaling_figure,
)
from results.figures.dimensions_figure import Dimension
from results.figures.scaling_figure import MOST_ROWS, _rows
from results.figures.style import RED
from tests.test_figures import HOSTILE, assert_finite, assert_readable, texts

pytestmark = [pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")]
LONG = "a_network_with_a_name_that_does_not_end_"


def grid(number: int, seeds: int = 3, spread: float = 0.02) -> list[GridPoint]:
    """Points in no order, with random accuracies; the best is chosen, the next three are close."""
    rng = np.random.default_rng(number)
    accuracies = 0.7 + spread * rng.random(number)
    order = np.argsort(-accuracies, kind="stable").tolist()
    return [
        GridPoint(
            alpha=1.0 + 0.05 * (place % 20),
            beta=1.15,
            gamma=1.1,
            accuracy=float(accuracies[place]),
            error=0.002 + 0.004 * float(rng.random()) if seeds > 1 else None,
            macs_factor=1.8 + 0.01 * place,
            nominal=1.92,
            seeds=seeds,
            chosen=place == order[0],
            close=place in order[1:4],
        )
        for place in range(number)
    ]


def steps(number: int, name: str = "own_phi", macs: float = 3e8) -> list[FamilyStep]:
    return [
        FamilyStep(
            name=f"{name}{phi}",
            phi=phi,
            macs=macs * 1.92**phi * (1.05 if phi % 2 else 0.97),
            nominal_macs=macs * 1.92**phi,
            params=4e6 * 1.5**phi,
        )
        for phi in range(1, number + 1)
    ]


def line_of(axes: Axes, label: str) -> Line2D:
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line


def bars_of(axes: Axes) -> list[np.ndarray[Any, Any]]:
    """The ends of all error bars, (2, 2) each."""
    return [
        segment
        for collection in axes.collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
    ]


def test_every_grid_point_is_a_row_the_best_on_top() -> None:
    points = grid(9)
    figure = scaling_figure(points, None, [], "title")
    axes = figure.axes[0]
    best = sorted(points, key=lambda point: -point.accuracy)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # row 0 is on top
    drawn = np.concatenate(
        [line_of(axes, label).get_xydata() for label in ("chosen", "cannot be told apart from it", "others")]
    )
    expected = [[100 * point.accuracy, row] for row, point in enumerate(best)]
    assert np.allclose(drawn[np.argsort(drawn[:, 1])], expected)
    assert np.allclose(line_of(axes, "chosen").get_xydata(), expected[:1])
    assert np.allclose(line_of(axes, "cannot be told apart from it").get_xydata(), expected[1:4])
    ends = sorted((segment[0, 1], segment[0, 0], segment[1, 0]) for segment in bars_of(axes))
    intervals = [
        (row, 100 * (p.accuracy - (p.error or 0)), 100 * (p.accuracy + (p.error or 0)))
        for row, p in enumerate(best)
    ]
    assert np.allclose(ends, intervals)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    letters = ("\N{GREEK SMALL LETTER ALPHA}", "\N{GREEK SMALL LETTER BETA}", "\N{GREEK SMALL LETTER GAMMA}")
    assert labels == ["{} {:.2f}  {} 1.15  {} 1.10".format(letters[0], p.alpha, *letters[1:]) for p in best]
    times = "\N{MULTIPLICATION SIGN}"
    beside = [text.get_text() for text in axes.texts if "formula" in text.get_text()]
    assert beside == [f"{point.macs_factor:.2f}{times}, formula 1.92{times}" for point in best]


def test_the_baseline_is_a_line_and_its_interval_a_band() -> None:
    for baseline in ((0.694, 0.003), (0.694, None), None):
        axes = scaling_figure(grid(4), baseline, [], "title").axes[0]
        lines = [line.get_xdata() for line in axes.get_lines() if line.get_gid() == "baseline"]
        assert np.allclose(lines, [[69.4, 69.4]] if baseline else [])
        bands = [patch.get_extents() for patch in axes.patches if patch.get_gid() == "baseline"]
        ends = [axes.transData.inverted().transform(band)[:, 0] for band in bands]
        assert np.allclose(ends, [[69.1, 69.7]] if baseline and baseline[1] else [])
        said = [text.get_text().strip() for text in axes.texts if "baseline " in text.get_text()]
        assert said == (["baseline 69.4 %"] if baseline else [])
        low, high = axes.get_xlim()
        ends = [0.01 * end for end in (low, high)]
        assert ends[0] < min(point.accuracy - (point.error or 0) for point in grid(4))
        assert ends[1] > max(point.accuracy + (point.error or 0) for point in grid(4))
        assert baseline is None or ends[0] < baseline[0] - (baseline[1] or 0)


def test_of_many_points_the_best_are_shown_with_the_chosen_one() -> None:
    points = grid(60)
    figure = scaling_figure(points, None, [], "title")
    assert len(figure.axes[0].get_yticks()) == MOST_ROWS == 24
    assert "24 of 60 grid points, the best on top; 36 are left out" in texts(figure)


@given(
    st.lists(
        st.builds(
            GridPoint,
            alpha=st.just(1.2),
            beta=st.just(1.1),
            gamma=st.just(1.15),
            accuracy=st.floats(0, 1),
            error=st.none(),
            macs_factor=st.just(2.0),
            nominal=st.just(1.92),
            seeds=st.just(1),
            chosen=st.booleans(),
            close=st.booleans(),
        ),
        max_size=60,
    ),
    st.integers(0, 59),
)
def test_rows_are_the_best_in_order_and_the_chosen_is_never_left_out(
    points: list[GridPoint], place: int
) -> None:
    chosen = [place == number for number in range(len(points))]
    points = [
        GridPoint(**{name: getattr(point, name) for name in GridPoint.__slots__} | {"chosen": is_chosen})
        for point, is_chosen in zip(points, chosen, strict=True)
    ]
    rows = _rows(points)
    assert len(rows) == min(len(points), MOST_ROWS)
    assert [p.accuracy for p in rows] == sorted((p.accuracy for p in rows), reverse=True)
    assert sum(point.chosen for point in rows) == sum(chosen)
    left_out = sorted((p.accuracy for p in points), reverse=True)[MOST_ROWS:]
    others = [point.accuracy for point in rows if not point.chosen]
    assert not left_out or not others or min(others) >= left_out[0]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (grid(3), "accuracy, %: mean of 3 seeds, bars: its 95 % interval"),
        ([*grid(3), *grid(2, seeds=5)], "accuracy, %: mean of 3 to 5 seeds, bars: its 95 % interval"),
        (grid(3, seeds=1), "accuracy, % (a single training each)"),
    ],
    ids=["seeds", "other seeds", "one seed"],
)
def test_the_axis_says_what_the_bars_are(points: list[GridPoint], said: str) -> None:
    axes = scaling_figure(points, None, [], "title").axes[0]
    assert axes.get_xlabel() == said
    assert bool(bars_of(axes)) == ("bars" in said)


def test_a_family_is_drawn_as_built_and_by_the_formula() -> None:
    family = steps(7)
    figure = scaling_figure([], None, family[::-1], "title")
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "billion multiply-adds of one image"
    phis = [step.phi for step in family]
    for label, macs in (
        ("as built, with parameters", [step.macs / 1e9 for step in family]),
        ("formula", [step.nominal_macs / 1e9 for step in family]),
    ):
        assert np.allclose(line_of(axes, label).get_xydata(), np.stack([phis, macs], axis=1))
    assert {"own_phi1, 6 M", "own_phi7, 68.3 M"} <= set(texts(figure))
    hostile = scaling_figure([], None, steps(1, r"$\frac{$_"), "title")
    assert r"$\frac{$_1, 6 M" in texts(hostile)
    assert [int(tick) for tick in axes.get_xticks()] == phis


def test_a_search_without_a_result_says_so() -> None:
    figure = scaling_figure([], None, [], "title")
    assert_readable(figure)
    assert "no grid point has an accuracy yet" in texts(figure)
    assert "no scaled network has an accuracy yet" in texts(dimensions_figure([], [], "title"))


@pytest.mark.parametrize(
    ("points", "baseline", "family"),
    [
        (grid(18), (0.694, 0.003), steps(7)),
        (grid(60), (0.731, 0.006), steps(9, LONG)),
        (grid(1, seeds=1), None, steps(1)),
        (grid(5, seeds=1, spread=0.0), (0.7, None), []),
        (grid(2), (0.5, 0.4), steps(3, LONG, 1e4)),
    ],
    ids=["usual", "many and long", "one", "equal", "wide"],
)
def test_texts_of_a_search_for_coefficients_keep_apart(
    points: list[GridPoint], baseline: tuple[float, float | None] | None, family: list[FamilyStep]
) -> None:
    figure = scaling_figure(points, baseline, family, f"{LONG}: grid search")
    assert len(figure.axes) == 1 + bool(family)
    assert_finite(figure)
    assert_readable(figure)


FACTORS: dict[Dimension, Sequence[float]] = {
    "depth": (1.0, 2.0, 4.0),
    "width": (1.0, 1.4, 2.0),
    "resolution": (1.0, 1.3, 2.0),
    "compound": (0.0, 1.0, 2.0),
}
TOP: dict[Dimension, float] = {"depth": 0.02, "width": 0.03, "resolution": 0.025, "compound": 0.05}


def scaled(name: Dimension, error: float | None = 0.003, base: float = 3e7, step: float = 2.0) -> ScaledLine:
    points = [
        ScaledPoint(
            factor=factor,
            macs=base * step**number * (1 + 0.02 * len(name) * bool(number)),
            accuracy=0.71 + TOP[name] * (1 - 0.4**number),
            error=error,
        )
        for number, factor in enumerate(FACTORS[name])
    ]
    return ScaledLine(name=name, points=tuple(points))


def scaled_widths(number: int, error: float | None = 0.003, widths: int = 3) -> list[WidthLine]:
    pairs = [(1.0, 1.0), (2.0, 1.0), (1.0, 1.3), (2.0, 1.3), (3.0, 1.15), (3.0, 2.0), (4.0, 1.5), (4.0, 2.0)]
    return [
        WidthLine(
            depth=depth,
            resolution=resolution,
            points=tuple(
                ScaledPoint(
                    factor=1.0 + 0.4 * step,
                    macs=3e7 * depth * resolution**2 * (1.0 + 0.4 * step) ** 2,
                    accuracy=0.7 + 0.01 * place + 0.02 * (1 - 0.5**step),
                    error=error,
                )
                for step in range(widths)
            ),
        )
        for place, (depth, resolution) in enumerate(pairs[:number])
    ]


ALL = [scaled(name) for name in FACTORS]


def places(points: Sequence[ScaledPoint], unit: float = 1e6) -> list[tuple[float, float]]:
    return [(point.macs / unit, 100 * point.accuracy) for point in points]


@pytest.fixture(scope="module")
def whole() -> Figure:
    """With all panels that there can be."""
    return dimensions_figure(ALL, scaled_widths(4), LONG * 4)


def test_each_dimension_has_a_panel_with_its_factors(whole: Figure) -> None:
    figure = whole
    assert len(figure.axes) == 5
    assert_finite(figure)
    assert_readable(figure)
    for axes, name, letter in zip(figure.axes, ("width", "depth", "resolution"), "wdr", strict=False):
        (line,) = [line for line in ALL if line.name == name]
        assert axes.get_title() == f"scaled by {name}"
        assert np.allclose(line_of(axes, name).get_xydata(), places(line.points))
        assert np.allclose(line_of(axes, "baseline").get_xydata(), places(line.points[:1]))
        assert {text.get_text() for text in axes.texts} == {f"{letter}={f}" for f in FACTORS[line.name]}
        middles = [(segment[0] + segment[1]) / 2 for segment in bars_of(axes)]
        assert np.allclose(middles, places(line.points))
        assert np.allclose([np.ptp(segment[:, 1]) for segment in bars_of(axes)], 0.6)
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        assert axes.get_xlabel() == "million multiply-adds of one image"


def test_all_ways_of_scaling_stand_in_one_panel_with_compound_in_red(whole: Figure) -> None:
    axes = whole.axes[3]
    for line in ALL:
        assert np.allclose(line_of(axes, line.name).get_xydata(), places(line.points))
    red = [line.get_label() for line in axes.get_lines() if to_hex(line.get_color()) == RED]
    assert "compound" in red
    assert not {"width", "depth", "resolution"} & set(red)
    assert len({line_of(axes, name).get_marker() for name in FACTORS}) == 4
    assert [text.get_text()[1:] for text in axes.texts] == ["=1", "=2"]


def test_without_the_baselines_accuracy_no_other_network_is_drawn_as_it() -> None:
    lines = [replace(line, points=line.points[1:]) for line in ALL]
    figure = dimensions_figure(lines, [], "own")
    for axes in figure.axes:
        assert "baseline" not in [line.get_label() for line in axes.get_lines()]
    together = figure.axes[-1]
    assert {"φ=1", "φ=2"} <= {text.get_text() for text in together.texts}


def test_width_is_drawn_under_each_pair_of_depth_and_resolution(whole: Figure) -> None:
    widths, axes = scaled_widths(4), whole.axes[4]
    names = ["d=1.0, r=1.0", "d=2.0, r=1.0", "d=1.0, r=1.3", "d=2.0, r=1.3"]
    for name, line in zip(names, widths, strict=True):
        assert np.allclose(line_of(axes, name).get_xydata(), places(line.points))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names
    assert axes.get_title().endswith("points of each line: w=1.0, 1.4, 1.8")
    assert len(bars_of(axes)) == 12


def test_widths_that_differ_are_named_at_their_points() -> None:
    one, other = scaled_widths(1, widths=2)[0], scaled_widths(2, widths=3)[1]
    axes = dimensions_figure([], [one, other], "title").axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["w=1.0", "w=1.0", "w=1.4", "w=1.4", "w=1.8"]
    many = [*scaled_widths(7), scaled_widths(8, widths=4)[7]]
    axes = dimensions_figure([], many, "title").axes[0]
    assert not axes.texts
    assert axes.get_title().endswith("w=1.0 to 2.2")


@pytest.mark.parametrize(
    ("lines", "widths", "panels"),
    [
        (ALL, [], 4),
        (ALL[:2], [], 3),
        (ALL[3:], scaled_widths(1), 2),
        ([], scaled_widths(8), 1),
        ([ALL[0], ScaledLine(name="width", points=())], [], 1),
        ([ScaledLine(name=line.name, points=line.points[:1]) for line in ALL[2:]], [], 2),
        ([scaled(name, error=None, step=12.0) for name in FACTORS], scaled_widths(4, None, 9), 5),
    ],
)
def test_there_are_as_many_panels_as_there_is_something_for(
    lines: list[ScaledLine], widths: list[WidthLine], panels: int
) -> None:
    figure = dimensions_figure(lines, widths, LONG * 4)
    assert len(figure.axes) == panels
    assert all(axes.get_lines() for axes in figure.axes)
    assert_finite(figure)
    assert_readable(figure)
    bars = any(point.error is not None for line in (*lines, *widths) for point in line.points)
    assert ("bars: 95 % interval of the mean over seeds" in texts(figure)) == bars


def test_multiply_adds_that_span_much_have_a_logarithmic_axis() -> None:
    for step, scale in ((2.0, "linear"), (5.0, "log")):
        assert dimensions_figure([scaled("width", step=step)], [], "t").axes[0].get_xscale() == scale


def test_a_dimension_cannot_come_twice() -> None:
    with pytest.raises(ValueError, match="lines must have a name each, got depth, depth"):
        dimensions_figure([ALL[0], ALL[0]], [], "title")


FIGURES = {
    "scaling": lambda: scaling_figure(grid(3), (0.7, 0.01), steps(2, r"$\frac{$_"), HOSTILE),
    "dimensions": lambda: dimensions_figure(ALL[3:], scaled_widths(1), HOSTILE),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_scaling_are_written_with_names_as_they_are(name: str, tmp_path: Path) -> None:
    figure: Figure = FIGURES[name]()
    for ending, begins in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        path = tmp_path / f"figure{ending}"
        with rc_context({"svg.fonttype": "none"}):
            save_figure(figure, path)
        assert path.read_bytes().startswith(begins)
    said = ["".join(e.itertext()) for e in ElementTree.parse(tmp_path / "figure.svg").getroot().iter()]
    assert any(HOSTILE in text for text in said)
