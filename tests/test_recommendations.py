"""The network that a search recommends: journalled when it changes, kept with its weights, found by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from nas import load_architecture, run_search
from results import Journal, ranked
from tests.searching import Contrary, Scripted, config
from tests.test_search import new_trial


@pytest.fixture
def scripted(in_tmp: Path) -> Scripted:
    return Scripted(in_tmp / "diary")


def bets(run) -> list[tuple[int, int]]:
    """Version and trial of every recommendation."""
    with run.journal() as journal:
        return [(row.version, row.trial) for row in journal.recommendations()]


def running_worst(run) -> list[int]:
    """The trials that were the worst so far when they arrived."""
    worst, low = [], 9.0
    for trial in sorted(run.trials(), key=lambda t: t.arrival):
        if trial.status == "done" and trial.reward < low:
            worst, low = [*worst, trial.id], trial.reward
    return worst


def test_a_search_bets_on_what_its_controller_recommends(scripted: Scripted, contrary) -> None:
    acts = {1: "raise"}  # before a success there is nothing to recommend
    settings = config(seed=5, controller=contrary, search={"candidates": 12, "keep_weights": 1})
    run = run_search(settings, evaluator=Scripted(scripted.diary, acts=acts)).run
    order = ranked(run.trials())
    assert (run.best(), run.recommended()) == (order[0], order[-1])
    assert load_architecture("t@best").key == order[-1].key
    assert load_architecture("t@observed").key == order[0].key
    assert len(running_worst(run)) > 1
    with run.journal() as journal:
        told = {row.trial: row.told for row in journal.proposals()}
    assert bets(run) == [(told[trial], trial) for trial in running_worst(run)]  # noted with the tell
    # weights of the recommended are kept beside those of the best
    assert {int(path.stem) for path in (run.path / "weights").iterdir()} == {order[0].id, order[-1].id}
    run_search(settings, evaluator=scripted, resume=True)
    assert {int(path.stem) for path in (run.path / "weights").iterdir()} == {order[0].id, order[-1].id}


def test_without_a_model_of_the_noise_the_best_observed_is_recommended(scripted: Scripted) -> None:
    run = run_search(config(), evaluator=scripted).run
    assert run.recommended() == run.best()
    assert bets(run)[-1][1] == run.best().id


def test_a_run_without_a_recommendation_falls_back_to_the_best_observed(scripted: Scripted, contrary) -> None:
    run = run_search(config(controller=contrary), evaluator=scripted).run
    journal = Journal.open(run.journal_path)
    for index in ("proposals_by_trial", "trials_by_baseline", "proposals_by_indices"):
        journal._db.execute(f"DROP INDEX {index}")
    for column in ("baseline", "adapted", "session", "reused"):
        journal._db.execute(f"ALTER TABLE trials DROP COLUMN {column}")
    journal._db.execute("ALTER TABLE sessions DROP COLUMN elapsed")
    for table in ("recommendations", "events", "changes"):
        journal._db.execute(f"DROP TABLE {table}")
    journal._db.execute("PRAGMA user_version = 1")
    journal.close()
    (run.path / "history.jsonl").unlink()
    assert run.recommended() == run.best()
    assert load_architecture("t@best").key == run.best().key
    # going on migrates the journal and recommends again
    run_search(config(controller=contrary, search={"candidates": 7}), evaluator=scripted, resume=True)
    assert run.recommended() == ranked(run.trials())[-1]


def test_an_interrupted_search_recommends_as_an_undisturbed_one(in_tmp: Path, contrary) -> None:
    def settings(name: str, candidates: int):
        return config(name, seed=5, controller=contrary, search={"candidates": candidates})

    whole = run_search(settings("whole", 9), evaluator=Scripted(in_tmp / "a")).run
    parts = run_search(settings("parts", 2), evaluator=Scripted(in_tmp / "b")).run
    before = bets(parts)
    run_search(settings("parts", 9), evaluator=Scripted(in_tmp / "b"), resume=True)
    assert bets(parts)[: len(before)] == before != bets(parts)
    assert bets(parts) == bets(whole)


def test_results_told_together_bring_one_recommendation(scripted: Scripted, contrary) -> None:
    settings = config(controller=contrary, search={"candidates": 2})
    run = run_search(settings, evaluator=scripted).run
    before = bets(run)
    # as if the process had died with two results that were not told, each worse than all before
    journal = Journal.open(run.journal_path)
    version, state = journal.controller_state()
    rows = [
        ((0,) * 20, None, new_trial(run)),
        ((1,) + (0,) * 19, None, replace(new_trial(run), key="another")),
    ]
    journal.propose(version + 1, state, rows)
    journal.finish(3, "done", accuracy=0.1, reward=0.02)
    journal.finish(4, "done", accuracy=0.1, reward=0.01)
    journal.close()
    run_search(config(controller=contrary, search={"candidates": 4}), evaluator=scripted, resume=True)
    assert bets(run) == [*before, (version + 3, 4)]


def test_a_recommendation_that_breaks_is_not_taken_for_a_want_of_results(
    scripted: Scripted, contrary, monkeypatch
) -> None:
    def broken(self):
        raise RuntimeError("singular matrix")

    monkeypatch.setattr(Contrary, "recommend", broken)
    with pytest.raises(RuntimeError, match="singular matrix"):
        run_search(config(controller=contrary), evaluator=scripted)
