"""The run of a scaling search: what it trains, how often, what it goes on with and what it refuses."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from nas import InputError, load_config, open_run, run_search
from nas.launch import create_evaluator
from nas.scaling_config import ScalingConfig, load_scaling_config, parse_scaling_config
from nas.scaling_grid import GridPoint, grid_points
from nas.scaling_run import Member, Plan, Rows, ScalingEnd, run_scaling
from nas.scaling_search import GridFindings, grid_findings, grid_plan
from nas.search import measured_by
from nas.sized_data import sized_evaluator
from search_space import Architecture, load_space, scale_architecture
from tests.searching import Scripted
from tests.searching import config as search_config
from tests.test_architecture import small
from tests.test_audit import Interrupting
from trainers import Measurement, ProxyProtocol

BASELINE = small(name="mine")
GRID = {
    "alpha": [1.0, 2.0],
    "beta": [1.0, 1.2, 1.4],
    "gamma": [1.0, 1.2, 1.4],
    "tolerance": 1.0,
    "macs_tolerance": 0.8,
    "points": 4,
}


def settings_of(name: str = "s", **scaling: object) -> ScalingConfig:
    """A configuration of a grid search on a network of one stage; values are those of its grid."""
    given = {"seeds": 2, "max_seeds": 4, **GRID, **scaling}
    data = {"name": name, "executor": {"kind": "inline"}, "scaling": given}
    return parse_scaling_config(data).model_copy(update={"baseline": BASELINE})


@dataclass(frozen=True)
class Scores:
    """Gives each network and seed the accuracy of a script, and keeps a diary of what was trained.

    Attributes:
        of: accuracy of a network's key and a seed; None fails.
    """

    of: Callable[[str, int], float | None]
    diary: list[tuple[str, int]] = field(default_factory=list)
    fingerprint: str = "scores"
    num_classes: int = 10
    in_channels: int = 3

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        self.diary.append((architecture.key, seed))
        accuracy = self.of(architecture.key, seed)
        if accuracy is None:
            raise RuntimeError("CUDA out of memory\n(as if)")
        yield Measurement(accuracy=accuracy, final=True)


def far_apart(key: str, seed: int) -> float:
    """No two networks are close, whatever the seed."""
    return KEYS.index(key) / 10 + seed % 7 / 1e5


def noisy(key: str, seed: int) -> float:
    """The last two cannot be told apart; the others are far behind."""
    return min(KEYS.index(key), len(KEYS) - 2) / 5 + seed % 7 / 100


def points_of(config: ScalingConfig) -> list[GridPoint]:
    return grid_points(BASELINE, config.scaling, 10, 3)


KEYS = [BASELINE.key, *(point.architecture.key for point in points_of(settings_of()))]


def search(config: ScalingConfig, evaluator, **options) -> tuple[ScalingEnd, GridFindings | None]:
    points = points_of(config)
    plan = grid_plan(BASELINE, points, config.scaling)
    end = run_scaling(config, plan, evaluator, **options)
    return end, grid_findings(BASELINE, points, end.accuracies, end.failed, 10, 3)


# --- what is trained ---------------------------------------------------------------------------------


def test_every_network_with_every_seed_exactly_once(in_tmp: Path) -> None:
    scores = Scores(far_apart)
    end, found = search(settings_of(seeds=3), scores)
    seeds = {seed for _, seed in scores.diary}
    assert end.outcome == "finished"
    assert Counter(scores.diary) == {(key, seed): 1 for key in KEYS for seed in seeds}
    assert (len(KEYS), len(seeds), scores.diary[0]) == (5, 3, (BASELINE.key, 0))
    trials = end.run.trials()
    assert {trial.status for trial in trials} == {"done"}
    assert all(
        trial.reward is None and trial.protocol == "scores dropout 0.2 drop_path 0.2" for trial in trials
    )
    assert trials[0].choices == {"alpha": 1.0, "beta": 1.0, "gamma": 1.0}
    assert [trial.key for trial in trials[:5]] == KEYS  # seed after seed
    assert end.accuracies == tuple(
        tuple(far_apart(key, seed) for k, seed in scores.diary if k == key) for key in KEYS
    )
    assert (end.failed, open_run("s").kind()) == ((0,) * 5, "scaling")
    assert found.chosen.architecture.key == KEYS[-1]
    assert (found.margin.certain, found.close, found.left_out) == (True, [], 0)
    assert found.margin.value == pytest.approx(0.1)
    assert [p.architecture.key for p in found.points] == KEYS[:0:-1]
    assert found.alone == end.accuracies[0]
    assert load_scaling_config("runs/s/config.yaml") == settings_of(seeds=3)


def test_only_contenders_are_trained_again_and_never_beyond_the_bound(in_tmp: Path) -> None:
    scores = Scores(noisy)
    end, found = search(settings_of(), scores)
    assert [len(its) for its in end.accuracies] == [2, 2, 2, 4, 4]
    assert max(Counter(scores.diary).values()) == 1
    assert not found.margin.certain
    assert found.close == [found.points[1]]
    seeds = [seed for key, seed in scores.diary if key == KEYS[-1]]
    assert seeds == [seed for key, seed in scores.diary if key == KEYS[-2]]  # the same for all
    assert seeds == Rows(grid_plan(BASELINE, [], settings_of().scaling), scores, 0).seeds


def test_no_more_seeds_once_contenders_are_told_apart(in_tmp: Path) -> None:
    def settles(key: str, seed: int) -> float:
        """Two networks are close in the first two seeds, and differ in all later ones."""
        first = seed in first_seeds
        return noisy(key, seed) + (0.2 if key == KEYS[-1] and not first else 0.0)

    first_seeds = Rows(grid_plan(BASELINE, [], settings_of().scaling), Scores(noisy), 0).seeds[:2]
    end, found = search(settings_of(max_seeds=50), Scores(settles))
    tried = [len(its) for its in end.accuracies]
    assert tried[:3] == [2, 2, 2]
    assert 2 < tried[3] == tried[4] < 50
    assert found.margin.certain
    assert found.chosen.architecture.key == KEYS[-1]


def test_one_training_each_knows_no_noise_so_that_all_are_trained_again(in_tmp: Path) -> None:
    end, _ = search(settings_of(seeds=1, max_seeds=3), Scores(far_apart))
    assert [len(its) for its in end.accuracies] == [1, 2, 2, 2, 2]
    end, found = search(settings_of("once", seeds=1, max_seeds=1), Scores(far_apart))
    assert [len(its) for its in end.accuracies] == [1] * 5
    assert (found.margin.low, found.measured.deviation, len(found.close)) == (None, None, 3)


def test_of_equal_accuracies_the_cheapest_is_chosen(in_tmp: Path) -> None:
    end, found = search(settings_of(max_seeds=3), Scores(lambda key, seed: 0.5))
    assert [len(its) for its in end.accuracies] == [2, 3, 3, 3, 3]
    assert found.chosen.macs == min(point.macs for point in found.points)
    assert (found.margin.value, found.margin.certain) == (0.0, False)
    assert found.to_json()["points"][0]["chance"] == 0.25


def test_another_first_seed_draws_other_seeds(in_tmp: Path) -> None:
    one, other = Scores(far_apart), Scores(far_apart)
    search(settings_of(), one)
    search(settings_of("t").model_copy(update={"seed": 5}), other)
    seeds = [{seed for _, seed in scores.diary} for scores in (one, other)]
    assert 0 in seeds[0]
    assert 5 in seeds[1]
    assert not seeds[0] & seeds[1]


def test_seeds_are_different_and_a_longer_list_begins_alike() -> None:
    for seed in (0, 1, 2**31 - 1):
        lists = [
            Rows(Plan(members=(), seeds=1, most=most), Scores(noisy), seed).seeds for most in (1, 7, 1000)
        ]
        assert [len(seeds) for seeds in lists] == [1, 7, 1000]
        assert len(set(lists[-1])) == 1000
        assert lists[-1][:7] == lists[1]
        assert lists[-1][0] == seed


# --- failures ----------------------------------------------------------------------------------------


def test_a_point_of_which_every_training_fails_is_left_out(in_tmp: Path) -> None:
    bad = KEYS[-1]
    end, found = search(settings_of(), Scores(lambda key, seed: None if key == bad else far_apart(key, seed)))
    assert end.outcome == "finished"
    assert (end.failed, end.accuracies[-1]) == ((0, 0, 0, 0, 2), ())
    assert (found.left_out, found.failed, found.chosen.architecture.key) == (1, 2, KEYS[-2])
    assert bad not in [point["key"] for point in found.to_json()["points"]]
    failed = [trial for trial in end.run.trials() if trial.status == "failed"]
    assert all(trial.accuracy is None and "CUDA out of memory (as if)" in trial.error for trial in failed)


def test_failed_trainings_count_against_the_bound_and_are_not_tried_again(in_tmp: Path) -> None:
    scores = Scores(lambda key, seed: None if key == KEYS[-1] and seed else noisy(key, seed))
    end, found = search(settings_of(), scores)
    assert (end.accuracies[-1], end.failed[-1]) == ((noisy(KEYS[-1], 0),), 3)
    assert (len(end.accuracies[-2]), found.left_out) == (4, 0)
    begun = len(scores.diary)
    assert search(settings_of(), scores)[0].outcome == "finished"
    assert len(scores.diary) == begun


def test_where_the_baseline_fails_the_points_are_compared_all_the_same(in_tmp: Path) -> None:
    scores = Scores(lambda key, seed: None if key == BASELINE.key else far_apart(key, seed))
    _, found = search(settings_of(), scores)
    assert (found.alone, found.left_out, found.failed) == ((), 0, 2)


def test_where_all_fail_the_run_gives_up_and_goes_on_when_asked(in_tmp: Path) -> None:
    config = settings_of()
    config = config.model_copy(update={"search": config.search.model_copy(update={"max_failures": 3})})
    broken = Scores(lambda key, seed: None)
    end, found = search(config, broken)
    assert (end.outcome, found, len(broken.diary)) == ("failing", None, 3)
    scores = Scores(far_apart)
    end, found = search(config, scores)
    assert (end.outcome, len(scores.diary), sum(end.failed)) == ("finished", 7, 3)
    end, found = search(settings_of("few"), broken)  # ten trainings, of twenty that may fail
    assert (end.outcome, found, sum(end.failed)) == ("failing", None, 10)


# --- going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [3, 10, 12])
def test_an_interrupted_search_goes_on_and_trains_nothing_twice(in_tmp: Path, after: int) -> None:
    scores, whole = Scores(noisy), Scores(noisy)
    end, _ = search(settings_of(), scores, listeners=[Interrupting(after=after)])
    assert (end.outcome, len(scores.diary)) == ("interrupted", after)
    going_on = Interrupting(after=-1)
    end, found = search(settings_of(), scores, listeners=[going_on])
    assert (end.outcome, going_on.begun["done"]) == ("finished", after)
    expected, same = search(settings_of("whole"), whole)
    assert scores.diary == whole.diary
    assert end.accuracies == expected.accuracies
    assert found == same


def test_asked_again_it_trains_nothing(in_tmp: Path) -> None:
    scores = Scores(noisy)
    _end, found = search(settings_of(), scores)
    begun = len(scores.diary)
    again, same = search(settings_of(), scores)
    assert (len(scores.diary), again.outcome, same) == (begun, "finished", found)


def test_with_more_seeds_it_goes_on(in_tmp: Path) -> None:
    scores = Scores(noisy)
    search(settings_of(), scores)
    end, _ = search(settings_of(max_seeds=6), scores)
    assert [len(its) for its in end.accuracies] == [2, 2, 2, 6, 6]
    end, _ = search(settings_of(seeds=3, max_seeds=6), scores)
    assert [len(its) for its in end.accuracies] == [3, 3, 3, 6, 6]
    end, _ = search(settings_of(), scores)  # fewer again: what is there stays
    assert [len(its) for its in end.accuracies] == [3, 3, 3, 6, 6]
    assert max(Counter(scores.diary).values()) == 1
    assert load_scaling_config("runs/s/config.yaml").scaling.seeds == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"baseline": replace(BASELINE, dropout=0.5)}, "baseline"),
        ({"baseline": replace(BASELINE, image_size=64)}, "baseline"),
        ({"seed": 3}, "seed"),
        ({"protocol": ProxyProtocol(epochs=7)}, "protocol.epochs"),
        ({"scaling": settings_of(alpha=[1.0, 1.5]).scaling}, "scaling.alpha"),
        ({"scaling": settings_of(points=3, factor=2.1).scaling}, "scaling.factor, scaling.points"),
        ({"data": settings_of().data.model_copy(update={"name": None, "cache": "x"})}, "data.name"),
        ({"executor": settings_of().executor.model_copy(update={"cpus": 2})}, "executor.cpus"),
    ],
)
def test_another_configuration_is_refused_with_the_field(in_tmp: Path, change: dict, field: str) -> None:
    scores = Scores(far_apart)
    search(settings_of(), scores)
    before = open_run("s").config_path.read_bytes()
    plan = grid_plan(BASELINE, points_of(settings_of()), settings_of().scaling)
    with pytest.raises(InputError) as caught:
        run_scaling(settings_of().model_copy(update=change), plan, scores)
    assert str(caught.value) == (
        f"runs/s: was made with another {field}; choose another name with --run NAME "
        "(--reuse runs/s takes over what was measured alike)"
    )
    assert open_run("s").config_path.read_bytes() == before


def test_other_data_or_another_kind_of_run_is_refused(in_tmp: Path) -> None:
    search(settings_of(), Scores(far_apart))
    with pytest.raises(InputError, match="earlier results were measured with other data"):
        search(settings_of(), Scores(far_apart, fingerprint="other"))
    run_search(search_config("a"), evaluator=Scripted(in_tmp / "diary"))
    with pytest.raises(InputError, match="runs/a: holds a search, and no scaling; choose another"):
        search(settings_of("a"), Scores(far_apart))
    Path("runs/e").mkdir()
    with pytest.raises(InputError, match="runs/e: holds no journal, so there is nothing to go on with"):
        search(settings_of("e"), Scores(far_apart))


def test_a_new_name_of_the_baseline_or_another_place_goes_on(in_tmp: Path) -> None:
    scores = Scores(far_apart)
    search(settings_of(), scores)
    begun = len(scores.diary)
    config = settings_of().model_copy(update={"baseline": BASELINE.renamed("other")})
    config = config.model_copy(update={"search": config.search.model_copy(update={"max_failures": 2})})
    assert search(config, scores)[0].outcome == "finished"
    assert len(scores.diary) == begun


# --- what others measured ----------------------------------------------------------------------------


def test_what_a_search_for_scaling_measured_is_taken_over_by_another(in_tmp: Path) -> None:
    first, second = Scores(noisy), Scores(noisy)
    _end, _ = search(settings_of(), first)
    smaller = settings_of("t", points=2)
    again, _ = search(smaller, second, reuse=[open_run("s")])
    keys = {BASELINE.key, *(point.architecture.key for point in points_of(smaller))}
    known = set(first.diary)
    assert not known & set(second.diary)
    assert {trial.key for trial in again.run.trials()} == keys
    for trial in again.run.trials():
        assert trial.reused == ("runs/s" if (trial.key, trial.seed) in known else None)
        assert trial.accuracy == noisy(trial.key, trial.seed)


def test_what_was_measured_otherwise_is_not_taken_over(in_tmp: Path, caplog) -> None:
    search(settings_of(), Scores(noisy))
    scores = Scores(noisy, fingerprint="another protocol")
    end, _ = search(settings_of("t"), scores, reuse=[open_run("s")])
    assert [trial.reused for trial in end.run.trials()] == [None] * len(scores.diary)
    assert (
        "runs/s: none of its 14 measurements can be reused, they are of other networks or seeds"
        in caplog.text
    )


def test_a_measurement_has_one_identity_in_a_search_and_in_scaling(tmp_path: Path) -> None:
    path, space = tmp_path / "c.yaml", load_space("digits")
    path.write_text("space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, subset: 1200}\n")
    network = space.decode(space.random(np.random.default_rng(0)))
    larger = scale_architecture(network, depth=1.0, width=1.0, image_size=33)
    of_all = None
    for setting in ("protocol.subset=1200", "protocol.subset=600", "protocol.width=0.5"):
        config = load_config(path, [setting])
        sized = sized_evaluator(config.data, config.protocol, [network])
        assert measured_by(sized, network) == measured_by(create_evaluator(config, space), network)
        of_all = of_all or measured_by(sized, network)
    whole = load_config(path, ["protocol.subset=null"])  # 1200 are all the training images
    sized = sized_evaluator(whole.data, whole.protocol, [larger, network])
    assert measured_by(sized, network) == of_all != measured_by(sized, larger)


def test_a_searchs_own_training_of_the_winner_is_taken_over(in_tmp: Path) -> None:
    Path("c.yaml").write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 300, subset: 300}\n"
        "controller: {name: random}\nsearch: {candidates: 1}\nexecutor: {kind: inline}\ntraining_seed: 4\n"
    )
    trial = run_search(load_config("c.yaml")).run.trials()[0]
    config = load_scaling_config("runs/c/config.yaml")
    assert (config.name, config.seed) == ("c-scaling", 4)
    network = trial.network()
    plan = Plan(members=(Member(architecture=network, choices={}),), seeds=1, most=1)
    evaluator = sized_evaluator(config.data, config.how, [network])
    end = run_scaling(
        config.model_copy(update={"baseline": network, "scaling": settings_of().scaling}),
        plan,
        evaluator,
        reuse=[open_run("c")],
    )
    (taken,) = end.run.trials()
    assert (taken.reused, taken.accuracy, taken.seconds) == ("runs/c", trial.accuracy, 0.0)


# --- elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_of_ray_train_the_same(in_tmp: Path, one_ray: None) -> None:
    config = settings_of(seeds=1, max_seeds=2)
    kind = config.executor.model_copy(update={"kind": "ray", "workers": 2})
    end, found = search(
        config.model_copy(update={"executor": kind}), Scripted(in_tmp / "diary", in_channels=3)
    )
    same, expected = search(
        settings_of("inline", seeds=1, max_seeds=2), Scripted(in_tmp / "d", in_channels=3)
    )
    assert end.outcome == "finished"
    assert Counter(Scripted(in_tmp / "diary").lines("begin")) == {
        BASELINE.key: 1,
        **dict.fromkeys(KEYS[1:], 2),
    }
    assert end.accuracies == same.accuracies
    assert found == expected
