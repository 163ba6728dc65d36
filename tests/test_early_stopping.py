"""Early stopping: who is stopped when, by what is compared, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nas import InputError, load_config
from results import Trial
from search_space import FieldError
from tests.test_executors import Book
from trainers import Candidate, EarlyStopping, Measurement, Result, create_executor

EPOCHS = 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{grace: 0}", "early_stopping.grace must be between 1 and 100000, got 0"),
        ("{reduction: 1.5}", "early_stopping.reduction must be between 2 and 1000, got 1.5"),
        ("{grac: 1}", "early_stopping.grac is an unknown key; did you mean grace?"),
        ("true", "early_stopping must hold keys and values, got True"),
    ],
)
def test_a_rule_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"space: digits\nobjective: {{target: 1e6}}\nexecutor:\n  early_stopping: {text}\n")
    with pytest.raises(InputError, match=f"config.yaml:4: executor.{message}"):
        load_config(path)


def test_a_rule_reads_back_equal_and_none_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("space: digits\nobjective: {target: 1e6}\nexecutor: {early_stopping: {grace: 2}}\n")
    config = load_config(path)
    assert config.executor.early_stopping == EarlyStopping(grace=2, reduction=4.0)
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml())
    assert load_config(again) == config
    assert load_config(path, ["executor.early_stopping=null"]).executor.early_stopping is None


def test_one_process_stops_nothing_early(in_tmp: Path) -> None:
    with pytest.raises(FieldError, match="executor.early_stopping is for the executor ray"):
        create_executor("inline", scratch=in_tmp, early_stopping=EarlyStopping())


@dataclass(frozen=True)
class Curves:
    """Accuracies from a start, a hundredth more an epoch, and weights at the end."""

    starts: dict[int, float]  # by seed
    fingerprint: str = "curves"
    num_classes: int = 10
    in_channels: int = 1

    def epochs(self, architecture, seed, weights_path=None) -> Iterator[Measurement]:
        start = self.starts[seed]
        for epoch in range(1, EPOCHS + 1):
            if epoch == EPOCHS:
                weights_path.write_text(architecture.key)
            yield Measurement(accuracy=start + epoch / 100, metrics={"epoch": epoch}, final=epoch == EPOCHS)


class Unpicklable:
    """A score that would not survive the way to a worker."""

    def __init__(self, factor: float) -> None:
        self.factor, self.calls = factor, 0

    def __call__(self, measurement: Measurement) -> float:
        self.calls += 1
        return measurement.accuracy * self.factor

    def __reduce__(self):
        raise TypeError("a score does not travel")


@pytest.mark.slow
def test_the_worse_are_stopped_on_the_rungs_by_their_scores(in_tmp: Path) -> None:
    """One worker, so that the order is known; rungs at 1, 3 and 9 epochs, of which one in three goes on."""
    book = Book(7)
    starts = dict(zip(range(1, 8), (0.5, 0.6, 0.4, 0.7, 0.3, 0.2, 0.1), strict=True))
    factors = dict.fromkeys(starts, 1.0) | {4: 0.5}  # the most accurate is worth the least
    scores = {n: Unpicklable(factor) for n, factor in factors.items()}
    book.queue = [
        replace(c, seed=c.id, weights_path=in_tmp / str(c.id), score=None if c.id == 7 else scores[c.id])
        for c in book.queue
    ]
    executor = create_executor(
        "ray",
        scratch=in_tmp / "scratch",
        workers=1,
        gpus=0,
        early_stopping=EarlyStopping(grace=1, reduction=3),
    )
    past = [[0.0] * EPOCHS, [0.55] + [0.0] * 8]  # what 0.51 is below
    executor.run(Curves(starts), book.next_candidate, book.record, past=past)
    ended = {n: (result.status, len(result.curve)) for n, result in book.results.items()}
    assert ended == {
        1: ("done", 9),  # 0.51: among 0.0 and 0.55 above the cut of 0.37
        2: ("done", 9),
        3: ("stopped", 1),
        4: ("stopped", 1),
        5: ("stopped", 1),
        6: ("stopped", 1),
        7: ("done", 9),  # is not compared
    }
    stopped: Result = book.results[4]
    assert stopped.error == "stopped early at epoch 1"
    assert stopped.curve[-1].accuracy == pytest.approx(0.71)
    assert stopped.curve[-1].metrics == {"epoch": 1.0}
    assert not stopped.curve[-1].final
    assert stopped.seconds > 0
    assert [(in_tmp / str(n)).exists() for n in starts] == [True, True, False, False, False, False, True]
    assert not book.lost
    assert all(scores[n].calls for n in range(1, 7))
    assert scores[7].calls == 0


def test_of_earlier_sessions_what_they_measured_counts_in_order_of_arrival() -> None:
    from nas.early_stopping import past_scores

    def trial(arrival: int | None, reused: str | None, *accuracies: float) -> Trial:
        return Trial(
            id=1,
            key="k",
            protocol="p",
            seed=0,
            choices={},
            architecture={},
            macs=1,
            params=1,
            arrival=arrival,
            reused=reused,
            curve=[{"accuracy": accuracy} for accuracy in accuracies],
        )

    objective: Any = SimpleNamespace(cost="macs", reward=lambda accuracy, cost: accuracy)
    trials = [trial(3, None, 0.3), trial(None, None, 0.9), trial(1, "other", 0.8), trial(2, None, 0.1, 0.2)]
    assert past_scores(trials, objective) == [[0.1, 0.2], [0.3]]


@pytest.mark.slow
def test_what_was_measured_before_moves_the_rungs() -> None:
    """Tune's scheduler, fed without Ray."""
    from trainers.ray_early_stopping import StopEarly

    candidate = Candidate(id=1, architecture=None, seed=0)  # type: ignore[arg-type]

    class Searcher:
        def __init__(self) -> None:
            self.stopped: list[str] = []

        def score(self, trial_id: str, result: dict[str, float]) -> float:
            assert candidate.score is not None
            return candidate.score(Measurement(accuracy=result["accuracy"]))

        def on_stop(self, trial_id: str) -> None:
            self.stopped.append(trial_id)

    def decision(past: list[list[float]], lost: float | None = None) -> str:
        scheduler = StopEarly(EarlyStopping(grace=2, reduction=2), Searcher(), past)  # type: ignore[arg-type]
        if lost is not None:
            dead = SimpleNamespace(trial_id="dead")
            scheduler.on_trial_add(None, dead)
            scheduler.on_trial_result(None, dead, {"training_iteration": 2, "accuracy": lost})
            scheduler.on_trial_error(None, dead)
        trial = SimpleNamespace(trial_id="t")
        scheduler.on_trial_add(None, trial)
        first = scheduler.on_trial_result(None, trial, {"training_iteration": 1, "accuracy": 0.5})
        assert first == "CONTINUE"  # grace
        return scheduler.on_trial_result(None, trial, {"training_iteration": 2, "accuracy": 0.5})

    assert decision([]) == "CONTINUE"
    assert decision([[0.9, 0.4]]) == "CONTINUE"
    assert decision([[0.1, 0.6]]) == "STOP"
    assert decision([], lost=0.9) == "CONTINUE"  # it comes again, and does not count twice
    assert decision([[0.9]]) == "CONTINUE"  # stopped before the rung: is not on it
