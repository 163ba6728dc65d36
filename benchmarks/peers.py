"""Other libraries' searches on a replayed table, each in the setting that did best of those tried.

They need the extra: ``pip install '.[peers]'``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.replay import Replay


def optuna_tpe(replay: Replay, seed: int) -> None:
    """Optuna's multivariate TPE on the reward, one candidate after the other."""
    import optuna

    _optuna(replay, optuna.samplers.TPESampler(multivariate=True, seed=seed))


def optuna_nsga2(replay: Replay, seed: int) -> None:
    """Optuna's NSGA-II on the reward, population 50."""
    import optuna

    _optuna(replay, optuna.samplers.NSGAIISampler(population_size=50, seed=seed))


def optuna_nsga2_front(replay: Replay, seed: int) -> None:
    """Optuna's NSGA-II on accuracy and MACs, population 50."""
    import optuna

    _optuna(replay, optuna.samplers.NSGAIISampler(population_size=50, seed=seed), front=True)


def _optuna(replay: Replay, sampler: object, front: bool = False) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    directions = ["maximize", "minimize"] if front else ["maximize"]
    study = optuna.create_study(directions=directions, sampler=sampler)  # type: ignore[arg-type]
    names = [decision.name for decision in replay.space.decisions]
    choices = {
        decision.name: optuna.distributions.CategoricalDistribution(list(range(len(decision.choices))))
        for decision in replay.space.decisions
    }
    while not replay.done:
        trial = study.ask(choices)
        accuracy, macs, reward = replay.evaluate([[trial.params[name] for name in names]])
        study.tell(trial, [accuracy[0], macs[0]] if front else float(reward[0]))


def pymoo_nsga2_front(replay: Replay, seed: int) -> None:
    """pymoo's NSGA-II on accuracy and MACs: integers, population 50, simulated binary crossover."""
    _pymoo(replay, seed, front=True)


def pymoo_nsga2(replay: Replay, seed: int) -> None:
    """The same on the reward alone."""
    _pymoo(replay, seed, front=False)


def _pymoo(replay: Replay, seed: int, front: bool) -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.problems.static import StaticProblem

    sizes = np.array([len(decision.choices) for decision in replay.space.decisions])
    problem = Problem(n_var=len(sizes), n_obj=2 if front else 1, xl=0 * sizes, xu=sizes - 1, vtype=int)
    repair: Callable[[], object] = RoundingRepair
    algorithm = NSGA2(
        pop_size=50,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=repair()),
        mutation=PM(eta=3.0, vtype=float, repair=repair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
    while not replay.done:
        asked = algorithm.ask()
        points = np.round(np.asarray(asked.get("X"), dtype=float)).astype(int)
        accuracy, macs, reward = replay.evaluate(points)
        if replay.done:
            return
        goals = np.column_stack([-accuracy, macs / 1e8]) if front else -reward[:, None]
        Evaluator().eval(StaticProblem(problem, F=goals), asked)
        algorithm.tell(infills=asked)
