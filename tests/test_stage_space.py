"""Stage-factorised spaces: identity, cost of many points, extremes, counts, limits, files that extend."""

import itertools
import time
from functools import cache

import numpy as np
import pytest

from controller import CONTROLLERS, Objective, Outcome, Proposal, create_controller
from controller.base import DRAWS
from controller.random_search import RandomController
from search_space import (
    Decision,
    FieldError,
    InputError,
    Limits,
    SearchSpace,
    cost,
    load_space,
    memory,
    preset_names,
    resolve_space,
)
from search_space.layers import LAYERS, Maker
from search_space.stage import Block
from tests.shapes import shapes_only

TINY = {
    "name": "tiny",
    "image_size": 20,
    "stem": {"channels": 8},
    "head": {"channels": 16},
    "stages": [
        {"channels": 8, "stride": 2, "repeats": 2},
        {"channels": 16, "stride": 1, "repeats": 1, "choices": {"filters": [0.5, 1, 1.5]}},
    ],
    "choices": {
        "op": ["conv", "dsconv", "mbconv1", "mbconv3", "bottleneck"],
        "se_ratio": [0, 0.25],
        "skip": ["pool", "identity", "none"],
        "layers": [-1, 0],
    },
}


def every_point(space):
    return list(itertools.product(*(range(len(d.choices)) for d in space.decisions)))


@cache
def built(block: Block) -> tuple:
    """What a block really is: its modules in order, and the shapes of its state."""
    from tests.test_architecture import small

    with shapes_only():
        module = LAYERS[block.op](block, Maker(small(), 1e-3, 0.1), 0.0)
    parts = [
        (type(m).__name__, m.extra_repr(), getattr(m, "residual", None), getattr(m, "more", None))
        for m in module.modules()
    ]
    return tuple(parts), tuple((name, tuple(value.shape)) for name, value in module.state_dict().items())


def network_of(architecture) -> tuple:
    return architecture.image_size, tuple(built(block) for block in architecture.blocks())


@pytest.mark.parametrize("preset", preset_names())
def test_keys_are_equal_exactly_when_the_built_networks_are(preset: str) -> None:
    space, rng, equal = load_space(preset), np.random.default_rng(0), 0
    for _ in range(400):
        indices = list(space.random(rng))
        d = int(rng.integers(len(indices)))
        size = len(space.decisions[d].choices)
        if size == 1:
            continue
        other = list(indices)
        other[d] = (other[d] + 1 + int(rng.integers(size - 1))) % size
        one, two = space.decode(indices), space.decode(other)
        same = network_of(one) == network_of(two)
        assert (one.key == two.key) == same, (indices, other)
        equal += same
    assert (equal > 0) == (preset == "mnasnet")  # SE of a conv, skips that the shapes forbid


def test_batch_cost_equals_one_by_one_on_every_point_of_a_small_space() -> None:
    space = load_space(TINY)
    points = every_point(space)
    assert len(points) == space.size
    tables = space.tables(7, 1)
    networks = [space.decode(point) for point in points]
    macs, params = tables.cost(points)
    assert list(zip(macs.tolist(), params.tolist(), strict=True)) == [tuple(cost(n, 7, 1)) for n in networks]
    assert tables.memory(points).tolist() == [memory(n, 7, 1) for n in networks]
    for name, values in (("macs", macs), ("params", params)):
        ends = tables.extremes(name)
        assert (ends.smallest, ends.largest) == (values.min(), values.max())
        assert getattr(cost(space.decode(ends.smallest_at), 7, 1), name) == ends.smallest
        assert getattr(cost(space.decode(ends.largest_at), 7, 1), name) == ends.largest
    least, at = tables.smallest_memory()
    assert least == min(memory(n, 7, 1) for n in networks) == memory(space.decode(at), 7, 1)
    distinct = len({network.key for network in networks})
    assert distinct < space.size
    assert tables.distinct() >= distinct
    assert tables.distinct() == distinct or not tables.counted_exactly()


def test_the_count_of_networks_is_exact_where_it_says_so() -> None:
    strided = {**TINY, "stages": [TINY["stages"][0], {"channels": 16, "stride": 2, "repeats": 1}]}
    space = load_space(strided)
    assert space.tables().counted_exactly()
    assert space.tables().distinct() == len({space.decode(point).key for point in every_point(space)})


