"""``nas objective``, its figure, and how far ``nas status`` says that a search is from its target."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from controller import Objective
from nas import cli, load_config, run_search
from nas.config_reading import differences
from nas.objective_forms import Networks, asked, choice_of, forms, formula
from nas.status_views import print_target
from nas.watch_views import Sight, draw
from results import Trial, drift_of, open_run, status_of
from results.figures import RewardCurve, objective_figure
from results.wording import count
from search_space import FieldError, load_space
from search_space.latency_model import LatencyModel
from search_space.operators import MEASURES
from tests.searching import Scripted, config
from tests.tables import SPACE, rows_of, write_csv
from tests.test_cli import nas
from tests.test_pareto_commands import Timed
from tests.test_stage_space import every_point

NAMES = [
    "soft, w = -0.07",
    "twice is worth 2 %",
    "twice is worth 10 %",
    "hard",
    "absolute, 0.07",
    "absolute, 0.1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A current directory with searches of 24 and of 4 candidates, and configurations."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_search(config(search={"candidates": 24}), evaluator=Scripted(folder / "diary"))
        run_search(config("few", search={"candidates": 4}), evaluator=Scripted(folder / "other"))
        write_csv(folder / "table.csv", rows_of(load_space(SPACE)))
        written = {
            "space": SPACE,
            "evaluator": {"kind": "table", "path": "table.csv"},
            "objective": {"target": 1e5},
        }
        (folder / "replay.yaml").write_text(json.dumps(written))
        (folder / "proxy.yaml").write_text(json.dumps({"space": "digits", "objective": {"target": 1e6}}))
        yield folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = nas(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_each_form_chooses_what_it_rewards_most(capsys) -> None:
    found = document(capsys, "objective", "t")
    assert (found["name"], found["cost"], found["target"], found["networks"]) == ("t", "macs", 1e6, 24)
    assert [form["name"] for form in found["forms"]] == ["this run", *NAMES[1:]]
    for form in found["forms"]:
        objective = Objective(**form["objective"])
        choice = form["choice"]
        assert choice["drift"] == choice["cost"] / 1e6
        assert choice["name"].startswith("candidate ")
        rewards = [objective.reward(its.accuracy, its.macs) for its in done("t")]
        assert objective.reward(choice["accuracy"], choice["cost"]) == max(rewards)


def done(name: str) -> list[Any]:
    return [trial for trial in open_run(name).trials() if trial.status == "done"]


def test_what_a_step_in_cost_is_worth(capsys) -> None:
    worth = {form["name"]: form for form in document(capsys, "objective", "proxy.yaml")["forms"]}
    assert worth["twice is worth 2 %"]["exchange"] == pytest.approx(
        {"below": 0.02, "at": 0.02, "above": 0.02, "half": 1 / 1.02 - 1}
    )
    assert worth["hard"]["exchange"] == {"below": 0.0, "at": 1.0, "above": 1.0, "half": 0.0}
    assert worth["absolute, 0.1"]["exchange"] == pytest.approx(
        {"below": -0.05, "at": 0.1, "above": 0.2, "half": 0.05}
    )
    assert worth["absolute, 0.1"]["unit"] == "accuracy"
    assert all(form["choice"] is None for form in worth.values())


def test_what_is_asked_for_stands_beside_the_runs_own(capsys) -> None:
    own, asked_for, *others = document(capsys, "objective", "t", "--form", "absolute")["forms"]
    assert (own["name"], asked_for["name"]) == ("this run", "asked for")
    assert asked_for["objective"]["beta"] == -0.07
    assert "absolute, 0.07" not in [form["name"] for form in others]
    only, *_ = document(capsys, "objective", "t", "--target", "5e5", "--doubling-gain", "0.05")["forms"]
    assert (only["name"], only["objective"]["target"]) == ("asked for", 5e5)
    assert only["exchange"]["at"] == pytest.approx(0.05)
    first, *rest = document(capsys, "objective", "t", "--set", "objective={target: 2e6, form: hard}")["forms"]
    assert first["objective"]["form"] == "hard"
    assert "hard" not in [form["name"] for form in rest]


def test_a_table_is_chosen_from_within_the_limits(capsys) -> None:
    free = document(capsys, "objective", "replay.yaml")
    assert free["networks"] == 72
    limited = document(capsys, "objective", "replay.yaml", "--set", "limits.macs=60e3")
    assert 0 < limited["networks"] < 72
    assert all(form["choice"]["cost"] <= 60e3 for form in limited["forms"])
    code, out, err = nas(capsys, "objective", "replay.yaml")
    assert (code, err) == (0, "")
    assert "the best of 72 networks of table.csv" in out


def test_a_measured_latency_is_a_cost(place: Path, capsys) -> None:
    run_search(config("timed", search={"candidates": 3}), evaluator=Timed(place / "third"))
    given = ["--set", "objective.cost=latency_ms", "--set", "objective.target=8"]
    measured = {its.cost("latency_ms") for its in done("timed")}
    assert {
        form["choice"]["cost"] for form in document(capsys, "objective", "timed", *given)["forms"]
    } <= measured
    code, out, _ = nas(capsys, "objective", "timed", *given)
    assert code == 0
    assert "T is 8 ms" in out
    assert "ACC (latency/T)^-0.07" in out
    rows = [{**row, "latency_ms": number + 1} for number, row in enumerate(rows_of(load_space(SPACE)))]
    write_csv(place / "timed.csv", rows)
    found = document(capsys, "objective", "replay.yaml", *given, "--set", "evaluator.path=timed.csv")
    hard = next(form for form in found["forms"] if form["name"] == "hard")
    assert found["networks"] == 72
    assert hard["choice"]["cost"] <= 8.0


def test_a_predicted_latency_is_a_tables_cost_and_a_limit(place: Path, capsys) -> None:
    space = load_space(SPACE)
    network = space.decode([0] * len(space.decisions))
    every = {f"{kind}.{measure}": 1e-6 for kind, measures in MEASURES.items() for measure in measures}
    model = LatencyModel(
        intercept=0.5, coefficients=every, image_size=16, stem=network.stem, head=network.head
    )
    (place / "model.json").write_text(json.dumps(model.to_dict()))
    given = ["--set", "objective.cost=latency_ms", "--set", "objective.target=0.6"]
    code, _, err = nas(
        capsys, "search", "replay.yaml", "--run", "none", *given[:2], "--set", "evaluator.surrogate=false"
    )
    assert (code, "table.csv: has no column 'latency_ms'" in err) == (2, True)
    given += ["--set", "latency.model=model.json"]
    costs = model.predict_many(space.decode(point) for point in every_point(space))
    found = document(capsys, "objective", "replay.yaml", *given)
    assert all(min(costs) <= form["choice"]["cost"] <= max(costs) for form in found["forms"])
    given += ["--set", f"limits.latency_ms={sorted(costs)[9]}"]
    assert document(capsys, "objective", "replay.yaml", *given)["networks"] == 10


def test_words_for_people(capsys) -> None:
    code, out, err = nas(capsys, "objective", "t", "--plot", "figure.svg")
    assert (code, err) == (0, "")
    assert "T is 1 M MACs" in out
    assert "ACC (MACs/T)^-0.07" in out
    assert "-3.5 points" in out
    assert "the best of 24 candidates of t by their measured accuracy" in out
    assert "wrote figure.svg" in out
    assert Path("figure.svg").stat().st_size > 10_000
    code, out, _ = nas(capsys, "objective", "proxy.yaml", "--plot", "curves.png")
    assert code == 0
    assert "is known when proxy has run" in out
    code, out, _ = nas(capsys, "objective", "t", "--set", "objective.cost=latency_ms")
    assert code == 0
    assert "no network has finished with its cost known" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nosuch",), "nosuch"),
        (("nosuch.yaml",), "nosuch.yaml"),
        (("t", "--form", "soft"), "--form must be product or absolute or hard, got 'soft'"),
        (("t", "--target", "0"), "--target must be between 1e-09 and 1e+18, got 0"),
        (("t", "--doubling-gain", "5"), "--doubling-gain must be between 0 and 1, got 5 (0.05 is 5 %)"),
        (
            ("t", "--form", "hard", "--doubling-gain", "0.05"),
            "--doubling-gain is for the product and the absolute",
        ),
        (
            ("t", "--set", "objective.doubling_gain=0.05"),
            "alpha follows from doubling_gain (-0.0703893), got -0.07",
        ),
        (("t", "--plot", "figure.bmp"), "figure.bmp: must end in .png, .svg, .pdf"),
        (
            ("replay.yaml", "--set", "objective.cost=latency_ms"),
            "has no column 'latency_ms', the objective's cost",
        ),
        (("replay.yaml", "--set", "evaluator.path=no.csv"), "no.csv: no such table"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, capsys) -> None:
    code, out, err = nas(capsys, "objective", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("nas: ")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("figure.bmp").exists()


def test_exponents_are_kept_where_only_the_target_differs() -> None:
    own = Objective(target=1.0, alpha=-0.05, beta=-0.2)
    assert asked(own, None, None, None) is None
    moved = asked(own, None, 2.0, None)
    assert moved == Objective(target=2.0, alpha=-0.05, beta=-0.2)
    gained = asked(Objective(target=1.0, form="hard", cost="params"), None, None, 0.1)
    assert gained == Objective(target=1.0, cost="params", doubling_gain=0.1)
    with pytest.raises(FieldError):
        asked(own, "soft", None, None)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"cost": "params"}, "ACC (params/T)^-0.07"),
        ({"alpha": -0.05, "beta": -0.2}, "ACC (MACs/T)^w, w -0.05 up to T, -0.2 above"),
        ({"form": "hard", "cost": "latency_ms"}, "ACC up to T, ACC (latency/T)^-1 above"),
        ({"form": "absolute", "doubling_gain": 0.1}, "ACC - 0.1 |MACs/T - 1|"),
    ],
)
def test_a_reward_as_a_formula(values: dict[str, Any], text: str) -> None:
    assert formula(Objective(target=1.0, **values)) == text


def test_no_form_is_shown_twice() -> None:
    own = Objective(target=1.0, alpha=0.0, beta=-1.0)
    assert [form.name for form in forms(("this run", own))] == ["this run", *NAMES[:3], *NAMES[4:]]
    assert len(forms(("this run", own), own)) == 6


def test_of_equal_rewards_the_cheapest_is_chosen() -> None:
    networks = Networks(
        name=str, accuracy=np.array([0.5, 0.5, 0.4]), cost=np.array([9.0, 8.0, 1.0]), source="three"
    )
    choice = choice_of(Objective(target=10.0, form="hard"), networks)
    assert choice is not None
    assert (choice.name, choice.drift) == ("1", 0.8)


@pytest.mark.parametrize(("number", "scale"), [(0, 1.0), (1, 1.0), (3000, 1e5)])
def test_the_figure_is_drawn_of_any_networks(number: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    points = np.stack([scale * rng.uniform(0.1, 3.0, number), rng.uniform(0.1, 0.9, number)], axis=1)
    ratio = np.geomspace(0.01, 100.0, 50)
    curves = [
        RewardCurve(
            name=name,
            own=place == 0,
            ratio=ratio,
            accuracy=0.5 * ratio**0.07,
            choice=(float(points[0, 0]), float(points[0, 1])) if number else None,
        )
        for place, name in enumerate(["$\\frac{", "<b>_x</b>", "_hidden", *(str(n) for n in range(9))])
    ]
    figure = objective_figure(curves, points, 0.5, "$\\frac{ a title")
    assert len(figure.axes) == (2 if number else 1)
    figure.draw_without_rendering()


def trial(macs: int, latency: float | None = None, accuracy: float = 0.5) -> Trial:
    curve = [] if latency is None else [{"accuracy": 0.5, "latency_ms": latency}]
    return Trial(
        id=macs,
        key="k",
        protocol="p",
        seed=0,
        choices={},
        architecture={},
        macs=macs,
        params=1,
        accuracy=accuracy,
        curve=curve,
    )


# of results that are more accurate than the best by reward
OTHERS = [trial(number, accuracy=0.9) for number in range(1000, 1030)]


def test_a_target_is_held_within_a_quarter_after_twenty_results() -> None:
    soft = {"objective": {"target": 100.0, "alpha": -0.07, "beta": -0.07, "form": "product"}}
    for macs, held in ((70, False), (90, True), (125, True), (126, False)):
        found = drift_of(soft, OTHERS[:20], trial(macs), trial(50))
        assert found is not None
        assert (found.best, found.recommended, found.held) == (macs / 100, 0.5, held)
    few = drift_of(soft, OTHERS[:19], trial(500), None)
    assert few is not None
    assert (few.held, few.recommended) == (None, None)


def test_below_the_target_nothing_has_drifted_where_nothing_is_more_accurate() -> None:
    soft = {"objective": {"target": 100.0, "alpha": -0.07, "beta": -0.07, "form": "product"}}
    equals = [trial(number, accuracy=0.5) for number in range(1000, 1030)]
    for macs, held in ((20, True), (130, False)):
        found = drift_of(soft, equals, trial(macs), None)
        assert found is not None
        assert found.held is held


@pytest.mark.parametrize(
    "values", [{"form": "hard"}, {"alpha": 0.0, "beta": -1.0}, {"form": "hard", "alpha": 0.0}]
)
def test_below_a_hard_limit_nothing_has_drifted(values: dict[str, Any]) -> None:
    for macs, held in ((1, True), (130, False)):
        found = drift_of({"objective": {"target": 100.0, **values}}, OTHERS, trial(macs), None)
        assert found is not None
        assert found.held == held


def test_what_was_not_measured_has_no_drift() -> None:
    section = {"objective": {"target": 10.0, "cost": "latency_ms"}}
    found = drift_of(section, OTHERS, trial(5), trial(5, latency=12.0))
    assert found is not None
    assert (found.best, found.recommended, found.held) == (None, 1.2, None)
    for broken in ({}, {"objective": None}, {"objective": 5}, {"objective": {"target": "x"}}):
        assert drift_of(broken, OTHERS, trial(5), None) is None


def test_status_says_how_far_the_search_is_from_its_target(capsys) -> None:
    found = document(capsys, "status", "t")
    drift = found["target"]
    assert (drift["cost"], drift["target"]) == ("macs", 1e6)
    assert drift["best"] == found["best"]["macs"] / 1e6
    assert drift["recommended"] == found["recommended"]["macs"] / 1e6
    assert drift["held"] == (0.8 <= drift["best"] <= 1.25)
    code, out, _ = nas(capsys, "status", "t")
    assert code == 0
    has = f"{count(found['best']['macs'])} ({drift['best']:.2f} x); it is t@best"
    assert f"target 1 M MACs: the best so far has {has}\n" in out
    warned = "the objective does not hold the target: nas objective t shows what would" in out
    assert warned == (drift["held"] is False)
    assert document(capsys, "status", "few")["target"]["held"] is None
    assert "does not hold" not in nas(capsys, "status", "few")[1]


def test_the_end_of_a_search_says_it_too(capsys) -> None:
    cli._print_end("t", "finished", 160)
    ended = [
        line for line in capsys.readouterr().out.splitlines() if "the target" in line or "target 1 M" in line
    ]
    status = status_of(open_run("t"))
    print_target("t", status.target, status.best, status.recommended)
    assert ended == capsys.readouterr().out.splitlines() != []


def test_the_live_view_shows_it(place: Path) -> None:
    status = status_of(open_run("t"))
    assert status.target is not None
    lines = [line.plain for line in draw(Sight(name="t", at=0.0, status=status), 80, 40)]
    shown = f"target       1 M MACs  best {status.target.best:.2f} x  recommended {status.target.best:.2f} x"
    assert shown in lines


@pytest.mark.parametrize(
    "values", [{"form": "hard"}, {"doubling_gain": 0.05}, {"form": "absolute", "doubling_gain": 0.1}]
)
def test_a_resolved_configuration_reads_back_equal(values: dict[str, Any], tmp_path: Path) -> None:
    settings = config(objective=values)
    path = tmp_path / "t.yaml"
    path.write_text(settings.to_yaml())
    assert load_config(path) == settings
    assert differences(load_config(path), settings) == []


def test_a_run_made_before_there_was_a_gain_goes_on(place: Path) -> None:
    path = open_run("few").config_path
    stored = yaml.safe_load(path.read_text())
    del stored["objective"]["doubling_gain"]
    path.write_text(yaml.safe_dump(stored))
    settings = config("few", search={"candidates": 5})
    end = run_search(settings, evaluator=Scripted(place / "other"), resume=True)
    assert (end.outcome, len(end.run.trials())) == ("finished", 5)


def test_a_hostile_name_is_shown_as_it_is(capsys, place: Path) -> None:
    shutil.copytree(place / "runs" / "t", place / "runs" / "[red]t$x$")
    code, out, _ = nas(capsys, "objective", "runs/[red]t$x$", "--plot", "hostile.svg")
    assert code == 0
    assert "candidates of [red]t$x$" in out
    assert "it is runs/[red]t$x$@best" in nas(capsys, "status", "runs/[red]t$x$")[1]
