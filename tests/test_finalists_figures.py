"""The figure of finalists: what is drawn is what was given, and can be read, whatever there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from results import save_figure
from results.figures import FinalPoint, finalists_figure, save_finalists_page
from results.figures.finalists_figure import LOOKS, bar
from results.figures.finalists_page import finalists_page_figure
from tests.test_figures import HOSTILE, assert_finite, texts

pytestmark = [pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")]


def points(number: int = 5, seeds: int = 3, name: str = "candidate") -> list[FinalPoint]:
    """Finalists, B0's shape and random networks; the front is made up."""
    rng = np.random.default_rng(number)
    roles = ["finalist"] * number + ["b0"] + ["random"] * number
    return [
        FinalPoint(
            name=f"{name} {place}",
            role=role,
            recommended=place == 0,
            macs=1e8 * (1 + place / 10) if role == "finalist" else 1e8,
            params=5e6,
            proxy=0.6 + 0.01 * place if role == "finalist" else None,
            accuracy=0.7 + 0.02 * float(rng.random()),
            error=0.005 if seeds > 1 else None,
            validation=0.72,
            validation_error=0.004 if seeds > 1 else None,
            seeds=seeds,
            on_front=place < 2,
        )
        for place, role in enumerate(roles)
    ]


def drawn(figure: Figure, label: str) -> list[tuple[float, float]]:
    """The points of a kind in the first panel."""
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == label]
    return [tuple(pair) for pair in np.asarray(line.get_xydata(), dtype=float).tolist()]


def test_networks_stand_at_their_macs_and_accuracies() -> None:
    given = points()
    figure = finalists_figure(given, "test", "a title")
    others = [(p.macs / 1e6, 100 * p.accuracy) for p in given if p.role == "finalist" and not p.recommended]
    assert drawn(figure, LOOKS["finalist"].label) == [pytest.approx(pair) for pair in others]
    assert len(drawn(figure, LOOKS["random"].label)) == 5
    assert len(drawn(figure, "corrected Pareto front")) == 2
    assert figure.axes[0].get_ylabel() == "test accuracy, %: mean of 3 seeds, bars: 95 % interval"
    assert figure.axes[0].get_xlabel() == "million multiply-adds of one image"
    assert len(figure.axes) == 2
    assert figure.axes[1].get_xlabel() == "validation accuracy in the search, %"
    assert_finite(figure)


@pytest.mark.parametrize("number", [0, 1, 2, 20])
@pytest.mark.parametrize("seeds", [1, 2])
def test_few_and_many_are_drawn(number: int, seeds: int, tmp_path: Path) -> None:
    given = points(number, seeds)
    figure = finalists_figure(given, "validation", "t")
    assert len(figure.axes) == (2 if number > 1 else 1)
    if seeds == 1:
        assert "a single training each" in figure.axes[0].get_ylabel()
    save_figure(figure, tmp_path / "x.png")
    assert "no network has a result yet" in texts(finalists_figure([], "test", "t"))


def test_intervals_beyond_all_accuracies_do_not_stretch_the_axis() -> None:
    wide = [FinalPoint(**{**_fields(p), "error": 0.9}) for p in points(2)]
    low, high = finalists_figure(wide, "test", "t").axes[0].get_ylim()
    assert (low, high) == (-1.0, 101.0)


def test_bars_end_where_accuracies_do() -> None:
    high = FinalPoint(**{**_fields(points(1)[0]), "accuracy": 0.99, "error": 0.05})
    assert bar(high) == pytest.approx((5.0, 1.0))
    trace = finalists_page_figure([high], "test", "t").data[1]
    assert (trace.error_y.array, trace.error_y.arrayminus) == (pytest.approx((1.0,)), pytest.approx((5.0,)))


def test_the_ranking_is_drawn_by_the_accuracy_that_ranks_use() -> None:
    panel = finalists_figure(points(), "test", "t").axes[1]
    assert panel.get_ylabel() == "validation accuracy after full training, %"
    drawn = [y for line in panel.get_lines() if line.get_label() in _LABELS for y in line.get_ydata()]
    assert drawn == [pytest.approx(72.0)] * 5


_LABELS = {look.label for look in LOOKS.values()}


def _fields(point: FinalPoint) -> dict:
    return {name: getattr(point, name) for name in FinalPoint.__dataclass_fields__}


def test_names_are_no_formulas_and_no_markup(tmp_path: Path) -> None:
    given = points(3, name=HOSTILE)
    figure = finalists_figure(given, "test", HOSTILE)
    assert any(HOSTILE in text for text in texts(figure))
    save_figure(figure, tmp_path / "x.svg")
    save_finalists_page(given, "test", f"<script>{HOSTILE}", tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert "<title>&lt;script&gt;" in page
    hovering = finalists_page_figure(given, "test", HOSTILE).to_json()
    assert "$" not in hovering
    assert "<b>&amp;" not in hovering.replace("\\u003c", "<").replace("\\u003e", ">")


def test_the_page_has_every_network_with_its_interval() -> None:
    figure = finalists_page_figure(points(), "test", "t")
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {look.label for look in LOOKS.values()} | {"corrected Pareto front"}
    recommended = traces[LOOKS["recommended"].label]
    assert recommended.error_y.array == (0.5,)
    assert "accuracy in the search, %: 60.00" in recommended.hovertext[0]
    assert len(finalists_page_figure([], "test", "t").data) == 1
