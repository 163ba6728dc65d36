"""What a report is made from: a run, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from results.fronts import Front, cost_of, front_of, reference_point, targets_of
from results.run import Run
from results.schema import EvaluatorFacts, Event, Session
from results.status import state_of
from results.trial import Trial, ranked
from results.wording import COST_NAMES
from search_space import Decision, InputError

_IMAGENET = EvaluatorFacts("", 1000, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What is read from a run, at one moment.

    Attributes:
        name: of the run.
        state: see `Status`; or ``new``.
        config: as resolved; ``yaml`` is its text.
        candidates, baselines: trials; a baseline that was proposed is both.
        recommended: by the controller; None where it has named none.
        best: the best observed; None before the first result.
        facts: of the evaluator.
        proposals: (P, D) indices in order.
        cost: what fronts are drawn over, the objective's: ``macs``, ``params`` or ``latency_ms``.
        front: of the candidates.
    """

    name: str
    state: str
    config: dict[str, Any]
    yaml: str
    candidates: list[Trial]
    baselines: list[Trial]
    recommended: Trial | None
    best: Trial | None
    facts: EvaluatorFacts
    sessions: list[Session]
    events: list[Event]
    proposals: list[tuple[int, ...]]
    decisions: tuple[Decision, ...]
    cost: str
    front: Front

    @property
    def trials(self) -> list[Trial]:
        """Candidates, and baselines that are none, each once."""
        return [*self.candidates, *(trial for trial in self.baselines if not trial.proposed)]

    @property
    def done(self) -> list[Trial]:
        """Candidates that finished."""
        return [trial for trial in self.candidates if trial.status == "done"]


def read(run: Run) -> Read:
    """Read a run once.

    Raises:
        InputError: it cannot be read.
    """
    config = run.config()
    running = run.is_running()
    with run.journal() as journal:
        candidates, baselines = journal.candidates(), journal.baselines()
        sessions, events = journal.sessions(), journal.events()
        recommended, facts = journal.recommended(), journal.evaluator()
        proposals = [row.indices for row in journal.proposals()]
    cost = cost_of(config)
    cost = cost if cost in COST_NAMES else "macs"
    reference = reference_point(candidates, (cost,), targets_of(config))[cost]
    return Read(
        name=run.path.resolve().name,
        state=state_of(running, sessions),
        config=config,
        yaml=_text(run),
        candidates=candidates,
        baselines=baselines,
        recommended=recommended,
        best=next(iter(ranked(candidates)), None),
        facts=facts or _IMAGENET,
        sessions=sessions,
        events=events,
        proposals=proposals,
        decisions=run.decisions(),
        cost=cost,
        front=front_of(candidates, reference, cost),
    )


def _text(run: Run) -> str:
    try:
        return run.config_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{run.config_path}: cannot be read: {error}") from None
