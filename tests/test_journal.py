"""The journal: what is committed, and what is refused."""

import sqlite3
from dataclasses import replace

import pytest

from results import EvaluatorFacts, Journal, NewTrial
from search_space import InputError


def new_trial(key: str, seed: int = 0) -> NewTrial:
    return NewTrial(key=key, protocol="p", seed=seed, choices={"a": 1}, architecture={}, macs=10, params=5)


@pytest.fixture
def journal(tmp_path):
    journal = Journal.create(tmp_path / "journal.db")
    yield journal
    journal.close()


def results(journal: Journal) -> int:
    """Results of candidates in the last session."""
    return journal.results_of(journal.sessions()[-1])


def propose(journal: Journal, version: int, *keys: str) -> list[tuple[int, bool]]:
    return journal.propose(version, b"state%d" % version, [((0,), -1.5, new_trial(key)) for key in keys])


def test_a_proposal_is_pending_with_the_controllers_state(journal: Journal) -> None:
    assert propose(journal, 1, "k1", "k2") == [(1, True), (2, True)]
    assert journal.counts() == {"pending": 2}
    assert journal.controller_state() == (1, b"state1")
    trial = journal.trial(1)
    assert trial is not None
    assert (trial.key, trial.choices, trial.macs, trial.accuracy) == ("k1", {"a": 1}, 10, None)


def test_the_same_measurement_is_never_a_second_trial(journal: Journal) -> None:
    propose(journal, 1, "k1")
    assert propose(journal, 2, "k1", "k2", "k1") == [(1, False), (2, True), (1, False)]
    assert len(journal.trials()) == 2
    assert [row.trial for row in journal.proposals()] == [1, 1, 2, 1]
    # another seed is another measurement
    assert journal.propose(3, b"", [((0,), None, new_trial("k1", seed=1))]) == [(3, True)]


def test_results_are_numbered_in_the_order_of_arrival_and_counted_once(journal: Journal) -> None:
    propose(journal, 1, "k1", "k2")
    assert journal.finish(2, "done", accuracy=0.5, reward=0.4)
    assert journal.finish(1, "failed", error="out of memory")
    assert not journal.finish(2, "done", accuracy=0.9, reward=0.9)  # late news of a finished trial
    first, second = journal.trials()
    assert (first.arrival, first.status, first.accuracy, first.error) == (2, "failed", None, "out of memory")
    assert (second.arrival, second.accuracy, second.reward) == (1, 0.5, 0.4)


def test_a_failed_trial_cannot_carry_an_accuracy(journal: Journal) -> None:
    propose(journal, 1, "k1")
    with pytest.raises(sqlite3.IntegrityError):
        journal.finish(1, "failed", accuracy=0.5)
    with pytest.raises(sqlite3.IntegrityError):
        journal.finish(1, "done")
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.finish(1, "failed", curve=[{"loss": float("nan")}])
    assert journal.counts() == {"pending": 1}


def test_untold_results_come_in_order_of_arrival_with_all_their_proposals(journal: Journal) -> None:
    propose(journal, 1, "k1", "k2", "k1")
    assert journal.untold() == []
    journal.finish(2, "done", accuracy=0.5, reward=0.4)
    journal.finish(1, "done", accuracy=0.6, reward=0.5)
    assert [(t.id, [r.id for r in rows]) for t, rows in journal.untold()] == [(2, [2]), (1, [1, 3])]
    journal.told(2, b"after", [2])
    assert [t.id for t, _ in journal.untold()] == [1]
    assert journal.controller_state() == (2, b"after")


def test_a_new_session_queues_what_was_running_without_counting_the_attempt(journal: Journal) -> None:
    propose(journal, 1, "k1", "k2")
    journal.begin_session({})
    journal.start(1)
    journal.finish(2, "failed", error="x")
    assert journal.counts() == {"running": 1, "failed": 1}
    journal.begin_session({})
    trial = journal.trial(1)
    assert trial is not None
    assert (trial.status, trial.attempts) == ("pending", 0)
    assert journal.next_pending({1}) is None


def test_a_failed_transaction_leaves_nothing(journal: Journal) -> None:
    propose(journal, 1, "k1")
    broken = NewTrial(key="k9", protocol="p", seed=0, choices={}, architecture={}, macs=None, params=1)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        journal.propose(2, b"state2", [((0,), None, new_trial("k2")), ((0,), None, broken)])
    assert [trial.key for trial in journal.trials()] == ["k1"]
    assert journal.controller_state() == (1, b"state1")


