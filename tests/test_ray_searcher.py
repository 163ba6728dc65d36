"""What a search is told of the ends of trials, without Ray's processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainers import Candidate, Result, WorkerNeeds

NODE = {"NodeID": "n", "Alive": True, "NodeManagerAddress": "10.0.0.1", "NodeManagerHostname": "host"}
NODE_DIED = "The actor died unexpectedly.\nThe actor died because its node has died. Node Id: abc\n"


class Told:
    """A searcher with one candidate, and what it tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, weights: Path | None = None, **options: Any) -> None:
        from search_space import load_space
        from trainers import ray_nodes
        from trainers.ray_searcher import CandidateSearcher

        monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: [{**NODE, "Resources": {"CPU": 1.0}}])
        space = load_space("digits")
        architecture = space.decode([0] * len(space.decisions))
        queue = [Candidate(id=1, architecture=architecture, seed=0, weights_path=weights)]
        nodes = ray_nodes.Nodes(WorkerNeeds(), None, None, None, lambda kind, text: None)
        nodes.begin()
        self.results: list[Result] = []
        self.searcher = CandidateSearcher(
            lambda: queue.pop() if queue else None,
            self.results.append,
            lambda: False,
            lambda kind, text: None,
            nodes,
            threads=1,
            time_limit=options.get("time_limit"),
        )
        assert self.searcher.suggest("t") is not None
        self.searcher.on_started("t")


@pytest.mark.parametrize(
    ("reason", "status", "error"),
    [
        (NODE_DIED, "lost", "its node died"),  # Ray notices that seconds later
        ("Worker exit type: SYSTEM_ERROR", "failed", "took longer than the limit of 1e-09 s"),
        ("", "failed", "took longer than the limit of 1e-09 s"),
    ],
)
def test_a_node_that_dies_is_not_a_candidate_that_took_too_long(
    monkeypatch: pytest.MonkeyPatch, reason: str, status: str, error: str
) -> None:
    told = Told(monkeypatch, time_limit=1e-9)
    told.searcher.on_trial_complete("t", error=True)
    told.searcher.on_death("t", reason)
    told.searcher.on_death("t", "")  # it is told once
    assert [(result.status, result.error) for result in told.results] == [("running", None), (status, error)]
    assert told.searcher.error is None


@pytest.mark.parametrize("fault", ["disk", "node"])
def test_weights_that_do_not_come_home_cost_no_result(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    from trainers import ray_searcher

    def get(reference: str, timeout: float) -> bytes:
        if fault == "node":
            raise ray_searcher.ray.exceptions.ObjectLostError("00", None, "")
        return b"weights"

    def no_room(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ray_searcher.ray, "get", get)
    if fault == "disk":
        monkeypatch.setattr(Path, "write_bytes", no_room)
    told = Told(monkeypatch, weights=in_tmp / "weights" / "1.safetensors")
    told.searcher.on_weights("t", "reference")
    assert told.searcher.error is None
    assert "1.safetensors: the weights are not kept: " in caplog.text
    assert not list((in_tmp / "weights").glob("*"))
    outcome = '{"status": "done", "error": null, "seconds": 1.0, "curve": [{"accuracy": 0.5}]}'
    told.searcher.on_trial_complete("t", {"outcome": outcome})
    assert [result.status for result in told.results] == ["running", "done"]
