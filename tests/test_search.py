"""The loop: what it commits, repeats, drops and refuses."""

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch

from controller import CONTROLLERS, create_controller
from nas import InputError, load_architecture, load_config, open_run, run_search
from nas.interrupts import Interrupts
from nas.replay import replay
from nas.search import Search
from results import EvaluatorFacts, Journal, create_run, ranked
from search_space import load_space
from tests.searching import PPO, Scripted, config
from trainers import Result


@pytest.fixture
def scripted(in_tmp: Path) -> Scripted:
    return Scripted(in_tmp / "diary")


FEW = {
    "dyna": {"first": 6},
    "ppo": {"batch": 4, "hidden": 16},
    "evolution": {"population": 6, "tournament": 3},
}


def replayed(run, settings):
    """A controller that is asked and told just as the journal says, and the journal's state."""
    with run.journal() as journal:
        again = replay(settings, journal.evaluator(), journal.trials(), journal.proposals())
        version, state = journal.controller_state()
    assert (again.wrong, again.version) == (None, version)
    return again.controller, torch.load(io.BytesIO(state), weights_only=True)


def assert_equal_states(a, b) -> None:
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal_states(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal_states(x, y)
    else:
        assert a == b


def test_a_search_trains_its_budget_and_rewards_by_the_objective(scripted: Scripted) -> None:
    settings = config()
    end = run_search(settings, evaluator=scripted)
    trials = end.run.trials()
    assert end.outcome == "finished"
    assert [t.status for t in trials] == ["done"] * 6
    assert len(scripted.lines("begin")) == len(set(scripted.lines("begin"))) == 6
    for trial in trials:
        assert trial.reward == settings.objective.reward(trial.accuracy, trial.macs)
        assert [m["loss"] for m in trial.curve] == [1.0, 0.5]
        assert trial.network().key == trial.key


@pytest.mark.parametrize("name", CONTROLLERS)
def test_the_journal_replays_to_the_controllers_state(scripted: Scripted, name: str) -> None:
    settings = config(search={"candidates": 24}, controller={"name": name, "options": FEW.get(name, {})})
    run = run_search(settings, evaluator=Scripted(scripted.diary, acts={3: "raise"})).run
    controller, saved = replayed(run, settings)
    assert_equal_states(controller.state_dict(), saved)


@pytest.mark.parametrize("controller", ["ppo", "dyna"])
def test_the_same_seed_gives_the_same_journal(in_tmp: Path, controller: str) -> None:
    def facts(name: str):
        settings = config(name, controller={"name": controller, "options": {}}, search={"candidates": 20})
        run = run_search(settings, evaluator=Scripted(in_tmp / f"{name}.diary")).run
        return [(t.key, t.accuracy, t.reward, t.arrival, t.choices) for t in run.trials()]

    assert facts("one") == facts("two")


def test_failures_are_recorded_with_their_text_and_not_tried_again(scripted: Scripted) -> None:
    acts = {1: "raise", 2: "nan", 4: "nothing"}
    run = run_search(config(), evaluator=Scripted(scripted.diary, acts=acts)).run
    first, second, third, fourth, *_ = run.trials()
    assert first.status == "failed"
    assert re.fullmatch(r"RuntimeError: CUDA out of memory \(as if\) \(scripted.py:\d+\)", first.error or "")
    assert (second.status, second.accuracy) == ("failed", None)
    assert "accuracy must be between 0 and 1, got nan" in (second.error or "")
    assert third.status == "done"
    assert (fourth.status, fourth.error) == ("failed", "the evaluator gave no measurement")
    assert all(t.reward is None and t.attempts == 1 for t in (first, second, fourth))
    assert len(scripted.lines("begin")) == 6
    assert len(ranked(run.trials())) == 3


SMALL_SPACE = """name: small
image_size: 32
stem: {channels: 8}
head: {channels: 8}
stages: [{channels: 8, stride: 2, repeats: 1}]
choices: {op: [mbconv1], kernel: [3, 5], se_ratio: [0], filters: [1.0], layers: [0, 1]}
"""


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_space_that_is_used_up_ends_the_search_with_every_network_once(
    scripted: Scripted, controller: str
) -> None:
    Path("small.yaml").write_text(SMALL_SPACE)
    settings = config(
        space=str(Path("small.yaml").absolute()),
        controller={"name": controller, "options": {}},
        search={"candidates": 50, "patience": 60},
    )
    end = run_search(settings, evaluator=scripted)
    assert end.outcome == "exhausted"
    assert len(scripted.lines("begin")) == len(set(scripted.lines("begin"))) == len(end.run.trials()) == 4
    with end.run.journal() as journal:
        rows = journal.proposals()
    assert len(rows) >= 64
    assert all(row.told is not None for row in rows)  # known networks are answered from the journal
    assert_equal_states(*(lambda c, s: (c.state_dict(), s))(*replayed(end.run, settings)))


def test_resume_spends_only_the_rest_of_the_budget(scripted: Scripted) -> None:
    run_search(config(controller=PPO, search={"candidates": 4}), evaluator=scripted)
    before = [(t.id, t.key, t.accuracy) for t in open_run("t").trials()]
    settings = config(controller=PPO, search={"candidates": 9})
    end = run_search(settings, evaluator=scripted, resume=True)
    after = [(t.id, t.key, t.accuracy) for t in end.run.trials()]
    assert after[:4] == before
    assert len(after) == 9
    assert len(scripted.lines("begin")) == len(set(scripted.lines("begin"))) == 9
    controller, saved = replayed(end.run, settings)
    assert_equal_states(controller.state_dict(), saved)


def test_resuming_a_finished_search_trains_nothing(scripted: Scripted) -> None:
    run_search(config(), evaluator=scripted)
    assert run_search(config(), evaluator=scripted, resume=True).outcome == "finished"
    assert len(scripted.lines("begin")) == 6


@pytest.mark.parametrize("name", CONTROLLERS)
def test_an_interrupted_search_and_an_undisturbed_one_are_the_same(in_tmp: Path, name: str) -> None:
    section = {"name": name, "options": FEW.get(name, {})}

    def settings(run: str, candidates: int):
        return config(run, controller=section, search={"candidates": candidates})

    whole = run_search(settings("whole", 18), evaluator=Scripted(in_tmp / "a")).run
    run_search(settings("parts", 7), evaluator=Scripted(in_tmp / "b"))
    run_search(settings("parts", 12), evaluator=Scripted(in_tmp / "b"), resume=True)
    parts = run_search(settings("parts", 18), evaluator=Scripted(in_tmp / "b"), resume=True).run
    assert [t.key for t in whole.trials()] == [t.key for t in parts.trials()]
    assert whole.recommended().key == parts.recommended().key


def test_results_that_were_not_told_before_a_kill_are_told_on_resume(scripted: Scripted) -> None:
    run_search(config(controller=PPO, search={"candidates": 3}), evaluator=scripted)
    run = open_run("t")
    # as if the process had died between committing a result and teaching the controller
    journal = Journal.open(run.journal_path)
    journal.propose(7, journal.controller_state()[1], [((0,) * 20, -1.0, new_trial(run))])
    journal.start(4)
    journal.finish(4, "done", accuracy=0.7, reward=0.7)
    journal.close()
    # with no budget left nothing but the catching up can tell it
    settings = config(controller=PPO, search={"candidates": 4})
    end = run_search(settings, evaluator=scripted, resume=True)
    assert len(scripted.lines("begin")) == 3
    with end.run.journal() as again:
        assert all(row.told is not None for row in again.proposals())


def new_trial(run):
    from results import NewTrial
    from search_space import cost

    network = load_space("digits").decode([0] * 20)
    macs, params = cost(network, 10, 1)
    return NewTrial(
        key=network.key,
        protocol="scripted dropout 0 drop_path 0",
        seed=0,
        choices={},
        architecture=network.to_dict(),
        macs=macs,
        params=params,
    )


def test_a_search_whose_candidates_all_fail_gives_up(scripted: Scripted) -> None:
    always = Scripted(scripted.diary, acts=dict.fromkeys(range(1, 100), "raise"))
    end = run_search(config(search={"candidates": 50, "max_failures": 4}), evaluator=always)
    assert end.outcome == "failing"
    assert [trial.status for trial in end.run.trials()] == ["failed"] * 4
    now_and_then = Scripted(scripted.diary.with_name("d"), acts={1: "raise", 2: "raise", 4: "raise"})
    end = run_search(config("u", search={"candidates": 8, "max_failures": 3}), evaluator=now_and_then)
    assert (end.outcome, len(end.run.trials())) == ("finished", 8)


def test_a_copied_run_is_a_run_of_its_own(scripted: Scripted) -> None:
    run_search(config(search={"candidates": 2}), evaluator=scripted)
    shutil.copytree("runs/t", "runs/copy")
    again = load_config("runs/copy/config.yaml", ["search.candidates=3"])
    assert run_search(again, evaluator=scripted, resume=True).run.name == "copy"
    assert (len(open_run("t").trials()), len(open_run("copy").trials())) == (2, 3)


@contextmanager
def bare_search(scripted: Scripted, budget: int, interrupts: Interrupts) -> Iterator[Search]:
    """A search without an executor: the test hands out candidates and reports what came of them."""
    settings = config(search={"max_attempts": 3})
    run, space = create_run("t", settings.to_yaml()), load_space("digits")
    with closing(Journal.open(run.journal_path)) as journal:
        journal.bind_evaluator(EvaluatorFacts("scripted", 10, 1))
        search = Search(
            run=run,
            journal=journal,
            space=space,
            controller=create_controller("random", space, 0),
            objective=settings.objective,
            evaluator=scripted,
            seed=0,
            budget=budget,
            max_attempts=3,
            interrupts=interrupts,
        )
        yield search
        search.close()


def test_a_candidate_whose_worker_dies_is_tried_a_bounded_number_of_times(scripted: Scripted) -> None:
    with bare_search(scripted, 1, Interrupts()) as search:
        for _ in range(3):
            candidate = search.next_candidate()
            assert candidate is not None
            search.record(Result(id=candidate.id, status="lost", error="its worker did not start"))
        for attempt in (1, 2, 3):  # only begun evaluations count
            assert search.next_candidate() is not None, attempt
            search.record(Result(id=1, status="running"))
            search.record(Result(id=1, status="lost", error="its worker died"))
        assert search.next_candidate() is None
        trial = search.journal.trial(1)
        assert trial is not None
        assert (trial.status, trial.error, trial.attempts) == ("failed", "its worker died, 3 times", 3)


def test_who_asks_to_finish_what_runs_does_not_wait_for_what_has_not_begun(scripted: Scripted) -> None:
    """On a cluster it may wait for a node for long."""
    interrupts = Interrupts()
    with bare_search(scripted, 3, interrupts) as search:
        one, two = search.next_candidate(), search.next_candidate()
        assert one is not None
        assert two is not None
        search.record(Result(id=one.id, status="running"))
        assert not search.stopping
        interrupts.level = 1
        assert not search.stopping  # one runs
        search.record(Result(id=one.id, status="failed", error="no"))
        assert search.stopping  # the other waits
        interrupts.level = 2
        search.record(Result(id=two.id, status="running"))
        assert search.stopping


def test_another_space_or_number_of_threads_is_refused_on_resume_and_nothing_changes(
    scripted: Scripted,
) -> None:
    run = run_search(config(search={"candidates": 2}), evaluator=scripted).run
    before = run.config_path.read_text()
    for change in (
        {"space": {"extends": "digits", "dropout": 0.5}},
        {"space": {"extends": "digits", "choices": {"kernel": [7, 9]}}},
        {"executor": {"cpus": 2}},
    ):
        with pytest.raises(InputError, match=r"was made with another (space|executor)\."):
            run_search(config(**change), evaluator=scripted, resume=True)
    other = Scripted(scripted.diary, fingerprint="other")
    with pytest.raises(InputError, match="would not compare"):
        run_search(config(search={"candidates": 99}), evaluator=other, resume=True)
    assert run.config_path.read_text() == before


def test_a_search_within_limits_trains_nothing_outside(scripted: Scripted) -> None:
    run = run_search(config(limits={"macs": 6e5, "params": 3e5}), evaluator=scripted).run
    assert len(run.trials()) == 6
    assert all(trial.macs <= 6e5 and trial.params <= 3e5 for trial in run.trials())
    with pytest.raises(InputError, match=r"limits.macs must be at least \d+,\d+, the least in this space"):
        run_search(config("u", limits={"macs": 1000.0}), evaluator=scripted)
    assert not Path("runs/u").exists()


def test_weights_are_kept_of_the_best_few_only(scripted: Scripted) -> None:
    settings = config(search={"candidates": 12, "keep_weights": 2})
    run = run_search(settings, evaluator=scripted).run
    best = ranked(run.trials())[:2]
    kept = {int(path.stem): path.read_text() for path in (run.path / "weights").iterdir()}
    assert kept == {trial.id: trial.key for trial in best}
    # what a killed session left behind goes when the search goes on
    run.weights_path(999).write_text("left behind")
    run_search(settings, evaluator=scripted, resume=True)
    assert {int(path.stem) for path in (run.path / "weights").iterdir()} == set(kept)


def test_no_weights_are_written_when_none_are_to_be_kept(scripted: Scripted) -> None:
    run = run_search(config(search={"candidates": 2, "keep_weights": 0}), evaluator=scripted).run
    assert not (run.path / "weights").exists()


def test_a_used_folder_is_refused_and_unharmed(scripted: Scripted) -> None:
    run_search(config(), evaluator=scripted)
    before = (Path("runs/t/journal.db").read_bytes(), Path("runs/t/config.yaml").read_bytes())
    with pytest.raises(InputError, match="runs/t: exists already; --resume continues it"):
        run_search(config(), evaluator=scripted)
    assert before == (Path("runs/t/journal.db").read_bytes(), Path("runs/t/config.yaml").read_bytes())
    assert sorted(path.name for path in Path("runs").iterdir()) == ["t"]


def test_resume_needs_a_run_of_the_same_configuration(scripted: Scripted) -> None:
    with pytest.raises(InputError, match="there is no run to resume"):
        run_search(config(), evaluator=scripted, resume=True)
    run_search(config(search={"candidates": 2}), evaluator=scripted)
    with pytest.raises(InputError, match="made with another seed, objective.target"):
        run_search(config(seed=1, objective={"target": 2e6}), evaluator=scripted, resume=True)
    with pytest.raises(InputError, match="would not compare"):
        run_search(config(), evaluator=Scripted(scripted.diary, fingerprint="other"), resume=True)


def test_a_second_search_in_one_folder_is_refused(scripted: Scripted) -> None:
    run_search(config(search={"candidates": 2}), evaluator=scripted)
    with open_run("t").lock(), pytest.raises(InputError, match="another process is at work in this folder"):
        run_search(config(), evaluator=scripted, resume=True)


def test_bad_run_names_cannot_leave_the_runs_folder(scripted: Scripted) -> None:
    for name in ("../x", "a/b", ".hidden", "", "x" * 101, "a\nb"):
        with pytest.raises(InputError, match="is no name for a run"):
            run_search(config(name), evaluator=scripted)
    assert not Path("runs").exists()


def test_an_unwritable_place_is_a_clear_error(scripted: Scripted) -> None:
    Path("runs").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="runs/t: cannot be made"):
        run_search(config(), evaluator=scripted)