def test_readers_see_what_is_committed_while_a_writer_writes(journal: Journal) -> None:
    propose(journal, 1, "k1")
    reader = Journal.read(journal.path)
    journal.start(1)
    assert reader.counts() == {"running": 1}
    assert not hasattr(reader, "start")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM trials")
    reader.close()


def test_another_evaluator_is_refused(journal: Journal) -> None:
    journal.bind_evaluator(EvaluatorFacts("protocol-a", 10, 1))
    journal.bind_evaluator(EvaluatorFacts("protocol-a", 10, 1))
    with pytest.raises(InputError, match="would not compare"):
        journal.bind_evaluator(EvaluatorFacts("protocol-b", 10, 1))


def test_a_newer_schema_is_refused(journal: Journal) -> None:
    journal.close()
    with sqlite3.connect(journal.path) as raw:
        raw.execute("PRAGMA user_version = 99")
    for opened in (Journal.open, Journal.read):
        with pytest.raises(
            InputError, match="has schema 99, written by a newer version; this one reads up to 4"
        ):
            opened(journal.path)


def test_a_recommendation_is_noted_when_it_changes_and_only_of_a_finished_network(journal: Journal) -> None:
    rows = [((i,), None, new_trial(f"k{i}")) for i in range(4)]
    journal.propose(1, b"", rows)
    journal.finish(1, "done", accuracy=0.5, reward=0.4)
    journal.finish(2, "done", accuracy=0.6, reward=0.5)
    journal.finish(3, "failed", error="out of memory")
    assert (journal.recommended(), journal.recommendations()) == (None, [])
    journal.told(2, b"", [1], None)
    assert journal.recommended() is None
    # the second twice; one that failed, one that is open, one that nobody proposed; the first; the second
    for version, indices in enumerate([(1,), (1,), (2,), (3,), (9,), (0,), (1,)], start=3):
        journal.told(version, b"", [], indices)
    made = journal.recommendations()
    assert [(row.version, row.trial) for row in made] == [(3, 2), (8, 1), (9, 2)]
    assert made[0].made_at <= made[1].made_at <= made[2].made_at
    assert journal.recommended() == journal.trial(2)
    reader = Journal.read(journal.path)
    assert reader.recommended() == journal.trial(2)
    reader.close()


def test_a_recommendation_is_committed_with_what_was_told_or_not_at_all(journal: Journal) -> None:
    propose(journal, 1, "k1")
    journal.finish(1, "done", accuracy=0.5, reward=0.4)
    journal.told(2, b"after", [1], (0,))
    journal.propose(3, b"asked", [((1,), None, new_trial("k2"))])
    journal.finish(2, "done", accuracy=0.5, reward=0.4)
    with pytest.raises(sqlite3.IntegrityError):
        journal.told(2, b"again", [2], (1,))  # a version is used once
    assert journal.controller_state() == (3, b"asked")
    assert [row.told for row in journal.proposals()] == [2, None]


# the schema of version 1, as it was
V1 = """
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, protocol TEXT NOT NULL, seed INTEGER NOT NULL,
    choices TEXT NOT NULL, architecture TEXT NOT NULL, macs INTEGER NOT NULL, params INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'done', 'failed', 'stopped')),
    attempts INTEGER NOT NULL DEFAULT 0, accuracy REAL, reward REAL, error TEXT, arrival INTEGER UNIQUE,
    curve TEXT NOT NULL DEFAULT '[]', seconds REAL NOT NULL DEFAULT 0, finished_at REAL,
    UNIQUE (key, protocol, seed),
    CHECK ((status = 'done') = (accuracy IS NOT NULL)),
    CHECK ((status IN ('done', 'failed', 'stopped')) = (arrival IS NOT NULL))
);
CREATE INDEX trials_by_status ON trials (status, id);
CREATE TABLE proposals (
    id INTEGER PRIMARY KEY, trial INTEGER NOT NULL REFERENCES trials (id), indices TEXT NOT NULL,
    log_prob REAL, asked INTEGER NOT NULL, told INTEGER
);
CREATE INDEX proposals_untold ON proposals (trial) WHERE told IS NULL;
CREATE TABLE controller (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, state BLOB NOT NULL
);
CREATE TABLE evaluator (
    one INTEGER PRIMARY KEY CHECK (one = 1), fingerprint TEXT NOT NULL, num_classes INTEGER NOT NULL,
    in_channels INTEGER NOT NULL
);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, started_at REAL NOT NULL, ended_at REAL, outcome TEXT, workers INTEGER,
    environment TEXT NOT NULL
);
INSERT INTO trials (id, key, protocol, seed, choices, architecture, macs, params, status, accuracy, reward,
                    arrival) VALUES (1, 'k1', 'p', 0, '{"a": 1}', '{}', 10, 5, 'done', 0.5, 0.4, 1);
INSERT INTO proposals VALUES (1, 1, '[0]', -1.5, 1, NULL);
INSERT INTO controller VALUES (1, 1, x'00');
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path):
    """A journal of version 1 with one result that was not told."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(V1)
    raw.close()
    return path


