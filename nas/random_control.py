"""The same budget spent by random search: the control of a claim that a controller searches well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nas.config import SearchConfig, load_config
from nas.standing import Records, Result, first, read_records, results_in_order
from results import Run
from results.run import OF_GIVEN
from search_space import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomControl:
    """A run by random search beside the run in question, after as many results of each.

    Attributes:
        run: by random search.
        results: of each: the fewer of both.
        best_reward: of its first `results` results.
        ours_at_that_budget: best reward of as many first results of the run in question.
        reached_after: results until the first with the reference's reward or more; None for never, and where
            that reward is not known.
    """

    run: str
    results: int
    best_reward: float
    ours_at_that_budget: float
    reached_after: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def random_controls(
    run: Run,
    config: SearchConfig,
    records: Records,
    ours: Sequence[Result],
    reward: float | None,
    random: Sequence[Run],
) -> tuple[RandomControl, ...]:
    """Runs by random search beside a run.

    Args:
        run: in question.
        config, records: its configuration and its journal.
        ours: its results in order; one at least.
        reward: the reference's; None where it is not known.
        random: the others.

    Raises:
        InputError: one of them is no control: another controller, space, limit, evaluator or objective, no
            result, the run itself, or one that is given twice.
    """
    folders = [run.path.resolve()]
    controls = []
    for other in random:
        folder = other.path.resolve()
        if folder in folders:
            what = "the run itself" if folder == folders[0] else "given twice"
            raise _refused(other, run, f"it is {what}")
        folders.append(folder)
        if (kind := other.kind()) in OF_GIVEN:
            raise _refused(other, run, f"it is a run of {kind}, no search")
        theirs, its = load_config(other.config_path), read_records(other)
        why = _unlike(config, records, theirs, its)
        if why:
            raise _refused(other, run, why)
        results = results_in_order(its, theirs.objective)
        if not results:
            raise _refused(other, run, "no candidate of it has finished yet")
        fewer = min(len(ours), len(results))
        rewards = [result.reward for result in results[:fewer]]
        controls.append(
            RandomControl(
                run=other.name,
                results=fewer,
                best_reward=max(rewards),
                ours_at_that_budget=max(result.reward for result in ours[:fewer]),
                reached_after=None if reward is None else first(r >= reward for r in rewards),
            )
        )
    return tuple(controls)


def _unlike(config: SearchConfig, records: Records, theirs: SearchConfig, its: Records) -> str:
    """Why a run is no control of another; empty where it is one."""
    if theirs.controller.name != "random":
        return f"its controller must be random, got {theirs.controller.name}"
    for field in ("space", "limits", "objective"):
        if getattr(theirs, field) != getattr(config, field):
            return f"its {field} must be the same, and differs"
    one, two = records.evaluator, its.evaluator
    if one is None or two is None or one.fingerprint != two.fingerprint:
        return "its evaluator must be the same, and differs (data, protocol or table)"
    return ""


def _refused(other: Run, run: Run, why: str) -> InputError:
    return InputError(f"{other.name} cannot stand beside {run.name} as random search: {why}")
