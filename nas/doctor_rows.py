"""What the rows of a journal must satisfy, by arithmetic and by the order of a search alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from nas.config import SearchConfig
from nas.doctor_finalists import check_final_trials
from nas.doctor_scaling import Members, check_scaled_trials
from nas.finalists_config import FinalistsConfig
from nas.latency_config import predicted
from nas.replay import space_of
from nas.scaling_config import ScalingConfig
from results import EvaluatorFacts, ProposalRow, Trial
from results.rebuild import Rows, proposal_in, trial_in
from results.run import OF_GIVEN, Kind
from search_space import FieldError, SearchSpace, cost

Config = SearchConfig | ScalingConfig | FinalistsConfig
SHOWN = 3  # findings of one kind; the rest is counted
Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check says.

    Attributes:
        check: which one: ``journal``, ``history``, ``config``, ``trials``, ``order``, ``controller``,
            ``files`` or ``evaluator``.
        severity: ``ok``, ``warning`` (the search can go on as it is) or ``error``.
        text: one line, with the place.
        repair: what ``--repair`` does about it, or what a user can do; None where there is nothing to do.
    """

    check: str
    severity: Severity
    text: str
    repair: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts that ``--json`` prints."""
        return {"check": self.check, "severity": self.severity, "text": self.text, "repair": self.repair}


@dataclass(slots=True)
class Findings:
    """What one check has found so far; of many findings of a kind a few are shown and the rest is counted."""

    check: str
    _kinds: dict[str, list[Finding]] = field(default_factory=dict)

    def error(self, kind: str, text: str, repair: str | None = None) -> None:
        """Something is wrong."""
        self._add(kind, Finding(check=self.check, severity="error", text=text, repair=repair))

    def warning(self, kind: str, text: str, repair: str | None = None) -> None:
        """Something a user should know of."""
        self._add(kind, Finding(check=self.check, severity="warning", text=text, repair=repair))

    def _add(self, kind: str, finding: Finding) -> None:
        self._kinds.setdefault(kind, []).append(finding)

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        """What is done in the body reads a row, which may hold anything."""
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            self.error("unreadable", f"{place}: cannot be read: {' '.join(str(error).split())[:200]}")

    def result(self, ok: str) -> list[Finding]:
        """The findings, or that nothing was found."""
        found = []
        for kind, its in self._kinds.items():
            found += its[:SHOWN]
            if len(its) > SHOWN:
                text = f"{len(its) - SHOWN} more are as the last ({kind})"
                found.append(
                    Finding(check=self.check, severity=its[-1].severity, text=text, repair=its[-1].repair)
                )
        return found or [Finding(check=self.check, severity="ok", text=ok)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The rows of a journal as objects.

    Attributes:
        rows: as they are.
        trials, proposals: those that can be read.
        facts: of the evaluator; None before the first session.
        version: of the controller's state; None where there is none.
        state: the controller's.
        kind: ``audit``, ``scaling`` and ``finalists`` propose nothing; None where a configuration that cannot
            be read leaves that open.
        findings: of the rows that cannot be read.
    """

    rows: Rows
    trials: list[Trial]
    proposals: list[ProposalRow]
    facts: EvaluatorFacts | None
    version: int | None
    state: bytes | None
    kind: Kind | None
    findings: Findings

    @property
    def results(self) -> int:
        """Trials that have come to an end."""
        return sum(trial.arrival is not None for trial in self.trials)


