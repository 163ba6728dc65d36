"""Reference networks beside a search: fitted to its space, trained first, and no candidates."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from nas import InputError, load_architecture, load_config, open_run, parse_config, run_search
from nas.baselines import adapted_baselines
from nas.rediscovery import rediscovery
from results import Trial, dominating, front_of, ranked
from search_space import adapt_to_space, cost, load_space
from tests.processes import Forked
from tests.searching import Scripted, config
from tests.test_cli import nas
from tests.test_search import assert_equal_states, replayed

THREE = ["efficientnet_b0", "mnasnet_a1", "mobilenet_v2"]


def with_baselines(*baselines: object, name: str = "t", **sections):
    """The quick configuration of other tests, with baselines."""
    return parse_config(
        {**config(name, **sections).model_dump(mode="json"), "baselines": list(baselines or THREE)}
    )


@pytest.fixture
def scripted(in_tmp: Path) -> Scripted:
    return Scripted(in_tmp / "diary")


# --- the search --------------------------------------------------------------------------------------


def test_baselines_are_trained_first_and_are_no_candidates(scripted: Scripted) -> None:
    run = run_search(with_baselines(), evaluator=scripted).run
    alone = run_search(config("alone"), evaluator=Scripted(scripted.diary.with_name("other"))).run
    keys = [adapt_to_space(load_architecture(name), load_space("digits")).architecture.key for name in THREE]
    assert scripted.lines("begin") == [*keys, *(trial.key for trial in run.trials())]
    baselines = run.baselines()
    assert [(t.baseline, t.id, t.arrival, t.proposed, t.choices) for t in baselines] == [
        (name, number, number, False, {}) for number, name in enumerate(THREE, start=1)
    ]
    assert {t.adapted for t in baselines} == {"32 pixels, stride 1 instead of 2 in stages 2 and 3"}
    for trial in baselines:
        assert trial.reward == config().objective.reward(trial.accuracy, trial.macs)
        assert trial.macs == cost(trial.network(), 10, 1).macs
        assert run.weights_path(trial.id).read_text() == trial.key
    # the budget, the controller and what it found are those of a search without them
    assert [t.key for t in run.trials()] == [t.key for t in alone.trials()]
    assert (run.best().key, run.recommended().key) == (alone.best().key, alone.recommended().key)
    controller, saved = replayed(run, with_baselines())
    assert_equal_states(controller.state_dict(), saved)


def test_a_baseline_better_than_all_is_neither_best_nor_recommended_nor_on_the_front(in_tmp: Path) -> None:
    class Perfect(Scripted):
        def epochs(self, architecture, seed, weights_path=None):
            for measurement in super().epochs(architecture, seed, weights_path):
                known = architecture.name == "cheap"
                yield replace(measurement, accuracy=1.0) if known else measurement

    cheap = Path("cheap.yaml")
    tiny = replace(load_space("digits").decode((0,) * 20), name="cheap", activation="relu")
    cheap.write_text(tiny.to_yaml())
    run = run_search(
        with_baselines("cheap.yaml", search={"candidates": 8, "keep_weights": 2}),
        evaluator=Perfect(in_tmp / "d"),
    ).run
    (only,) = run.baselines()
    assert (only.accuracy, only.adapted) == (1.0, "")
    assert only.id not in {
        t.id for t in [*run.trials(), *ranked(run.trials()), run.best(), run.recommended()]
    }
    front = front_of(run.trials(), 2e6)
    assert only.id not in {t.id for t in front.trials}
    assert dominating(only, front) == []
    weights = {int(path.stem) for path in (run.path / "weights").iterdir()}
    assert weights == {only.id, *(t.id for t in ranked(run.trials())[:2])}


def test_adding_a_baseline_on_resume_trains_it_alone(scripted: Scripted) -> None:
    run = run_search(config(), evaluator=scripted).run
    before = run.trials()
    end = run_search(with_baselines("mobilenet_v2"), evaluator=scripted, resume=True)
    assert (end.outcome, end.run.trials()) == ("finished", before)
    assert [(t.baseline, t.status) for t in run.baselines()] == [("mobilenet_v2", "done")]
    run_search(with_baselines("mobilenet_v2"), evaluator=scripted, resume=True)
    assert len(scripted.lines("begin")) == 7
    # removed, it stays
    run_search(config(), evaluator=scripted, resume=True)
    assert [t.baseline for t in run.baselines()] == ["mobilenet_v2"]
    assert run.weights_path(7).exists()


def test_a_name_cannot_pass_to_another_network_once_measured(scripted: Scripted) -> None:
    run_search(with_baselines("mobilenet_v2"), evaluator=scripted)
    before = Path("runs/t/config.yaml").read_text()
    own = replace(load_architecture("mnasnet_a1"), name="own")
    run_search(with_baselines(own.to_dict()), evaluator=scripted, resume=True)
    other = replace(own, activation="swish")
    with pytest.raises(InputError, match="the baseline own was another network when it was trained"):
        run_search(with_baselines(other.to_dict()), evaluator=scripted, resume=True)
    assert Path("runs/t/config.yaml").read_text() != before


def killed_at_the_second() -> None:
    """A search in a process of its own."""
    run_search(with_baselines(), evaluator=Scripted(Path("diary").absolute(), acts={2: "die"}))


def test_a_search_that_is_killed_trains_no_baseline_again(scripted: Scripted) -> None:
    killed = Forked(killed_at_the_second)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    with open_run("t").journal() as journal:
        assert [t.status for t in journal.trials()] == ["done", "running", "pending"]
    end = run_search(with_baselines(), evaluator=scripted, resume=True)
    assert [(t.id, t.baseline, t.status) for t in end.run.baselines()] == [
        (number, name, "done") for number, name in enumerate(THREE, start=1)
    ]
    assert len(scripted.lines("end")) == len(set(scripted.lines("end"))) == 9
    assert len(end.run.trials()) == 6


class Stopping(Scripted):
    """Interrupts its process when it begins."""

    def epochs(self, architecture, seed, weights_path=None):
        os.kill(os.getpid(), signal.SIGINT)
        yield from super().epochs(architecture, seed, weights_path)


def interrupted_at_once() -> None:
    """A search in a process of its own that says how it ended."""
    print(run_search(with_baselines(), evaluator=Stopping(Path("diary").absolute()), resume=True).outcome)


def test_a_search_whose_baselines_wait_is_interrupted_and_not_finished(scripted: Scripted) -> None:
    run = run_search(config(), evaluator=scripted).run  # the budget is spent
    stopped = Forked(interrupted_at_once)
    assert stopped.communicate(timeout=120)[0] == "interrupted\n"
    assert stopped.returncode == 0
    assert [t.status for t in run.baselines()] == ["done", "pending", "pending"]
    # what waits is dropped when it is asked for no more
    assert run_search(with_baselines(THREE[0]), evaluator=scripted, resume=True).outcome == "finished"
    assert [t.baseline for t in run.baselines()] == [THREE[0]]
    assert len(scripted.lines("begin")) == 7


def test_a_fitted_baseline_can_be_the_reference_of_a_rediscovery(scripted: Scripted, capsys) -> None:
    settings = with_baselines("efficientnet_b0", space="cifar", search={"candidates": 4})
    run = run_search(settings, evaluator=scripted).run
    for reference in ("t@efficientnet_b0", "efficientnet_b0"):  # as fitted, and as published
        document = json.loads(nas(capsys, "compare", "t@best", reference, "--json")[1])
        found = document["rediscovery"]
        assert found["reference"]["accuracy"] == run.baselines()[0].accuracy
        assert found["fitted"] == run.baselines()[0].adapted
        assert (found["of"], len(found["decisions"]), found["outside"]) == (4, 35, None)


def test_a_baseline_that_fails_stays_visible_and_stops_nothing(scripted: Scripted, capsys) -> None:
    acts = dict.fromkeys((1, 2, 3), "raise")
    settings = with_baselines(search={"candidates": 4, "max_failures": 1})
    end = run_search(settings, evaluator=Scripted(scripted.diary, acts=acts))
    assert (end.outcome, [t.status for t in end.run.trials()]) == ("finished", ["done"] * 4)
    assert [(t.status, t.accuracy) for t in end.run.baselines()] == [("failed", None)] * 3
    assert nas(capsys, "status", "t")[1].count("failed: RuntimeError: CUDA out of memory (as if)") == 3
    assert json.loads(nas(capsys, "status", "t", "--json")[1])["counts"] == {"done": 4}
    assert nas(capsys, "pareto", "t", "--plot", "p.png")[0] == 0
    failed = json.loads(nas(capsys, "pareto", "t", "--json")[1])["baselines"]
    assert [(b["dominated_by"], b["status"]) for b in failed] == [(None, "failed")] * 3
    run_search(settings, evaluator=scripted, resume=True)
    assert len(scripted.lines("begin")) == 7  # a failure of its own is not tried again


SMALL = """name: small
image_size: 32
stem: {channels: 8}
head: {channels: 8}
dropout: 0.0
drop_path: 0.0
stages: [{channels: 8, stride: 2, repeats: 1}]
choices: {op: [mbconv1], kernel: [3, 5], se_ratio: [0], filters: [1.0], layers: [0, 1]}
"""


@pytest.mark.parametrize("candidates", [4, 50])
def test_a_baseline_that_is_proposed_is_a_candidate_too(scripted: Scripted, candidates: int) -> None:
    Path("small.yaml").write_text(SMALL)
    small = load_space("small.yaml")
    known = replace(small.decode((0, 1, 0, 0, 0)), name="known")
    search = {"candidates": candidates, "patience": 60}
    settings = with_baselines(known.to_dict(), space=str(Path("small.yaml").absolute()), search=search)
    end = run_search(settings, evaluator=scripted)
    run = end.run
    assert end.outcome == ("finished" if candidates == 4 else "exhausted")
    assert len(scripted.lines("begin")) == len(set(scripted.lines("begin"))) == 4  # of the whole space
    (baseline,) = run.baselines()
    assert (baseline.id, baseline.proposed, baseline.key) == (1, True, known.key)
    assert baseline.choices == dict(
        zip([d.name for d in small.decisions], small.choices(small.encode(known)), strict=True)
    )
    assert {t.id for t in run.trials()} == {1, 2, 3, 4}
    assert {t.id for t in ranked(run.trials())} == {1, 2, 3, 4}
    with run.journal() as journal:
        rows = journal.proposals()
        assert journal.counts() == {"done": 4}
    assert any(row.trial == 1 for row in rows)
    assert all(row.told is not None for row in rows)
    controller, saved = replayed(run, settings)
    assert_equal_states(controller.state_dict(), saved)
    # the budget is spent, also when the run is counted anew
    assert run_search(settings, evaluator=scripted, resume=True).outcome == end.outcome
    assert len(scripted.lines("begin")) == 4
    # rediscovered when the controller proposed it, and not when it was trained
    order = list(dict.fromkeys(row.trial for row in sorted(rows, key=lambda row: row.told)))
    rewards = {trial.id: trial.reward for trial in run.trials()}
    found = rediscovery(run, "known", known)
    assert found.reference.candidate == 1
    assert found.trainings_to_reward == 1 + [rewards[i] >= baseline.reward for i in order].index(True)
    assert (order.index(1), baseline.arrival) != (0, 1)  # trained before it was proposed


def test_a_best_network_that_was_a_baseline_is_best_in_the_same_session(in_tmp: Path, capsys) -> None:
    Path("small.yaml").write_text(SMALL)
    small = load_space("small.yaml")
    networks = [small.decode((0, kernel, 0, 0, layers)) for kernel in (0, 1) for layers in (0, 1)]
    scripted = Scripted(in_tmp / "diary")
    seen: list[Trial | None] = []

    class Listener:
        def on_start(self, counts):
            pass

        def on_result(self, trial, best, counts):
            seen.append(best)

    for number, network in enumerate(networks):
        settings = with_baselines(
            replace(network, name="known").to_dict(),
            name=f"r{number}",
            space=str(Path("small.yaml").absolute()),
            search={"candidates": 4, "keep_weights": 1},
        )
        run = run_search(settings, evaluator=scripted, listeners=[Listener()]).run
        assert len(run.trials()) == 4
        assert run.recommended() == run.best() == ranked(run.trials())[0]
        assert run.weights_path(run.best().id).exists()
        document = json.loads(nas(capsys, "top", run.name, "--json")[1])
        assert [trial["baseline"] for trial in document].count("known") == 1
    assert seen[0] is None


def test_the_reference_of_a_rediscovery_may_be_a_baseline(scripted: Scripted) -> None:
    network = load_space("digits").decode((2,) + (0,) * 19)
    run = run_search(with_baselines(replace(network, name="it").to_dict()), evaluator=scripted).run
    found = rediscovery(run, "it", network)
    (baseline,) = run.baselines()
    assert (found.reference.accuracy, found.reference.candidate) == (baseline.accuracy, None)
    assert found.of == 6
    assert found.rank == 1 + sum(t.reward > baseline.reward for t in run.trials())


def test_limits_are_for_candidates(scripted: Scripted) -> None:
    run = run_search(with_baselines("mobilenet_v2", limits={"macs": 1e6}), evaluator=scripted).run
    assert run.baselines()[0].macs > 1e6 > max(trial.macs for trial in run.trials())


def test_two_that_become_one_network_are_refused_before_a_run_is_made(scripted: Scripted) -> None:
    large = replace(load_architecture("mobilenet_v2"), name="large", image_size=256)
    with pytest.raises(InputError, match="baselines: mobilenet_v2 and large are one network in this space"):
        run_search(with_baselines("mobilenet_v2", large.to_dict()), evaluator=scripted)
    assert not Path("runs").exists()


def test_a_search_with_real_training_trains_its_baselines(in_tmp: Path) -> None:
    small = replace(load_space("digits").decode((0,) * 20), name="small", activation="relu")
    settings = parse_config(
        {
            "name": "t",
            "space": "digits",
            "objective": {"target": 1e6},
            "baselines": [small.to_dict()],
            "protocol": {"epochs": 1, "batch": 600},
            "search": {"candidates": 1},
            "executor": {"kind": "inline"},
        }
    )
    run = run_search(settings).run
    (baseline,) = run.baselines()
    (candidate,) = run.trials()
    assert baseline.accuracy is not None
    assert baseline.protocol == candidate.protocol
    assert run.weights_path(baseline.id).is_file()


# --- the configuration -------------------------------------------------------------------------------


def test_the_resolved_configuration_holds_names_and_the_contents_of_files(tmp_path: Path) -> None:
    own = replace(load_architecture("mnasnet_a1"), activation="swish")
    text = replace(own, name="mine").to_yaml()
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "mine.yaml").write_text(text)
    (tmp_path / "nets" / "stem.yaml").write_text(text.replace("name: mine\n", "").replace("swish", "relu6"))
    path = tmp_path / "c.yaml"
    path.write_text(
        "space: digits\nobjective: {target: 1e6}\n"
        "baselines: [EfficientNet-B0, nets/mine.yaml, nets/stem.yaml]\n"
    )
    read = load_config(path)
    assert [network.name for network in read.baselines] == ["efficientnet_b0", "mine", "stem"]
    kept = tmp_path / "config.yaml"
    kept.write_text(read.to_yaml())
    (tmp_path / "nets" / "mine.yaml").unlink()
    assert load_config(kept).baselines == read.baselines
    assert "- efficientnet_b0\n" in read.to_yaml()
    assert parse_config(read.model_dump(mode="json")) == read


def test_a_file_on_the_command_line_starts_in_the_current_directory(in_tmp: Path) -> None:
    Path("conf").mkdir()
    Path("conf/c.yaml").write_text("space: digits\nobjective: {target: 1e6}\nbaselines: [mobilenet_v2]\n")
    replace(load_architecture("mnasnet_a1"), name="here", activation="swish").save("here.yaml")
    (network,) = load_config("conf/c.yaml", ["baselines=[here.yaml]"]).baselines
    assert network.name == "here"
    with pytest.raises(InputError, match=r"^--set baselines\[0\]: nosuch.yaml: no such file$"):
        load_config("conf/c.yaml", ["baselines=[nosuch.yaml]"])
    with pytest.raises(
        InputError, match=r"^--set baselines\[0\] is 'mobilnet_v2', .*did you mean mobilenet_v2"
    ):
        load_config("conf/c.yaml", ["baselines=[mobilnet_v2]"])
    assert load_config("conf/c.yaml", ["baselines=[]"]).baselines == ()


B0 = "efficientnet_b0"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "[eficientnet_b0]",
            r"c.yaml:3: baselines\[0\] is 'eficientnet_b0', .*; did you mean efficientnet_b0\?",
        ),
        (f"\n  - {B0}\n  - mnasnet_a11", r"c.yaml:5: baselines\[1\] is .*did you mean mnasnet_a1\?"),
        (
            f"[{B0}, mnasnet_a1, EfficientNet-B0]",
            r"baselines\[2\] is efficientnet_b0, which is there already as b",
        ),
        (f"[{B0}, copy.yaml]", r"baselines\[1\] is copy, which is there already as baselines\[0\]"),
        ("[nosuch.yaml]", r"c.yaml:3: baselines\[0\]: .*nosuch.yaml: no such file"),
        (
            "[broken.yaml]",
            r"c.yaml:3: baselines\[0\]: .*broken.yaml:1: image_size must be at least the total stride",
        ),
        ("[best.yaml]", r"c.yaml:3: baselines\[0\].name must be one that RUN@NAME can stand for, got 'best'"),
        ("[at.yaml]", r"baselines\[0\].name must be one that RUN@NAME can stand for, got 'a@b'"),
        ("[liar.yaml]", r"c.yaml:3: baselines\[0\].name is efficientnet_b0, and the network is another"),
        ("efficientnet_b0", r"c.yaml:3: baselines must be a list of networks, got 'efficientnet_b0'"),
        ("[3]", r"c.yaml:3: baselines\[0\] must be a network's name or an architecture file, got 3"),
        ("[{stem: 1}]", r"c.yaml:3: baselines\[0\].*"),
        ("[[efficientnet_b0]]", r"c.yaml:3: baselines\[0\] must be a network's name"),
    ],
)
def test_a_mistake_names_file_line_and_entry(tmp_path: Path, given: str, message: str) -> None:
    b0 = load_architecture(B0)
    other = replace(b0, activation="relu")
    b0.renamed("copy").save(tmp_path / "copy.yaml")
    other.renamed("best").save(tmp_path / "best.yaml")
    other.renamed("a@b").save(tmp_path / "at.yaml")
    other.save(tmp_path / "liar.yaml")
    (tmp_path / "broken.yaml").write_text(
        b0.to_yaml().replace("format: 1\n", "").replace("name: efficientnet_b0\n", "").replace("224", "16")
    )
    path = tmp_path / "c.yaml"
    path.write_text(f"space: digits\nobjective: {{target: 1e6}}\nbaselines: {given}\n")
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_table_trains_no_baselines(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "space: digits\nobjective: {target: 1e6}\nbaselines: [mobilenet_v2]\n"
        "evaluator: {kind: table, path: t.csv}\n"
    )
    with pytest.raises(InputError, match="c.yaml:3: baselines are trained, and the evaluator is a table"):
        load_config(path)


def test_a_table_given_from_python_trains_no_baselines_either(tmp_path: Path) -> None:
    from tests.tables import SPACE, rows_of, write_csv
    from trainers import TableSource, load_table_evaluator

    space = load_space(SPACE)
    write_csv(tmp_path / "t.csv", rows_of(space))
    table = load_table_evaluator(TableSource(path=str(tmp_path / "t.csv"), surrogate=False), space)
    assert adapted_baselines([], space, table) == []
    with pytest.raises(InputError, match="baselines are trained, and the evaluator is a table"):
        adapted_baselines([load_architecture(B0)], space, table)
