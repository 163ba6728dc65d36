"""Is a run folder sound: the journal, its history, its rows, its controller, its files.

Everything is read first, in one transaction, so that it is right on a journal that a search writes just now.
`nas.doctor_repair` does what the findings promise.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from nas.config import SearchConfig, load_config
from nas.controller_state import loaded
from nas.doctor_files import Leftovers, files_findings, look_for_leftovers
from nas.doctor_finalists import final_evaluator
from nas.doctor_rows import Config, Content, Finding, Findings, check_order, check_trials, content_of
from nas.doctor_scaling import check_scaled_evaluator, scaled_evaluator
from nas.finalists_config import load_finalists_config
from nas.launch import create_evaluator, environment
from nas.replay import Progress, Replay, difference, replay
from nas.scaling_config import ScalingConfig, load_scaling_config
from results import RUNS, Run, open_run
from results.history import FILE as HISTORY
from results.rebuild import Past, Rows, Snapshot, differences, rows_of, snapshot
from results.run import OF_GIVEN
from results.schema import SCHEMA_VERSION
from search_space import FieldError, InputError, load_space

JournalState = Literal["sound", "missing", "damaged", "behind", "differs"]
HistoryState = Literal["sound", "missing", "damaged", "behind", "differs"]
ControllerState = Literal["sound", "none", "lost", "unknown"]
FROM_HISTORY = f"--repair makes the journal anew from {HISTORY}"
REUSE = "another run begun with --reuse of this run takes over its measurements"


@dataclass(slots=True)
class Replays:
    """Replays that were made, since one may take minutes and is asked for again after a repair.

    Attributes:
        progress: see `nas.replay.replay`.
    """

    progress: Progress = lambda done, steps: None
    _known: list[tuple[Any, Replay]] = field(default_factory=list)

    def of(self, config: SearchConfig, content: Content) -> Replay:
        """The replay of a journal; errors as of `nas.replay.replay`."""
        assert content.facts is not None
        key = (config, content.facts, content.trials, content.proposals)
        for known, made in self._known:
            if known == key:
                return made
        made = replay(config, content.facts, content.trials, content.proposals, self.progress)
        self._known.append((key, made))
        return made


@dataclass(slots=True)
class Examination:
    """What was read of a run, and what is wrong with it.

    Attributes:
        run: the folder.
        running: a search holds it; then some things are not looked at.
        config: None where it cannot be read.
        snapshot: the journal; None where there is none.
        content: its rows; None where they cannot be read.
        past: its history; None where it cannot be used.
        journal, history, controller: how they are.
        left: files that belong to nothing.
        findings: of all checks, in order.
    """

    run: Run
    running: bool
    config: Config | None = None
    snapshot: Snapshot | None = None
    content: Content | None = None
    past: Past | None = None
    journal: JournalState = "sound"
    history: HistoryState = "sound"
    controller: ControllerState = "unknown"
    left: Leftovers = field(default_factory=Leftovers)
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; warnings are no errors."""
        return all(finding.severity != "error" for finding in self.findings)


def find_run(name_or_path: str) -> Run:
    """A run as `results.open_run` finds it, also one that has lost its journal.

    Raises:
        InputError: there is none.
    """
    try:
        return open_run(name_or_path)
    except InputError:
        for path in (RUNS / name_or_path, Path(name_or_path)):
            if (path / HISTORY).is_file() and (path / "config.yaml").is_file():
                return Run(path)
        raise


