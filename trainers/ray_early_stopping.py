"""Early stopping on the search's side: Tune's ASHA, fed with what the search compares."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from trainers.early_stopping import EarlyStopping
from trainers.ray_searcher import CandidateSearcher, Live

_EPOCH, _SCORE = "training_iteration", "score"
_NEVER = 1_000_000_000  # epochs: beyond the rungs nothing is stopped


class StopEarly(Live, AsyncHyperBandScheduler):  # type: ignore[misc]
    """ASHA on `Candidate.score`, which is called here and not in workers.

    Args:
        rule: its rungs.
        searcher: knows the candidates of trials, and is told which were stopped.
        past: scores an epoch of candidates of earlier sessions, which fill the rungs before the first trial.
    """

    def __init__(
        self, rule: EarlyStopping, searcher: CandidateSearcher, past: Sequence[Sequence[float]] = ()
    ) -> None:
        super().__init__(
            time_attr=_EPOCH,
            metric=_SCORE,
            mode="max",
            max_t=_NEVER,
            grace_period=rule.grace,
            reduction_factor=rule.reduction,
        )
        self._searcher = searcher
        for number, scores in enumerate(past):
            before = SimpleNamespace(trial_id=f"past-{number}")
            super().on_trial_add(None, before)
            for epoch, score in enumerate(scores, start=1):
                super().on_trial_result(None, before, {_EPOCH: epoch, _SCORE: score})
            super().on_trial_remove(None, before)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch ended: whether the trial goes on."""
        score = self._searcher.score(trial.trial_id, result)
        if score is None:
            return TrialScheduler.CONTINUE
        decision = super().on_trial_result(tune_controller, trial, {**result, _SCORE: score})
        if decision == TrialScheduler.STOP:
            self._searcher.on_stop(trial.trial_id)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The last epoch counts on its rung too."""
        score = self._searcher.score(trial.trial_id, result)
        if score is not None:
            super().on_trial_result(tune_controller, trial, {**result, _SCORE: score})
        self.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A worker died: its candidate may come again, and is to count once."""
        bracket = self._trial_info.get(trial.trial_id)
        for _, recorded in bracket._rungs if bracket is not None else ():
            recorded.pop(trial.trial_id, None)
        self.on_trial_remove(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """The trial is over; ASHA keeps what it has on the rungs."""
        self._trial_info.pop(trial.trial_id, None)
