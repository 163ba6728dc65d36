"""The journal's tables, and their rows as objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from results.trial import Trial

SCHEMA_VERSION = 4
RECOMMENDATIONS = """CREATE TABLE recommendations (
    version INTEGER PRIMARY KEY,
    trial INTEGER NOT NULL REFERENCES trials (id),
    made_at REAL NOT NULL
)"""
EVENTS = """CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    session INTEGER REFERENCES sessions (id),
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
)"""
CHANGES = "CREATE TABLE changes (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)"
FIRST_CHANGE = "INSERT INTO changes VALUES (1, 0)"
PROPOSALS_BY_TRIAL = "CREATE INDEX proposals_by_trial ON proposals (trial)"
PROPOSALS_BY_INDICES = "CREATE INDEX proposals_by_indices ON proposals (indices)"
BASELINES_BY_NAME = "CREATE UNIQUE INDEX trials_by_baseline ON trials (baseline)"
SCHEMA = f"""
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    protocol TEXT NOT NULL,
    seed INTEGER NOT NULL,
    choices TEXT NOT NULL,
    architecture TEXT NOT NULL,
    macs INTEGER NOT NULL,
    params INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'done', 'failed', 'stopped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    accuracy REAL,
    reward REAL,
    error TEXT,
    arrival INTEGER UNIQUE,
    curve TEXT NOT NULL DEFAULT '[]',
    seconds REAL NOT NULL DEFAULT 0,
    finished_at REAL,
    baseline TEXT,
    adapted TEXT,
    session INTEGER REFERENCES sessions (id),
    reused TEXT,
    UNIQUE (key, protocol, seed),
    CHECK ((status = 'done') = (accuracy IS NOT NULL)),
    CHECK ((status IN ('done', 'failed', 'stopped')) = (arrival IS NOT NULL))
);
CREATE INDEX trials_by_status ON trials (status, id);
CREATE TABLE proposals (
    id INTEGER PRIMARY KEY,
    trial INTEGER NOT NULL REFERENCES trials (id),
    indices TEXT NOT NULL,
    log_prob REAL,
    asked INTEGER NOT NULL,
    told INTEGER
);
CREATE INDEX proposals_untold ON proposals (trial) WHERE told IS NULL;
CREATE TABLE controller (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE evaluator (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    fingerprint TEXT NOT NULL,
    num_classes INTEGER NOT NULL,
    in_channels INTEGER NOT NULL
);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    ended_at REAL,
    outcome TEXT,
    workers INTEGER,
    environment TEXT NOT NULL,
    elapsed REAL
);
{RECOMMENDATIONS};
{EVENTS};
{CHANGES};
{FIRST_CHANGE};
{PROPOSALS_BY_TRIAL};
{PROPOSALS_BY_INDICES};
{BASELINES_BY_NAME};
"""
# a version of the schema to what makes it the next
MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (RECOMMENDATIONS,),
    2: (
        "ALTER TABLE trials ADD COLUMN baseline TEXT",
        "ALTER TABLE trials ADD COLUMN adapted TEXT",
        PROPOSALS_BY_TRIAL,
        BASELINES_BY_NAME,
    ),
    3: (
        "ALTER TABLE trials ADD COLUMN session INTEGER REFERENCES sessions (id)",
        "ALTER TABLE trials ADD COLUMN reused TEXT",
        "ALTER TABLE sessions ADD COLUMN elapsed REAL",
        "UPDATE trials SET session = (SELECT MAX(id) FROM sessions WHERE started_at <= finished_at) "
        "WHERE arrival IS NOT NULL",
        "UPDATE sessions SET elapsed = MAX(0, ended_at - started_at)",
        EVENTS,
        CHANGES,
        FIRST_CHANGE,
        PROPOSALS_BY_INDICES,
    ),
}
# what selects baselines without looking at every trial
BASELINES = "INDEXED BY trials_by_baseline WHERE baseline >= ''"
# what makes a trial a candidate: it is no baseline, or the controller proposed it all the same
CANDIDATE = "(baseline IS NULL OR id IN (SELECT trial FROM proposals))"
_COLUMNS = (
    "id, key, protocol, seed, choices, architecture, macs, params, status, attempts, accuracy, reward, "
    "error, arrival, curve, seconds"
)


def trial_columns(version: int) -> str:
    """What `trial_from_row` reads, of a journal of this version."""
    baseline = "baseline, adapted" if version >= 3 else "NULL, NULL"
    return f"{_COLUMNS}, {baseline}, {candidate(version)}, {'reused' if version >= 4 else 'NULL'}"


def candidate(version: int) -> str:
    """The condition on a trial to be a candidate, in a journal of this version."""
    return CANDIDATE if version >= 3 else "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """A proposal as the journal keeps it.

    Attributes:
        trial: the candidate it asks for, perhaps one that was proposed before.
        asked, told: versions of the ask and of the tell; told is None before.
    """

    id: int
    trial: int
    indices: tuple[int, ...]
    log_prob: float | None
    asked: int
    told: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrial:
    """A candidate about to be proposed for the first time, or a baseline.

    Attributes:
        baseline, adapted: as of a `Trial`.
    """

    key: str
    protocol: str
    seed: int
    choices: Mapping[str, Any]
    architecture: Mapping[str, Any]
    macs: int
    params: int
    baseline: str | None = None
    adapted: str | None = None


class EvaluatorFacts(NamedTuple):
    """What measures the candidates of a run.

    Attributes:
        fingerprint: of protocol and data.
        num_classes, in_channels: of the networks that were trained, for their cost.
    """

    fingerprint: str
    num_classes: int
    in_channels: int


class Recommendation(NamedTuple):
    """A change of mind of the controller about the network to bet on.

    Attributes:
        version: of the tell after which it was made.
        trial: the candidate.
        made_at: Unix time.
    """

    version: int
    trial: int
    made_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One stretch of a search, from its start to its end.

    Attributes:
        id: counts from 1.
        started_at, ended_at: Unix time; the end is None while it runs, or when it was killed.
        outcome: how it ended: ``finished``, ``exhausted``, ``interrupted`` or ``error``.
        workers: candidates at a time.
        environment: versions and machine.
        elapsed: seconds from its start to its last result or its end, by a clock that no one sets; None
            before the first.
    """

    id: int
    started_at: float
    ended_at: float | None
    outcome: str | None
    workers: int | None
    environment: dict[str, Any]
    elapsed: float | None


class Event(NamedTuple):
    """Something that happened to a search besides results.

    Attributes:
        session: in which it did; None between sessions.
        at: Unix time.
        kind: such as ``worker lost``.
        text: one line.
    """

    session: int | None
    at: float
    kind: str
    text: str


def dumps(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)


def trial_from_row(row: tuple[Any, ...]) -> Trial:
    return Trial(
        id=row[0],
        key=row[1],
        protocol=row[2],
        seed=row[3],
        choices=json.loads(row[4]),
        architecture=json.loads(row[5]),
        macs=row[6],
        params=row[7],
        status=row[8],
        attempts=row[9],
        accuracy=row[10],
        reward=row[11],
        error=row[12],
        arrival=row[13],
        curve=json.loads(row[14]),
        seconds=row[15],
        baseline=row[16],
        adapted=row[17],
        proposed=bool(row[18]),
        reused=row[19],
    )