def content_of(rows: Rows, config: Config | None) -> Content:
    """Read the rows of a journal; what cannot be read becomes a finding."""
    findings = Findings("trials")
    proposed = {row.get("trial") for row in rows.get("proposals", [])}
    trials, proposals, facts = [], [], None
    for row in rows.get("trials", []):
        with findings.reading(f"trial {row['id']}"):
            candidate = row.get("baseline") is None or row["id"] in proposed
            trials.append(trial_in(row, candidate))
    for row in rows.get("proposals", []):
        with findings.reading(f"proposal {row['id']}"):
            proposals.append(proposal_in(row))
    for row in rows.get("evaluator", []):
        with findings.reading("evaluator"):
            facts = _facts(row)
    controller = next(iter(rows.get("controller", [])), None)
    if controller is not None and not isinstance(controller.get("version"), int):
        controller = None
    return Content(
        rows=rows,
        trials=trials,
        proposals=proposals,
        facts=facts,
        version=None if controller is None else controller["version"],
        state=None if controller is None else controller["state"],
        kind=_kind(config, bool(proposed) or controller is not None, trials),
        findings=findings,
    )


def _kind(config: Config | None, proposes: bool, trials: Sequence[Trial]) -> Kind | None:
    if isinstance(config, ScalingConfig):
        return "scaling"
    if isinstance(config, FinalistsConfig):
        return "finalists"
    given = not proposes and any(trial.baseline is None for trial in trials)
    if config is None:
        return None if given else "search"
    return "audit" if given and config.audit is not None else "search"


def _facts(row: dict[str, Any]) -> EvaluatorFacts:
    facts = EvaluatorFacts(row["fingerprint"], row["num_classes"], row["in_channels"])
    if not all(isinstance(number, int) and number > 0 for number in facts[1:]):
        raise ValueError(f"classes and channels must be whole numbers, are {facts[1:]}")
    return facts


def check_trials(
    content: Content,
    config: Config | None,
    space: SearchSpace | None = None,
    members: Members | None = None,
) -> list[Finding]:
    """Whether keys, costs, choices and rewards are what they are made from.

    Args:
        content: the rows.
        config: of the run; without one, less can be checked.
        space: of the search, where it was made already.
        members: of the run of scaling, see `members_of`, where they were made already.
    """
    findings, facts = content.findings, content.facts
    if facts is None:
        if content.trials:
            findings.error("evaluator", "evaluator: what measured the results is not noted")
        return findings.result("no trials yet")
    if isinstance(config, SearchConfig) and space is None:
        with findings.reading("space"):
            space = space_of(config, facts)
    for trial in content.trials:
        with findings.reading(f"trial {trial.id}"):
            _check_network(trial, facts, findings)
            _check_measurement(trial, findings)
            if isinstance(config, SearchConfig) and space is not None:
                _check_candidate(trial, content, config, space, findings)
    if isinstance(config, ScalingConfig):
        with findings.reading("trials"):
            check_scaled_trials(content, config, members, findings)
    if isinstance(config, FinalistsConfig):
        with findings.reading("trials"):
            check_final_trials(content, config, findings)
    if space is not None:
        _check_proposals(content, space, findings)
    its = f"{len(content.trials)} trials, {content.results} results"
    if content.kind in OF_GIVEN:
        return findings.result(
            f"{its}: keys, costs, choices, seeds and protocols are what they are made from"
        )
    return findings.result(
        f"{its}, {len(content.proposals)} proposals: keys, costs, choices and rewards are what they are made "
        "from"
    )


def _check_proposals(content: Content, space: SearchSpace, findings: Findings) -> None:
    networks: dict[int, str] = {trial.id: trial.key for trial in content.trials}
    for row in content.proposals:
        with findings.reading(f"proposal {row.id}"):
            if row.trial not in networks:
                findings.error("no trial", f"proposal {row.id}: trial {row.trial} is not there")
            elif space.decode(row.indices).key != networks[row.trial]:
                text = f"proposal {row.id}: its indices are another network than trial {row.trial}"
                findings.error("indices", text)
            if row.log_prob is not None and not math.isfinite(row.log_prob):
                findings.error("log_prob", f"proposal {row.id}: log_prob must be finite, is {row.log_prob}")