@pytest.mark.parametrize("preset", preset_names())
def test_batch_cost_equals_one_by_one_on_presets(preset: str) -> None:
    space, rng = load_space(preset), np.random.default_rng(4)
    points = [space.random(rng) for _ in range(200)]
    tables = space.tables()
    macs, params = tables.cost(points)
    ends = [tables.extremes(name) for name in ("macs", "params")]
    least, at = tables.smallest_memory()
    assert memory(space.decode(at)) == least
    for point, m, p, b in zip(points, macs, params, tables.memory(points), strict=True):
        network = space.decode(point)
        assert (m, p) == cost(network)
        assert b == memory(network) >= least
        assert ends[0].smallest <= m <= ends[0].largest
        assert ends[1].smallest <= p <= ends[1].largest


def test_batch_cost_takes_at_most_two_microseconds_a_point() -> None:
    space, rng = load_space("mnasnet"), np.random.default_rng(0)
    points = np.stack([rng.integers(len(d.choices), size=100_000) for d in space.decisions], axis=1)
    tables, best = space.tables(), float("inf")
    for _ in range(4):
        began = time.process_time()
        tables.cost(points)
        best = min(best, (time.process_time() - began) / len(points))
    assert best <= 2e-6


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0]], r"must have shape \(N, 8\)"),
        ([[9] * 8], "must be whole numbers within"),
        ([[-1] * 8], "must be whole numbers within"),
        ([[0.5] * 8], "must be whole numbers within"),
    ],
)
def test_wrong_points_are_refused(points, message: str) -> None:
    space = load_space({**TINY, "stages": [{"channels": 8}, {"channels": 8}]})
    with pytest.raises(FieldError, match=message):
        space.batch_cost(points)


LIMITS = [
    Limits(macs=60e6),
    Limits(params=2e6),
    Limits(memory=11e6),
    Limits(macs=150e6, params=2.5e6, memory=20e6),
]


# the stem holds the most activations, and stages tie for the most of the others
TIED = {
    "name": "tied",
    "image_size": 32,
    "stem": {"channels": 16, "stride": 1},
    "head": {"channels": 16},
    "stages": [{"channels": 16}] * 4,
    "choices": {"op": ["mbconv2", "conv"]},
}
STEM_HEAVY = {**TIED, "stem": {"channels": 64}, "choices": {"op": ["mbconv1", "conv"], "filters": [0.5, 1]}}