def examine(
    run: Run,
    replays: Replays | None = None,
    *,
    held: bool = False,
    step: Callable[[str], object] = lambda what: None,
) -> Examination:
    """Check everything.

    Args:
        run: the folder.
        replays: makes replays; None compares no controller's state.
        held: this process itself holds the folder's lock.
        step: told what is looked at next, in a word.

    Raises:
        InputError: a newer version wrote the journal.
    """
    found = Examination(run=run, running=not held and run.is_running())
    step("journal")
    _check_journal(found)
    step("configuration")
    _check_config(found)
    step("history")
    _check_history(found)
    if found.snapshot is not None and found.snapshot.rows:
        found.content = content_of(found.snapshot.rows, found.config)
    found.running = found.running or (not held and run.is_running())
    if found.content is not None:
        step("trials")
        found.findings += _with_repairs(found, check_trials(found.content, found.config))
        found.findings += _with_repairs(found, check_order(found.content, found.running))
        step("controller")
        _check_controller(found, replays)
    if not found.running:
        step("files")
        whole = found.content if found.journal == "sound" else None
        found.left = look_for_leftovers(run, None if whole is None else whole.trials)
        found.findings += files_findings(found.left)
    if found.config is not None and found.content is not None and found.content.facts is not None:
        step("evaluator")
        found.findings += _check_evaluator(found.config, found.content)
    return found


# --- journal and configuration -----------------------------------------------------------------------


def _check_journal(found: Examination) -> None:
    path, findings = found.run.journal_path, Findings("journal")
    if not path.is_file():
        found.journal = "missing"
        findings.error("missing", f"{path}: is missing")
        found.findings += findings.result("")
        return
    found.snapshot = snap = snapshot(path)
    if snap.newer:
        raise InputError(
            f"{path}: has schema {snap.version}, written by a newer version; this one reads up to "
            f"{SCHEMA_VERSION}"
        )
    for damage in snap.damage:
        found.journal = "damaged"
        findings.error("damaged", f"{path}: {' '.join(damage.split())[:200]}")
    if not snap.damage and snap.version < SCHEMA_VERSION:
        text = f"{path}: has schema {snap.version}, this version writes schema {SCHEMA_VERSION}"
        findings.warning("schema", text, "nothing to do: nas search --resume brings it up")
    found.findings += findings.result(f"schema {snap.version}, SQLite's own check finds no damage")


def _check_config(found: Examination) -> None:
    path, findings = found.run.config_path, Findings("config")
    name, what = found.run.path.resolve().name, "space"
    try:
        if found.run.is_scaling():
            found.config, what = load_scaling_config(path, name=name), "baseline"
        elif found.run.is_finalists():
            found.config, what = load_finalists_config(path, name=name), "networks"
        else:
            found.config = load_config(path, name=name)
            load_space(found.config.space)
    except (InputError, FieldError, OSError) as error:
        where = "" if str(path) in str(error) else f"{path}: "
        findings.error("config", f"{where}{error}", "put back the configuration that the run began with")
    found.findings += findings.result(f"{path} and its {what} can be read")


# --- history -----------------------------------------------------------------------------------------


def _check_history(found: Examination) -> None:
    """How journal and history fit; where they do not, which of the two is to be believed."""
    path, findings = found.run.path / HISTORY, Findings("history")
    snap = found.snapshot
    if snap is not None and not snap.damage and snap.version < SCHEMA_VERSION:
        findings.warning("older", f"{path}: journals of schema {snap.version} have none", "see journal")
        found.findings += findings.result("")
        return
    try:
        found.past = past = Past.read(path)
        then = _rows_at(past, snap.change if snap is not None and found.journal == "sound" else None)
    except InputError as error:
        found.past = None
        found.history = "damaged" if path.exists() else "missing"
        text = str(error) if path.exists() else f"{path}: is missing"
        text += "; without it a damaged journal cannot be made anew"
        repair = "--repair begins it anew from the journal, as the next session does"
        (findings.error if path.exists() else findings.warning)("history", text, repair)
        _promise(found, findings)
        return
    if past.unreadable:
        found.history = "damaged"
        text = f"{path}: its last {past.unreadable} lines cannot be read, or come after one that cannot"
        findings.error("unreadable", text, "--repair begins it anew from the journal")
    if found.journal == "sound" and snap is not None:
        _compare(found, snap, past, then, findings)
    _promise(found, findings)


def _rows_at(past: Past, change: int | None) -> Rows:
    db = past.journal(change)
    try:
        return rows_of(db)
    finally:
        db.close()