def _check_network(trial: Trial, facts: EvaluatorFacts, findings: Findings) -> None:
    place = f"trial {trial.id}"
    network = trial.network()
    if network.key != trial.key:
        text = f"{place}: the key is {trial.key[:12]}, its architecture's is {network.key[:12]}"
        findings.error("key", text)
    macs, params = cost(network, facts.num_classes, facts.in_channels)
    for name, given, right in (("macs", trial.macs, macs), ("params", trial.params, params)):
        if given != right:
            findings.error(name, f"{place}: {name} is {given}, its architecture has {right}")


def _check_measurement(trial: Trial, findings: Findings) -> None:
    place, accuracy = f"trial {trial.id}", trial.accuracy
    if trial.attempts < 0:
        findings.error("attempts", f"{place}: attempts is {trial.attempts}")
    if trial.status == "failed" and not trial.error:
        findings.error("error", f"{place}: failed, and no error says why")
    if accuracy is None:
        if trial.reward is not None:
            findings.error("reward", f"{place}: has a reward and no accuracy")
        return
    if not 0.0 <= accuracy <= 1.0:
        findings.error("accuracy", f"{place}: accuracy must be between 0 and 1, is {accuracy}")
    # of several seeds, the last measurement of the curve is their mean, and so the accuracy too
    if trial.curve and trial.curve[-1]["accuracy"] != accuracy:
        last = trial.curve[-1]["accuracy"]
        findings.error("curve", f"{place}: accuracy is {accuracy}, its curve ends at {last}")


def _check_latency(trial: Trial, content: Content, config: SearchConfig, findings: Findings) -> None:
    """Whether a predicted latency is the model's."""
    assert content.facts is not None
    facts = content.facts
    right = predicted(config.latency, trial.network(), facts.num_classes, facts.in_channels)
    given = trial.cost("latency_ms")
    if right is not None and (given is None or not math.isclose(given, right, rel_tol=1e-9)):
        findings.error(
            "latency", f"trial {trial.id}: latency_ms is {given}, the run's latency model gives {right}"
        )


def _check_candidate(
    trial: Trial, content: Content, config: SearchConfig, space: SearchSpace, findings: Findings
) -> None:
    """What the configuration says of a trial."""
    place = f"trial {trial.id}"
    if trial.status == "done" and content.kind != "audit":
        assert trial.accuracy is not None
        its = trial.cost(config.objective.cost)
        reward = None if its is None else config.objective.reward(trial.accuracy, its)
        # powers differ in their last bit from one machine to the other
        if reward is None or trial.reward is None or not math.isclose(trial.reward, reward, rel_tol=1e-12):
            findings.error(
                "reward", f"{place}: reward is {trial.reward}, its accuracy and cost give {reward}"
            )
        _check_latency(trial, content, config, findings)
    if content.kind != "audit":
        assert content.facts is not None
        if trial.seed != config.seed_of_trainings:
            findings.error(
                "seed", f"{place}: seed is {trial.seed}, config.yaml has {config.seed_of_trainings}"
            )
        if not trial.protocol.startswith(f"{content.facts.fingerprint} "):
            findings.error("protocol", f"{place}: was measured by another evaluator than the journal notes")
    if trial.baseline is not None and not trial.choices:
        return
    if trial.choices or trial.proposed:
        indices = _indices(trial.choices, space)
        if space.decode(indices).key != trial.key:
            findings.error("choices", f"{place}: its choices are another network than its key")


def _indices(choices: dict[str, Any], space: SearchSpace) -> list[int]:
    """Where choices stand in a space.

    Raises:
        FieldError: a decision without a choice, or with one that it does not offer.
    """
    indices = []
    if len(choices) != len(space.decisions):
        raise FieldError("choices", f"must number {len(space.decisions)}, got {len(choices)}")
    for decision in space.decisions:
        offered = [json.dumps(choice) for choice in decision.choices]
        chosen = json.dumps(choices.get(decision.name))
        if chosen not in offered:
            raise FieldError(f"choices.{decision.name}", f"must be one of {', '.join(offered)}, got {chosen}")
        indices.append(offered.index(chosen))
    return indices


