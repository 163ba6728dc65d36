"""Shared by all tests: small spaces, and a folder of its own for each test's runs."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from controller import CONTROLLERS
from search_space import Decision, SearchSpace, load_space
from tests.images import class_folders
from trainers import create_executor


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In parallel, what waits most of its time comes first, and not all of it in one process."""
    if hasattr(config, "workerinput"):
        items[:] = shared_out(items, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def pytest_collection_finish() -> None:
    """What was imported stays: that is not looked through at every collection of garbage."""
    gc.collect()
    gc.freeze()


def shared_out(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The order of tests of which each of `workers` processes gets an equal run to begin with.

    One begins with the modules that fork, so that one fork server is enough, the others with what starts Ray
    in its own process, module by module in turns; all wait while others compute. What is left over at the end
    is short, and is stolen.
    """
    long = {item for item in items if item.get_closest_marker("slow") is not None}
    forks = {"Forked", "nas_command"}  # of tests.processes
    forking = [item for item in items if forks & vars(getattr(item, "module", None) or object).keys()]
    forking.sort(key=lambda item: item not in long)
    waiting = [item for item in items if item in long and item not in forking]
    begun = {*forking, *waiting}
    rest = [item for item in items if item not in begun]
    heads = [forking, *split(waiting, workers - 1)] if workers > 1 else [forking + waiting]
    shared: list[pytest.Item] = []
    for number in range(workers):
        size = (len(items) - len(shared)) // (workers - number)  # as xdist cuts them
        head = heads[number] if number < len(heads) else []
        fill = max(0, size - len(head))
        shared += [*head, *rest[:fill]]
        del rest[:fill]
    return shared + rest


def split(items: list[pytest.Item], parts: int) -> list[list[pytest.Item]]:
    """Tests in so many lists, those of a module in one: what starts Ray does so once a module."""
    modules = [id(getattr(item, "module", None)) for item in items]
    place = {module: number % parts for number, module in enumerate(dict.fromkeys(modules))}
    return [
        [item for item, module in zip(items, modules, strict=True) if place[module] == part]
        for part in range(parts)
    ]


pytest.register_assert_rewrite("tests.doctoring", "tests.serving", "tests.small_training")
# a machine that others use too is no slower code
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory: runs go to its ``runs/``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))  # workers import the tests' helpers
    return tmp_path


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A Ray of two processors for all tests of a module that ask for it, so that it starts once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))  # workers import the tests' helpers
        create_executor("ray", scratch=Path("unused"))  # the settings that Ray reads when imported
        import ray

        handlers = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)]
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            object_store_memory=512 * 2**20,
        )
        for number, handler in handlers:  # Ray takes over SIGTERM
            signal.signal(number, handler)
        yield
        ray.shutdown()


@pytest.fixture
def contrary(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The configuration's section of a controller that does not bet on the best observed."""
    from tests.searching import Contrary

    monkeypatch.setitem(CONTROLLERS, "contrary", Contrary)
    return {"name": "contrary", "options": {}}


@pytest.fixture(scope="session")
def digits_space() -> SearchSpace:
    """The preset of the quickstart."""
    return load_space("digits")


@pytest.fixture
def plain_space() -> SearchSpace:
    """Three decisions without a decoder."""
    return SearchSpace([Decision("a", (1, 2)), Decision("b", ("x", "y", "z")), Decision("c", (0,))])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a training and a test part of three classes."""
    root = tmp_path / "photos"
    class_folders(root / "train", {"ant": 8, "bee": 6, "cat": 10})
    class_folders(root / "val", {"ant": 2, "bee": 2, "cat": 1}, start=50_000)
    return root