def _compare(found: Examination, snap: Snapshot, past: Past, then: Rows, findings: Findings) -> None:
    """A journal that SQLite finds sound, beside its history."""
    place, lacks = found.run.journal_path, past.last - snap.change
    if found.running and past.first > snap.change:
        return  # a session began while this was read, and with it the history
    if lacks < 0:
        if not past.unreadable:
            found.history = "behind"
            text = f"{past.path}: lacks {-lacks} changes that the journal has"
            findings.warning(
                "behind", text, "--repair begins it anew from the journal, as the next session does"
            )
        return
    if past.first <= snap.change:
        differs = differences(snap.rows, then)
        if differs and _believes_journal(found, snap.rows, then):
            found.history = "differs"
            for text in differs:
                findings.error("differs", f"{past.path}: {text}", "--repair begins it anew from the journal")
            return
        for text in differs:
            found.journal = "differs"
            findings.error("differs", f"{place}: {text}", FROM_HISTORY)
    if lacks == 1 and not found.running and found.journal == "sound":
        found.journal = "behind"  # the search would go on without it, but it may hold a result
        text = f"{place}: lacks one change that {HISTORY} has: a session was killed before it was committed"
        findings.warning("uncommitted", text, FROM_HISTORY)
    elif lacks > 1 and not found.running:
        found.journal = "behind"
        why = "copied without its -wal file, or an older copy?"
        text = f"{place}: lacks {lacks} changes that {HISTORY} has ({why})"
        findings.error("lacks", text, FROM_HISTORY)


def _believes_journal(found: Examination, ours: Rows, theirs: Rows) -> bool:
    """Whether the journal's rows agree with themselves, and those of the history do not."""
    wrong = []
    for rows in (ours, theirs):
        content = content_of(rows, found.config)
        its = [*check_trials(content, found.config), *check_order(content, True)]
        wrong.append(any(finding.severity == "error" for finding in its))
    return not wrong[0] and wrong[1]


def _promise(found: Examination, findings: Findings) -> None:
    """Say of a journal that cannot be read what is done about it."""
    salvage = "--repair saves the rows that can be read; there is no history to make it anew from"
    if found.journal == "missing":
        salvage = "no history can be read either: nothing can be done"
    repair = FROM_HISTORY if found.past is not None else salvage
    found.findings = [
        replace(finding, repair=repair)
        if finding.check == "journal" and finding.severity == "error"
        else finding
        for finding in found.findings
    ]
    changes = 0 if found.past is None else found.past.last
    found.findings += findings.result(f"{changes} changes, which make the rows of the journal again")


def _with_repairs(found: Examination, findings: list[Finding]) -> list[Finding]:
    """Findings of rows, with what can be done about them."""
    anew = found.journal in ("damaged", "behind", "differs")
    repair = FROM_HISTORY if anew and found.past is not None else f"cannot be repaired; {REUSE}"
    return [
        replace(finding, repair=repair) if finding.severity == "error" and finding.repair is None else finding
        for finding in findings
    ]


# --- controller and evaluator ------------------------------------------------------------------------


def _check_controller(found: Examination, replays: Replays | None) -> None:
    findings, content, config = Findings("controller"), found.content, found.config
    assert content is not None
    saved, damage = _saved(content)
    if content.state is None and not content.proposals:
        found.controller = "none"
        if content.kind in ("audit", *OF_GIVEN):
            found.findings += findings.result("none: nothing is proposed in such a run")
            return
        found.findings += findings.result("no state yet: nothing was proposed")
        return
    if damage is not None:
        found.controller = "lost"
    if replays is None or not isinstance(config, SearchConfig) or content.facts is None:
        if damage is not None:
            findings.error("state", damage, "--repair makes it again by a replay")
        found.findings += findings.result("its state can be read; no replay was made")
        return
    try:
        again = replays.of(config, content)
    except (FieldError, InputError) as error:
        findings.error("replay", f"cannot be replayed: {error}", f"cannot be repaired; {REUSE}")
        found.findings += findings.result("")
        return
    _compare_states(found, findings, again, saved, damage)


