"""The same configuration and seed give the same journal, clocks and durations apart."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nas import open_run, parse_config, run_search

TIMES = {"started_at", "ended_at", "elapsed", "environment", "finished_at", "seconds", "made_at", "at"}


def timeless(name: str) -> dict[str, Any]:
    """All that a journal holds, but what a clock says."""
    with sqlite3.connect(open_run(name).journal_path) as raw:
        raw.row_factory = sqlite3.Row
        tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            table: [
                {key: row[key] for key in row.keys() if key not in TIMES}  # noqa: SIM118 -- a Row has no items
                for row in raw.execute(f"SELECT * FROM {table}")
            ]
            for table in tables
        }
    raw.close()
    for row in found["trials"]:
        row["curve"] = [
            {metric: value for metric, value in epoch.items() if "seconds" not in metric}
            for epoch in json.loads(row["curve"])
        ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("controller", ["dyna", "ppo", "evolution"])
def test_two_searches_in_one_process_have_equal_journals(in_tmp: Path, controller: str) -> None:
    for name in ("first", "second"):
        settings = {
            "name": name,
            "space": "digits",
            "seed": 11,
            "objective": {"target": 1e6},
            "protocol": {"epochs": 2, "batch": 64, "subset": 128, "image_size": 16, "shift": 1},
            "baselines": [],
            "controller": {"name": controller, "options": {"first": 4} if controller == "dyna" else {}},
            "search": {"candidates": 4 if controller != "dyna" else 7},
            "executor": {"kind": "inline"},
        }
        run_search(parse_config(settings))
    first, second = timeless("first"), timeless("second")
    assert [trial["status"] for trial in first["trials"]] == ["done"] * len(first["trials"])
    assert first == second  # also the controller's state, as bytes
