"""Controllers as a search algorithm of Ray Tune: the contract without Ray, and real experiments."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import nas
from controller import CONTROLLERS, Controller, Objective, Outcome, Proposal, create_controller
from nas.tune_searcher import ControllerSearcher, architecture_of
from search_space import Decision, FieldError, InputError, SearchSpace, cost

PAGE = Path(__file__).parent.parent / "docs" / "tune.md"
everyone = pytest.mark.parametrize("name", CONTROLLERS)


class Spy(Controller):
    """Proposes the points of a one-decision space in order, and notes what it is told."""

    def __init__(self, space: SearchSpace, objective: Objective | None = None) -> None:
        super().__init__(space, 0, objective)
        self.asked = self.most_open = 0
        self.told: list[tuple[int, Outcome | None]] = []

    def _draw(self, n: int) -> list[Proposal]:
        first, self.asked = self.asked, self.asked + n
        self.most_open = max(self.most_open, self.asked - len(self.told))
        points = [(i % self.space.size,) for i in range(first, self.asked)]
        return [Proposal(point, self.space.choices(point)) for point in points]

    def _learn(self, proposals, outcomes) -> None:
        self.told += [(p.indices[0], outcome) for p, outcome in zip(proposals, outcomes, strict=True)]


LINE = SearchSpace([Decision("stage1.kernel", tuple(range(8)))], name="line")


def spied(**arguments: Any) -> tuple[ControllerSearcher, Spy]:
    spy = Spy(LINE)
    return ControllerSearcher(spy, LINE, **{"metric": "accuracy", **arguments}), spy


def told(result: dict[str, Any] | None, error: bool = False, **arguments: Any) -> Outcome | None:
    """What a controller hears of one trial that ended so."""
    searcher, spy = spied(**arguments)
    searcher.suggest(trial_id="t")
    searcher.on_trial_complete(trial_id="t", result=result, error=error)
    ((_, outcome),) = spy.told
    return outcome


def go_on(searcher: ControllerSearcher, first: int, trials: int) -> list[dict[str, Any]]:
    """Run trials that overlap by three and end out of order; some fail. The configs, in order."""
    configs = []
    for number in range(first, first + trials):
        configs.append(searcher.suggest(f"t{number}"))
        done = number - 3 + 2 * (number % 2)
        score = sum(map(ord, str(configs[-1]))) % 97 / 97
        searcher.on_trial_complete(f"t{done}", {"accuracy": score}, error=done % 7 == 0)
    return configs


@everyone
def test_a_config_is_one_choice_a_decision_and_nothing_else(name: str, digits_space: SearchSpace) -> None:
    config = ControllerSearcher(name, digits_space, metric="accuracy").suggest("t")
    assert list(config) == [decision.name for decision in digits_space.decisions]
    assert all(config[decision.name] in decision.choices for decision in digits_space.decisions)


@everyone
def test_the_same_seed_gives_the_same_search(name: str, plain_space: SearchSpace) -> None:
    one, two = (ControllerSearcher(name, plain_space, metric="accuracy", seed=7) for _ in range(2))
    assert go_on(one, 0, 40) == go_on(two, 0, 40)


@everyone
@pytest.mark.parametrize("way", ["saved", "pickled"])
def test_a_restored_searcher_goes_on_exactly(
    name: str, way: str, digits_space: SearchSpace, tmp_path: Path
) -> None:
    searcher = ControllerSearcher(name, digits_space, metric="accuracy", seed=1)
    go_on(searcher, 0, 40)
    if way == "saved":
        searcher.save(str(tmp_path / "state"))
        assert [file.name for file in tmp_path.iterdir()] == ["state"]
        other = ControllerSearcher(name, digits_space, metric="accuracy", seed=2)
        other.restore(str(tmp_path / "state"))
    else:
        other = pickle.loads(pickle.dumps(searcher))
    assert go_on(other, 40, 24) == go_on(searcher, 40, 24)  # trials open at the save end after it


@everyone
def test_one_network_in_many_trials_is_told_of_every_trial(name: str) -> None:
    space = SearchSpace([Decision("only", ("x",))])
    searcher = ControllerSearcher(name, space, metric="accuracy")
    for number in range(20):
        assert searcher.suggest(f"t{number}") == {"only": "x"}
    for number in range(20):
        searcher.on_trial_complete(f"t{number}", {"accuracy": number / 20})
    assert searcher.controller.recommend() == (0,)


@everyone
def test_a_search_of_failures_alone_goes_on(name: str, plain_space: SearchSpace) -> None:
    searcher = ControllerSearcher(name, plain_space, metric="accuracy")
    for number in range(40):
        searcher.suggest(f"t{number}")
        searcher.on_trial_complete(f"t{number}", error=True)
    assert len(searcher.suggest("last")) == 3


def test_the_reward_is_the_objectives() -> None:
    objective = Objective(target=2e6)
    assert told({"accuracy": 0.5, "macs": 4e6}, objective=objective) == Outcome(
        0.5, 4e6, objective.reward(0.5, 4e6)
    )


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    result = {"accuracy": np.float32(0.5), "macs": torch.tensor(4)}
    assert told(result, objective=Objective(target=4)) == Outcome(0.5, 4.0, 0.5)


@pytest.mark.parametrize(("mode", "reward"), [(None, 3.0), ("max", 3.0), ("min", -3.0)])
def test_without_an_objective_the_metric_is_the_reward(mode, reward: float) -> None:
    assert told({"accuracy": 3}, mode=mode) == Outcome(reward, 1.0, reward)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"loss": 1.0},
        *(
            {"accuracy": wrong}
            for wrong in (None, np.nan, np.inf, "0.5", True, [0.5], torch.ones(2), 10**400)
        ),
    ],
)
def test_a_result_without_a_finite_metric_is_a_failure(result) -> None:
    assert told(result) is None


def test_a_trial_that_raises_is_a_failure_whatever_it_reported_before() -> None:
    assert told({"accuracy": 0.5}, error=True) is None


@pytest.mark.parametrize("wrong", [0, -1, np.nan, "1e6", 1e-300])
def test_a_cost_that_is_none_is_a_failure(wrong) -> None:
    objective = Objective(target=1e18, alpha=-10.0)
    assert told({"accuracy": 0.5, "macs": wrong}, objective=objective) is None


def test_costs_that_are_not_reported_are_arithmetic(digits_space: SearchSpace) -> None:
    objective = Objective(target=1e5, cost="params")
    spy = create_controller("random", digits_space, 0)
    heard: list[Any] = []
    spy.tell = lambda proposals, outcomes: heard.extend(outcomes)  # type: ignore[method-assign]
    searcher = ControllerSearcher(
        spy, digits_space, metric="accuracy", objective=objective, num_classes=10, in_channels=1
    )
    params = cost(architecture_of(digits_space, searcher.suggest("t")), 10, 1).params
    searcher.on_trial_complete("t", {"accuracy": 0.5, "macs": 1})
    assert heard == [Outcome(0.5, params, objective.reward(0.5, params))]


def test_a_cost_of_the_users_own_is_read_and_never_computed(digits_space: SearchSpace) -> None:
    objective = Objective(target=5.0)
    assert told({"accuracy": 0.5, "ms": 5.0}, objective=objective, cost="ms") == Outcome(0.5, 5.0, 0.5)
    searcher = ControllerSearcher("random", digits_space, metric="accuracy", objective=objective, cost="ms")
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"accuracy": 0.5})
    with pytest.raises(InputError, match=r"no 'ms', which the .*ms is not one of macs, params"):
        searcher.suggest("u")


def test_a_cost_that_nobody_can_know_ends_the_experiment_at_the_next_trial() -> None:
    searcher, spy = spied(objective=Objective(target=1.0))
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"accuracy": 0.5})
    assert spy.told == [(0, None)]
    with pytest.raises(InputError, match=r"results have no 'macs'.*line has no decoder"):
        searcher.suggest("u")


def test_a_cost_that_one_trial_leaves_out_is_that_trials_failure() -> None:
    searcher, spy = spied(objective=Objective(target=1.0))
    for number, result in enumerate([{"accuracy": 0.5, "macs": 1}, {"accuracy": 0.5}]):
        searcher.suggest(f"t{number}")
        searcher.on_trial_complete(f"t{number}", result)
    searcher.suggest("u")
    assert spy.told == [(0, Outcome(0.5, 1.0, 0.5)), (1, None)]


def test_a_trial_is_told_once_and_strangers_are_left_alone() -> None:
    searcher, spy = spied()
    searcher.suggest("t")
    searcher.on_trial_result("t", {"accuracy": 0.1})
    for trial in ("stranger", "t", "t"):
        searcher.on_trial_complete(trial, {"accuracy": 0.5})
    assert spy.told == [(0, Outcome(0.5, 1.0, 0.5))]


def test_the_controllers_own_objective_is_used() -> None:
    spy = Spy(LINE, Objective(target=1.0))
    assert ControllerSearcher(spy, LINE, metric="accuracy").objective == Objective(target=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ControllerSearcher("pppo", LINE), "'pppo' is no known controller; did you mean ppo"),
        (lambda: ControllerSearcher("ppo", LINE, options={"bach": 2}), "bach is no option of ppo"),
        (lambda: ControllerSearcher("ppo", LINE, mode="best"), "mode must be max or min, got 'best'"),
        (lambda: spied(options={"batch": 2}), "options: batch are for a controller given by name"),
        (lambda: spied(cost="ms"), "cost: ms is of no use without an objective"),
        (lambda: spied(mode="min", objective=Objective(target=1)), "it must be max, got min"),
        (lambda: spied(num_classes=0), "num_classes must be at least 1"),
        (
            lambda: ControllerSearcher(Spy(LINE), SearchSpace([Decision("a", (1,))])),
            "controller: its space 'line' has other decisions",
        ),
        (
            lambda: ControllerSearcher(Spy(LINE, Objective(target=1)), LINE, objective=Objective(target=2)),
            "objective: the controller has its own",
        ),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_metric_and_mode_are_tunes_where_they_were_not_given() -> None:
    searcher, spy = spied(metric=None)
    with pytest.raises(InputError, match="metric must be given"):
        searcher.suggest("t")
    searcher.set_search_properties("loss", "min", {"lr": 0.1})
    searcher.suggest("t")
    searcher.on_trial_complete("t", {"loss": 2.0})
    assert (searcher.metric, searcher.mode, spy.told[0][1].reward) == ("loss", "min", -2.0)
    searcher, _ = spied()
    searcher.set_search_properties("loss", "min", {})  # the mode of another metric
    assert (searcher.metric, searcher.mode) == ("accuracy", None)


def test_a_param_space_of_its_own_is_not_taken_over() -> None:
    from ray import tune

    searcher, _ = spied()
    assert searcher.set_search_properties(None, None, {"lr": tune.uniform(0, 1)}) is False
    with pytest.raises(InputError, match=r"stage1\.kernel is a decision of the space 'line'"):
        searcher.set_search_properties(None, None, {"stage1.kernel": 3})
    searcher, _ = spied(metric=None, objective=Objective(target=1))
    with pytest.raises(InputError, match="it must be max, got min"):
        searcher.set_search_properties("loss", "min", {})


def test_what_is_no_saved_searcher_is_refused(plain_space: SearchSpace, tmp_path: Path) -> None:
    searcher = ControllerSearcher("random", plain_space, metric="accuracy")
    state = tmp_path / "state"
    searcher.save(str(state))
    with pytest.raises(ValueError, match="state is of another space"):
        ControllerSearcher("random", LINE).restore(str(state))
    with pytest.raises(ValueError, match="state is of a RandomController"):
        ControllerSearcher("ppo", plain_space).restore(str(state))
    with pytest.raises(InputError, match="missing: cannot be read: No such file"):
        searcher.restore(str(tmp_path / "missing"))
    whole = state.read_bytes()
    torch.save([1], tmp_path / "list")
    torch.save({"controller": {}}, tmp_path / "dict")
    for content in (
        b"",
        b"rubbish",
        whole[: len(whole) // 2],
        *((tmp_path / n).read_bytes() for n in ("list", "dict")),
    ):
        state.write_bytes(content)
        with pytest.raises(InputError, match="is no state that a ControllerSearcher saved"):
            searcher.restore(str(state))
    with pytest.raises(InputError, match="cannot be written"):
        searcher.save(str(state / "below-a-file"))


def test_a_config_and_its_architecture_are_one(digits_space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        indices = digits_space.random(rng)
        config = dict(
            zip([d.name for d in digits_space.decisions], digits_space.choices(indices), strict=True)
        )
        assert architecture_of(digits_space, {**config, "lr": 0.1}).key == digits_space.decode(indices).key
    with pytest.raises(FieldError, match=r"config\['stage2.kernel'\] must be one of 3, 5, got 4"):
        architecture_of(digits_space, {**config, "stage2.kernel": 4})
    del config["stage2.kernel"]
    with pytest.raises(FieldError, match=r"config\['stage2.kernel'\] is missing"):
        architecture_of(digits_space, config)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_tune_asks_and_tells_and_a_trial_that_raises_is_one_failure(in_tmp: Path) -> None:
    from ray import tune

    class Trial(tune.Trainable):
        def setup(self, config):
            self.reset_config(config)

        def reset_config(self, new_config):
            self.kernel, self.fixed = new_config["stage1.kernel"], new_config["fixed"]
            return True

        def step(self):
            if self.kernel == 3:
                raise RuntimeError("CUDA out of memory")
            accuracy = float("nan") if self.kernel == 5 else self.kernel / self.fixed
            return {"accuracy": accuracy, "macs": 1 + self.kernel, "done": True}

    searcher, spy = spied(objective=Objective(target=4.0))
    results = tune.Tuner(
        Trial,
        param_space={"fixed": 8},
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=7, max_concurrent_trials=2, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="t",
            storage_path=str(in_tmp),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()

    expected = {
        k: None if k in (3, 5) else Outcome(k / 8, 1.0 + k, Objective(target=4.0).reward(k / 8, 1 + k))
        for k in range(7)
    }
    assert dict(spy.told) == expected
    assert len(spy.told) == 7
    assert spy.most_open == 2
    assert sorted(result.config["stage1.kernel"] for result in results) == list(range(7))
    assert results.num_errors == 1
    assert searcher.controller is spy  # what was given is what was told


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_the_example_of_the_page_runs(in_tmp: Path, monkeypatch, capsys) -> None:
    for module in ("ray.train.constants", "ray.tune.experiment.experiment"):  # else in the user's home
        monkeypatch.setattr(f"{module}.DEFAULT_STORAGE_PATH", str(in_tmp / "results"))
    example, every = blocks()[0], "num_samples=4"
    assert every in example
    exec(example.replace(every, "num_samples=2"), {"__name__": "__main__"})  # each is a new process
    assert re.search(r"^\{'layers': \d, 'width': \d+\} 0\.[89]\d+$", capsys.readouterr().out, re.MULTILINE)
    assert list((in_tmp / "results").iterdir())


def test_the_trainable_of_the_page_reports_a_networks_accuracy(digits_space: SearchSpace) -> None:
    reported: list[Any] = []
    tune = SimpleNamespace(report=reported.append)
    names: dict[str, Any] = {"nas": nas, "tune": tune, "train": lambda model: float(model is not None)}
    exec(blocks()[1], names)
    searcher = names["searcher"]
    names["trainable"](searcher.suggest("t"))
    searcher.on_trial_complete("t", reported[0])
    assert reported == [{"accuracy": 1.0}]
    assert digits_space.contains(digits_space.decode(searcher.controller.recommend()))
