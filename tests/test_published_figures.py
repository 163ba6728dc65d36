"""Published tables, drawn: the family among published models by edition, and transfer."""

import numpy as np
import pytest

from results.figures import TransferPoint, family_figure, transfer_figure
from results.published import EDITIONS, published_models, published_transfer, source_of
from search_space import FieldError, InputError
from tests.test_figures import HOSTILE, assert_finite, assert_readable, members, texts


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_edition_of_published_models_is_drawn_and_named(edition: str) -> None:
    figure = family_figure(members(0.8), "family", edition=edition)
    assert [source_of(2, edition) in text for text in texts(figure)].count(True) == 1
    (line,) = [each for each in figure.axes[0].get_lines() if "EfficientNet" in str(each.get_label())]
    own = [model for model in published_models(edition) if model.efficientnet]
    assert np.allclose(line.get_ydata(), [100 * model.accuracy for model in own])
    with pytest.raises(InputError, match="'v6' is no edition"):
        family_figure([], "family", edition="v6")


def test_every_result_of_transfer_is_drawn_where_it_is() -> None:
    figure = transfer_figure([TransferPoint(dataset="Flowers", name=HOSTILE, params=5e6, accuracy=0.9)])
    assert_finite(figure)
    assert_readable(figure)
    for axes, row in zip(figure.axes, published_transfer(), strict=True):
        assert axes.get_title(loc="left") == row.dataset
        drawn_points = {tuple(point) for line in axes.get_lines() for point in line.get_xydata()}
        for result in (row.public, row.reported):
            height = 100 * result.accuracy
            if result.params is not None:
                assert (result.params / 1e6, height) in drawn_points
            else:  # a line from side to side
                assert {(0.0, height), (1.0, height)} <= drawn_points
            assert ((result.own_params or 64e6) / 1e6, 100 * result.own_accuracy) in drawn_points
        assert ((5.0, 90.0) in drawn_points) == (row.dataset == "Flowers")
    rings = [
        line for axes in figure.axes for line in axes.get_lines() if line.get_markerfacecolor() == "white"
    ]
    assert len(rings) == 3


def test_own_networks_of_transfer_are_in_the_legend_and_may_be_of_any_size() -> None:
    assert not [text for text in texts(transfer_figure()) if text == "own"]
    points = [
        TransferPoint(dataset="Birdsnap", name=f"own_{n}", params=params, accuracy=n / 2)
        for n, params in enumerate((2_000, 3e6, 4e10))
    ]
    figure = transfer_figure(points)
    assert "own" in texts(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < 0.002 < 40_000 < high
    assert_readable(figure)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"dataset": "CIFAR10"}, "must be one of the published, got 'CIFAR10'; did you mean CIFAR-10"),
        ({"params": 0}, "params must be above 0, got 0"),
        ({"params": float("nan")}, "params must be above 0, got nan"),
        ({"accuracy": 98.1}, "accuracy must be between 0 and 1, got 98.1"),
    ],
)
def test_a_point_of_transfer_keeps_its_rules(wrong: dict[str, object], rule: str) -> None:
    good = {"dataset": "CIFAR-10", "name": "a", "params": 1e6, "accuracy": 0.9}
    with pytest.raises(FieldError, match=rule):
        TransferPoint(**(good | wrong))
