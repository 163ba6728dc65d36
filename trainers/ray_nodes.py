"""The nodes of a cluster while a search runs: which may be given candidates, and who came and went.

A node of a cluster that was joined is asked once, by a task that takes no resources, whether it can read the
evaluator and has our version of this project. Ray fetches the evaluator's data to the node for that, once, so
they are there when its workers start. What is not yet asked, or was refused, has no room.
"""

from __future__ import annotations

import importlib.metadata
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search_space import InputError
from trainers.executor import Notice
from trainers.protocol import TRAINER_VERSION
from trainers.worker_needs import WorkerNeeds

logger = logging.getLogger(__name__)

READ_EVERY = 1.0  # seconds
CHECK_SECONDS = 60.0  # that a search waits at its start for what nodes answer
CHECK_TRIES = 10  # of a node whose answer does not come for Ray's own reasons
REFUSED_SECONDS = 60.0  # until a refused node is asked again: what it lacked may have come
ASK_EVERY = 60.0  # seconds; a request for nodes is the cluster's, and another search may replace it
WARN_AFTER = 60.0  # seconds without a node for a worker

SharedEvaluator = tuple[Any]  # holds the reference, so that Ray does not fetch it before our code does


@dataclass(slots=True)
class _Node:
    name: str
    resources: Mapping[str, float]
    room: int
    state: str = "new"  # new, asked, good, refused
    answer: Any = None  # a reference, while it is asked
    tries: int = 0
    reason: str = ""
    refused_at: float = 0.0


class Nodes:
    """The nodes there are.

    Args:
        needs: of a worker.
        workers: candidates at a time at most; None is no bound.
        shared: what nodes are asked to read; None asks no node, as on a private instance.
        wait: seconds to go on without a node that has room for a worker; None is not at all.
        notice: told of nodes that join, leave or are refused after the start.
    """

    def __init__(
        self,
        needs: WorkerNeeds,
        workers: int | None,
        shared: SharedEvaluator | None,
        wait: float | None,
        notice: Notice,
    ) -> None:
        self._needs, self._workers, self._shared, self._wait = needs, workers, shared, wait
        self._notice = notice
        self._nodes: dict[str, _Node] = {}
        self._begun = False
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._roomless_since: float | None = None
        self._warned = False

    @property
    def capacity(self) -> int:
        """Candidates that run at a time on the nodes that were last seen."""
        room = sum(node.room for node in self._nodes.values() if node.state == "good")
        return room if self._workers is None else min(self._workers, room)

    def begin(self, abort: Callable[[], bool] = lambda: False) -> None:
        """Look at the nodes there are, and wait for their answers, or until `abort` says so.

        Raises:
            InputError: one cannot read the evaluator, or no node has room for a worker and there is no wait.
        """
        until = time.monotonic() + CHECK_SECONDS
        self._read()
        while any(node.state == "asked" for node in self._nodes.values()):
            if time.monotonic() >= until or abort():
                break
            time.sleep(0.05)
            self._read()
        for node in self._nodes.values():
            if node.state == "refused":
                raise InputError(f"node {node.name}: {node.reason}")
        self._begun = True
        if self._wait is None and self.capacity == 0:
            raise InputError(
                f"executor: a worker wants {self._needs.describe()}, "
                f"this machine has {self._needs.describe(ray.cluster_resources())}"
            )

    def end(self) -> None:
        """Take back what was asked of the cluster's autoscaler."""
        if self._asked_at > 0:
            ask_for_nodes([])

    def look(self) -> None:
        """Read, once a second, what nodes there are.

        Raises:
            InputError: for too long no node has had room for a worker.
        """
        now = time.monotonic()
        if now - self._read_at < READ_EVERY:
            return
        self._read()
        if self._wait is not None and self._workers is not None and now - self._asked_at > ASK_EVERY:
            self._asked_at = now
            ask_for_nodes([self._needs.bundle()] * self._workers)
        self._check_wait(now)

    def _check_wait(self, now: float) -> None:
        if self.capacity or self._wait is None:
            self._roomless_since, self._warned = None, False
            return
        self._roomless_since = now if self._roomless_since is None else self._roomless_since
        waited = now - self._roomless_since
        if waited >= self._wait:
            raise InputError(
                f"executor: for {waited:.0f} s no node has had room for a worker, which wants "
                f"{self._needs.describe()}; {self._there_are()}; try again when one has"
            )
        if waited >= WARN_AFTER and not self._warned:
            self._warned = True
            logger.warning(
                "no node has room for a worker, which wants %s; %s; waiting until one joins, %.0f s at most",
                self._needs.describe(),
                self._there_are(),
                self._wait,
            )

    def _there_are(self) -> str:
        nodes = [
            f"{node.name} has {self._needs.describe(node.resources)}"
            + (f" and is refused: {node.reason}" if node.state == "refused" else "")
            for node in self._nodes.values()
        ]
        more = [] if len(nodes) <= 5 else [f"and {len(nodes) - 5} nodes more"]
        return "; ".join(nodes[:5] + more) or "there are no nodes"

    def _read(self) -> None:
        self._read_at = time.monotonic()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        for node_id in self._nodes.keys() - alive.keys():
            node = self._nodes.pop(node_id)
            if node.state != "refused":
                self._notice("node left", self._brings(node))
        for node_id, facts in alive.items():
            if node_id not in self._nodes:
                name = f"{facts['NodeManagerAddress']} ({facts['NodeManagerHostname']})"
                room = self._needs.room(facts["Resources"])
                self._nodes[node_id] = _Node(name=name, resources=facts["Resources"], room=room)
            self._advance(node_id, self._nodes[node_id])

    def _brings(self, node: _Node) -> str:
        return f"{node.name}: {self._needs.describe(node.resources)}, room for {node.room}"

    def _advance(self, node_id: str, node: _Node) -> None:
        """Ask a node, or take its answer if that is there."""
        if node.state == "asked":
            self._take_answer(node)
        if node.state == "refused" and time.monotonic() - node.refused_at > REFUSED_SECONDS:
            node.state, node.tries = "new", 0
        if node.state != "new":
            return
        if self._shared is None or node.room == 0:
            self._accept(node)
            return
        node.state, node.tries = "asked", node.tries + 1
        strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
        node.answer = _inspect.options(scheduling_strategy=strategy).remote(self._shared)

    def _take_answer(self, node: _Node) -> None:
        if not ray.wait([node.answer], timeout=0)[0]:
            return
        try:
            facts = ray.get(node.answer)
        except Exception as error:  # the node is leaving, or cannot run our code
            ours = isinstance(error, ray.exceptions.RayTaskError) and not _of_ray(error.cause)
            if node.tries < CHECK_TRIES and not ours:
                node.state = "new"
                return
            reason = reason_of(error)
            # what answers for itself raises nothing
            facts = {"error": f"has another version of this project, or none: {reason}" if ours else reason}
        finally:
            node.answer = None
        reason = facts.get("error") or other_version(facts, versions())
        if not reason:
            _warn_of_torch(node.name, facts)
            self._accept(node)
            return
        known, node.state, node.reason = node.reason, "refused", reason
        node.refused_at = time.monotonic()
        if self._begun and reason != known:
            self._notice("worker did not start", f"{node.name}: {reason}")

    def _accept(self, node: _Node) -> None:
        node.state = "good"
        if self._begun:
            self._notice("node joined", self._brings(node))


