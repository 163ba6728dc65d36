"""Searches on a cluster: refused in one line, or joined; nodes come and go; what listens, and to whom."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas import InputError, open_run, run_search
from search_space import FieldError
from tests.scripted import Hungry
from tests.searching import Scripted, config
from tests.test_executors import Book
from trainers import WorkerNeeds, create_executor
from trainers.prepare import PrepareOptions, prepare

ROOT = Path(__file__).parent.parent


# --- addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "ray://10.0.0.1:10001",
            "under the Ray client Tune would run on the cluster, away from the run folder",
        ),
        ("10.0.0.1", "must be auto or HOST:PORT, such as 10.0.0.1:6379"),
        (":6379", "must be auto or HOST:PORT"),
        ("10.0.0.1:port", "must be auto or HOST:PORT"),
        ("10.0.0.1:70000", "must be auto or HOST:PORT"),
        ("http://10.0.0.1:8265", "must be auto or HOST:PORT"),
        ("local", "must be auto or HOST:PORT"),
        ("", "must be auto or HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_joined_is_refused(in_tmp: Path, address: str, message: str) -> None:
    settings = config(executor={"kind": "ray"})
    with pytest.raises(InputError, match=f"^--address {address}: {message}") as caught:
        run_search(settings, evaluator=Scripted(in_tmp / "diary"), address=address)
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_auto_follows_ray_address_but_not_to_a_client(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    with pytest.raises(InputError, match="^--address auto, which RAY_ADDRESS says is ray://.*Ray client"):
        create_executor("ray", scratch=in_tmp, address="auto")


def test_auto_in_ray_address_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import utils

    from trainers.ray_connection import _place_of

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(utils, "read_ray_address", lambda: "10.0.0.1:6379")
    assert _place_of("auto") == "10.0.0.1:6379"
    monkeypatch.setattr(utils, "read_ray_address", lambda: None)
    with pytest.raises(InputError, match="no Ray cluster runs on this machine"):
        _place_of("auto")


def test_one_process_joins_no_cluster(in_tmp: Path) -> None:
    with pytest.raises(InputError, match="--address is for the executor ray, and executor.kind is inline"):
        run_search(config(), evaluator=Scripted(in_tmp / "diary"), address="auto")
    with pytest.raises(FieldError, match="executor.memory is for the executor ray"):
        create_executor("inline", scratch=in_tmp, memory=1.0)


def test_without_a_cluster_there_is_one_line_soon_and_no_run(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import ray_connection

    monkeypatch.setattr(ray_connection, "ANSWER_SECONDS", 0.3)
    settings = config(executor={"kind": "ray"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(InputError, match="what answers there is no Ray cluster"):
            run_search(settings, evaluator=Scripted(in_tmp / "diary"), address=f"127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(
        InputError, match=f"--address 127.0.0.1:{port}: no Ray cluster answers there: .*refused"
    ):
        run_search(settings, evaluator=Scripted(in_tmp / "diary"), address=f"127.0.0.1:{port}")
    assert time.monotonic() - began < 10
    assert not Path("runs").exists()


# --- nodes, without Ray -----------------------------------------------------------------------------------


def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {
        "NodeID": name,
        "Alive": alive,
        "NodeManagerAddress": name,
        "NodeManagerHostname": "host",
        "Resources": resources,
    }


def test_capacity_follows_the_nodes_and_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers import ray_nodes

    there = [node("10.0.0.1", CPU=2.0), node("10.0.0.2", alive=False, CPU=8.0)]
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: there)
    monkeypatch.setattr(ray_nodes, "READ_EVERY", 0.0)
    nodes = ray_nodes.Nodes(WorkerNeeds(), None, None, 600.0, lambda kind, text: told.append((kind, text)))
    nodes.begin()
    assert (nodes.capacity, told) == (2, [])  # what is there at the start is no news
    there.append(node("10.0.0.3", CPU=4.0))
    nodes.look()
    assert nodes.capacity == 6
    del there[0]
    nodes.look()
    assert nodes.capacity == 4
    assert told == [
        ("node joined", "10.0.0.3 (host): 4 processors and 0 GPUs, room for 4"),
        ("node left", "10.0.0.1 (host): 2 processors and 0 GPUs, room for 2"),
    ]


def test_a_search_waits_for_a_node_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from trainers import ray_nodes

    there = [node("10.0.0.1", CPU=2.0)]
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: there)
    monkeypatch.setattr(ray_nodes, "READ_EVERY", 0.0)
    now = [0.0]
    monkeypatch.setattr(ray_nodes.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(ray_nodes, "WARN_AFTER", 0.0)
    nodes = ray_nodes.Nodes(WorkerNeeds(cpus=4), None, None, 0.2, lambda kind, text: None)
    nodes.begin()
    nodes.look()
    nodes.look()
    assert [r.getMessage() for r in caplog.records] == [
        "no node has room for a worker, which wants 4 processors and 0 GPUs; "
        "10.0.0.1 (host) has 2 processors and 0 GPUs; waiting until one joins, 0 s at most"
    ]
    there.append(node("10.0.0.2", CPU=4.0))
    nodes.look()
    there.pop()
    nodes.look()  # the clock begins anew
    now[0] += 0.25
    with pytest.raises(
        InputError, match="no node has had room for a worker, which wants 4 processors.*try again"
    ):
        nodes.look()


def test_a_node_is_asked_before_it_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from types import SimpleNamespace

    from trainers import ray_nodes

    ours = ray_nodes.versions()
    answers = {"10.0.0.1": ours, "10.0.0.2": {**ours, "torch": "1.0"}}
    there = [node(name, CPU=2.0) for name in answers]
    told: list[tuple[str, str]] = []
    asked = SimpleNamespace(
        options=lambda scheduling_strategy: SimpleNamespace(remote=lambda shared: scheduling_strategy.node_id)
    )
    monkeypatch.setattr(ray_nodes, "_inspect", asked)
    monkeypatch.setattr(
        ray_nodes, "NodeAffinitySchedulingStrategy", lambda i, soft: SimpleNamespace(node_id=i)
    )
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: there)
    monkeypatch.setattr(ray_nodes.ray, "wait", lambda refs, timeout: ([r for r in refs if r in answers], []))
    monkeypatch.setattr(ray_nodes.ray, "get", lambda name: answers[name])
    monkeypatch.setattr(ray_nodes, "READ_EVERY", 0.0)

    def nodes() -> Any:
        return ray_nodes.Nodes(
            WorkerNeeds(), None, ("evaluator",), 600.0, lambda k, text: told.append((k, text))
        )

    watched = nodes()
    watched.begin()
    assert (watched.capacity, told) == (4, [])
    assert "node 10.0.0.2 (host) has torch 1.0, here is" in caplog.text
    there.append(node("10.0.0.3", CPU=8.0))
    watched.look()
    assert (watched.capacity, told) == (4, [])  # no answer yet
    answers["10.0.0.3"] = {**ours, "trainer": 1}
    watched.look()
    watched.look()
    reason = "has another version of this project (trainer 1, here"
    assert watched.capacity == 4
    assert [(kind, text.partition(reason)[0]) for kind, text in told] == [
        ("worker did not start", "10.0.0.3 (host): ")
    ]
    with pytest.raises(InputError, match=r"^node 10.0.0.3 \(host\): has another version of this project"):
        nodes().begin()  # at the start it is the user's mistake
    monkeypatch.setattr(ray_nodes, "REFUSED_SECONDS", 0.0)
    watched.look()
    assert len(told) == 1  # asked again, it says the same
    answers["10.0.0.3"] = ours  # the project was brought up to date there
    watched.look()
    assert watched.capacity == 12
    assert told[-1][0] == "node joined"


def test_a_node_to_which_ray_could_not_bring_an_object_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from types import SimpleNamespace

    from ray.exceptions import OwnerDiedError, RayTaskError

    from trainers import ray_nodes

    lost = OwnerDiedError("a" * 56, "", "")
    answers = [lost, RayTaskError("_inspect", "", lost), ray_nodes.versions()]
    monkeypatch.setattr(
        ray_nodes,
        "_inspect",
        SimpleNamespace(options=lambda **o: SimpleNamespace(remote=lambda shared: "ref")),
    )
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: [node("0" * 56, CPU=2.0)])
    monkeypatch.setattr(ray_nodes.ray, "wait", lambda refs, timeout: (refs, []))
    monkeypatch.setattr(ray_nodes, "READ_EVERY", 0.0)

    def get(ref: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ray_nodes.ray, "get", get)
    told: list[str] = []
    nodes = ray_nodes.Nodes(WorkerNeeds(), None, ("evaluator",), 600.0, lambda kind, text: told.append(text))
    nodes.begin()
    assert (nodes.capacity, answers, told) == (2, [], [])


def test_weights_are_taken_from_a_report_before_tune_keeps_it() -> None:
    from types import SimpleNamespace

    from trainers.ray_searcher import Hooks

    taken: list[tuple[str, bytes]] = []
    searcher = SimpleNamespace(on_weights=lambda trial_id, weights: taken.append((trial_id, weights)))
    result = {"accuracy": 0.5, "weights": b"0123", "done": True}
    Hooks(searcher).on_trial_result(0, [], SimpleNamespace(trial_id="t"), result)  # type: ignore[arg-type]
    assert taken == [("t", b"0123")]
    assert result == {"accuracy": 0.5, "done": True}


# --- a private instance -----------------------------------------------------------------------------------


def listening(session: str) -> list[str]:
    """Where the processes of this one's tree and of a Ray session listen, as /proc/net/tcp and tcp6 say."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                inodes[fields[9]] = fields[1].rpartition(":")[0]
    parents, ours = {}, {os.getpid()}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            if session in (folder / "cmdline").read_text():
                ours.add(int(folder.name))
        except OSError:
            continue
    for _ in parents:  # to the leaves
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        if not more:
            break
        ours |= more
    found = []
    for pid in ours:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = file.readlink().name
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                found.append(inodes[target[8:-1]])
    return found


