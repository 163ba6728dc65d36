"""One contract for every executor, and what only processes can do."""

import importlib
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search_space import FieldError, InputError, load_space
from tests.scripted import Scripted, Three
from trainers import Candidate, Executor, InlineExecutor, Measurement, Result, create_executor


class Book:
    """Hands out candidates and notes what comes back; a lost one is handed out again, twice at most."""

    def __init__(self, number: int) -> None:
        space = load_space("digits")
        self.queue = [
            Candidate(id=i, architecture=space.decode([i % 2, *[0] * 18, i // 2 % 2]), seed=0)
            for i in range(1, number + 1)
        ]
        self.running: set[int] = set()
        self.most_running = 0
        self.results: dict[int, Result] = {}
        self.lost: list[int] = []
        self.candidates = {c.id: c for c in self.queue}

    def next_candidate(self) -> Candidate | None:
        return self.queue.pop(0) if self.queue else None

    def record(self, result: Result) -> None:
        if result.status == "running":
            self.running.add(result.id)
            self.most_running = max(self.most_running, len(self.running))
            return
        self.running.discard(result.id)
        if result.status == "lost" and self.lost.count(result.id) < 2:
            self.lost.append(result.id)
            self.queue.append(self.candidates[result.id])
            return
        assert result.id not in self.results
        self.results[result.id] = result


@pytest.fixture(params=["inline", pytest.param("ray", marks=pytest.mark.slow)])
def executor(request, in_tmp: Path) -> Executor:
    """One worker, whose start takes seconds."""
    if request.param == "ray":
        request.getfixturevalue("one_ray")
    workers = 1 if request.param == "ray" else None
    return create_executor(request.param, scratch=in_tmp / "scratch", workers=workers)


def test_every_candidate_comes_back_once_and_failures_do_not_spread(executor: Executor, in_tmp: Path) -> None:
    book, workers = Book(8), []
    scripted = Scripted(in_tmp / "diary", acts={2: "raise", 5: "nan"})
    if not isinstance(executor, InlineExecutor):
        executor = replace(executor, slots=2)
    executor.run(scripted, book.next_candidate, book.record, on_start=workers.append)
    assert sorted(book.results) == list(range(1, 9))
    statuses = [result.status for result in book.results.values()]
    assert (statuses.count("done"), statuses.count("failed")) == (6, 2)
    for result in book.results.values():
        if result.status == "done":
            assert [m.final for m in result.curve] == [False, True]
            assert result.seconds >= 0
        else:
            assert result.error is not None
            assert "\n" not in result.error
    assert len(scripted.lines("begin")) == 8
    assert workers in ([1], [2])
    assert book.most_running <= workers[0]
    assert not (in_tmp / "scratch").exists()


def test_an_error_of_the_search_ends_the_run_and_is_raised(executor: Executor, in_tmp: Path) -> None:
    book = Book(6)

    def full(result: Result) -> None:
        if result.status == "done":
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        executor.run(Scripted(in_tmp / "diary"), book.next_candidate, full)


def test_a_final_measurement_ends_a_candidate_and_numpys_numbers_are_numbers(executor: Executor) -> None:
    book = Book(1)
    executor.run(Three(), book.next_candidate, book.record)
    assert [(m.accuracy, m.metrics) for m in book.results[1].curve] == [(0.25, {"n": 1.0}), (0.5, {"n": 2.0})]


def test_what_is_finished_when_an_abort_comes_is_still_recorded(in_tmp: Path) -> None:
    book, begun = Book(3), []
    executor = create_executor("inline", scratch=in_tmp / "scratch")

    class One(Three):
        def epochs(self, architecture, seed, weights_path=None):
            begun.append(1)  # the user stops in the middle of the only epoch
            yield Measurement(accuracy=0.5)

    executor.run(One(), book.next_candidate, book.record, abort=lambda: bool(begun))
    assert list(book.results) == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_worker_that_fits_nowhere_is_an_error_and_not_a_wait(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as if what runs had just been started
    for name in ("init", "shutdown"):
        monkeypatch.setattr(ray, name, lambda **settings: None)
    executor = create_executor("ray", scratch=in_tmp / "scratch", cpus=999)
    match = "a worker wants 999 processors and 0 GPUs, this machine has 2 processors and 0 GPUs"
    with pytest.raises(InputError, match=match):
        executor.run(Three(), Book(1).next_candidate, Book(1).record)


def test_inline_refuses_what_only_ray_can_do(in_tmp: Path) -> None:
    with pytest.raises(FieldError, match="executor.time_limit is for the executor ray"):
        create_executor("inline", scratch=in_tmp, time_limit=3.0)


def test_an_abort_ends_the_run_without_results_of_what_ran(executor: Executor, in_tmp: Path) -> None:
    book = Book(40)
    executor.run(
        Scripted(in_tmp / "diary", seconds=0.02),
        book.next_candidate,
        book.record,
        abort=lambda: len(book.results) >= 3,
    )
    assert 3 <= len(book.results) <= 5


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_killed_hanging_and_broken_workers_cost_only_their_candidate_a_try(in_tmp: Path) -> None:
    # a new worker's first step is slow on a busy machine
    executor = create_executor("ray", scratch=in_tmp / "scratch", workers=2, time_limit=20.0)
    book = Book(10)
    acts = {2: "die", 4: "hang", 6: "break the GPU"}
    scripted = Scripted(in_tmp / "diary", seconds=0.01, acts=acts)
    executor.run(scripted, book.next_candidate, book.record)
    assert sorted(book.results) == list(range(1, 11))
    failed = [result.error for result in book.results.values() if result.status == "failed"]
    assert "took longer than the limit of 20 s" in failed
    (broken,) = [error for error in failed if error != "took longer than the limit of 20 s"]
    assert broken.startswith("AcceleratorError: CUDA error: an illegal memory access")
    assert len(scripted.lines("begin")) == 11  # the killed one came back and was done
    begun = scripted.processes()
    assert begun[5] not in begun[6:]  # who has lost its GPU trains nothing more
    assert 1 <= len(book.lost) <= 2  # perhaps one more that such a worker was given, and did not begin


class Heavy(Three):
    """Holds something while it fails."""

    def __init__(self) -> None:
        self.held: weakref.ref[object] | None = None

    def epochs(self, architecture, seed, weights_path=None):
        memory = np.zeros(3)
        self.held = weakref.ref(memory)
        raise RuntimeError("out of memory")
        yield


def test_a_failed_candidates_memory_is_free_when_it_is_given_back(in_tmp: Path, monkeypatch) -> None:
    heavy, seen = Heavy(), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(heavy.held and heavy.held()))
    book = Book(1)
    create_executor("inline", scratch=in_tmp).run(heavy, book.next_candidate, book.record)
    assert seen == [None]
    assert book.results[1].status == "failed"


def test_a_gpu_that_no_longer_answers_is_broken_whatever_the_error_was(in_tmp: Path, monkeypatch) -> None:
    def dead() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", dead)
    book = Book(3)
    with pytest.raises(InputError, match="the GPU does not work any more"):
        create_executor("inline", scratch=in_tmp).run(Heavy(), book.next_candidate, book.record)
    assert [result.status for result in book.results.values()] == ["failed"]  # recorded before the end


def test_a_broken_gpu_ends_a_run_in_one_process_instead_of_failing_all_that_follow(in_tmp: Path) -> None:
    executor, book = create_executor("inline", scratch=in_tmp / "scratch"), Book(5)
    scripted = Scripted(in_tmp / "diary", acts={2: "break the GPU"})
    with pytest.raises(InputError, match="the GPU does not work any more in this process; resume"):
        executor.run(scripted, book.next_candidate, book.record)
    assert [result.status for result in book.results.values()] == ["done", "failed"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_workers_that_cannot_start_end_the_run_with_the_reason(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "only_here.py").write_text("from tests.scripted import Three\nclass Four(Three): pass\n")
    monkeypatch.syspath_prepend(in_tmp)  # after the start of Ray: workers do not have it
    four = importlib.import_module("only_here").Four()
    monkeypatch.setattr("trainers.ray_searcher.EARLY_DEATHS", 1)  # of 4: each is a start
    executor = create_executor("ray", scratch=in_tmp / "scratch", workers=1)
    book = Book(2)
    with pytest.raises(InputError, match=r"2 workers in a row did not start: .*No module named 'only_here"):
        executor.run(four, book.next_candidate, book.record)
    assert all(result.status == "lost" for result in book.results.values())