def check_order(content: Content, running: bool) -> list[Finding]:
    """Whether asks, tells, results and sessions follow one another as in a search."""
    findings = Findings("order")
    with findings.reading("the journal"):
        _check_arrivals(content, findings)
        _check_versions(content, findings)
        _check_recommendations(content, findings)
        _check_sessions(content, running, findings)
    sessions = len(content.rows.get("sessions", []))
    told = "" if content.kind in OF_GIVEN else f" and {content.version or 0} asks and tells"
    return findings.result(f"{content.results} results{told} without a gap, {sessions} sessions")


def _check_arrivals(content: Content, findings: Findings) -> None:
    arrivals = sorted(trial.arrival for trial in content.trials if trial.arrival is not None)
    missing = _missing(arrivals, len(arrivals))
    if missing:
        findings.error("arrivals", f"results: of 1 to {arrivals[-1]} there is none at place {missing}")


def _check_versions(content: Content, findings: Findings) -> None:
    trials = {trial.id: trial for trial in content.trials}
    asked = {row.asked for row in content.proposals}
    told: dict[int, set[int]] = {}
    for row in content.proposals:
        if row.told is None:
            continue
        told.setdefault(row.told, set()).add(row.trial)
        if row.trial in trials and trials[row.trial].arrival is None:
            findings.error("told", f"proposal {row.id}: was told, and trial {row.trial} has no result")
        if row.told <= row.asked:
            findings.error("told", f"proposal {row.id}: was told in step {row.told}, before its ask")
    for version, its in told.items():
        if len(its) > 1 or version in asked:
            findings.error("steps", f"step {version}: is more than one ask or one tell")
    steps = asked | set(told)
    last = max([content.version or 0, *steps])
    missing = _missing(sorted(steps), last)
    if missing:
        findings.error("steps", f"proposals: of {last} asks and tells there is none at step {missing}")
    proposed = {row.trial for row in content.proposals}
    if proposed and content.kind in OF_GIVEN:
        findings.error(
            "proposals", f"{len(content.proposals)} proposals, and a run of {content.kind} has none"
        )
    for trial in content.trials if content.kind == "search" else []:
        if trial.baseline is None and trial.id not in proposed:
            findings.error("proposals", f"trial {trial.id}: is a candidate, and no proposal asks for it")


def _missing(numbers: Sequence[int], last: int) -> str:
    """Which of the numbers from 1 on are not there, in short."""
    gaps = sorted(set(range(1, last + 1)) - set(numbers))
    return ", ".join(map(str, gaps[:5])) + (f" and {len(gaps) - 5} more" if len(gaps) > 5 else "")


def _check_recommendations(content: Content, findings: Findings) -> None:
    status = {trial.id: trial.status for trial in content.trials}
    for row in content.rows.get("recommendations", []):
        if status.get(row["trial"]) != "done":
            text = f"recommendation {row['version']}: trial {row['trial']} was not trained with success"
            findings.error("recommendations", text)


def _check_sessions(content: Content, running: bool, findings: Findings) -> None:
    sessions = content.rows.get("sessions", [])
    given = content.kind in ("audit", *OF_GIVEN)
    who = "command" if given else "search"
    goes_on = "the same command goes on" if given else "nas search --resume goes on"
    for row in sessions:
        with findings.reading(f"session {row['id']}"):
            json.loads(row["environment"])
            if (row["ended_at"] is None) != (row["outcome"] is None):
                findings.error("sessions", f"session {row['id']}: has an end or an outcome, not both")
    if running or not sessions:
        return
    if sessions[-1]["outcome"] is None:
        findings.warning("killed", f"session {sessions[-1]['id']}: was killed, no end is noted", goes_on)
    for trial in content.trials:
        if trial.status == "running":
            text = f"trial {trial.id}: is noted as running, and no {who} holds the folder"
            findings.warning("running", text, f"{goes_on}, and trains it")