def test_a_ray_that_does_not_start_is_one_line(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers import ray_connection

    def init(**options: Any) -> None:
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray's own
        raise OSError(30, "Read-only file\nsystem", "/root/.ray")

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setattr(ray_connection.ray, "init", init)
    with (
        pytest.raises(InputError, match="^Ray does not start on this machine: .*Read-only.*/root/.ray'$"),
        ray_connection.private_instance(1),
    ):
        pass
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc and RLIMIT_DATA are Linux's")
def test_a_private_instance_listens_to_this_machine_alone_and_its_workers_are_bounded(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # is for those who ask for a cluster
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    book, sockets = Book(4), []

    def record(result) -> None:
        if result.status == "done" and not sockets:
            sockets.extend(listening(Path(ray.nodes()[0]["RayletSocketName"]).parent.parent.name))
        book.record(result)

    executor = create_executor("ray", scratch=in_tmp / "scratch", workers=1, memory=0.5, gpus=0)
    executor.run(Hungry(greedy=book.candidates[2].architecture.key), book.next_candidate, record)
    assert "RAY_AUTH_MODE" not in os.environ
    assert len(sockets) >= 4  # the head, the raylet, a worker, the driver
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(sockets) <= loopback
    assert [book.results[n].status for n in (1, 2, 3, 4)] == ["done", "failed", "done", "done"]
    assert "MemoryError" in book.results[2].error
    assert not book.lost
    measured = [result.curve[-1].metrics for result in book.results.values() if result.status == "done"]
    assert {m["hidden"] for m in measured} == {1.0}
    assert {m["torch"] for m in measured} == {0.0}  # the evaluator has no need of it
    assert len({m["pid"] for m in measured}) == 1  # who was refused memory goes on


# --- a cluster --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 2**28},
        )
        yield made
        made.shutdown()


@pytest.mark.slow
def test_a_search_goes_on_while_nodes_leave_and_join(in_tmp: Path, cluster: Any) -> None:
    second = cluster.add_node(num_cpus=1, object_store_memory=2**28)
    diary = Scripted(in_tmp / "diary")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.searching",
            *["t", "ray", "4", "--seconds", "5", "--address"],
            cluster.address,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 150
        while len(set(diary.processes() if diary.lines("begin") else [])) < 2:  # both nodes have one
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)
        third = cluster.add_node(num_cpus=1, object_store_memory=2**28)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    cluster.remove_node(third)
    assert process.returncode == 0, err
    assert "node joined: " in err
    assert "node left: " in err
    trials = open_run("t").trials()
    assert [trial.status for trial in trials] == ["done"] * 4
    assert sorted(trial.attempts for trial in trials) == [1] * 3 + [2]  # what ran on the node that died
    ends = diary.lines("end")
    assert len(ends) == len(set(ends)) == 4
    weights = {open_run("t").weights_path(trial.id).read_text() for trial in trials}
    assert weights == {trial.key for trial in trials}  # also of those trained on another node


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="a node without our files needs root"
)
def test_a_node_needs_none_of_our_files_but_the_data_and_is_named_where_they_are_missing(
    in_tmp: Path, photos: Path, cluster: Any
) -> None:
    home = in_tmp / "home"
    home.mkdir()
    (home / "here").touch()
    prepare(photos, home / "photos", PrepareOptions(image_size=8, workers=1, validation=0.25))
    start = (
        f"mount -t tmpfs none {home} && mount -t tmpfs none /tmp/ray && exec {sys.executable} -m "
        f"ray.scripts.scripts start --address={cluster.address} --num-cpus=1 --resources='{{\"away\": 1}}' "
        "--object-store-memory=100000000 --block"
    )
    away = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", start], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        command = [sys.executable, "-m", "tests.away", str(home), cluster.address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        away.terminate()
        away.communicate(timeout=30)
