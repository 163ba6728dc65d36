"""Searches side by side at equal numbers of trainings: is one controller better than another here?

    python -m benchmarks.compare_searches cifar10_cpu cifar10_cpu-random --plot comparison.png
    python -m benchmarks.compare_searches cifar10_cpu cifar10_cpu-random --retrain 3 --seeds 3

The runs must have been measured alike: same data, protocol and objective. The best of many noisy accuracies
is partly luck, the more the more there were; ``--retrain`` trains the best few of each run again with seeds
that no search saw, which takes that luck away.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from controller import Objective
from nas import Run, load_config, load_space, open_run
from nas.launch import create_evaluator
from results import Trial, ranked, save_figure
from results.pareto import hypervolume
from trainers import evaluate

SHARES = (0.25, 0.5, 0.75, 1.0)


def in_order(run: Run) -> list[Trial]:
    """Finished candidates in the order of their results."""
    done = [trial for trial in run.trials() if trial.status == "done"]
    return sorted(done, key=lambda trial: trial.arrival or 0)


def figures(trials: list[Trial], chance: float, limit: float) -> tuple[float, float, float, float]:
    """Best reward, mean of the five best, mean of all, and hypervolume."""
    rewards = sorted((trial.reward or 0.0 for trial in trials), reverse=True)
    volume = hypervolume([t.accuracy or 0.0 for t in trials], [t.macs for t in trials], chance, limit)
    return rewards[0], float(np.mean(rewards[:5])), float(np.mean(rewards)), volume


def compare(runs: list[Run], classes: int) -> None:
    """One block a number of trainings, one line a run."""
    results = {run.name: in_order(run) for run in runs}
    common = min(len(trials) for trials in results.values())
    limit = max(trial.macs for trials in results.values() for trial in trials) * 1.0001
    print(f"{'trainings':>9}  {'run':28}{'best':>8}{'five best':>11}{'mean':>8}{'hypervolume':>13}")
    for number in sorted({max(5, round(common * share)) for share in SHARES}):
        for name, trials in results.items():
            best, five, mean, volume = figures(trials[:number], 1 / classes, limit)
            print(f"{number:9}  {name:28}{best:8.4f}{five:11.4f}{mean:8.4f}{volume:13.4f}")


def retrain(runs: list[Run], number: int, seeds: int) -> None:
    """The recommended network and the best of each run with new seeds."""
    print(f"trained again with {seeds} new seeds: mean accuracy ± standard error, and its reward")
    for run in runs:
        config = load_config(run.config_path)
        evaluator = create_evaluator(config, load_space(config.space))
        objective: Objective = config.objective
        chosen = {trial.id: trial for trial in [run.recommended(), *ranked(run.trials())[:number]]}
        means = []
        for trial in chosen.values():
            network = trial.network()
            accuracies = [
                evaluate(evaluator, network, config.seed + 1000 + seed).accuracy for seed in range(seeds)
            ]
            error = np.std(accuracies, ddof=1) / np.sqrt(seeds) if seeds > 1 else float("nan")
            reward = objective.reward(float(np.mean(accuracies)), getattr(trial, objective.cost))
            means.append(reward)
            word = "recommended" if trial.id == run.recommended().id else ""
            print(
                f"  {run.name:28} candidate {trial.id:4}: {np.mean(accuracies):.4f} ± {error:.4f} (in the "
                f"search {trial.accuracy:.4f}), reward {reward:.4f}, {trial.macs / 1e6:.2f} M MACs {word}",
                flush=True,
            )
        print(f"  {run.name:28} mean reward {np.mean(means):.4f}")


def plot(runs: list[Run], path: Path) -> None:
    """Best reward so far, and accuracy over cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run, colour in zip(runs, ("#1f5fa8", "#c8553d", "#3d8b50", "#7a5195"), strict=False):
        trials = in_order(run)
        rewards = [trial.reward or 0.0 for trial in trials]
        numbers = range(1, len(trials) + 1)
        left.plot(numbers, rewards, ".", color=colour, alpha=0.35, markersize=5)
        left.step(numbers, np.maximum.accumulate(rewards), where="post", color=colour, label=run.name)
        macs = [trial.macs / 1e6 for trial in trials]
        right.plot(macs, [100 * (t.accuracy or 0.0) for t in trials], ".", color=colour, label=run.name)
    references = [trial for trial in runs[0].baselines() if trial.status == "done"]
    if references:
        macs = [trial.macs / 1e6 for trial in references]
        accuracies = [100 * (t.accuracy or 0.0) for t in references]
        right.plot(macs, accuracies, "D", color="0.35", label=f"baselines of {runs[0].name}")
    left.set(xlabel="trainings", ylabel="reward (line: best so far)")
    right.set(xlabel="million multiply-adds", ylabel="proxy accuracy, %")
    left.legend(frameon=False)
    right.legend(frameon=False)
    right.grid(alpha=0.3)
    left.grid(alpha=0.3)
    save_figure(figure, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", help="names under runs/, or folders")
    parser.add_argument("--plot", type=Path, help="write a figure")
    parser.add_argument("--retrain", type=int, default=0, metavar="N", help="train the best N again")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    runs = [open_run(name) for name in args.runs]
    measured = []
    for run in runs:
        with run.journal() as journal:
            measured.append((journal.evaluator(), load_config(run.config_path).objective))
    facts, _ = measured[0]
    if facts is None or any(other != measured[0] for other in measured):
        print("the runs were not measured alike: data, protocol or objective differ", file=sys.stderr)
        return 2
    compare(runs, facts.num_classes)
    if args.plot:
        plot(runs, args.plot)
        print(f"wrote {args.plot}")
    if args.retrain:
        retrain(runs, args.retrain, args.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
