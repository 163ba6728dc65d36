"""``nas proxy audit``: what it trains, goes on with, refuses and says."""

import json
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nas import InputError, load_config, open_run, parse_config, run_search
from nas.audit import run_audit
from nas.audit_plan import sample
from results import save_figure
from results.figures import AuditPanel, audit_figure
from search_space import Limits, load_space
from tests.processes import nas_command, wait_for
from tests.searching import Scripted
from tests.test_cli import nas
from trainers import InlineExecutor, ProxyProtocol

BASE = "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 2}\nexecutor: {kind: inline}\n"


def audit_config(name: str = "a", **audit):
    settings = {"architectures": 6, "seeds": 2, "reference": {"epochs": 4}, **audit}
    return parse_config(
        {
            "name": name,
            "space": "digits",
            "objective": {"target": 1e6},
            "protocol": {"epochs": 2},
            "executor": {"kind": "inline"},
            "audit": settings,
        }
    )


@dataclass
class Trainers:
    """A scripted evaluator a protocol, all with one diary."""

    diary: Path
    acts: dict[int, str]

    def __call__(self, protocol: ProxyProtocol) -> Scripted:
        return Scripted(self.diary, acts=self.acts, fingerprint=f"epochs {protocol.epochs}")


@pytest.fixture
def trainers(in_tmp: Path) -> Trainers:
    return Trainers(in_tmp / "diary", {})


def test_every_network_is_trained_under_every_protocol_with_every_seed_once(trainers: Trainers) -> None:
    end = run_audit(audit_config(protocols=[{"epochs": 1}], reference_seeds=3), evaluator_of=trainers)
    trials = end.run.trials()
    assert end.outcome == "finished"
    assert len(trials) == len(trainers.diary.read_text().splitlines()) // 2 == 6 * (2 + 2 + 3)
    assert all(trial.status == "done" and trial.reward is None for trial in trials)
    assert len({(t.key, t.protocol, t.seed) for t in trials}) == len(trials)
    assert len({trial.key for trial in trials}) == 6
    by_epochs = {int(t.protocol.split()[1]): set() for t in trials}
    for trial in trials:
        by_epochs[int(trial.protocol.split()[1])].add(trial.seed)
    assert list(by_epochs) == [1, 2, 4]  # cheap ones first, the reference last
    assert by_epochs[1] == by_epochs[2]
    assert 0 in by_epochs[1]  # the seed of the search
    assert not by_epochs[2] & by_epochs[4]
    assert [len(seeds) for seeds in by_epochs.values()] == [2, 2, 3]
    found = end.findings
    assert [variant.name for variant in found.variants] == ["protocol", "epochs=1"]
    assert found.agreements["protocol"].tau.value == 1.0  # the script's accuracy is the key's
    assert sorted(found.macs) == list(found.macs)


def test_the_same_audit_draws_the_same_networks_and_asked_again_trains_nothing(trainers: Trainers) -> None:
    first = run_audit(audit_config(), evaluator_of=trainers)
    keys = [trial.key for trial in first.run.trials()]
    begun = len(trainers.diary.read_text().splitlines())
    again = run_audit(audit_config(target=0.5), evaluator_of=trainers)
    assert len(trainers.diary.read_text().splitlines()) == begun
    assert again.findings.target == 0.5
    other = run_audit(audit_config("b"), evaluator_of=trainers)
    assert [trial.key for trial in other.run.trials()] == keys


