"""The search: the loop of MnasNet's figure 1, with a journal as its memory.

The controller proposes architectures, workers train them, the objective turns accuracy and cost into a
reward, and the reward teaches the controller. Everything that happens is committed to the journal before
anything else depends on it, so that a search can be killed at any instant and go on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from controller import Controller, Objective, Proposal
from nas.controller_state import loaded, outcome_of, saved
from nas.early_stopping import score_of
from nas.interrupts import Interrupts
from nas.reuse import Identity, Measured, identity
from results import Journal, NewTrial, ProposalRow, Run, TensorBoardLog, Trial, ranked, write_whole
from search_space import Adapted, Architecture, FieldError, InputError, SearchSpace, cost
from search_space.latency_model import LatencyModel
from trainers import Candidate, Evaluator, Result
from trainers.proxy import ProxyEvaluator
from trainers.sized import SizedEvaluator
from trainers.timed import TimedEvaluator

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Somebody who watches a search."""

    def on_start(self, counts: dict[str, int]) -> None:
        """The session begins; the counts (of candidates) are what earlier ones left."""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """A candidate or a baseline has come to its end; best and counts are of candidates."""


class Search:
    """One session of a search: what an executor runs, and what it reports to.

    Args:
        run: the folder, for weights and logs.
        journal: of the run, open for writing.
        space: where candidates come from.
        controller: who proposes them.
        objective: what they are rewarded for.
        evaluator: how they are measured, for its fingerprint and its networks' inputs and outputs.
        seed: of every training.
        latency: predicts the latency of every network; None where it is measured, or not wanted.
        budget: candidates to train in all.
        patience: proposals in a row that bring no new network before the search ends.
        max_attempts: tries a candidate has whose workers die.
        max_failures: candidates in a row that may fail before the search gives up.
        keep_weights: how many of the best keep their trained weights; where that is not none, the recommended
            one and the baselines keep theirs besides.
        figure_every: results between two figures of the front in TensorBoard's log; 0 draws none.
        reuse: measurements that need not be made again.
        interrupts: whether the user wants to stop.
        listeners: who is told of results.
    """

    def __init__(
        self,
        *,
        run: Run,
        journal: Journal,
        space: SearchSpace,
        controller: Controller,
        objective: Objective,
        evaluator: Evaluator,
        seed: int,
        latency: LatencyModel | None = None,
        budget: int,
        patience: int = 160,
        max_attempts: int = 3,
        max_failures: int = 20,
        keep_weights: int = 10,
        figure_every: int = 50,
        reuse: Mapping[Identity, Measured] | None = None,
        interrupts: Interrupts | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.run, self.journal, self.space = run, journal, space
        self.controller, self.objective, self.evaluator = controller, objective, evaluator
        self.seed, self.budget, self.patience = seed, budget, patience
        self.latency = latency
        self.max_attempts, self.max_failures = max_attempts, max_failures
        self.keep_weights, self.reuse = keep_weights, reuse or {}
        self.interrupts = interrupts or Interrupts()
        self.listeners = listeners
        self.exhausted = False
        self._failures = 0  # in a row
        self._repeats = 0  # proposals in a row that brought no new network
        self._open: set[int] = set()  # handed out, without a result yet
        self._begun: set[int] = set()  # of those, whose evaluation has begun
        candidates = journal.candidates()
        self._trials = len(candidates)
        self._best = ranked(candidates)[: max(1, keep_weights)]
        self._log = TensorBoardLog(
            run.path / "tensorboard",
            name=run.name,
            cost=objective.cost,
            reference=2.0 * objective.target,
            figure_every=figure_every,
            past=candidates,
            trials=lambda: (journal.candidates(), journal.baselines()),
        )
        self._kept: set[int] = set()  # trials whose weights are kept
        self._version = 0
        state = journal.controller_state()
        if state is None and journal.proposals():
            raise InputError(f"{run.path}: the controller's state is gone; {_repair(run)}")
        if state is not None:
            self._version = state[0]
            try:
                controller.load_state_dict(loaded(state[1]))
            except ValueError as error:
                why = f"the controller's state cannot be read: {error}"
                raise InputError(f"{run.path}: {why}; {_repair(run)}") from None

    def set_baselines(self, baselines: Sequence[Adapted]) -> None:
        """Put reference networks in the queue; see `Journal.set_baselines`. To be called before `start`."""
        rows = [
            replace(
                self._new_trial(baseline.architecture, {}),
                baseline=baseline.architecture.name,
                adapted=", ".join(baseline.changes),
            )
            for baseline in baselines
        ]
        self.journal.set_baselines(rows)

    def start(self) -> None:
        """Catch up with what an interrupted session left undone."""
        self._learn()  # what finished, but was not told before an interruption
        self._drop_weights()
        for path in self.run.weights_path(0).parent.glob("*"):  # left behind by a killed session
            if path.stem not in map(str, self._kept):
                path.unlink(missing_ok=True)
        for listener in self.listeners:
            listener.on_start(self.journal.counts())

    @property
    def failing(self) -> bool:
        """Whether so many candidates failed in a row that the next would fail too."""
        return self._failures >= self.max_failures

    @property
    def stopping(self) -> bool:
        """Whether what is open is to be dropped: the user wants to stop now, or to finish what runs
        and nothing does (what was handed out may still wait for a node)."""
        return self.interrupts.aborting or (self.interrupts.draining and not self._begun)

    # --- what the executor calls ---------------------------------------------------------------------

    def next_candidate(self) -> Candidate | None:
        """The next network to train: one that waits in the journal, or a new proposal."""
        while not (self.interrupts.draining or self.failing):
            trial = self._next_trial()
            if trial is None:
                return None
            known = self._known(trial)
            if known is None:
                self._open.add(trial.id)
                weights = self.run.weights_path(trial.id) if self.keep_weights else None
                return Candidate(
                    id=trial.id,
                    architecture=trial.network(),
                    seed=trial.seed,
                    weights_path=weights,
                    score=score_of(trial, self.objective, self._predicted(trial)),
                )
            self._take_over(trial, known)
        return None

    def _next_trial(self) -> Trial | None:
        trial = self.journal.next_pending(self._open)
        while (
            trial is None and self._trials < self.budget and not (self.exhausted or self.interrupts.draining)
        ):
            self._propose()
            trial = self.journal.next_pending(self._open)
        return trial

    def record(self, result: Result) -> None:
        """Commit what came of a candidate, and let the controller learn from it."""
        if result.status == "running":
            self._begun.add(result.id)
        else:
            self._begun.discard(result.id)
        news = settled(self.journal, result, self.max_attempts, self._open)
        if news is None:
            return
        self._finish(*news)
        trial = news[0]
        self._after(trial)

    def _after(self, trial: Trial) -> None:
        """What follows from a result that is committed."""
        finished = self.journal.trial(trial.id)
        assert finished is not None
        if finished.proposed:
            self._failures = self._failures + 1 if finished.status == "failed" else 0
        self._learn()
        self._drop_weights(finished.id)
        self._announce(finished)

    def notice(self, kind: str, text: str) -> None:
        """Keep in mind what happened besides results, such as a node that left."""
        logger.warning("%s: %s", kind, text)
        self.journal.note(kind, text)

    def close(self) -> None:
        """Write what is left of the logs."""
        self._log.close()

    # --- the loop's parts ----------------------------------------------------------------------------

    def _propose(self) -> None:
        """Ask for one proposal, as late as possible: the controller then knows all there is to know."""
        proposals = self.controller.ask(1)
        self._version += 1
        names = [decision.name for decision in self.space.decisions]
        rows = []
        for proposal in proposals:
            choices = dict(zip(names, proposal.choices, strict=True))
            trial = self._new_trial(self.space.decode(proposal.indices), choices)
            rows.append((proposal.indices, proposal.log_prob, trial))
        answers = self.journal.propose(self._version, saved(self.controller), rows)
        for _, is_new in answers:
            self._trials += is_new
            self._repeats = 0 if is_new else self._repeats + 1
        if self._repeats >= self.patience:
            self.exhausted = True
        if self._learn():  # a known network is answered from the journal
            self._drop_weights()

    def _new_trial(self, architecture: Architecture, choices: Mapping[str, Any]) -> NewTrial:
        macs, params = cost(architecture, self.evaluator.num_classes, self.evaluator.in_channels)
        return NewTrial(
            key=architecture.key,
            protocol=measured_by(self.evaluator, architecture),
            seed=self.seed,
            choices=choices,
            architecture=architecture.to_dict(),
            macs=macs,
            params=params,
        )

    def _finish(self, trial: Trial, result: Result) -> None:
        """Commit a result. Of what failed or was stopped early there is no accuracy, only its curve."""
        assert result.status in ("done", "failed", "stopped")
        curve = self._with_latency(trial, [{"accuracy": m.accuracy, **m.metrics} for m in result.curve])
        status, error, accuracy, reward = result.status, result.error, None, None
        if status == "done":
            accuracy = result.curve[-1].accuracy
            try:
                reward = self._reward(replace(trial, curve=curve), accuracy)
            except FieldError as wrong:
                status, error, accuracy = "failed", f"the measurement has no reward: {wrong}", None
        self.journal.finish(
            trial.id,
            status,
            accuracy=accuracy,
            reward=reward,
            error=error,
            curve=curve,
            seconds=result.seconds,
        )

    def _known(self, trial: Trial) -> Measured | None:
        """What another run measured of it, the objective's cost among it."""
        known = self.reuse.get(identity(trial))
        if known is None:
            return None
        curve = self._with_latency(trial, known.trial.curve)
        return known if replace(trial, curve=curve).cost(self.objective.cost) is not None else None

    def _take_over(self, trial: Trial, known: Measured) -> None:
        """Commit a measurement that another run made; its seconds were spent there."""
        if self.keep_weights and known.weights.is_file():
            path = self.run.weights_path(trial.id)
            try:
                write_whole(path, lambda unfinished: shutil.copyfile(known.weights, unfinished))
            except InputError as error:  # the other run may have dropped them just now
                logger.warning("%s of %s: are not taken over: %s", known.weights, trial.title, error)
        assert known.trial.accuracy is not None
        curve = self._with_latency(trial, known.trial.curve)
        self.journal.finish(
            trial.id,
            "done",
            accuracy=known.trial.accuracy,
            reward=self._reward(replace(trial, curve=curve), known.trial.accuracy),
            curve=curve,
            reused=known.run,
        )
        self._after(trial)

    def _with_latency(self, trial: Trial, curve: list[dict[str, float]]) -> list[dict[str, float]]:
        """The measurements of a trial, with its predicted latency where that is known."""
        latency = self._predicted(trial)
        if latency is None:
            return curve
        return [{**measurement, "latency_ms": latency} for measurement in curve]

    def _predicted(self, trial: Trial) -> float | None:
        """Its latency in ms, where a model predicts it."""
        if self.latency is None:
            return None
        return self.latency.predict(trial.network(), self.evaluator.num_classes, self.evaluator.in_channels)

    def _reward(self, trial: Trial, accuracy: float) -> float:
        """The reward is made here and nowhere else.

        Raises:
            FieldError: the cost was not measured, or is not positive.
        """
        name = self.objective.cost
        cost = trial.cost(name)
        if cost is None:
            raise FieldError(name, "is the objective's cost, and was not measured")
        return self.objective.reward(accuracy, cost)

    def _learn(self) -> bool:
        """Tell the controller every result it has not heard, in order of arrival; then ask for its bet.

        Returns:
            Whether there was anything to tell.
        """
        untold = self.journal.untold()
        for number, (trial, rows) in enumerate(untold, start=1):
            outcome = outcome_of(trial, self.objective)
            self.controller.tell([self._proposal(row) for row in rows], [outcome] * len(rows))
            self._version += 1
            # a bet may cost the fit of a model: one is enough for results that are told together
            bet = self._recommendation() if number == len(untold) else None
            self.journal.told(self._version, saved(self.controller), [row.id for row in rows], bet)
            self._log.controller(self.controller.diagnostics(), trial.arrival or 0)
        known = {trial.id: trial for trial in [*self._best, *(trial for trial, _ in untold)]}
        self._best = ranked(list(known.values()))[: max(1, self.keep_weights)]
        return bool(untold)

    def _recommendation(self) -> tuple[int, ...] | None:
        """Indices of the network the controller bets on; None before the first success."""
        try:
            return tuple(self.controller.recommend())
        except RuntimeError:
            if self.journal.counts().get("done"):
                raise  # not for want of a success
            return None

    def _proposal(self, row: ProposalRow) -> Proposal:
        return Proposal(row.indices, self.space.choices(row.indices), row.log_prob)

    def _drop_weights(self, *finished: int) -> None:
        """Keep trained weights of the best few, of the recommended and of baselines; what is still open may
        be writing its own."""
        kept = {trial.id for trial in self._best[: self.keep_weights]}
        if self.keep_weights:
            kept |= {trial.id for trial in self.journal.baselines()}
        recommended = self.journal.recommended() if self.keep_weights else None
        if recommended is not None:
            kept.add(recommended.id)
        for trial_id in {*self._kept, *finished} - kept:
            self.run.weights_path(trial_id).unlink(missing_ok=True)
        self._kept = kept

    def _announce(self, trial: Trial) -> None:
        best = self._best[0] if self._best else None
        self._log.result(trial, best)
        counts = self.journal.counts()
        for listener in self.listeners:
            listener.on_result(trial, best, counts)


def _repair(run: Run) -> str:
    return f"nas doctor {run.path} --repair makes it anew"


def settled(
    journal: Journal, result: Result, max_attempts: int, handed_out: set[int]
) -> tuple[Trial, Result] | None:
    """Take in what an executor reports.

    Args:
        journal: of the run.
        result: the news.
        max_attempts: tries a trial has whose workers die.
        handed_out: trials without a result; this one is taken out when it has one.

    Returns:
        The trial and the result to commit. None where its evaluation has only begun, or where its worker died
        and it went back to the queue.
    """
    if result.status == "running":
        journal.start(result.id)
        return None
    handed_out.discard(result.id)
    trial = journal.trial(result.id)
    assert trial is not None
    if result.status == "lost":
        if trial.attempts < max_attempts:
            logger.warning("%s goes back to the queue: %s", trial.title, result.error)
            journal.requeue(trial.id, "worker lost", f"{trial.title}: {result.error}; it waits again")
            return None
        result = replace(result, status="failed", error=f"{result.error}, {trial.attempts} times")
    return trial, result


def measured_by(evaluator: Evaluator, architecture: Architecture) -> str:
    """What besides key and seed identifies a measurement: the evaluator, and what of the architecture its key
    leaves out although it changes the training.

    Two networks that are equal at full width may differ in what is trained for them: thinner, a stage may
    keep its channels and so gain a skip.
    """
    if isinstance(evaluator, SizedEvaluator):
        evaluator = evaluator.of(architecture)
    fingerprint = evaluator.fingerprint
    if isinstance(evaluator, TimedEvaluator):
        evaluator = evaluator.inner
    words = f"{fingerprint} dropout {architecture.dropout:g} drop_path {architecture.drop_path:g}"
    trained = evaluator.trained(architecture) if isinstance(evaluator, ProxyEvaluator) else architecture
    same = replace(trained, image_size=architecture.image_size).key == architecture.key
    return words if same else f"{words} trained as {trained.key}"