def tables(path) -> tuple[int, set[object]]:
    """Version, columns and indexes."""
    raw = sqlite3.connect(path)
    names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    columns = {(name, *row[:3]) for name in names for row in raw.execute(f"PRAGMA table_info({name})")}
    indexes = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    raw.close()
    return version, columns | indexes


def test_a_journal_of_version_1_is_read_as_it_is(old) -> None:
    before = old.read_bytes()
    reader = Journal.read(old)
    assert [trial.key for trial in reader.trials()] == ["k1"]
    assert (reader.recommended(), reader.recommendations()) == (None, [])
    writer = Journal.open(old)  # a reader that was there before sees what comes
    writer.told(2, b"", [1], (0,))
    assert reader.recommended() == reader.trial(1)
    reader.close()
    writer.close()
    assert old.read_bytes() != before


def test_reading_a_journal_of_version_1_changes_nothing(old) -> None:
    before = old.read_bytes()
    reader = Journal.read(old)
    reader.recommendations()
    reader.close()
    assert old.read_bytes() == before


def test_a_journal_of_version_1_is_migrated_when_it_is_written(old, tmp_path) -> None:
    journal = Journal.open(old)
    assert [trial.key for trial in journal.trials()] == ["k1"]
    assert journal.recommendations() == []
    ((trial, rows),) = journal.untold()
    journal.told(2, b"after", [row.id for row in rows], (0,))
    assert journal.recommended() == trial
    journal.close()
    Journal.create(tmp_path / "new.db").close()
    assert tables(old) == tables(tmp_path / "new.db")
    again = Journal.open(old)
    assert again.recommended() == trial
    again.close()


def test_a_migration_that_fails_leaves_the_journal_as_it_was(old) -> None:
    raw = sqlite3.connect(old)
    raw.execute("CREATE TABLE recommendations (in_the_way)")
    raw.close()
    before = tables(old)
    with pytest.raises(
        InputError, match="cannot be brought to schema 4: table recommendations already exists"
    ):
        Journal.open(old)
    assert tables(old) == before


# what made version 2 of version 1
V2 = """
CREATE TABLE recommendations (
    version INTEGER PRIMARY KEY, trial INTEGER NOT NULL REFERENCES trials (id), made_at REAL NOT NULL
);
INSERT INTO trials (id, key, protocol, seed, choices, architecture, macs, params)
    VALUES (2, 'k2', 'p', 0, '{}', '{}', 10, 5);
INSERT INTO proposals VALUES (2, 2, '[1]', -1.5, 1, NULL);
INSERT INTO recommendations VALUES (1, 1, 0.0);
PRAGMA user_version = 2;
"""


@pytest.fixture
def second(old):
    """A journal of version 2 with one result, told, and one proposal that waits."""
    with sqlite3.connect(old) as raw:
        raw.executescript(V2)
    raw.close()
    return old


def test_a_journal_of_version_2_is_read_as_it_is(second) -> None:
    before = second.read_bytes()
    reader = Journal.read(second)
    assert [(t.key, t.baseline, t.adapted, t.proposed) for t in reader.trials()] == [
        ("k1", None, None, True),
        ("k2", None, None, True),
    ]
    assert reader.candidates() == reader.trials()
    assert (reader.baselines(), reader.counts()) == ([], {"done": 1, "pending": 1})
    assert reader.recommended() == reader.trial(1)
    reader.close()
    assert second.read_bytes() == before


def test_a_journal_of_version_2_is_migrated_when_it_is_written(second, tmp_path) -> None:
    reader = Journal.read(second)  # that was there before
    journal = Journal.open(second)
    assert [trial.key for trial in journal.candidates()] == ["k1", "k2"]
    journal.set_baselines([baseline("b0", "k3"), baseline("k1 too", "k1")])
    assert [(t.id, t.baseline, t.proposed) for t in journal.baselines()] == [
        (1, "k1 too", True),
        (3, "b0", False),
    ]
    assert reader.baselines() == journal.baselines()
    reader.close()
    journal.close()
    Journal.create(tmp_path / "new.db").close()
    assert tables(second) == tables(tmp_path / "new.db")