class Interrupting:
    """Interrupts after some results, as Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.left, self.protocols = after, []

    def on_start(self, counts) -> None:
        self.begun = dict(counts)

    def on_protocol(self, name: str, trainings: int) -> None:
        self.protocols.append((name, trainings))

    def on_result(self, trial, best, counts) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_audit_goes_on_and_trains_nothing_twice(trainers: Trainers) -> None:
    stopping = Interrupting(after=8)
    end = run_audit(audit_config(), evaluator_of=trainers, listeners=[stopping])
    assert (end.outcome, end.findings) == ("interrupted", None)
    assert Counter(trial.status for trial in end.run.trials()) == {"done": 8, "pending": 10}
    going_on = Interrupting(after=-1)
    end = run_audit(audit_config(), evaluator_of=trainers, listeners=[going_on])
    assert end.outcome == "finished"
    assert going_on.begun == {"done": 8, "pending": 10}
    assert going_on.protocols == [("protocol", 4), ("reference", 6)]
    begun = [line for line in trainers.diary.read_text().splitlines() if line.startswith("begin")]
    assert len(begun) == 18
    assert set(Counter(begun).values()) == {3}


def test_a_training_that_was_killed_is_trained_again_and_no_other(trainers: Trainers) -> None:
    class KilledError(BaseException):
        pass

    class Killing(Interrupting):
        def on_result(self, trial, best, counts) -> None:
            self.left -= 1
            if self.left == 0:
                raise KilledError

    with pytest.raises(KilledError):
        run_audit(audit_config(), evaluator_of=trainers, listeners=[Killing(after=5)])
    assert run_audit(audit_config(), evaluator_of=trainers).outcome == "finished"
    assert len([x for x in trainers.diary.read_text().splitlines() if x.startswith("begin")]) == 18


def test_failures_are_recorded_and_left_out(trainers: Trainers) -> None:
    trainers.acts = {1: "raise", 14: "raise"}
    end = run_audit(audit_config(), evaluator_of=trainers)
    found = end.findings
    assert end.outcome == "finished"
    assert [t.accuracy for t in end.run.trials() if t.status == "failed"] == [None, None]
    assert (found.agreements["protocol"].precision.failed, found.precision.failed) == (1, 1)
    assert found.agreements["protocol"].networks == 5
    trainers.acts = dict.fromkeys(range(1, 100), "raise")
    trainers.diary.unlink()
    assert run_audit(audit_config("broken"), evaluator_of=trainers).outcome == "failing"


def test_another_configuration_or_a_search_is_refused(trainers: Trainers, in_tmp: Path) -> None:
    run_audit(audit_config(), evaluator_of=trainers)
    with pytest.raises(InputError, match=r"runs/a: was made with another audit.seeds, audit.protocols; "):
        run_audit(audit_config(seeds=3, protocols=[{"epochs": 1}]), evaluator_of=trainers)
    with pytest.raises(InputError, match="was made with another seed; choose another name with --run"):
        run_audit(audit_config().model_copy(update={"seed": 3}), evaluator_of=trainers)
    with pytest.raises(InputError, match="earlier results were measured with other data"):
        run_audit(audit_config(), evaluator_of=lambda protocol: Scripted(in_tmp / "x", fingerprint="new"))
    search = audit_config("s").model_copy(update={"search": audit_config().search.model_copy()})
    run_search(search, evaluator=Scripted(in_tmp / "other"))
    with pytest.raises(InputError, match="runs/s: holds a search, not an audit"):
        run_audit(audit_config("s"), evaluator_of=trainers)
    Path("runs/e").mkdir()
    with pytest.raises(InputError, match="runs/e: holds no journal"):
        run_audit(audit_config("e"), evaluator_of=trainers)


def test_a_search_goes_on_whatever_its_audit_section_says(in_tmp: Path) -> None:
    settings = audit_config("s").model_copy(
        update={"search": audit_config().search.model_copy(update={"candidates": 2})}
    )
    run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    changed = settings.model_copy(update={"audit": None})
    assert run_search(changed, resume=True, evaluator=Scripted(in_tmp / "diary")).outcome == "finished"


def test_the_sample_is_spread_over_macs_and_keeps_limits() -> None:
    space = load_space("digits").limited(Limits(macs=1.5e6), 10, 1)
    points = sample(space, 12, seed=4)
    macs = space.known_cost(points, "macs")
    assert len(set(points)) == 12
    assert points == sample(space, 12, seed=4) != sample(space, 12, seed=5)
    assert list(macs) == sorted(macs)
    assert macs[-1] <= 1.5e6
    rng = np.random.default_rng(0)
    drawn = np.array([space.random(rng) for _ in range(3000)])
    edges = np.quantile(space.known_cost(drawn[space.allowed(drawn)], "macs"), np.linspace(0, 1, 13))
    assert (macs > 0.97 * edges[:-1]).all()
    assert (macs < 1.03 * edges[1:]).all()


TINY = """extends: digits
stages: [{channels: 8, stride: 2}, {channels: 8, stride: 2}]
choices: {op: [mbconv1], kernel: [3, 5], se_ratio: [0], filters: [1.0], layers: [0, 1]}
"""


def test_a_space_with_too_few_networks_says_how_many_there_are(in_tmp: Path, trainers: Trainers) -> None:
    Path("tiny.yaml").write_text(TINY)
    Path("c.yaml").write_text(BASE.replace("digits", "tiny.yaml") + "audit: {architectures: 17}\n")
    with pytest.raises(InputError, match="audit.architectures asks for 17, and 'digits' holds 16 networks$"):
        run_audit(load_config("c.yaml"), evaluator_of=trainers)
    assert not Path("runs").exists()
    every = run_audit(
        load_config("c.yaml", ["audit.architectures=16", "audit.seeds=1"]), evaluator_of=trainers
    )
    assert len({trial.key for trial in every.run.trials()}) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{architecture: 3}", "audit.architecture is an unknown key; did you mean architectures?"),
        ("{architectures: 2}", "audit.architectures must be between 4 and 2000, got 2"),
        ("{seeds: 1.5}", "audit.seeds must be a whole number, got 1.5"),
        ("{target: 7}", "audit.target must be between 0.01 and 1, got 7"),
        ("{protocols: {epochs: 1}}", "audit.protocols must be a list of overrides of protocol"),
        (
            "{protocols: [{epochs: 1}, {epoch: 3}]}",
            r"audit.protocols\[1\].epoch is an unknown key; did you mean epochs?",
        ),
        ("{protocols: [{epochs: 0}]}", r"audit.protocols\[0\].epochs must be between 1 and 100000, got 0"),
        ("{protocols: [3]}", r"audit.protocols\[0\] must hold keys and values, got 3"),
        ("{protocols: [{}]}", r"audit.protocols\[0\] must override something of protocol"),
        ("{protocols: [{epochs: 2}]}", r"audit.protocols\[0\] must differ from protocol, and is the same"),
        (
            "{protocols: [{epochs: 1}, {epochs: 1}]}",
            r"audit.protocols\[1\] must differ from audit.protocols\[0\]",
        ),
        ("{reference: {epochs: 2}}", "audit.reference must differ from protocol"),
        ("{reference: {epochz: 2}}", "audit.reference.epochz is an unknown key; did you mean epochs?"),
        ("3", "audit must hold keys and values, got 3"),
    ],
)
def test_a_broken_section_names_file_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{BASE}audit: {text}\n")
    with pytest.raises(InputError, match=f"c.yaml:5: {message}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_the_section_reads_back_equal_and_has_its_default_reference(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BASE + "audit: {protocols: [{epochs: 1}], target: 1}\n")
    config = load_config(path)
    path.write_text(config.to_yaml())
    assert load_config(path) == config
    *_, reference = config.audit.variants(config.protocol)
    assert (reference.name, reference.settings) == ("reference", {"epochs": 10})
    assert config.audit.trainings == 24 * (2 * 2 + 1)


def test_what_cannot_be_audited_is_one_line(in_tmp: Path, capsys) -> None:
    Path("c.yaml").write_text(BASE)
    table = "space: digits\nobjective: {target: 1e6}\nevaluator: {kind: table, path: t.csv}\n"
    Path("table.yaml").write_text(table)
    Path("both.yaml").write_text(table + "audit: {}\n")
    for arguments, message in [
        (["c.yaml", "--plot", "x.bmp"], "x.bmp: must end in .png, .svg, .pdf"),
        (["c.yaml", "--run", "../x"], "'../x' is no name for a run"),
        (["c.yaml", "--set", "audit.sed=3"], "--set audit.sed is an unknown key; did you mean seeds?"),
        (
            ["c.yaml", "--set", "audit.protocols=[{batch: 9999}]"],
            "audit.protocols[0]: protocol.batch must be at most 1200",
        ),
        (["c.yaml", "--set", "executor.workers=2"], "executor.workers is for the executor ray"),
        (["table.yaml"], "has no proxy to audit: its evaluator replays a table"),
        (["both.yaml"], "both.yaml:4: audit is for proxy training, and the evaluator is a table"),
        (["none.yaml"], "none.yaml: no such file"),
    ]:
        code, out, err = nas(capsys, "proxy", "audit", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_the_command_trains_and_says_it_in_words_json_and_a_figure(in_tmp: Path, capsys) -> None:
    Path("tiny.yaml").write_text(TINY)
    Path("c.yaml").write_text(
        BASE.replace("digits", "tiny.yaml").replace("epochs: 2", "epochs: 1, batch: 300")
        + "audit: {architectures: 4, seeds: 2, reference: {epochs: 2}, protocols: [{batch: 600}]}\n"
    )
    code, out, err = nas(capsys, "proxy", "audit", "c.yaml")
    assert code == 0, err
    for words in ("4 networks; reference: epochs=2", "between seeds", "batch=600: ", "MACs: ", "tau 0.7"):
        assert words in out
    assert out.splitlines()[-1] == "wrote runs/c-audit/audit.png"
    assert Path("runs/c-audit/audit.png").read_bytes().startswith(b"\x89PNG")
    assert "protocol: 8 trainings" in err
    code, out, _ = nas(capsys, "proxy", "audit", "c.yaml", "--json", "--plot", "x.svg")
    document = json.loads(out)
    assert (code, document["run"], document["architectures"], document["target"]) == (0, "c-audit", 4, 0.7)
    assert [p["name"] for p in document["protocols"]] == ["protocol", "batch=600"]
    assert {
        "settings",
        "tau",
        "tau_low",
        "tau_high",
        "tau_seeds",
        "noise",
        "spread",
        "seconds",
        "bias",
    } <= set(document["protocols"][0])
    assert set(document["protocols"][1]["bias"]) == {"macs", "layers"}
    assert {"regret", "verdict"} <= set(document["protocols"][1])
    assert "cheapest" in document
    assert Path("x.svg").is_file()
    code, out, _ = nas(capsys, "proxy", "audit", "runs/c-audit/config.yaml")
    assert code == 0
    assert len(open_run("c-audit").trials()) == 20
    listed = nas(capsys, "ls")[1]
    assert "20/20" in listed
    assert "audit" in listed
    for command in ("pareto", "top"):
        code, _, err = nas(capsys, command, "c-audit")
        assert (code, "c-audit is an audit and ranks nothing" in err) == (2, True)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
def test_the_figure_has_a_panel_a_protocol_and_one_of_cost(tmp_path: Path, number: int) -> None:
    full = AuditPanel(
        name="protocol",
        proxy=[0.1, 0.2],
        reference=[0.3, 0.4],
        proxy_error=[0.01, 0.0],
        reference_error=[0.0, 0.0],
        macs=[1e6, 1e6],
        tau=0.5,
        low=0.1,
        high=0.8,
        seconds=3.0,
    )
    empty = AuditPanel(
        name="epochs=1",
        proxy=[],
        reference=[],
        proxy_error=[],
        reference_error=[],
        macs=[],
        tau=None,
        low=None,
        high=None,
        seconds=None,
    )
    figure = audit_figure([full, *[empty] * (number - 1)], 0.7, "two networks")
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == "protocol\nτ = 0.50 (0.10 to 0.80)"
    assert titles[number].startswith("agreement and cost")
    assert titles[1:number] == ["epochs=1\nτ is not defined"] * (number - 1)
    save_figure(figure, tmp_path / "x.png")


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(in_tmp: Path) -> None:
    Path("tiny.yaml").write_text(TINY)
    Path("c.yaml").write_text(
        BASE.replace("digits", "tiny.yaml").replace("epochs: 2", "epochs: 1, batch: 300")
        + "audit: {architectures: 8, seeds: 2, reference: {epochs: 2}}\n"
    )
    command = ("proxy", "audit", "c.yaml")

    def done() -> dict[int, float]:
        there = Path("runs/c-audit/journal.db").is_file()
        return {t.id: t.seconds for t in open_run("c-audit").trials() if t.arrival} if there else {}

    process = nas_command(*command)
    wait_for(lambda: len(done()) >= 3, process)
    process.kill()
    process.communicate()
    before = done()
    assert 3 <= len(before) < 24
    process = nas_command(*command)
    wait_for(lambda: len(done()) > len(before), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "of 24 trainings are done; the same command goes on" in err
    process = nas_command(*command)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    after = done()
    assert len(after) == 24
    assert before.items() <= after.items()  # a training that was done again would have other seconds


def test_no_training_of_an_audit_is_compared_for_early_stopping(trainers: Trainers, monkeypatch) -> None:
    scores, run = [], InlineExecutor.run

    def watched(self, evaluator, next_candidate, record, **options):
        def noted():
            candidate = next_candidate()
            if candidate is not None:
                scores.append(candidate.score)
            return candidate

        run(self, evaluator, noted, record, **options)

    monkeypatch.setattr(InlineExecutor, "run", watched)
    run_audit(audit_config(seeds=1), evaluator_of=trainers)
    assert scores == [None] * 12
