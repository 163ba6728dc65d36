"""Figures: what is drawn is what was given, names are nobody's markup, and texts can be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from results import Trial
from results.choices import ChoiceFrequencies, choice_frequencies
from results.drawing import drawn_stages
from results.figures import (
    FamilyPoint,
    TransferPoint,
    architecture_figure,
    choices_figure,
    family_figure,
    hypervolume_figure,
    policy_figure,
    search_figure,
    transfer_figure,
)
from results.policy import PolicyMap, policy_map
from results.progress import SearchCurves, search_curves
from search_space import Decision, InputError, Stage, load_architecture

HOSTILE = r"_$\frac{$ <b>&amp;"  # as a formula it cannot be drawn
DECISIONS = tuple(
    Decision(f"stage{stage}.{what}", choices)
    for stage in range(1, 8)
    for what, choices in (
        ("op", ("mbconv1", "mbconv3", "mbconv6")),
        ("kernel", (3, 5)),
        ("se_ratio", (0, 0.25)),
        ("filters", (16, 24, 32, 40, 48, 56)),
        ("layers", (1, 2, 3)),
        ("skip", ("identity",)),
    )
)


def found(number: int, seed: int = 0) -> list[Trial]:
    """Finished candidates with random results and choices."""
    rng = np.random.default_rng(seed)
    return [
        Trial(
            id=place + 1,
            key=str(place),
            protocol="p",
            seed=0,
            choices={d.name: d.choices[rng.integers(len(d.choices))] for d in DECISIONS[:6]},
            architecture={},
            macs=int(rng.integers(10**5, 10**7)),
            params=10,
            status="done",
            accuracy=float(rng.uniform(0.5, 1)),
            reward=float(rng.uniform(0.5, 1)),
            arrival=place + 1,
            seconds=30.0,
        )
        for place in range(number)
    ]


def curves(number: int) -> SearchCurves:
    return search_curves(found(number), 2e7)


def proposals(number: int, decisions: tuple[Decision, ...] = DECISIONS) -> PolicyMap:
    rng = np.random.default_rng(1)
    return policy_map(
        [[int(rng.integers(len(d.choices))) for d in decisions] for _ in range(number)], decisions
    )


def drawn(figure: Figure, kind: str = "png") -> bytes:
    """The figure as a file."""
    file = BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format=kind)
    return file.getvalue()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def assert_finite(figure: Figure) -> None:
    """Nothing that is drawn is infinite or no number."""
    for axes in figure.axes:
        for line in axes.get_lines():
            assert np.isfinite(np.asarray(line.get_xydata(), dtype=float)).all()
        for points in axes.collections:
            assert np.isfinite(np.ma.getdata(points.get_offsets())).all()


def assert_readable(figure: Figure) -> None:
    """No text lies over another, and none outside."""
    figure.draw_without_rendering()
    hidden = set()  # labels of ticks outside the limits
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        hidden |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    shown = [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]
    boxes = np.array([Text.get_window_extent(text).extents for text in shown])  # of the letters alone
    common = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[None, :, :2]
    )
    over = np.triu((common > 1).all(axis=2), k=1)
    assert not [(shown[one].get_text(), shown[other].get_text()) for one, other in np.argwhere(over)]
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > figure.bbox.size).any(axis=1)
    assert not [shown[place].get_text() for place in np.flatnonzero(outside)]


@pytest.mark.parametrize("number", [0, 1, 48])
def test_a_search_shows_every_result_and_the_best_until_then(number: int) -> None:
    given_curves = curves(number)
    figure = search_figure(given_curves, "a run")
    drawn(figure)
    assert_finite(figure)
    for axes, values in zip(
        figure.axes,
        (given_curves.reward, 100 * given_curves.accuracy, given_curves.costs / 1e6),
        strict=True,
    ):
        points = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
        if number == 0:
            assert (points, "no result yet" in texts(figure)) == ([], True)
            continue
        assert np.allclose(points[0][:, 0], np.arange(1, number + 1))
        unit = 1 if axes.get_ylabel() != "thousand multiply-adds" else 1000
        assert np.allclose(points[0][:, 1], values * unit)
        (line,) = axes.get_lines()
        assert np.allclose(line.get_ydata(), values[given_curves.best] * unit)
        assert np.allclose(points[1][0], points[0][given_curves.best[-1]])  # the ring


@pytest.mark.parametrize(
    ("cost", "label"),
    [("latency_ms", "latency, ms"), ("params", "million parameters"), ("macs", "million multiply-adds")],
)
def test_the_way_of_a_search_is_drawn_over_its_own_cost(cost: str, label: str) -> None:
    timed = [
        replace(t, macs=2_000_000, params=3_000_000, curve=[{"latency_ms": 1.0 + t.id}]) for t in found(5)
    ]
    given_curves = search_curves(timed, 2e7, cost)
    figure = search_figure(given_curves, "a run")
    drawn(figure)
    assert figure.axes[2].get_ylabel() == label
    expected = {"latency_ms": 1.0 + given_curves.ids, "params": np.full(5, 3.0), "macs": np.full(5, 2.0)}
    (points, _) = (c for c in figure.axes[2].collections if isinstance(c, PathCollection))
    assert np.allclose(points.get_offsets()[:, 1], expected[cost])
    last = expected[cost][given_curves.best[-1]]
    assert (f"{last:.3g} ms" if cost == "latency_ms" else f"{last:g} M") in texts(figure)


@pytest.mark.parametrize("number", [0, 1, 48])
def test_the_hypervolume_is_drawn_over_results_and_over_hours(number: int) -> None:
    one = curves(number)
    figure = hypervolume_figure([("one", one)], "title")
    drawn(figure)
    assert_finite(figure)
    left, right = (axes.get_lines()[0] for axes in figure.axes)
    assert np.allclose(left.get_xdata(), np.arange(1, number + 1))
    seconds = number * 30 < 120
    assert np.allclose(right.get_xdata(), one.hours * (3600 if seconds else 60))
    words = "worker-seconds" if seconds else "worker-minutes"
    assert figure.axes[1].get_xlabel().startswith(words)
    assert np.allclose(left.get_ydata(), one.hypervolume)
    assert np.allclose(right.get_ydata(), one.hypervolume)
    assert "from accuracy 0, 20 M MACs" in figure.axes[0].get_ylabel()


def test_several_runs_are_named_and_other_reference_points_are_said() -> None:
    one, other = curves(20), search_curves(found(30), 3e7)
    figure = hypervolume_figure([("one", one), (HOSTILE, other)], "title")
    assert {"one", HOSTILE} <= set(texts(figure))
    assert "reference points differ" in figure.axes[0].get_ylabel()
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 2


def test_hours_of_gpus_say_so() -> None:
    figure = hypervolume_figure([("one", replace(curves(400), gpus=1.0))], "title")
    assert figure.axes[1].get_xlabel().startswith("GPU-hours")


def test_ten_thousand_results_take_seconds() -> None:
    many, policy = curves(10_000), proposals(10_000, DECISIONS[:20])
    began = time.process_time()
    assert len(drawn(search_figure(many, "many"), "svg")) < 1_000_000  # points are pixels there
    drawn(hypervolume_figure([("many", many)], "many"))
    drawn(policy_figure(policy, "many"))
    assert time.process_time() - began < 8


@pytest.mark.parametrize("number", [0, 1, 30, 900])
def test_the_heat_map_is_the_entropy_that_was_given(number: int) -> None:
    policy = proposals(number, DECISIONS[:9])
    figure = policy_figure(policy, "policy")
    drawn(figure)
    (mesh,) = [c for c in figure.axes[0].collections if isinstance(c, QuadMesh)]
    assert mesh.get_visible() == bool(number)
    assert mesh.get_clim() == (0.0, 1.0)
    assert any("too few to tell" in text for text in texts(figure)) == (0 < number < 20)
    assert ("no proposal yet" in texts(figure)) == (number == 0)
    if number:
        assert np.allclose(mesh.get_array(), policy.entropy)
        edges = mesh.get_coordinates()[0, :, 0]
        assert ((edges[:-1] < policy.ends) & (policy.ends < edges[1:])).all()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        d.name for d in policy.decisions
    ]


def test_the_favourite_choice_stands_beside_with_its_share() -> None:
    decisions = (
        Decision("stage1.op", ("a", "b")),
        Decision("stage1.k", (3, 5)),
        Decision("stage2.op", ("z",)),
    )
    policy = policy_map([(1, 0, 0)] * 15 + [(1, 1, 0)] * 5, decisions)
    figure = policy_figure(policy, "policy")
    assert [t.get_text() for t in figure.axes[1].texts] == ["b", "100 %", "3", "75 %", "z", "only choice"]
    bars = [bar.get_width() for bar in figure.axes[1].patches if isinstance(bar, Rectangle)]
    assert bars[1::2] == [1.0, 0.75, 1.0]
    borders = [line.get_ydata()[0] for line in figure.axes[1].get_lines()]
    assert borders == [2]


def test_42_decisions_with_6_choices_stay_readable() -> None:
    assert len(DECISIONS) == 42
    assert_readable(policy_figure(proposals(300), "policy"))
    wide = [
        ChoiceFrequencies(
            decision=replace(d, choices=("mbconv10", "b", "c", "d", "e", "f")),
            best=np.full(6, 1 / 6),
            all=np.array([1.0, 0, 0, 0, 0, 0]),
        )
        for d in DECISIONS
    ]
    assert_readable(choices_figure(wide, "choices"))


@pytest.mark.parametrize("number", [0, 1, 60])
def test_shares_of_choices_are_drawn_as_given(number: int) -> None:
    frequencies = choice_frequencies(found(number), DECISIONS[:6])
    figure = choices_figure(frequencies, "choices")
    drawn(figure)
    axes = figure.axes[0]
    best = np.concatenate([f.best for f in frequencies])
    among_all = np.concatenate([f.all for f in frequencies])
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)][1::2]
    assert np.allclose([bar.get_width() / 0.96 for bar in bars], best)
    marks = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linewidth() == 1.4]
    starts = [bar.get_x() for bar in bars]
    assert np.allclose((np.array(marks) - starts) / 0.96, among_all)
    said = [text for text in texts(figure) if text.endswith(")") and "%" in text]
    assert said == [f"{100 * b:.0f} % ({100 * a:.0f})" for b, a in zip(best, among_all, strict=True)]
    assert ("no result yet" in texts(figure)) == (number == 0)


def test_what_the_best_have_more_often_has_another_colour_than_what_they_have_less_often() -> None:
    one = ChoiceFrequencies(
        decision=DECISIONS[0], best=np.array([1.0, 0.0, 0.5]), all=np.array([0.5, 0.5, 0.5])
    )
    cells = choices_figure([one], "choices").axes[0].patches[::2]
    more, less, same = (cell.get_facecolor() for cell in cells)
    assert more[0] > more[2]  # orange
    assert less[2] > less[0]  # purple
    assert min(same[:3]) > 0.9


NETWORKS = [
    ["efficientnet_b0"],
    ["efficientnet_b7"],
    ["efficientnet_b0", "mnasnet_a1"],
    ["resnet_50", "mobilenet_v1"],
    ["efficientnet_b0", "mobilenet_v2", "efficientnet_b3", "efficientnet_b7"],
]


@pytest.mark.parametrize("names", NETWORKS, ids="-".join)
def test_no_text_of_a_drawing_lies_over_another(names: list[str]) -> None:
    assert_readable(architecture_figure([load_architecture(name) for name in names]))


def fronts(figure: Figure) -> dict[str, np.ndarray]:
    """Width and height of the front of each block, by its group id."""
    found = {}
    for patch in figure.axes[0].patches:
        if (patch.get_gid() or "").startswith("network"):
            corners = patch.get_path().vertices
            found[str(patch.get_gid())] = np.ptp(patch.get_patch_transform().transform(corners), axis=0)
    return found


@pytest.mark.parametrize("names", NETWORKS, ids="-".join)
def test_blocks_have_one_scale(names: list[str]) -> None:
    networks = [load_architecture(name) for name in names]
    sizes = fronts(architecture_figure(networks))
    widths, heights, bars = [], [], []
    for number, network in enumerate(networks):
        stages = drawn_stages(network)
        total = sum(stage.macs for stage in stages)
        for place, stage in enumerate(stages):
            what = "stem" if not place else "head" if stage.kind == "head" else str(place)
            width, height = sizes[f"network{number}.{what}"]
            widths.append(width / stage.layers)
            heights.append(height**2 / stage.channels)
            bars.append(sizes[f"network{number}.{what}.macs"][1] / (stage.macs / total))
    for values in (widths, heights, bars):
        assert np.allclose(values, values[0])


def test_what_differs_from_the_first_network_is_marked() -> None:
    b0 = load_architecture("efficientnet_b0")
    stages = list(b0.stages)
    stages[1] = replace(stages[1], kernel=7, repeats=5)
    stages[4] = replace(stages[4], se_ratio=0.0)
    figure = architecture_figure([b0, replace(b0, stages=tuple(stages))], titles=["one", "other"])
    red = [t.get_text() for t in figure.axes[0].texts if t.get_weight() == "bold" and t.get_color()[0] == "#"]
    assert red == ["7\N{MULTIPLICATION SIGN}7", "5", "\N{EN DASH}"]
    assert any(text.endswith("2 of 9 columns differ") for text in texts(figure))
    assert any("red: differs from the first" in text for text in texts(figure))
    same = architecture_figure([b0, b0])
    assert any(text.endswith("none of 9 columns differs") for text in texts(same))


def test_a_skip_that_changes_nothing_is_no_difference() -> None:
    b0 = load_architecture("efficientnet_b0")
    without = replace(b0, stages=(replace(b0.stages[0], skip="none"), *b0.stages[1:]))
    assert b0.key == without.key  # one layer that changes the channels has no skip
    assert any(
        text.endswith("none of 9 columns differs") for text in texts(architecture_figure([b0, without]))
    )
    odd = replace(b0, stages=tuple(replace(stage, skip="pool") for stage in b0.stages))
    assert "pool" in texts(architecture_figure([odd]))


def test_drawings_have_bounds() -> None:
    b0 = load_architecture("efficientnet_b0")
    for number in (0, 5):
        with pytest.raises(ValueError, match=f"must be 1 to 4, got {number}"):
            architecture_figure([b0] * number)
    with pytest.raises(ValueError, match="titles must be 1, got 2"):
        architecture_figure([b0], titles=["a", "b"])
    many = replace(b0, stages=(*b0.stages, *[Stage(channels=8)] * 100))
    with pytest.raises(InputError, match="has 107 stages; a drawing has room for 100"):
        architecture_figure([many])
    deep = replace(b0, stages=tuple(replace(stage, repeats=1000) for stage in b0.stages))
    assert architecture_figure([deep]).get_figwidth() < 20


def members(*accuracies: float | None) -> list[FamilyPoint]:
    return [
        FamilyPoint(name=f"own_{n}", params=4e6 * 2**n, macs=3e8 * 2**n, accuracy=accuracy)
        for n, accuracy in enumerate(accuracies)
    ]


def test_a_family_is_drawn_where_it_is() -> None:
    figure = family_figure(members(0.76, None, 0.8), "family")
    assert_finite(figure)
    for axes, costs in zip(figure.axes, ([4, 16], [0.3, 1.2]), strict=True):
        (own,) = [line for line in axes.get_lines() if line.get_label() == "this family"]
        assert np.allclose(own.get_xdata(), costs)
        assert np.allclose(own.get_ydata(), [76, 80])
    assert {"own_0", "own_1", "own_2", "B0", "B7", "GPipe", "ResNet-50"} <= set(texts(figure))


def test_a_member_that_nobody_trained_has_no_accuracy() -> None:
    figure = family_figure(members(None, None), "family")
    for axes, costs in zip(figure.axes, ([4, 8], [0.3, 0.6]), strict=True):
        assert not [line for line in axes.get_lines() if line.get_label() == "this family"]
        ticks = [line for line in axes.get_lines() if (line.get_gid() or "").startswith("untrained")]
        assert [float(tick.get_xdata()[0]) for tick in ticks] == pytest.approx(costs)
        assert all(list(tick.get_ydata()) == [0, 0.02] for tick in ticks)  # of the axes, not of accuracy
    assert_readable(figure)


@pytest.mark.parametrize("number", [0, 8])
def test_names_of_a_family_and_of_published_models_can_be_told_apart(number: int) -> None:
    assert_readable(family_figure(members(*[0.78 + 0.007 * n for n in range(number)]), "family"))


def test_a_family_alone_and_nothing_at_all_are_figures_too() -> None:
    for own in ([], members(None), members(0.5)):
        assert_finite(family_figure(own, "family", published=()))


HOSTILE_FIGURES: dict[str, Callable[[], Figure]] = {
    "search": lambda: search_figure(curves(3), HOSTILE),
    "hypervolume": lambda: hypervolume_figure([(HOSTILE, curves(3)), ("b", curves(2))], HOSTILE),
    "policy": lambda: policy_figure(
        proposals(3, (Decision(HOSTILE, (HOSTILE[:12],)), Decision("_b", ("$x$", 2)))), HOSTILE
    ),
    "choices": lambda: choices_figure(
        choice_frequencies(found(5), (Decision(HOSTILE, (r"$\frac{$", "_x")),)), HOSTILE
    ),
    "architecture": lambda: architecture_figure([load_architecture("efficientnet_b0").renamed(HOSTILE)]),
    "family": lambda: family_figure(
        [FamilyPoint(name=HOSTILE, params=1e6, macs=1e8, accuracy=a) for a in (0.7, None)], "title"
    ),
    "transfer": lambda: transfer_figure(
        [TransferPoint(dataset="CIFAR-10", name=HOSTILE, params=1e6, accuracy=0.9)], HOSTILE
    ),
}


@pytest.mark.parametrize("name", HOSTILE_FIGURES)
def test_names_are_drawn_as_they_are(name: str) -> None:
    figure = HOSTILE_FIGURES[name]()
    tree = ElementTree.fromstring(drawn(figure, "svg"))
    said = ["".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert any(HOSTILE in text for text in said)
    drawn(figure, "pdf")