V3 = """
ALTER TABLE trials ADD COLUMN baseline TEXT;
ALTER TABLE trials ADD COLUMN adapted TEXT;
CREATE INDEX proposals_by_trial ON proposals (trial);
CREATE UNIQUE INDEX trials_by_baseline ON trials (baseline);
INSERT INTO sessions VALUES (1, 100.0, 160.0, 'finished', 2, '{}'), (2, 200.0, NULL, NULL, 1, '{}');
UPDATE trials SET finished_at = 250.0 WHERE arrival IS NOT NULL;
PRAGMA user_version = 3;
"""


def test_a_journal_of_version_3_is_read_as_it_is_and_migrated(second, tmp_path) -> None:
    raw = sqlite3.connect(second)
    raw.executescript(f"DELETE FROM sessions; {V3}")
    raw.close()
    reader = Journal.read(second)  # that was there before
    first, last = reader.sessions()
    assert (first.elapsed, last.elapsed, reader.events()) == (60.0, None, [])
    assert (reader.results_of(first), reader.results_of(last)) == (1, 1)  # by the clock, which may go back
    assert [trial.reused for trial in reader.trials()] == [None, None]
    journal = Journal.open(second)
    assert (journal.results_of(first), journal.results_of(last)) == (0, 1)
    assert journal.sessions() == [first, last]
    journal.begin_session({})
    assert [event.kind for event in reader.events()] == ["session killed"]
    reader.close()
    journal.close()
    Journal.create(tmp_path / "new.db").close()
    assert tables(second) == tables(tmp_path / "new.db")


def baseline(name: str, key: str) -> NewTrial:
    return replace(new_trial(key), choices={}, baseline=name, adapted="32 pixels")


def test_a_baseline_waits_before_candidates_and_is_none(journal: Journal) -> None:
    journal.begin_session({})
    propose(journal, 1, "k1")
    journal.set_baselines([baseline("b0", "k0")])
    assert (journal.counts(), [t.key for t in journal.candidates()]) == ({"pending": 1}, ["k1"])
    first = journal.next_pending(set())
    assert first is not None
    assert (first.id, first.baseline, first.adapted, first.proposed) == (2, "b0", "32 pixels", False)
    second = journal.next_pending({2})
    assert second is not None
    assert (second.id, second.baseline, second.proposed) == (1, None, True)
    journal.finish(2, "done", accuracy=0.9, reward=0.9)
    assert (journal.untold(), results(journal)) == ([], 0)
    # the controller proposes the same network: it is answered, and is a candidate with its choices
    assert propose(journal, 2, "k0", "k0") == [(2, True), (2, False)]
    ((told, rows),) = journal.untold()
    assert (told.id, told.choices, told.baseline, len(rows)) == (2, {"a": 1}, "b0", 2)
    assert (journal.counts(), results(journal)) == ({"done": 1, "pending": 1}, 1)


def test_baselines_come_and_go_until_they_are_measured(journal: Journal) -> None:
    journal.set_baselines([baseline("a", "ka"), baseline("b", "kb"), baseline("c", "kc")])
    journal.begin_session({})
    journal.finish(2, "failed", error="out of memory")
    propose(journal, 1, "kc")
    journal.start(1)  # and the process is killed
    journal.set_baselines([])
    assert [(t.id, t.status) for t in journal.baselines()] == [(2, "failed")]
    assert [(t.key, t.baseline) for t in journal.candidates()] == [("kc", None)]
    journal.set_baselines([baseline("again", "kb")])  # the network that was measured, renamed
    assert [(t.id, t.baseline, t.status) for t in journal.baselines()] == [(2, "again", "failed")]
    before = journal.trials()
    with pytest.raises(InputError, match="the baseline again was another network when it was trained"):
        journal.set_baselines([baseline("new", "kn"), baseline("again", "kx")])
    assert journal.trials() == before


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to look at" * 50])
def test_what_is_no_journal_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"journal.db: (is no journal|cannot be read as a journal)"):
        Journal.read(path)


def test_create_never_overwrites(journal: Journal) -> None:
    with pytest.raises(InputError, match="exists already"):
        Journal.create(journal.path)
