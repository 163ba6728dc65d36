"""Shared by all tests: small spaces, and a folder of its own for each test's runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from controller import CONTROLLERS
from search_space import Decision, SearchSpace, load_space
from tests.images import class_folders

pytest.register_assert_rewrite("tests.doctoring")


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
