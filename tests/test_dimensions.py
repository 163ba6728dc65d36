"""The experiment on the dimensions of scaling: its networks, and what is said of their accuracies."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nas.dimensions import DIMENSIONS, Experiment, Scaled, experiment_of, findings_of
from nas.scaling_config import load_scaling_config
from nas.scaling_settings import DimensionSettings
from search_space import Architecture, FieldError, InputError, Stage, cost, load_architecture
from search_space.scaling import scale_architecture
from tests.test_architecture import small

BASELINE = small(
    name="mine",
    stages=(
        Stage(channels=16, repeats=2, stride=2, expansion=3),
        Stage(channels=24, repeats=3, stride=1, expansion=6, se_ratio=0.25),
    ),
)
SETTINGS = DimensionSettings(factors=[2.0, 3.0], pairs=[[1.0, 1.0], [2.0, 1.3]], widths=[1.0, 1.5], seeds=2)


def at(dimension: str, factor: float, baseline: Architecture = BASELINE) -> Architecture:
    depth, width, resolution = {
        "depth": (factor, 1.0, 1.0),
        "width": (1.0, factor, 1.0),
        "resolution": (1.0, 1.0, factor),
        "compound": (1.2**factor, 1.1**factor, 1.15**factor),
    }[dimension]
    size = round(baseline.image_size * resolution)
    return scale_architecture(baseline, depth=depth, width=width, image_size=size)


def macs_of(network: Architecture) -> int:
    return cost(network, 10, 1).macs


def made(settings: DimensionSettings = SETTINGS, baseline: Architecture = BASELINE) -> Experiment:
    return experiment_of(baseline, settings, 10, 1)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return made()


@pytest.mark.parametrize("number", range(4))
def test_macs_are_the_nearest_on_a_grid_of_a_hundredth(experiment: Experiment, number: int) -> None:
    line = experiment.lines[number]
    least = 0 if line.dimension == "compound" else 100
    every = {n / 100: macs_of(at(line.dimension, n / 100)) for n in range(least, 900)}
    base = macs_of(BASELINE)
    assert (line.dimension, line.points[0].macs) == (DIMENSIONS[number], base)
    for target, point in zip(experiment.targets, line.points[1:], strict=True):
        assert point.architecture.key == at(line.dimension, point.factor).key
        assert point.macs == every[point.factor]

        def off(macs: int, wanted: float = target * base) -> float:
            return max(macs / wanted, wanted / macs)

        assert off(point.macs) == min(map(off, every.values()))
        # of the factors that make this network the smallest
        assert point.factor == min(f for f, macs in every.items() if macs == point.macs)


def test_a_target_that_rounds_to_the_baseline_itself_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"at 1.02 times the MACs the nearest network by depth is the baseline"
    ):
        made(replace(SETTINGS, factors=[1.02], widths=[]))


def test_every_network_is_trained_once_the_baseline_first(experiment: Experiment) -> None:
    keys = [member.architecture.key for member in experiment.members]
    assert len(set(keys)) == len(keys)
    assert keys[0] == BASELINE.key
    points = [p for line in (*experiment.lines, *experiment.widths) for p in line.points]
    assert set(keys) == {point.architecture.key for point in points}
    assert len(points) > len(keys)  # the baseline is on every line
    names = [member.architecture.name for member in experiment.members]
    assert len(set(names)) == len(names)
    assert (names[0], experiment.members[0].choices) == ("mine", {"scaled": "baseline"})
    assert "mine-d2-w1.5-r1.3" in names
    plan = experiment.plan(3)
    assert (plan.members, plan.seeds, plan.most) == (experiment.members, 3, 3)
    assert list(plan.more([], [])) == []


def test_width_is_scaled_under_every_pair(experiment: Experiment) -> None:
    assert [(w.depth, w.resolution) for w in experiment.widths] == [(1.0, 1.0), (2.0, 1.3)]
    (first, second) = experiment.widths
    assert first.points[0].architecture.key == BASELINE.key
    assert [p.factor for p in second.points] == [1.0, 1.5]
    assert all(p.architecture.image_size == round(32 * 1.3) for p in second.points)
    assert [s.repeats for s in second.points[0].architecture.stages] == [4, 6]
    assert made(replace(SETTINGS, widths=[])).widths == ()
    assert made(replace(SETTINGS, pairs=[])).widths == ()


def test_the_published_experiment_has_as_many_networks_as_its_comment_says() -> None:
    path = Path(__file__).parent.parent / "configs" / "scaling_dimensions.yaml"
    config = load_scaling_config(path)
    baseline = load_architecture(path.parent / "networks" / "mbconv-16px.yaml")
    experiment = experiment_of(baseline, config.dimensions, 10, 3)
    (said,) = re.findall(r"(\d+) networks, three seeds each", path.read_text())
    assert (len(experiment.members), config.dimensions.seeds) == (int(said), 3)
    for line in experiment.lines:  # layers and multiples of 8 are coarse steps for so small a network
        for target, point in zip(experiment.targets, line.points[1:], strict=True):
            assert point.macs == pytest.approx(target * line.points[0].macs, rel=0.2)


# --- what cannot be had ------------------------------------------------------------------------------


def test_a_factor_that_cannot_be_built_is_named_with_the_nearest() -> None:
    large = replace(BASELINE, image_size=5000)
    # twice the side is too large to try, and 1.41 times is not
    point = made(replace(SETTINGS, factors=[2.0], widths=[]), large).lines[2].points[1]
    assert point.macs == pytest.approx(2 * macs_of(large), rel=0.02)
    with pytest.raises(InputError) as caught:
        made(replace(SETTINGS, factors=[8.0], widths=[]), large)
    message = str(caught.value)
    assert message.startswith("dimensions.factors: resolution cannot reach ")
    assert "image_size must be between 1 and 8192" in message
    largest = macs_of(at("resolution", 1.63, large)) / macs_of(large)
    assert message.endswith(f"; the nearest is {largest:.3f} times the baseline's")
    assert (
        made(replace(SETTINGS, factors=[round(largest, 3)], widths=[]), large).lines[2].points[1].factor
        == 1.63
    )


def test_a_direction_that_hardly_grows_is_refused() -> None:
    with pytest.raises(InputError, match=r"^dimensions.factors: compound does not reach .* MACs$"):
        made(replace(SETTINGS, alpha=1.0, beta=1.0001, gamma=1.0))


def test_a_pair_that_cannot_be_built_is_named() -> None:
    with pytest.raises(InputError, match=r"^dimensions.pairs: \[1, 0.02\]: image_size must be at least"):
        made(replace(SETTINGS, pairs=[[1.0, 0.02]]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factors": []}, "factors must be a list of factors"),
        ({"factors": [1.0]}, r"factors\[0\] must be between 1.01 and 100, got 1"),
        ({"factors": [2, 2.0]}, "factors must be different factors"),
        ({"alpha": 0.9}, "alpha must be between 1 and 10, got 0.9"),
        ({"alpha": 1, "beta": 1, "gamma": 1}, "alpha must be above 1 where beta and gamma are not"),
        ({"pairs": 3}, r"pairs must be a list of \[depth, resolution\], got 3"),
        ({"pairs": [[1.0]]}, r"pairs\[0\] must be \[depth, resolution\], got \[1.0\]"),
        ({"pairs": [[1.0, 1.0], [1.0, 0]]}, r"pairs\[1\] must be between 0.01 and 100, got 0"),
        ({"pairs": [[1.0, "x"]]}, r"pairs\[0\] must be a number"),
        ({"widths": [1.0, 1.0]}, "widths must be different factors"),
        ({"widths": None}, "widths must be a list of factors"),
        ({"seeds": True}, "seeds must be a whole number"),
    ],
)
def test_settings_check_themselves(values: dict, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        DimensionSettings(**values)


# --- what comes of it --------------------------------------------------------------------------------


def accuracies_of(experiment: Experiment, scores: dict[str, float]) -> list[tuple[float, ...]]:
    """Two trainings of each member, a tenth of a percent apart; of none those that the script names None."""
    found = []
    for member in experiment.members:
        score = scores.get(member.architecture.name, 0.5)
        found.append(() if score is None else (score - 0.001, score + 0.001))
    return found


def name_of(experiment: Experiment, point: Scaled) -> str:
    return next(
        m.architecture.name for m in experiment.members if m.architecture.key == point.architecture.key
    )


def test_compound_is_compared_with_the_best_single_dimension(experiment: Experiment) -> None:
    depth, width, _, compound = experiment.lines
    scores = {
        name_of(experiment, width.points[1]): 0.6,
        name_of(experiment, compound.points[1]): 0.65,
        name_of(experiment, depth.points[2]): 0.7,
        name_of(experiment, compound.points[2]): 0.69999,
    }
    found = findings_of(experiment, accuracies_of(experiment, scores), [0] * len(experiment.members))
    first, second = found.gains()
    base = macs_of(BASELINE)
    assert (first.target, first.single, first.margin.certain) == (2.0, "width", True)
    assert first.margin.value == pytest.approx(0.05)
    assert first.macs == (compound.points[1].macs / base, width.points[1].macs / base)
    assert (second.target, second.single, second.margin.certain) == (3.0, "depth", False)
    assert second.margin.value == pytest.approx(-0.00001)
    assert found.accuracy(width.points[1]) == (pytest.approx(0.6), found.measured.error(0))
    assert found.measured.deviation == pytest.approx(0.002 / 2**0.5)


def test_what_failed_is_left_out(experiment: Experiment) -> None:
    depth, width, resolution, compound = experiment.lines
    scores = dict.fromkeys([name_of(experiment, p.points[1]) for p in (depth, width)])
    scores |= {name_of(experiment, compound.points[2]): None}
    failed = [2 * (member.architecture.name in scores) for member in experiment.members]
    found = findings_of(experiment, accuracies_of(experiment, scores), failed)
    assert found.failed == 6
    assert found.accuracy(depth.points[1]) is None
    assert [(gain.target, gain.single) for gain in found.gains()] == [(2.0, "resolution")]
    scores |= {name_of(experiment, resolution.points[1]): None}
    assert findings_of(experiment, accuracies_of(experiment, scores), failed).gains() == []
