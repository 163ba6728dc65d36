"""``nas scale`` as a user meets it: its ways, its documents, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas import load_architecture, load_config, open_run, run_search
from nas.weights import load_weights
from search_space import Stage, cost
from tests.searching import Scripted
from tests.searching import config as search_config
from tests.test_architecture import small
from tests.test_cli import nas
from tests.test_scaling_search import GRID, Scores

MINE = ["mine.yaml", "--search", "grid.yaml"]
MEMBER = {"name", "phi", "depth", "width", "image_size", "dropout", "macs", "params", "resolution", "nominal"}
QUICK = "protocol: {epochs: 1, batch: 300, subset: 300}\nexecutor: {kind: inline}\n"
SCALING = f"{QUICK}scaling: {json.dumps({**GRID, 'seeds': 2, 'max_seeds': 3})}\n"
DIMENSIONS = f"{QUICK}dimensions: {{factors: [2.0], pairs: [[1.0, 1.2]], widths: [1.0, 1.5], seeds: 2}}\n"
BASELINE = small(
    name="mine", image_size=16, stages=(Stage(channels=8, repeats=2, stride=2, expansion=2),), dropout=0.0
)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = nas(capsys, "scale", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def place(in_tmp: Path) -> Path:
    """A folder with a baseline, configurations, and a search."""
    BASELINE.save("mine.yaml")
    Path("grid.yaml").write_text(SCALING)
    Path("ways.yaml").write_text(DIMENSIONS)
    run_search(search_config(search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary"))
    return in_tmp


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Scores:
    """Answers instead of trainings: larger networks are better, and seeds matter little."""
    made = Scores(lambda key, seed: int(key[:4], 16) / 2**17 + seed % 5 / 1000, in_channels=1)
    monkeypatch.setattr("nas.scaling_run.evaluator_for", lambda config, networks, progress=None: made)
    return made


@pytest.fixture
def scores(drawn: Scores, monkeypatch: pytest.MonkeyPatch) -> Scores:
    """The same, and no figures, which take longer than all else."""
    for kind in ("grid", "dimensions"):
        monkeypatch.setattr(f"nas.scale_training.save_{kind}_figure", lambda *arguments: None)
    return drawn


# --- families by arithmetic --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names", "phis"),
    [
        ([], [f"efficientnet_b{n}" for n in range(8)], [None] * 8),
        (["--family", "efficientnet"], [f"efficientnet_b{n}" for n in range(8)], [None] * 8),
        (
            ["--family", "efficientnet", "--limit", "macs<=1e9"],
            [f"efficientnet_b{n}" for n in range(3)],
            [None] * 3,
        ),
        (["--phi", "3", "--phi", "0.5"], ["efficientnet_b0-phi3", "efficientnet_b0-phi0.5"], [3, 0.5]),
        (["--alpha", "1.3"], [f"efficientnet_b0-phi{n}" for n in range(1, 8)], list(range(1, 8))),
        (["--limit", "macs<=2e9"], [f"efficientnet_b0-phi{n}" for n in ("1", "2", "2.223")], [1, 2, 2.223]),
        (["--limit", "macs<=2e9", "--limit", "memory<64e6"], None, [1, 1.81]),
        (["--phi", "1", "--limit", "params<=10e6"], ["efficientnet_b0-phi1"], [1]),
        (["--depth", "2"], ["efficientnet_b0-d2"], [None]),
        (
            ["--depth", "1.4", "--width", "1.2", "--resolution", "1.3"],
            ["efficientnet_b0-d1.4-w1.2-r1.3"],
            [None],
        ),
    ],
)
def test_every_way_gives_its_members(in_tmp: Path, capsys, arguments, names, phis) -> None:
    members = document(capsys, "efficientnet_b0", *arguments)
    assert [member["phi"] for member in members] == phis
    if names is not None:
        assert [member["name"] for member in members] == names
    for member in members:
        assert set(member) == {*MEMBER, "published"}
    code, out, err = nas(capsys, "scale", "efficientnet_b0", *arguments)
    assert code == 0
    assert all(member["name"] in out for member in members)
    kind = "published factors" if phis[0] is None else "formula: alpha 1."
    assert ("given factors" if len(phis) == 1 and phis[0] is None else kind) in out.splitlines()[0]
    assert err == ""


def test_members_of_a_run_are_costed_as_it_trains_and_have_nothing_published(place: Path, capsys) -> None:
    members = document(capsys, "t@best", "--phi", "0")
    trial = open_run("t").recommended()
    assert (members[0]["macs"], members[0]["params"]) == (trial.macs, trial.params)
    assert set(members[0]) == MEMBER
    other = document(capsys, "t@best", "--phi", "0", "--classes", "1000", "--channels", "3")
    assert other[0]["params"] > trial.params
    assert "published" in other[0]
    assert document(capsys, "mine.yaml", "--classes", "10", "--channels", "1")[0]["params"] == (
        cost(BASELINE, 10, 1).params
    )


def test_the_papers_tables_come_besides(in_tmp: Path, capsys) -> None:
    plain = document(capsys, "efficientnet_b0")
    whole = document(capsys, "efficientnet_b0", "--published")
    assert set(whole) == {"members", "published"}
    assert whole["members"] == plain
    assert set(whole["published"]) == {"edition", "models", "scaled", "transfer"}
    v3 = document(capsys, "efficientnet_b0", "--published", "--edition", "v3")
    assert v3["published"]["edition"] == "v3"
    assert v3["members"][0]["published"] != plain[0]["published"]
    text = nas(capsys, "scale", "efficientnet_b0", "--published")[1]
    assert len(text) > 2 * len(nas(capsys, "scale", "efficientnet_b0")[1])


def test_a_product_far_from_two_is_warned_of_and_no_error(in_tmp: Path, capsys) -> None:
    code, out, err = nas(capsys, "scale", "efficientnet_b0", "--phi", "1", "--alpha", "2", "--json")
    assert (code, len(json.loads(out))) == (0, 1)
    assert err.startswith(
        "nas: alpha * beta^2 * gamma^2 is 3.2 and not near 2: each phi multiplies MACs by 3.2"
    )
    assert err.count("\n") == 1


def test_members_are_written_and_load_back(place: Path, capsys) -> None:
    code, out, _ = nas(capsys, "scale", "mine.yaml", "--phi", "1", "--phi", "2", "-o", "family")
    assert (code, out.splitlines()[-1]) == (0, "wrote 2 architectures to family")
    members = document(capsys, "mine.yaml", "--phi", "1", "--phi", "2", "-o", "family")
    for member in members:
        assert cost(load_architecture(f"family/{member['name']}.yaml")) == (member["macs"], member["params"])
    assert len(list(Path("family").iterdir())) == 2


def test_starting_weights_come_from_a_trained_baseline(in_tmp: Path, capsys) -> None:
    Path("c.yaml").write_text(
        f"{QUICK}space: digits\nobjective: {{target: 1e6}}\ncontroller: {{name: random}}\n"
        "search: {candidates: 1}\n"
    )
    run_search(load_config("c.yaml"))
    code, out, err = nas(capsys, "scale", "c@best", "--depth", "2", "-o", "family", "--weights")
    assert code == 0, err
    stem = next(Path("family").glob("*.yaml")).stem
    assert f"{stem}: " in out
    member = load_architecture(f"family/{stem}.yaml")
    load_weights(member.build(10, 1), f"family/{stem}.safetensors")
    for arguments, message in [
        (["efficientnet_b0", "--weights", "-o", "x"], "--weights: efficientnet_b0 has no trained weights"),
        (["c@best", "--weights"], "--weights goes with -o"),
    ]:
        code, out, err = nas(capsys, "scale", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


# --- a search for alpha, beta and gamma --------------------------------------------------------------


def test_a_search_trains_chooses_and_scales(place: Path, capsys, drawn: Scores) -> None:
    code, out, err = nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml", "--phi", "1", "--phi", "2")
    assert code == 0, err
    assert (
        "networks of the grid keep to 2 times the MACs of mine; 4 of them, spread out, are taken "
        "(scaling.points); with it 5 are trained, 2 seeds each, up to 3 where noise demands, the "
        "largest with " in err
    )
    for words in (
        "grid search at phi = 1 on mine",
        "the baseline, which has ",
        "chosen: alpha ",
        "mine-phi2",
    ):
        assert words in out
    assert out.splitlines()[-1] == "wrote runs/grid/scaling.png"
    assert Path("runs/grid/scaling.png").read_bytes().startswith(b"\x89PNG")
    begun = len(drawn.diary)
    found = document(capsys, "mine.yaml", "--search", "grid.yaml", "--plot", "x.svg", "-o", "family")
    assert len(drawn.diary) == begun
    assert {"run", "baseline", "points", "chosen", "margin", "close", "family", "left_out", "failed"} <= set(
        found
    )
    assert "published" not in found
    assert (found["run"], found["baseline"]["key"], found["baseline"]["macs"]) == (
        "grid", BASELINE.key, cost(BASELINE, 10, 1).macs,
    )  # fmt: skip
    means = [point["accuracy"] for point in found["points"]]
    assert means == sorted(means, reverse=True)
    assert sum(point["chance"] for point in found["points"]) == pytest.approx(1.0)
    assert found["margin"]["value"] == pytest.approx(means[0] - means[1])
    assert found["chosen"] == {name: found["points"][0][name] for name in ("alpha", "beta", "gamma")}
    assert [member["phi"] for member in found["family"]] == list(range(1, 8))
    assert set(found["family"][0]) == MEMBER
    # the family's first is the network that was chosen
    assert load_architecture("family/mine-phi1.yaml").key == found["points"][0]["key"]
    assert (Path("x.svg").is_file(), len(list(Path("family").iterdir()))) == (True, 7)
    whole = document(capsys, "mine.yaml", "--search", "grid.yaml", "--published", "--limit", "macs<=1e6")
    assert whole["published"]["edition"] == "v5"
    assert all(member["macs"] <= 1e6 for member in whole["family"])


def test_a_search_in_earnest(place: Path, capsys) -> None:
    once = ("points=1", "seeds=1", "max_seeds=1")
    smaller = ["--phi", "1", *(text for setting in once for text in ("--set", f"scaling.{setting}"))]
    found = document(capsys, "mine.yaml", "--search", "grid.yaml", "--run", "real", *smaller)
    assert (found["run"], len(found["points"]), found["margin"], found["close"]) == ("real", 1, None, 0)
    assert [trial.status for trial in open_run("real").trials()] == ["done"] * 2
    assert all(0 <= accuracy <= 1 for accuracy in found["baseline"]["accuracies"])
    code, out, err = nas(capsys, "scale", *MINE, "--run", "again", "--reuse", "real", *smaller)
    assert (code, "it is the only point" in out) == (0, True), err
    assert {trial.reused for trial in open_run("again").trials()} == {"runs/real"}


def test_a_searchs_own_configuration_serves(place: Path, capsys, scores: Scores) -> None:
    found = document(
        capsys, "t@best", "--search", "runs/t/config.yaml", "--set", "scaling.points=2", "--phi", "1"
    )
    assert (found["run"], len(found["points"])) == ("t-scaling", 2)
    assert found["baseline"]["key"] == open_run("t").recommended().key
    config = open_run("t-scaling").config()
    assert "space" not in config
    assert config["baseline"]["name"].startswith("t-")
    assert config["executor"]["kind"] == "inline"
    assert {trial.seed for trial in open_run("t-scaling").trials()} > {open_run("t").trials()[0].seed}
    # the run's own file goes on under its own name
    again = document(capsys, "t@best", "--search", "runs/t-scaling/config.yaml", "--phi", "1")
    assert (again["run"], again["points"]) == ("t-scaling", found["points"])


def test_the_published_quickstart_serves(in_tmp: Path, capsys, scores: Scores) -> None:
    path = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
    network = replace(
        BASELINE, image_size=32, stages=(Stage(channels=16, repeats=2), Stage(channels=24, stride=2))
    )
    network.save("n.yaml")
    found = document(
        capsys,
        "n.yaml",
        "--search",
        str(path),
        "--set",
        "executor.kind=inline",
        "--set",
        "scaling.max_seeds=2",
    )
    assert found["run"] == "quickstart-scaling"
    assert 1 < len(found["points"]) <= load_config(path).scaling.points


def test_failing_trainings_end_the_command_with_their_reason(place: Path, capsys, monkeypatch) -> None:
    broken = Scores(lambda key, seed: None, in_channels=1)
    monkeypatch.setattr("nas.scaling_run.evaluator_for", lambda config, networks, progress=None: broken)
    for way in (["--search", "grid.yaml"], ["--dimensions", "ways.yaml"]):
        code, out, err = nas(capsys, "scale", "mine.yaml", *way, "--json")
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith(
            "nas: trainings fail: RuntimeError: CUDA out of memory (as if)"
        )
        assert "Traceback" not in err


def test_an_interrupted_search_says_how_to_go_on(place: Path, capsys, monkeypatch) -> None:
    import signal

    class Stopping(Scores):
        def epochs(self, architecture, seed, weights_path=None):
            if len(self.diary) == 2:
                signal.raise_signal(signal.SIGINT)
            yield from super().epochs(architecture, seed)

    stopping = Stopping(lambda key, seed: seed % 5 / 1000, in_channels=1)
    monkeypatch.setattr("nas.scaling_run.evaluator_for", lambda config, networks, progress=None: stopping)
    code, out, err = nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "grid: 3 of 10 trainings are done; the same command goes on"
    assert nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml", "--phi", "1")[0] == 0
    assert len(stopping.diary) == len(set(stopping.diary))


def test_hostile_names_are_text(place: Path, capsys, drawn: Scores) -> None:
    BASELINE.renamed("n [/x] [red] $x^2$ <b>").save("n.yaml")
    for way in (["--search", "grid.yaml", "--phi", "1"], ["--dimensions", "ways.yaml"]):
        code, out, err = nas(capsys, "scale", "n.yaml", *way, "--plot", "x.svg")
        assert code == 0, err
        assert "n [/x] [red] $x^2$ <b>" in out + err


# --- the experiment on dimensions --------------------------------------------------------------------


def test_the_experiment_says_all_networks_and_gains(place: Path, capsys, drawn: Scores) -> None:
    code, out, err = nas(capsys, "scale", "mine.yaml", "--dimensions", "ways.yaml")
    assert code == 0, err
    for words in (
        "baseline",
        "compound",
        "phi ",
        "depth 1, resolution 1.2",
        "at about 2 times the MACs compound",
    ):
        assert words in out
    assert out.splitlines()[-1] == "wrote runs/ways/dimensions.png"
    begun = len(drawn.diary)
    found = document(capsys, "mine.yaml", "--dimensions", "ways.yaml", "--plot", "y.pdf", "--published")
    assert set(found) == {"run", "lines", "widths", "gains", "deviation", "failed", "published"}
    assert [line["dimension"] for line in found["lines"]] == ["depth", "width", "resolution", "compound"]
    for line in found["lines"]:
        for point in line["points"]:
            assert set(point) == {"factor", "macs", "image_size", "key", "accuracy", "error", "accuracies"}
            assert point["accuracy"] == pytest.approx(sum(point["accuracies"]) / 2)
    (gain,) = found["gains"]
    assert set(gain) == {"target", "single", "value", "low", "high", "certain", "macs_factors"}
    assert gain["low"] < gain["value"] < gain["high"]
    assert [len(group["points"]) for group in found["widths"]] == [2]
    assert (len(drawn.diary), Path("y.pdf").read_bytes()[:4]) == (begun, b"%PDF")


def test_one_run_holds_one_of_both(place: Path, capsys, scores: Scores) -> None:
    assert nas(capsys, "scale", "mine.yaml", "--dimensions", "ways.yaml", "--run", "r")[0] == 0
    code, out, err = nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml", "--run", "r")
    assert (code, out) == (2, "")
    assert "runs/r: holds an experiment on dimensions; choose another name with --run NAME" in err


def test_another_baseline_in_the_same_run_is_refused_before_images_are_prepared(
    place: Path, capsys, scores: Scores, monkeypatch
) -> None:
    assert nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml")[0] == 0
    replace(BASELINE, dropout=0.5).save("other.yaml")
    with monkeypatch.context() as patch:
        patch.setattr("nas.scaling_run.evaluator_for", None)
        code, out, err = nas(capsys, "scale", "other.yaml", "--search", "grid.yaml")
    assert (code, out) == (2, "")
    assert "runs/grid: was made with another baseline; choose another name with --run NAME" in err
    BASELINE.renamed("another name").save("same.yaml")
    assert nas(capsys, "scale", "same.yaml", "--search", "grid.yaml")[0] == 0


def test_members_that_cannot_be_written_cost_no_training_twice(place: Path, capsys, scores: Scores) -> None:
    Path("file").touch()
    code, out, err = nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml", "-o", "file")
    assert code == 2
    assert out.startswith("grid search at phi = 1 on mine")  # the result stands
    assert "cannot be written" in err.splitlines()[-1]
    begun = len(scores.diary)
    assert nas(capsys, "scale", "mine.yaml", "--search", "grid.yaml", "-o", "folder")[0] == 0
    assert len(scores.diary) == begun
