"""Fronts of trials: objectives, limits, reference points; and how they are drawn."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.browser import BROWSER, chromium
from results import (
    Limit,
    RunFront,
    Trial,
    dominating,
    front_by,
    front_of,
    hypervolume,
    is_raised,
    pareto_figure,
    reference_point,
    save_figure,
    save_pareto_page,
    violation_of,
)
from results.figures.labels import log_ticks
from results.figures.pareto_page import pareto_page_figure
from search_space import InputError, load_space

NETWORK = load_space("digits").decode((0,) * 20).to_dict()


def trial(number: int, accuracy: float | None, macs: int, params: int = 1000, **facts: Any) -> Trial:
    """A finished candidate; of the given status where it has no accuracy."""
    metrics = facts.pop("metrics", {})
    status = facts.pop("status", "failed" if accuracy is None else "done")
    common = {"key": f"k{number}", "protocol": "p", "seed": 0, "choices": {}, "architecture": NETWORK}
    return Trial(
        id=number,
        macs=macs,
        params=params,
        status=status,
        accuracy=accuracy,
        reward=None if accuracy is None else facts.pop("reward", accuracy),
        curve=[{"accuracy": accuracy or 0.0, **metrics}],
        **common,
        **facts,
    )


SOME = [
    trial(1, 0.9, 300, 30, metrics={"latency_ms": 2.0}),
    trial(2, 0.8, 100, 20, metrics={"latency_ms": 5.0}),
    trial(3, 0.8, 100, 20, metrics={"latency_ms": 5.0}),
    trial(4, 0.7, 200, 10, metrics={"latency_ms": 1.0}),
    trial(5, None, 50, 5),
    trial(6, None, 60, 5, status="stopped", metrics={"latency_ms": 0.1}),
    trial(7, None, 10, 1, status="pending"),
]


def ids(trials: Sequence[Trial]) -> list[int]:
    return [trial.id for trial in trials]


def test_only_finished_trials_are_on_a_front_and_of_equals_the_first() -> None:
    assert ids(front_of(SOME, 600).trials) == [2, 1]
    assert ids(front_by(SOME, ("params", "accuracy")).trials) == [4, 2, 1]
    assert ids(front_by(SOME, ("latency_ms", "accuracy")).trials) == [4, 1]
    assert ids(front_by(SOME, ("macs", "accuracy", "params")).trials) == [2, 4, 1]
    assert ids(front_by(SOME, ("macs", "params")).trials) == [2, 4]  # both are costs
    assert ids(front_by(SOME, ("accuracy", "reward")).trials) == [1]  # both are raised
    nothing = front_of(SOME[4:], 600)
    assert (nothing.trials, nothing.hypervolume, nothing.feasible) == ([], 0.0, 0)
    assert front_by([]).reference == {"accuracy": 0.0, "macs": 2.0}


def test_the_front_is_where_its_trials_stand() -> None:
    front = front_by(SOME, ("params", "accuracy"))
    assert [SOME[place] for place in front.places] == front.trials


def test_a_trial_that_lacks_an_objective_is_not_on_the_front() -> None:
    odd = [*SOME, trial(8, 0.99, 1)]
    assert ids(front_by(odd, ("latency_ms", "accuracy")).trials) == [4, 1]
    unmeasured = dominating(odd[-1], front_by(SOME, ("latency_ms", "accuracy")))
    assert unmeasured == []


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=6)
)
def test_hypervolume_is_the_one_of_accuracy_and_cost_and_of_cells_in_three(rows) -> None:
    trials = [trial(n, *row) for n, row in enumerate(rows)]
    accuracy, macs = [row[0] for row in rows], [row[1] for row in rows]
    front = front_of(trials, 1500.0)
    assert front.hypervolume == pytest.approx(hypervolume(accuracy, macs, 0.0, 1500.0))
    reference = {"macs": 1500.0, "accuracy": 0.0, "params": 1000.0}
    whole = front_by(trials, ("macs", "accuracy", "params"), reference=reference).hypervolume
    volume = 0.0
    for size in range(1, len(rows) + 1):  # inclusion and exclusion
        for some in itertools.combinations(rows, size):
            a, m, p = (
                pick(column) for pick, column in zip((min, max, max), zip(*some, strict=True), strict=True)
            )
            volume -= (-1) ** size * a * max(0.0, 1 - m / 1500) * max(0.0, 1 - p / 1000)
    assert whole == pytest.approx(volume, abs=1e-9)


def test_a_negative_reward_counts_nothing_and_one_above_1_whole() -> None:
    one = [trial(1, 0.5, 100, reward=-0.5)]
    assert front_by(one, ("macs", "reward")).hypervolume == 0.0
    one = [trial(1, 0.5, 100, reward=1.2)]
    assert front_by(one, ("macs", "reward")).hypervolume == pytest.approx(0.6)


def test_reference_points_are_twice_the_target_or_twice_the_largest() -> None:
    assert reference_point(SOME, ("macs", "accuracy"), {"macs": 400.0}) == {"macs": 800.0, "accuracy": 0.0}
    assert reference_point(SOME, ("params", "reward"), {"macs": 400.0}) == {"params": 60.0, "reward": 0.0}
    slow = [*SOME, trial(8, None, 9, metrics={"latency_ms": 99.0}, seconds=50.0)]
    assert reference_point(slow, ("latency_ms", "seconds")) == {"latency_ms": 10.0, "seconds": 2.0}
    assert reference_point([trial(1, None, 70)], ("macs",)) == {"macs": 140.0}  # known before


@pytest.mark.parametrize(
    ("names", "raised"),
    [
        (("accuracy", "reward", "val_accuracy", "F1", "roc_auc", "acc", "val_acc", "top5", "top-5"), True),
        (("macs", "params", "seconds", "latency_ms", "validation_loss", "top5_error", "throughput"), False),
        (("vacc", "accesses", "diff1", "buf1", "error_top5"), False),
    ],
)
def test_the_name_says_which_way_an_objective_goes(names: tuple[str, ...], raised: bool) -> None:
    assert [is_raised(name) for name in names] == [raised] * len(names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("macs<=300e6", ("macs", "<=", 3e8, "macs<=3e8")),
        (" accuracy >= 0.7 ", ("accuracy", ">=", 0.7, "accuracy>=0.7")),
        ("stage2.kernel<5", ("stage2.kernel", "<", 5.0, "stage2.kernel<5")),
        ("a metric, ms>-1e-3", ("a metric, ms", ">", -0.001, "a metric, ms>-0.001")),
        ("macs<=1234567", ("macs", "<=", 1234567.0, "macs<=1234567.0")),
    ],
)
def test_limits_are_read(text: str, expected: tuple[Any, ...]) -> None:
    limit = Limit.parse(text)
    assert (limit.name, limit.comparison, limit.bound, str(limit)) == expected
    assert Limit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "macs",
        "macs=3",
        "macs==3",
        "<=3",
        "macs<=",
        "macs<=x",
        "macs<=nan",
        "macs<=inf",
        "1<macs<2",
        "a<b<=3",
    ],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no limit: a column, one of <= < >= >, and a number") as error:
        Limit.parse(text)
    assert repr(text) in str(error.value)


def test_the_violation_is_the_sum_of_relative_excesses() -> None:
    limits = [Limit.parse("macs<=200"), Limit.parse("accuracy>=0.8")]
    assert violation_of(SOME[:4], limits).tolist() == pytest.approx([0.5, 0.0, 0.0, 0.125])
    at_the_bound = violation_of(SOME[:4], [Limit.parse("macs<200")])
    assert 0 < at_the_bound[3] < 1e-9
    assert at_the_bound[1] == 0
    assert violation_of([SOME[4]], limits).tolist() == [np.inf]  # no accuracy: nobody knows
    assert violation_of(SOME[:1], [Limit.parse("macs<=0")]).tolist() == [300.0]


def test_feasible_networks_come_first_and_alone_make_the_hypervolume() -> None:
    front = front_by(SOME, limits=[Limit.parse("macs>150")], reference={"macs": 600.0, "accuracy": 0.0})
    assert (ids(front.trials), front.feasible) == ([4, 1], 2)
    assert front.hypervolume == pytest.approx((100 * 0.7 + 300 * 0.9) / 600)
    none = front_by(SOME, limits=[Limit.parse("macs<=50")])
    assert (ids(none.trials), none.feasible, none.hypervolume) == ([2], 0, 0.0)
    assert none.limits == (Limit.parse("macs<=50"),)


def test_who_dominates_is_asked_in_all_objectives() -> None:
    b0 = trial(9, 0.8, 250, 15, baseline="b0")
    assert ids(dominating(b0, front_by(SOME))) == [2]
    assert dominating(b0, front_by(SOME, ("macs", "accuracy", "params"))) == []


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        (("macs",), "objectives must be two or three different columns, got macs"),
        (("macs", "macs"), "got macs, macs"),
        (
            ("latncy_ms", "accuracy"),
            "there are accuracy, reward, macs, params, seconds, latency_ms; did you mean",
        ),
        (("status", "accuracy"), "no finished network has a number called 'status'"),
        (("id", "accuracy"), "no finished network has a number called 'id'"),
        (("FLOPS", "accuracy"), "the papers' FLOPS are macs here"),
    ],
)
def test_what_is_no_objective_is_refused(objectives: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        front_by(SOME, objectives)


def test_a_metric_that_only_a_stopped_trial_has_is_no_objective() -> None:
    with pytest.raises(InputError, match="'latency_ms'; there are accuracy, reward, macs, params, seconds$"):
        front_by([replace(SOME[0], curve=[]), *SOME[4:]], ("latency_ms", "accuracy"))


def test_a_cost_may_be_asked_for_before_the_first_result() -> None:
    front = front_by([SOME[6]], ("latency_ms", "accuracy"))
    assert (front.trials, front.hypervolume, front.feasible) == ([], 0.0, 0)
    with pytest.raises(InputError, match="'loss'"):
        front_by([SOME[6]], ("loss", "accuracy"))


def test_a_reference_that_leaves_no_box_is_refused() -> None:
    with pytest.raises(ValueError, match="the reference macs must be above 0, got 0"):
        front_of(SOME, 0.0)


HOSTILE = "_$\\alpha$ <b>x</b></script>\n%{y}" + "z" * 50


def shown(objectives: Sequence[str] = ("macs", "accuracy"), limits: Sequence[str] = ()) -> list[RunFront]:
    """Two runs with names that mean something to somebody."""
    parsed = [Limit.parse(text) for text in limits]
    b0 = trial(9, 0.75, 250, 15, baseline=HOSTILE, metrics={"latency_ms": 3.0})
    other = [replace(t, macs=t.macs + 30) for t in SOME]
    return [
        RunFront(name=HOSTILE, trials=t, front=front_by(t, objectives, limits=parsed), baselines=b)
        for t, b in ((SOME, [b0]), (other, [b0, replace(b0, macs=260)]))
    ]


def words_of(runs: Sequence[RunFront]) -> list[str]:
    return [text.get_text() for text in pareto_figure(runs, "t").legends[0].get_texts()]


def test_the_legend_counts_what_is_drawn() -> None:
    assert words_of(shown()[:1]) == [
        *("dominated (2)", "Pareto front (2)", "best reward (candidate 1)", "baselines (1)")
    ]
    assert words_of(shown(limits=["macs<=150"])[:1])[:3] == [
        "dominated (1)",
        "infeasible (2)",
        "Pareto front (1)",
    ]
    assert "least infeasible (1)" in words_of(shown(limits=["macs<=1"])[:1])
    first, second, *others = words_of(shown())
    assert first == second
    assert first.startswith("_$\\alpha$ <b>x</b></script> ")
    assert first.endswith("zz (2 on its front)")
    assert others == ["dominated in its run", "baselines (2)"]  # one is of both runs


@pytest.mark.parametrize(
    "objectives", [("macs", "accuracy"), ("accuracy", "params"), ("macs", "accuracy", "latency_ms")]
)
@pytest.mark.parametrize("number", [1, 2])
def test_names_are_drawn_as_they_are(tmp_path: Path, objectives, number: int) -> None:
    runs = shown(objectives, ["macs<=250", "accuracy>=0.75"])[:number]
    path = tmp_path / ("p.png" if number == 1 else "p.svg")
    save_figure(pareto_figure(runs, HOSTILE.replace("\n", " ")), path)  # neither mathtext nor a missing name
    assert path.stat().st_size > 10_000


def test_letters_that_the_font_lacks_bring_no_warning(tmp_path: Path) -> None:
    baselines = [trial(9, 0.7, 200, baseline="网络")]
    run = RunFront(name="网络", trials=SOME, front=front_by(SOME), baselines=baselines)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(pareto_figure([run, run], "two"), tmp_path / "p.png")


def test_fronts_in_different_objectives_are_not_drawn_together() -> None:
    with pytest.raises(ValueError, match="must have the same objectives"):
        pareto_figure([*shown(), *shown(("params", "accuracy"))], "t")


def test_baselines_are_apart_in_the_figure() -> None:
    near = [trial(10 + n, 0.8 + n / 1e4, 200 + n, baseline=f"network number {n}") for n in range(6)]
    front = front_by(SOME)
    figure = pareto_figure([RunFront(name="t", trials=SOME, front=front, baselines=near)], "t")
    figure.draw_without_rendering()
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert len(boxes) == 6
    assert not [1 for a, b in itertools.combinations(boxes, 2) if Bbox.intersection(a, b) is not None]


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1.5), (0.3, 9), (0.376, 386), (1, 1e9), (5e-7, 4e8), (95, 105)]
)
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(low: float, high: float) -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_ticks(axes.xaxis)
    ticks = axes.get_xticks()
    assert 2 <= len(ticks) <= 9
    assert low * 0.999 <= min(ticks) < max(ticks) <= high * 1.001


def test_the_page_needs_nothing_else_and_has_no_tags_of_names(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    save_pareto_page(shown(("macs", "accuracy", "params"), ["macs<=250"]), HOSTILE, path)
    text = path.read_text()
    head = text.split("</head>")[0]
    assert "<title>_$\\alpha$ &lt;b&gt;x&lt;/b&gt;&lt;/script&gt; %{y}" in head
    assert "x</b></script>" not in text
    assert "<script src" not in text
    assert len(text) > 1_000_000  # plotly itself


def test_the_page_says_what_a_network_is_on_hovering() -> None:
    figure = pareto_page_figure(shown(limits=["macs<=150"])[:1], "t")
    names = [trace.name for trace in figure.data if trace.name]
    assert names == [
        *("dominated (1)", "infeasible (2)", "Pareto front (1)", "baselines (1)", "best reward (candidate 1)")
    ]
    front = next(trace for trace in figure.data if trace.name == "Pareto front (1)")
    assert front.hovertext == (
        "<b>candidate 2</b><br>multiply-adds: 100<br>validation accuracy, %: 80.00<br>reward: 0.8000<br>"
        "parameters: 20<br>" + "<br>".join(SOME[1].network().summary().split(" | ")),
    )
    (diamond,) = [trace for trace in figure.data if trace.name == "baselines (1)"]
    assert diamond.text[0].startswith("_&#36;\\alpha&#36; &lt;b&gt;x&lt;")
    far = [replace(t, macs=100 * t.macs) for t in shown()[0].baselines]
    assert pareto_page_figure([replace(shown()[0], baselines=far)], "t").layout.xaxis.type == "log"


def test_names_are_no_markup_in_a_browser_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("there is no chromium")
    evil = '$x$<a href="javascript:alert(1)">x</a><img src=x onerror=alert(2)>'
    (run, *_) = shown()
    named = [replace(baseline, baseline=evil) for baseline in run.baselines]
    runs = [replace(run, name=evil, baselines=named), replace(run, name="other")]
    save_pareto_page(runs, f"{evil}</title></script>", tmp_path / "p.html")
    heard: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: heard.append(request.url))
        page.goto((tmp_path / "p.html").as_uri())
        page.wait_for_selector(".legendtext")
        texts = page.locator(".legendtext").all_text_contents()
        links = page.locator(".main-svg a, .main-svg img").count()
        page.locator(".scatterlayer .point").first.hover(force=True)
        page.wait_for_selector(".hoverlayer .hovertext")
        hovered = page.locator(".hoverlayer .hovertext").text_content()
    assert heard == [(tmp_path / "p.html").as_uri()]
    assert any(text.startswith('$x$<a href="java') for text in texts)
    assert links == 0
    assert hovered is not None
    assert "candidate" in hovered
