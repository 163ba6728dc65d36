"""One candidate in a Ray worker: a Tune trainable whose step is an epoch."""

from __future__ import annotations

import faulthandler
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search_space import Architecture
from trainers.executor import Candidate, Result, after_failure, describe, finished
from trainers.measurement import Evaluator, Measurement


def candidate_to_config(candidate: Candidate, threads: int, time_limit: float | None) -> dict[str, Any]:
    """What Tune carries to the worker: plain values."""
    weights = candidate.weights_path
    return {
        "id": candidate.id,
        "architecture": json.dumps(candidate.architecture.to_dict()),
        "seed": candidate.seed,
        "weights_path": None if weights is None else str(weights.absolute()),
        "threads": threads,
        "time_limit": time_limit,
    }


def result_from_json(candidate_id: int, text: str) -> Result:
    """What the last step reported as its outcome."""
    data = json.loads(text)
    return Result(
        id=candidate_id,
        status=data["status"],
        curve=tuple(Measurement(**measurement) for measurement in data["curve"]),
        error=data["error"],
        seconds=data["seconds"],
    )


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """One candidate in a worker; a step is an epoch."""

    def setup(self, config: dict[str, Any], evaluator: Evaluator | None = None) -> None:
        if not ray.get_gpu_ids():
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a worker without a GPU share sees no GPU
        import torch

        torch.set_num_threads(int(config["threads"]))
        self._evaluator = evaluator
        self._broken = False  # the GPU does not work any more in this process
        self._null = Path(os.devnull).open("w")  # noqa: SIM115 -- the timer needs it while the worker lives
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._broken:
            os._exit(1)  # the candidate goes back to the queue, for a worker with a GPU
        self._begin(new_config)
        return True  # False would lose the trial without a word

    def _begin(self, config: dict[str, Any]) -> None:
        self._candidate_id = int(config["id"])
        self._limit: float | None = config["time_limit"]
        self._curve: list[Measurement] = []
        self._seconds = 0.0
        self._epochs: Iterator[Measurement] | None = None
        self._config = config

    def step(self) -> dict[str, Any]:
        """One epoch, reported; the report of the last one carries the outcome."""
        began = time.perf_counter()
        if self._limit is not None:
            remaining = max(self._limit - self._seconds, 0.01)
            faulthandler.dump_traceback_later(remaining, exit=True, file=self._null)
        outcome: Result | None = None
        try:
            if self._advance():
                outcome = finished(self._candidate_id, self._curve, 0.0)
        except Exception as error:  # failure is a state
            outcome = Result(id=self._candidate_id, status="failed", error=describe(error))
            self._epochs = None
            self._broken = after_failure(error)
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._seconds += time.perf_counter() - began
        accuracy = self._curve[-1].accuracy if self._curve else 0.0
        reported: dict[str, Any] = {"accuracy": accuracy, "done": outcome is not None, "outcome": ""}
        if outcome is not None:
            reported["outcome"] = json.dumps(
                {
                    "status": outcome.status,
                    "error": outcome.error,
                    "seconds": self._seconds,
                    "curve": [asdict(measurement) for measurement in self._curve],
                }
            )
            self._epochs = None  # frees the network
        return reported

    def _advance(self) -> bool:
        """Run an epoch; whether it was the last."""
        if self._epochs is None:
            assert self._evaluator is not None
            architecture = Architecture.from_dict(json.loads(self._config["architecture"]))
            weights = self._config["weights_path"]
            self._epochs = iter(
                self._evaluator.epochs(
                    architecture, int(self._config["seed"]), None if weights is None else Path(weights)
                )
            )
        measurement = next(self._epochs, None)
        if measurement is not None:
            self._curve.append(measurement)
        return measurement is None or measurement.final

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a lost candidate is trained again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Never called."""
