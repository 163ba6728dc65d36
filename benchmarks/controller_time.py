"""Processor time of a controller, per proposal, with many results told; one core.

    python benchmarks/controller_time.py                          dyna on Accel-NASBench's space
    python benchmarks/controller_time.py --controller ppo --results 500
    python benchmarks/controller_time.py --compare                the surrogate's fit beside scikit-learn's

Rewards are made up (a smooth function of the choices with noise): only the time is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from controller import CONTROLLERS, Controller, Objective, Outcome, Proposal, create_controller  # noqa: E402
from controller.coding import Coding  # noqa: E402
from controller.gaussian_process import GaussianProcess  # noqa: E402
from search_space import load_space  # noqa: E402


def told(controller: Controller, results: int, rng: np.random.Generator) -> None:
    """Tell made-up results of random points, as a long search would have."""
    space = controller.space
    first = [proposal.indices for proposal in controller.ask(16)]  # those that need no thought
    points = np.array([*first, *(space.random(rng) for _ in range(results - len(first)))])
    weights = rng.standard_normal(points.shape[1])
    for point, score in zip(points.tolist(), points @ weights, strict=True):
        reward = 0.6 + 0.005 * float(score) + 0.003 * float(rng.standard_normal())
        proposal = Proposal(tuple(point), space.choices(point))
        controller.tell([proposal], [Outcome(reward, 3e8, reward)])


def milliseconds(controller: Controller, batch: int, rounds: int, rng: np.random.Generator) -> float:
    """Median processor time a proposal of ask, tell and recommend."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        proposals = controller.ask(batch)
        outcomes = [Outcome(0.6, 3e8, 0.6 + 0.01 * float(rng.standard_normal())) for _ in proposals]
        controller.tell(proposals, outcomes)
        controller.recommend()
        times.append(1000.0 * (time.process_time() - began) / batch)
    return statistics.median(times)


def beside_the_library(space_name: str, results: int = 200) -> None:
    """One fit of the hyper-parameters: our Gaussian process, and scikit-learn's with a length scale a bit."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    space, rng = load_space(space_name), np.random.default_rng(0)
    coding = Coding(space)
    bits = coding(np.array([space.random(rng) for _ in range(results)]))
    values = bits @ rng.standard_normal(coding.bits) + 0.3 * rng.standard_normal(results)
    ours = GaussianProcess(coding.bits)
    ours.fit_parameters(bits[:20], values[:20], rng)  # torch starts up
    times = []
    kernel = ConstantKernel() * RBF(np.full(coding.bits, 3.0)) + WhiteKernel(0.02)
    for fit in (
        lambda: ours.fit_parameters(bits, values, rng),
        lambda: GaussianProcessRegressor(kernel, normalize_y=True).fit(bits, values),
    ):
        began = time.process_time()
        fit()
        times.append(time.process_time() - began)
    print(f"one fit on {results} results: {times[0]:.2f} s; scikit-learn's {times[1]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--controller", default="dyna", choices=CONTROLLERS)
    parser.add_argument("--space", default="accel-nasbench")
    parser.add_argument("--results", type=int, nargs="+", default=[50, 200, 500, 1000, 2000, 5000])
    parser.add_argument("--compare", action="store_true")
    given = parser.parse_args()
    if given.compare:
        warnings.simplefilter("ignore")
        beside_the_library(given.space)
        return
    torch.set_num_threads(1)
    print(f"{given.controller}, {given.space}: milliseconds a proposal")
    print(f"{'results':>8} {'one by one':>11} {'batches of 8':>13}")
    for results in given.results:
        rng = np.random.default_rng(0)
        controller = create_controller(given.controller, load_space(given.space), 0, Objective(target=3.9e8))
        told(controller, results, rng)
        one, eight = milliseconds(controller, 1, 12, rng), milliseconds(controller, 8, 5, rng)
        print(f"{results:>8} {one:>11.1f} {eight:>13.1f}", flush=True)


if __name__ == "__main__":
    main()