def _saved(content: Content) -> tuple[Any, str | None]:
    """The state of the journal, and what is wrong with it."""
    if content.state is None:
        return None, "the state is missing"
    try:
        return loaded(content.state), None
    except (ValueError, TypeError) as error:
        return None, f"the state cannot be read: {error}"


def _compare_states(
    found: Examination, findings: Findings, again: Replay, saved: Any, damage: str | None
) -> None:
    content = found.content
    assert content is not None
    assert found.snapshot is not None
    other = _other_environment(content, found.snapshot.version)
    if again.wrong is not None:
        text = f"the journal cannot be repeated: {again.wrong}{other}"
        if damage is not None:
            text = f"{damage}, and {text}"
        harmless = bool(other) and damage is None
        repair = f"cannot be repaired; {REUSE}"
        (findings.warning if harmless else findings.error)("replay", text, None if harmless else repair)
    elif damage is not None:
        findings.error("state", damage, "--repair makes it again by a replay")
    else:
        where = difference(saved, again.controller.state_dict())
        if content.version != again.version:
            where = f"its version, {content.version} instead of {again.version}"
        if where is not None:
            found.controller = "unknown" if other else "lost"
            text = f"the state differs from that of a replay in {where}{other}"
            put_back = None if other else "--repair puts the replay's in its place"
            (findings.warning if other else findings.error)("state", text, put_back)
        else:
            found.controller = "sound"
    found.findings += findings.result(
        f"a replay of {again.version} asks and tells gives its state to the last bit"
    )


def _other_environment(content: Content, schema: int) -> str:
    """What is other here than in the last session, in words to be appended; empty where nothing is."""
    sessions = content.rows.get("sessions", [])
    changes = []
    if schema < SCHEMA_VERSION:
        changes.append(f"a controller of the version that wrote schema {schema}")
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        then, now = json.loads(sessions[-1]["environment"]) if sessions else {}, environment()
        names = [name for name in ("torch", "numpy", "system") if name in then and then[name] != now[name]]
        changes += [f"{name} {then[name]} then and {now[name]} here" for name in names]
    return f"; that may come from {', '.join(changes)}" if changes else ""


def _check_evaluator(config: Config, content: Content) -> list[Finding]:
    """Whether the run could go on with the data that are here."""
    assert content.facts is not None
    findings = Findings("evaluator")
    what = "search" if content.kind == "search" else "run"
    try:
        if not isinstance(config, SearchConfig):
            evaluator = (
                scaled_evaluator(config, content)
                if isinstance(config, ScalingConfig)
                else final_evaluator(config)
            )
            fingerprint = evaluator.fingerprint
            if fingerprint == content.facts.fingerprint:
                check_scaled_evaluator(content, evaluator, findings)
        else:
            fingerprint = _fingerprint(config, content)
    except (InputError, FieldError, OSError, ValueError) as error:
        findings.warning("data", f"cannot be made here, so that the {what} cannot go on here: {error}")
        return findings.result("")
    if fingerprint != content.facts.fingerprint:
        findings.warning(
            "other",
            "measures otherwise than the journal notes: other data, another trainer, or one of the user's "
            "own",
            f"the {what} can only go on with what it began with",
        )
    return findings.result("data and trainer are those of the journal")


def _fingerprint(config: SearchConfig, content: Content) -> str:
    """Of what measures a search or an audit here."""
    from nas.audit_config import AuditSettings
    from nas.audit_plan import fingerprint_of, parts_of

    space = load_space(config.space)

    def trainer(protocol: Any) -> Any:
        return create_evaluator(config.model_copy(update={"protocol": protocol, "latency": None}), space)

    if content.kind == "audit" and config.protocol is not None:
        settings = (config.audit or AuditSettings()).filled(config.protocol)
        return fingerprint_of(parts_of(settings, config.protocol, config.seed_of_trainings, trainer))
    return create_evaluator(config, space).fingerprint
