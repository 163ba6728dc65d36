"""What `nas status` says of what happened, and of candidates that were stopped early."""

from pathlib import Path

import pytest

from nas import open_run, run_search
from results import Journal, status_of
from search_space import InputError
from tests.searching import Scripted, config
from tests.test_cli import nas
from tests.test_search import assert_equal_states, replayed
from trainers import InlineExecutor, Result


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor that stops every candidate but each fifth after one of two epochs; one worker dies."""

    def run(self, evaluator, next_candidate, record, *, on_start, abort, notice, past=()) -> None:
        on_start(1)
        died = False
        while (candidate := next_candidate()) is not None:
            record(Result(id=candidate.id, status="running"))
            if candidate.id == 3 and not died:
                died = True
                notice("node left", "10.0.0.3 (c): 1 processor")
                record(Result(id=candidate.id, status="lost", error="its worker died"))
                continue
            epochs = list(evaluator.epochs(candidate.architecture, candidate.seed))
            if candidate.id % 5 == 0:
                record(Result(id=candidate.id, status="done", curve=tuple(epochs), seconds=1.0))
            else:
                why = "stopped early at epoch 1"
                record(Result(id=candidate.id, status="stopped", curve=(epochs[0],), error=why, seconds=0.5))

    monkeypatch.setattr(InlineExecutor, "run", run)


def test_what_is_stopped_has_no_accuracy_and_is_no_failure(in_tmp: Path, stopping, capsys) -> None:
    settings = config(search={"candidates": 10, "max_failures": 3})
    end = run_search(settings, evaluator=Scripted(in_tmp / "diary"))
    assert end.outcome == "finished"
    trials = end.run.trials()
    assert [t.status for t in trials] == ["done" if t.id % 5 == 0 else "stopped" for t in trials]
    for trial in trials:
        assert (trial.accuracy is None) == (trial.reward is None) == (trial.status == "stopped")
        assert len(trial.curve) == (2 if trial.status == "done" else 1)
    assert end.run.best().id in (5, 10)
    controller, saved = replayed(end.run, settings)  # told of no outcome where it was stopped
    assert_equal_states(controller.state_dict(), saved)
    status = status_of(end.run)
    assert status.counts == {"done": 2, "stopped": 8}
    assert status.stopped_epochs == (8, 20)
    code, out, _ = nas(capsys, "status", "t")
    assert code == 0
    assert "stopping early saved 8 of 20 epochs (40 %)" in out
    assert "node left once: 10.0.0.3 (c): 1 processor" in out
    assert "worker lost once: candidate 3: its worker died; it waits again" in out
    code, out, _ = nas(capsys, "pareto", "t")
    assert code == 0
    # on resume nothing that was stopped is trained again
    run_search(
        config(search={"candidates": 11, "max_failures": 3}),
        evaluator=Scripted(in_tmp / "diary 2"),
        resume=True,
    )
    assert len(Scripted(in_tmp / "diary 2").lines("begin")) == 1


def test_sessions_failures_and_rates_are_told_whatever_the_clock_says(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted(in_tmp / "diary", acts={2: "raise", 3: "raise", 4: "nan"})
    run_search(config(search={"candidates": 5}), evaluator=scripted)
    run = open_run("t")
    journal = Journal.open(run.journal_path)
    journal.begin_session({})  # and is killed
    journal.close()
    import time

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86400.0)  # a day back
    run_search(config(search={"candidates": 7}), evaluator=scripted, resume=True)
    status = status_of(run)
    assert status.sessions == {"finished": 2, "killed": 1}
    assert list(status.failures.values()) == [2, 1]
    assert next(iter(status.failures)).startswith("RuntimeError: CUDA out of memory (as if)")
    assert [event.kind for event in status.events] == ["session killed"]
    assert status.candidates_per_hour is not None
    assert 0 < status.candidates_per_hour < 3600 * 1000
    first, _, last = (session.elapsed for session in run_sessions(run))
    assert first is not None
    assert last is not None
    assert first > 0
    assert last > 0


def run_sessions(run):
    with run.journal() as journal:
        return journal.sessions()


def test_a_start_that_is_refused_leaves_the_name_free_and_a_later_one_its_reason(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    scripted = Scripted(in_tmp / "diary")
    with monkeypatch.context() as patch:
        patch.setattr(InlineExecutor, "run", refuse)
        with pytest.raises(InputError, match="a worker wants 500 GiB"):
            run_search(config(), evaluator=scripted)
    assert not Path("runs/t").exists()
    run_search(config(), evaluator=scripted)
    before = [trial.accuracy for trial in open_run("t").trials()]
    monkeypatch.setattr(InlineExecutor, "run", refuse)
    with pytest.raises(InputError, match="a worker wants 500 GiB"):
        run_search(config(search={"candidates": 9}), evaluator=scripted, resume=True)
    assert [trial.accuracy for trial in open_run("t").trials()] == before
    code, out, _ = nas(capsys, "status", "t")
    assert code == 0
    assert "error once: executor: a worker wants 500 GiB" in out


def refuse(self, *arguments: object, **options: object) -> None:
    raise InputError("executor: a worker wants 500 GiB of memory")


def test_a_run_that_has_lost_its_journal_is_listed(in_tmp: Path, capsys) -> None:
    run = run_search(config(), evaluator=Scripted(in_tmp / "diary")).run
    run.journal_path.unlink()
    code, out, _ = nas(capsys, "ls")
    assert code == 0
    assert "unreadable" in out
    assert "nas doctor runs/t --repair" in out


def test_a_log_that_cannot_be_written_ends_no_search(in_tmp: Path, monkeypatch, caplog) -> None:
    from results import tensorboard

    real, calls = tensorboard._records, []

    def full(of):
        calls.append(of)
        if len(calls) % 3:
            raise OSError(28, "No space left on device")
        return real(of)

    monkeypatch.setattr(tensorboard, "_records", full)
    end = run_search(config(), evaluator=Scripted(in_tmp / "diary"))
    assert end.outcome == "finished"
    assert caplog.text.count("TensorBoard's log has gaps") == 1


def test_a_gpu_that_is_counted_and_cannot_be_used_ends_no_search(in_tmp: Path, monkeypatch) -> None:
    def broken(number: int) -> str:
        raise RuntimeError("CUDA driver initialization failed")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", broken)
    run = run_search(config(), evaluator=Scripted(in_tmp / "diary")).run
    with run.journal() as journal:
        environment = journal.sessions()[0].environment
    assert environment["gpus"] == 1
    assert "gpu" not in environment


def test_a_configuration_without_sections_hides_no_status(in_tmp: Path, capsys) -> None:
    run = run_search(config(), evaluator=Scripted(in_tmp / "diary")).run
    run.config_path.write_text("search: 5\n")
    assert status_of(run).budget is None
    assert nas(capsys, "ls")[0] == 0
    assert "of ?" in nas(capsys, "status", "t")[1]