@pytest.mark.parametrize("space", [TIED, STEM_HEAVY, TINY], ids=lambda space: str(space["choices"]))
def test_limits_that_some_point_meets_are_met_by_every_proposal(space) -> None:
    whole = load_space(space)
    points = every_point(whole)
    tables = whole.tables()
    costs = {
        "macs": tables.cost(points)[0],
        "params": tables.cost(points)[1],
        "memory": tables.memory(points),
    }
    least, at = tables.smallest_memory()
    assert least == costs["memory"].min() == memory(whole.decode(at))
    rng, refused = np.random.default_rng(0), 0
    for _ in range(40):
        chosen = points[int(rng.integers(len(points)))]  # what this point costs is possible
        names = [name for name in ("macs", "params", "memory") if rng.random() < 0.6] or ["memory"]
        network = whole.decode(chosen)
        values = {"memory": memory(network), **cost(network)._asdict()}
        limits = Limits(**{name: float(values[name]) for name in names})
        try:
            limited = whole.limited(limits)
        except FieldError:  # of several limits a first point may not be found, which is rare
            refused += 1
            assert len(names) > 1
            continue
        for point in [*points[:: max(1, len(points) // 50)], points[-1]]:
            repaired = whole.decode(limited.repaired(point))
            facts = {"memory": memory(repaired), **cost(repaired)._asdict()}
            assert all(facts[name] <= values[name] for name in names)
    assert refused <= 2


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_controllers_propose_within_limits_however_tight(name: str, limits: Limits) -> None:
    space = load_space("efficientnet").limited(limits)
    controller = create_controller(name, space, 0)
    for proposal in controller.ask(20):
        network = space.decode(proposal.indices)
        for cost_name, limit in limits.given().items():
            value = memory(network) if cost_name == "memory" else getattr(cost(network), cost_name)
            assert value <= limit
    controller.tell(controller.ask(20), [None] * 20)


def test_known_costs_are_those_of_the_networks_that_are_meant() -> None:
    whole = load_space(TINY)
    points = every_point(whole)[::97]
    for space, meant in ((whole, (1000, 3)), (whole.limited(Limits(), 7, 1), (7, 1))):
        costs = [cost(space.decode(point), *meant) for point in points]
        assert space.known_cost(points, "macs").tolist() == [c.macs for c in costs]
        assert space.known_cost(points, "params").tolist() == [c.params for c in costs]
        assert space.known_cost(points, "latency") is None
    plain = SearchSpace([Decision("a", (1, 2))])
    assert plain.known_cost([[0]], "macs") is None


def test_allowed_says_of_many_points_what_allows_says_of_each() -> None:
    whole = load_space(TINY)
    points = every_point(whole)[::97]
    macs = np.sort(whole.known_cost(points, "macs"))
    limited = whole.limited(Limits(macs=float(macs[len(macs) // 2])))
    assert limited.allowed(points).tolist() == [limited.allows(point) for point in points]
    assert 0 < limited.allowed(points).sum() < len(points)
    for space in (whole, whole.limited(Limits()), whole.limited(Limits(), 7, 1)):  # nothing is limited
        assert space.allowed(points).all()
        assert all(space.allows(point) and space.repaired(point) == point for point in points)
    plain = SearchSpace([Decision("a", (1, 2))])
    assert plain.allowed([[0], [1], [0]]).tolist() == [True] * 3
    assert plain.canonical([[1], [0]]).tolist() == [[1], [0]]


HARD = Objective(target=20e6, alpha=0.0, beta=-1.0)


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("limits", [Limits(), Limits(params=2.5e6)], ids=["free", "limited"])
def test_controllers_do_not_propose_what_arithmetic_rules_out(name: str, limits: Limits) -> None:
    space = load_space("tiny-imagenet").limited(limits)
    options = {"first": 4, "steps": 2} if name == "dyna" else {}
    controller = create_controller(name, space, 0, HARD, **options)
    cheap = space.repaired(space.tables().extremes("macs").smallest_at)
    proposal = Proposal(cheap, space.choices(cheap))
    macs = float(space.known_cost([cheap], "macs")[0])
    assert macs < HARD.target < space.tables().extremes("macs").largest / 3
    for _ in range(2):
        batch = controller.ask(6)
        told = [*batch, proposal]
        costs = space.known_cost([p.indices for p in told], "macs").tolist()
        controller.tell(told, [Outcome(0.3, c, HARD.reward(0.3, c)) for c in costs])
    controller.tell([proposal], [Outcome(0.8, macs, 0.8)])
    points = [p.indices for p in controller.ask(20)]
    assert len(points) == 20
    assert space.allowed(points).all()
    assert (space.known_cost(points, "macs") <= HARD.target / 0.8).all()
    controller.tell([proposal], [Outcome(1.0, macs, 1.0)])  # nothing can be better: as good is not ruled out
    points = [p.indices for p in controller.ask(5)]
    assert space.allowed(points).all()
    assert (space.known_cost(points, "macs") <= HARD.target).all()


class Stubborn(RandomController):
    """Draws the most expensive point, always, and counts."""

    drawn = 0

    def _draw(self, n: int) -> list[Proposal]:
        self.drawn += n
        point = self.space.tables().extremes("macs").largest_at
        return [Proposal(point, self.space.choices(point), -1.0)] * n


def test_what_is_drawn_in_vain_is_drawn_a_bounded_number_of_times_and_then_repaired() -> None:
    space = load_space("digits")
    costs = space.tables().extremes("macs")
    objective = Objective(target=float(costs.smallest), alpha=0.0, beta=-1.0)
    controller = Stubborn(space, 0, objective)
    assert [p.log_prob for p in controller.ask(2)] == [-1.0, -1.0]
    assert controller.drawn == 2
    best = costs.smallest_at
    controller.tell([Proposal(best, space.choices(best))], [Outcome(0.9, float(costs.smallest), 0.9)])
    repaired = controller.ask(3)
    assert controller.drawn == 2 + 3 * (DRAWS + 1)
    assert [p.log_prob for p in repaired] == [None] * 3
    assert (space.known_cost([p.indices for p in repaired], "macs") <= costs.smallest / 0.9).all()
    assert all(p.choices == space.choices(p.indices) for p in repaired)


def test_limits_come_before_a_best_point_that_is_beyond_them() -> None:
    whole = load_space("digits")
    ends = whole.tables().extremes("macs")
    space = whole.limited(Limits(macs=2.0 * ends.smallest))
    controller = Stubborn(space, 0, Objective(target=1e6))
    told = Proposal(ends.largest_at, space.choices(ends.largest_at))  # by somebody who knows no limits
    controller.tell([told], [Outcome(1.0, float(ends.largest), 5.0)])
    assert space.allowed([p.indices for p in controller.ask(4)]).all()


def test_repairing_changes_few_stages_and_allowed_points_not_at_all() -> None:
    space = load_space("efficientnet").limited(Limits(macs=400e6))
    rng = np.random.default_rng(0)
    for _ in range(50):
        point = space.random(rng)
        repaired = space.repaired(point)
        assert space.allows(repaired)
        assert (repaired == point) == space.allows(point)


def test_the_largest_point_is_repaired_in_a_few_steps() -> None:
    whole = load_space("efficientnet")
    space = whole.limited(Limits(macs=49e6))
    largest = whole.tables().extremes("macs").largest_at
    assert not space.allows(largest)
    assert space.allows(space.repaired(largest))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            Limits(macs=48e6),
            "limits.macs must be at least 48,283,544, the least in this space, got 48,000,000",
        ),
        (Limits(params=1e6), "limits.params must be at least 1,700,328"),
        (Limits(memory=1e6), "limits.memory must be at least 10,012,576"),
    ],
)
def test_a_limit_that_no_network_meets_names_the_smallest_value(limits: Limits, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        load_space("efficientnet").limited(limits)


def test_a_space_extends_another(tmp_path) -> None:
    (tmp_path / "base.yaml").write_text(
        "extends: efficientnet\nname: base\nimage_size: 96\nchoices: {kernel: [3, 5, 7]}\n"
    )
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nname: more\nchoices: {se_ratio: [0.25]}\n")
    space = load_space(tmp_path / "more.yaml")
    decisions = {d.name: d.choices for d in space.decisions}
    assert (decisions["stage3.kernel"], decisions["stage3.se_ratio"]) == ((3, 5, 7), (0.25,))
    assert (space.name, space.skeleton.image_size) == ("more", 96)
    assert resolve_space(tmp_path / "more.yaml")["stages"] == resolve_space("efficientnet")["stages"]
    (tmp_path / "base.yaml").write_text("extends: efficientnet\nname: base\nchoices: {kernel: [4]}\n")
    with pytest.raises(InputError, match=r"base.yaml:3: choices.kernel\[0\] must be"):
        load_space(tmp_path / "more.yaml")
    with pytest.raises(InputError, match=r"^--set choices.kernel\[0\] must be"):
        load_space("efficientnet", {"choices.kernel": [4]})
    (tmp_path / "base.yaml").write_text("extends: nosuch.yaml\nname: base\n")
    with pytest.raises(InputError, match=r"base.yaml:1: extends cannot be followed: .*nosuch.yaml: no such"):
        load_space(tmp_path / "more.yaml")
    (tmp_path / "base.yaml").write_text("extends: more.yaml\nname: base\n")
    with pytest.raises(InputError, match="must not go in a circle"):
        load_space(tmp_path / "more.yaml")


def test_a_reference_replaces_the_skeleton_wherever_it_is_said() -> None:
    one = load_space("efficientnet", {"reference": "mobilenet_v2"})
    two = load_space({"extends": "efficientnet", "reference": "mobilenet_v2"})
    assert one.skeleton == two.skeleton
    assert [stage.channels for stage in one.skeleton.stages] == [16, 24, 32, 64, 96, 160, 320]
    at_64 = load_space({"extends": "tiny-imagenet", "reference": "mobilenet_v2"})
    assert (at_64.skeleton.image_size, at_64.skeleton.stem.stride) == (64, 2)


def test_what_a_space_does_not_list_is_fixed() -> None:
    space = load_space({"name": "k", "reference": "mnasnet_a1", "choices": {"kernel": [3, 5]}})
    assert len(space.decisions) == 7
    network = space.decode([0] * 7)
    assert network.stages[2].se_ratio == 0.25
    assert (network.stages[2].expansion, network.activation) == (3, "relu")
    own = {
        "reference": "mnasnet_a1",
        "stages": [{"channels": 8, "op": "mbconv3", "choices": {"kernel": [3, 5]}}],
    }
    assert load_space(own).decode([1]).stages[0].expansion == 3
    with pytest.raises(InputError, match="choices must list something to choose"):
        load_space({"name": "n", "reference": "mnasnet_a1", "choices": {}})