def test_architectures_are_found_by_run_and_number(scripted: Scripted) -> None:
    run = run_search(config(), evaluator=scripted).run
    best = run.best()
    assert load_architecture("t@best").key == best.key
    assert load_architecture(f"runs/t@{best.id}").name == f"t-{best.id}"
    for text, message in [
        ("t@worst", "after @ comes best or the number"),
        ("t@99", "t: has no candidate 99"),
        ("u@best", "no run 'u' under runs/; did you mean t|known: t"),
    ]:
        with pytest.raises(InputError, match=message):
            load_architecture(text)


def test_tensorboard_has_the_search_the_controller_and_every_curve(scripted: Scripted) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_search(config(controller=PPO), evaluator=scripted).run
    folder = run.path / "tensorboard"
    events = EventAccumulator(str(folder)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"search/reward", "search/accuracy", "search/macs", "search/best_reward"} <= tags
    assert {"controller/entropy", "controller/approx_kl", "controller/clip_fraction"} <= tags
    assert [e.value for e in events.Scalars("search/accuracy")] == pytest.approx(
        [t.accuracy for t in run.trials()]
    )
    curves = EventAccumulator(str(folder / "candidates" / "00003")).Reload()
    assert [e.value for e in curves.Scalars("candidates/loss")] == [1.0, 0.5]