def versions() -> dict[str, Any]:
    """What here is to be the same on all nodes."""
    # as installed: torch.__version__ is no plain string, and whoever unpickles it imports torch
    return {"trainer": TRAINER_VERSION, "torch": importlib.metadata.version("torch")}


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _inspect(shared: SharedEvaluator) -> dict[str, Any]:
    """Runs on a node: its versions, and why it cannot read the evaluator, if it cannot."""
    try:
        facts = versions()
        ray.get(shared[0])
    except Exception as error:
        if _of_ray(error):
            raise
        return {"error": reason_of(error)}
    return facts


def _of_ray(error: BaseException | None) -> bool:
    """Whether Ray could not bring an object just now, which says nothing of a node."""
    return isinstance(error, ray.exceptions.ObjectLostError)


def other_version(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Why a node with their versions trains nothing for a search with ours; empty where it may."""
    if theirs["trainer"] == ours["trainer"]:
        return ""
    return (
        f"has another version of this project (trainer {theirs['trainer']}, here {ours['trainer']}): install "
        "the same on all nodes"
    )


def _warn_of_torch(name: str, facts: Mapping[str, Any]) -> None:
    theirs, ours = facts["torch"], versions()["torch"]
    if theirs != ours:
        logger.warning("node %s has torch %s, here is %s: accuracies may differ", name, theirs, ours)


def this_node() -> str:
    """The node this process runs on, as a person knows it: ``10.0.0.3 (hostname)``."""
    return f"{ray.util.get_node_ip_address()} ({socket.gethostname()})"


def reason_of(error: BaseException) -> str:
    """Why something failed on a node, as one line without Ray's words around it."""
    if isinstance(error, ray.exceptions.RayTaskError) and isinstance(error.cause, BaseException):
        return reason_of(error.cause)
    text = str(error)
    if isinstance(
        error, ray.exceptions.RaySystemError
    ):  # an object that cannot be read says so in its middle
        text = text.partition("System error: ")[2].partition("\ntraceback:")[0] or text
    elif not isinstance(error, InputError):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        text = lines[-1] if lines else type(error).__name__
    return " ".join(text.split())[:500]


def ask_for_nodes(bundles: list[dict[str, float]]) -> None:
    """Tell a cluster's autoscaler for what it should have nodes, whatever runs; where there is none, nothing
    happens. Candidates that a search holds back are no demand that it sees."""
    from ray.autoscaler.sdk import request_resources

    try:
        request_resources(bundles=bundles)
    except Exception:
        logger.debug("the autoscaler was not told what is wanted", exc_info=True)
