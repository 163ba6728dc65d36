"""Which networks of a search are trained fully: nothing is trained here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import InputError, Run, front_of, run_search
from nas.finalists_choice import TOLERANCE, choose
from nas.finalists_config import chosen_data, load_finalists_config, parse_finalists_config, read_chosen
from nas.finalists_shape import NEAR, is_b0_shaped, matched_b0
from results import ranked
from search_space import REFERENCES, FieldError, adapt_to_space, cost, load_space, scale_architecture
from tests.finalists import RECIPE, finalists_config, searched
from tests.searching import Scripted, config


@pytest.fixture(scope="module")
def search(tmp_path_factory) -> Run:
    """A search whose controller bets on another network than the best observed."""
    from controller import CONTROLLERS
    from tests.searching import Contrary

    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(CONTROLLERS, "contrary", Contrary)
        run = searched(folder, candidates=24, controller={"name": "contrary", "options": {}})
        yield Run(run.path.absolute())


def test_the_recommended_comes_first_then_the_front_by_reward_then_others(search: Run) -> None:
    done = ranked(search.trials())
    front = {t.id for t in front_of(done, 1e12).trials}
    best = search.recommended()
    assert best.id not in front
    by_reward = [t.id for t in done if t.id in front]
    rest = [t.id for t in done if t.id not in front and t.id != best.id]
    n = len(by_reward) + 3
    chosen = choose(search, finalists_config(n=n))
    finalists = [network for network in chosen.networks if network.role == "finalist"]
    assert [network.candidate for network in finalists] == [best.id, *by_reward, *rest[:2]]
    assert [network.recommended for network in finalists] == [True] + [False] * (n - 1)
    assert chosen.rule == (
        f"candidate {best.id}, which the search recommends, and {len(front)} of the Pareto front of accuracy "
        f"and MACs ({len(front)} networks) by reward; then the next 2 by reward, since the front has no more"
    )
    assert [network.proxy_accuracy for network in finalists] == [
        search.trial(network.candidate).accuracy for network in finalists
    ]


def test_the_top_by_reward_keeps_the_recommended(search: Run) -> None:
    chosen = choose(search, finalists_config(n=3, pick="top"))
    finalists = [network.candidate for network in chosen.networks if network.role == "finalist"]
    assert finalists == [search.recommended().id, *[t.id for t in ranked(search.trials())[:2]]]
    assert chosen.rule.endswith("and the next 2 by reward")
    alone = choose(search, finalists_config(n=1))
    assert alone.rule == f"candidate {search.recommended().id}, which the search recommends, alone"


def test_random_networks_have_about_its_macs_and_are_no_finalists(search: Run) -> None:
    chosen = choose(search, finalists_config(n=5))
    macs = {n.name: cost(n.architecture, 10, 1).macs for n in chosen.networks}
    target = macs[chosen.recommended.name]
    random = [network for network in chosen.networks if network.role == "random"]
    assert len(random) == 5
    assert all(abs(macs[n.name] / target - 1) <= chosen.tolerance for n in random)
    keys = [network.architecture.key for network in chosen.networks]
    assert len(set(keys)) == len(keys)
    assert choose(search, finalists_config(n=5)) == chosen
    config = finalists_config(n=5).model_copy(update={"seed": 1})
    other = [n.architecture.key for n in choose(search, config).networks if n.role == "random"]
    assert set(other) != {n.architecture.key for n in random}


def test_where_few_networks_are_near_the_tolerance_doubles_and_is_said(in_tmp: Path) -> None:
    choices = {"op": ["mbconv1"], "kernel": [3], "se_ratio": [0], "filters": [0.75, 1.0, 1.25], "layers": [0]}
    run = searched(in_tmp, candidates=3, space={"extends": "digits", "choices": choices})
    chosen = choose(run, finalists_config(n=2, random=20))
    random = [network for network in chosen.networks if network.role == "random"]
    target = cost(chosen.recommended.architecture, 10, 1).macs
    worst = max(abs(cost(n.architecture, 10, 1).macs / target - 1) for n in random)
    assert chosen.tolerance > TOLERANCE
    assert chosen.tolerance / 2 < worst <= chosen.tolerance


def test_random_networks_hold_the_searchs_limits(in_tmp: Path) -> None:
    run = searched(in_tmp, candidates=4, limits={"params": 40_000})
    chosen = choose(run, finalists_config(n=2, random=6))
    random = [n.architecture for n in chosen.networks if n.role == "random"]
    assert all(cost(network, 10, 1).params <= 40_000 for network in random)


def test_a_network_that_the_search_measured_has_its_accuracy(in_tmp: Path) -> None:
    choices = {"op": ["mbconv1"], "kernel": [3], "se_ratio": [0], "filters": [1.0, 1.25], "layers": [0]}
    run = searched(in_tmp, candidates=16, space={"extends": "digits", "choices": choices})
    chosen = choose(run, finalists_config(n=2, random=10))
    measured = {trial.key: trial for trial in run.trials()}
    random = [network for network in chosen.networks if network.role == "random"]
    known = [network for network in random if network.architecture.key in measured]
    assert known
    for network in known:
        trial = measured[network.architecture.key]
        assert (network.candidate, network.proxy_accuracy) == (trial.id, trial.accuracy)


# --- B0's shape --------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["digits", "cifar", "tiny-imagenet", "efficientnet"])
@settings(max_examples=6)
@given(seed=st.integers(0, 2**16))
def test_b0_is_scaled_to_the_macs_of_any_network(space: str, seed: int) -> None:
    known = load_space(space)
    other = known.decode(known.random(np.random.default_rng(seed)))
    shape = matched_b0(known, other, [], 10, 3)
    ratio = cost(shape.architecture, 10, 3).macs / cost(other, 10, 3).macs
    assert abs(ratio - 1) <= NEAR
    assert is_b0_shaped(shape.architecture)
    assert shape.architecture.image_size == other.image_size
    assert (shape.architecture.dropout, shape.architecture.drop_path) == (other.dropout, other.drop_path)
    assert f"MACs {100 * abs(ratio - 1):.1f} %" in shape.note


def test_width_alone_is_enough_for_networks_of_usual_size() -> None:
    space = load_space("cifar")
    other = space.decode(space.random(np.random.default_rng(0)))
    shape = matched_b0(space, other, [], 10, 3)
    b0 = REFERENCES["efficientnet_b0"]()
    assert [s.repeats for s in shape.architecture.stages] == [s.repeats for s in b0.stages]
    assert shape.note.startswith("B0 with width x ")
    assert "depth" not in shape.note


def test_a_baseline_of_the_search_is_taken_where_it_is_near(digits_space) -> None:
    b0 = adapt_to_space(REFERENCES["efficientnet_b0"](), digits_space).architecture
    thin = scale_architecture(b0, depth=1.0, width=0.1, image_size=32)
    other = digits_space.decode([0] * len(digits_space.decisions))
    far = matched_b0(digits_space, other, [thin], 10, 1)
    assert far.architecture.key != thin.key
    near = matched_b0(digits_space, replace(thin, name="x"), [b0, thin], 10, 1)
    assert near.architecture == thin
    assert near.note == "the search's own baseline; MACs 0.0 % above the recommended network's"


def test_that_baseline_is_called_one_whatever_its_name(in_tmp: Path, digits_space) -> None:
    best = searched(in_tmp, "before").recommended()
    shaped = matched_b0(digits_space, best.network(), [], 10, 1).architecture.renamed("random 1")
    run = searched(in_tmp, baselines=[shaped.to_dict()])
    assert run.recommended().key == best.key
    chosen = choose(run, finalists_config(n=1))
    (b0_shaped,) = [network for network in chosen.networks if network.role == "b0"]
    assert b0_shaped.name == "baseline random 1"
    assert b0_shaped.note.startswith("the search's own baseline; MACs ")
    assert b0_shaped.proxy_accuracy == run.baselines()[0].accuracy


def test_widths_can_be_rounded_more_finely(digits_space) -> None:
    b0 = adapt_to_space(REFERENCES["efficientnet_b0"](), digits_space).architecture
    thin = scale_architecture(b0, depth=1.0, width=0.1, image_size=32, divisor=2)
    assert [stage.channels for stage in thin.stages] == [2, 4, 4, 8, 12, 20, 32]


def test_shapes_are_told_by_their_stages(digits_space) -> None:
    assert is_b0_shaped(REFERENCES["efficientnet_b3"]())
    assert not is_b0_shaped(REFERENCES["mobilenet_v2"]())
    assert not is_b0_shaped(digits_space.decode([0] * len(digits_space.decisions)))


def test_all_costs_are_at_the_size_that_is_trained(search: Run) -> None:
    chosen = choose(search, finalists_config(recipe={"image_size": 16}))
    assert {network.architecture.image_size for network in chosen.networks} == {16}
    macs = [cost(n.architecture, 10, 1).macs for n in chosen.networks if n.role != "finalist"]
    target = cost(chosen.recommended.architecture, 10, 1).macs
    assert all(abs(its / target - 1) <= max(NEAR, chosen.tolerance) for its in macs)


# --- what cannot be ----------------------------------------------------------------------------------


def test_too_few_candidates_and_sizes_that_cannot_be(search: Run) -> None:
    with pytest.raises(
        InputError, match=r"^s: has 24 finished candidates, too few for 25 finalists; -n takes"
    ):
        choose(search, finalists_config(n=25))
    with pytest.raises(InputError, match="recipe: image_size must be at least the total stride, 8, got 4"):
        choose(search, finalists_config(recipe={"image_size": 4}))


def test_a_search_in_which_all_failed_has_no_finalists(in_tmp: Path) -> None:
    failing = Scripted(in_tmp / "d", acts=dict.fromkeys(range(1, 30), "raise"))
    run = run_search(config("s", search={"candidates": 2, "max_failures": 2}), evaluator=failing).run
    with pytest.raises(InputError, match="s: has 0 finished candidates, too few for 3 finalists"):
        choose(run, finalists_config())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "finalists.n must be between 1 and 100, got 0"),
        ({"n": True}, "finalists.n must be a whole number, got True"),
        ({"seeds": 0}, "finalists.seeds must be between 1 and 1000, got 0"),
        ({"random": 2}, "finalists.random must be between 3 and 100, got 2"),
        ({"pick": "best"}, "finalists.pick must be front or top, got 'best'"),
        ({"keep_weight": True}, "finalists.keep_weight is an unknown key; did you mean keep_weights?"),
    ],
)
def test_settings_that_cannot_be(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        finalists_config(**settings)


def test_as_many_random_networks_as_finalists_and_three_at_least() -> None:
    assert [finalists_config(n=n).finalists.randoms for n in (1, 3, 7)] == [3, 3, 7]
    assert finalists_config(n=7, random=4).finalists.randoms == 4


def test_a_file_says_what_is_wrong_and_where(in_tmp: Path) -> None:
    file = Path("c.yaml")
    file.write_text("seed: 0\nrecipe:\n  base: cifer\n")
    with pytest.raises(InputError, match=r"c.yaml:3: recipe.base must be .*did you mean cifar"):
        load_finalists_config(file)
    file.write_text("seed: 0\n")
    with pytest.raises(InputError, match=r"recipe is missing"):
        load_finalists_config(file)
    file.write_text("recipe: cifar\nexecutor: {early_stopping: {}}\n")
    with pytest.raises(InputError, match=r"c.yaml:2: executor.early_stopping must be null"):
        load_finalists_config(file)
    file.write_text("recipe: cifar\ndata: {name: digit}\n")
    with pytest.raises(InputError, match=r"c.yaml:2: data.name must be one of digits.*did you mean digits"):
        load_finalists_config(file)


@pytest.mark.parametrize("key", ["checkpoints: {every_minutes: 1}", "workers: 2", "architecture: x.yaml"])
def test_a_configuration_of_nas_train_is_refused(in_tmp: Path, key: str) -> None:
    Path("c.yaml").write_text(f"recipe: cifar\n{key}\n")
    with pytest.raises(InputError, match=rf"c.yaml:2: {key.partition(':')[0]} is an unknown key"):
        load_finalists_config("c.yaml", search="s")


def test_a_run_is_named_after_its_search_where_nobody_says_how(in_tmp: Path) -> None:
    Path("c.yaml").write_text("recipe: cifar\n")
    assert load_finalists_config("c.yaml", search="s").name == "s-finalists"
    assert load_finalists_config("c.yaml", name="x", search="s").name == "x"
    assert load_finalists_config("c.yaml", ["name=y"], search="s").name == "y"
    Path("c.yaml").write_text("name: z\nrecipe: cifar\n")
    assert load_finalists_config("c.yaml", search="s").name == "z"


@pytest.mark.parametrize("name", ["finalists_cifar10_cpu", "finalists_cifar10_gpu"])
def test_the_configurations_that_come_along_can_be_read(name: str) -> None:
    file = Path(__file__).parent.parent / "configs" / f"{name}.yaml"
    config = load_finalists_config(file, search="s")
    assert (config.name, config.chosen, config.finalists.seeds) == ("s-finalists", None, 3)


def test_what_was_chosen_is_read_back_as_it_was(search: Run, in_tmp: Path) -> None:
    chosen = choose(search, finalists_config())
    assert read_chosen(chosen_data(chosen)) == chosen
    config = finalists_config().model_copy(update={"chosen": chosen})
    Path("c.yaml").write_text(config.to_yaml())
    assert load_finalists_config("c.yaml") == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(networks=3), "chosen.networks must be a list, got 3"),
        (lambda d: d["networks"][0].update(recommended=False), "chosen.networks must have one that is"),
        (lambda d: d["networks"].append(d["networks"][1]), "chosen.networks must be different"),
        (lambda d: d["networks"][0].pop("architecture"), r"chosen.networks\[0\].architecture must be the"),
        (lambda d: d["networks"][1].update(role="x"), r"chosen.networks\[1\].role must be finalist or b0"),
        (lambda d: d["search"].update(num_classes=0), "chosen.search.num_classes must be at least 1"),
        (lambda d: d["search"].pop("name"), "chosen.search.name is missing"),
        (lambda d: d["search"]["objective"].update(target=-1), "chosen.search.*target must be"),
    ],
)
def test_a_section_that_was_changed_by_hand(search: Run, change, words: str) -> None:
    data = chosen_data(choose(search, finalists_config()))
    change(data)
    with pytest.raises(InputError, match=words):
        parse_finalists_config({"name": "x", "recipe": RECIPE, "chosen": data})
    with pytest.raises(FieldError):
        read_chosen(data)
