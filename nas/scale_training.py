"""``nas scale --search`` and ``--dimensions``: what they train, shown while it runs, and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nas import console
from nas.lookup import Found
from nas.scaling import ScaledNetwork
from nas.scaling_config import ScalingConfig, load_scaling_config
from nas.scaling_limits import check_baseline
from nas.scaling_settings import DimensionSettings, GridSettings
from results import Run, Trial, open_run, save_figure
from results.wording import count, count_of, networks, percent
from search_space import Architecture, Limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.dimensions import DimensionFindings, Experiment
    from nas.scaling_run import Plan, ScalingEnd
    from nas.scaling_search import GridFindings
    from results.figures import ScaledLine, WidthLine
    from trainers import Evaluator


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What was typed of a run.

    Attributes:
        config: the file.
        run: name of the run; None is the file's.
        overrides: ``key=value``.
        reuse: names of runs whose measurements are taken over.
        address: of a Ray cluster.
    """

    config: Path
    run: str | None
    overrides: Sequence[str]
    reuse: Sequence[str]
    address: str | None

    def load(self, baseline: Architecture) -> ScalingConfig:
        """The configuration, with what is scaled in it."""

        config = load_scaling_config(self.config, self.overrides, self.run)
        return config.model_copy(update={"baseline": baseline})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run came to.

    Attributes:
        run: its folder.
        num_classes, in_channels: of the networks it trained.
    """

    run: Run
    num_classes: int
    in_channels: int


def search_grid(
    found: Found, options: TrainingOptions, limits: Limits | None = None
) -> tuple[Ended, GridFindings]:
    """Run the grid search for alpha, beta and gamma as far as it goes.

    Args:
        found: what is scaled.
        options: what was typed of the run.
        limits: of the family to come; what the baseline itself breaks is refused before anything is trained.

    Raises:
        InputError: see `load_scaling_config`, `check_baseline`, `grid_points`, `sized_evaluator` and
            `run_scaling`.
        Exit: interrupted, or every training fails; what to do about it is told.
    """
    from nas.scaling_grid import taken_of, within_budget
    from nas.scaling_run import check_run, evaluator_for
    from nas.scaling_search import grid_findings, grid_plan

    baseline = found.architecture
    config = options.load(baseline)
    settings = config.scaling or GridSettings()
    config = config.model_copy(update={"scaling": settings, "dimensions": None})
    check_run(config, options.address)
    reuse = [open_run(name) for name in options.reuse]
    with console.ItemProgress() as progress:
        alone = evaluator_for(config, [baseline], progress)  # tells classes and channels
        check_baseline(baseline, limits or Limits(), alone.num_classes, alone.in_channels)
        feasible = within_budget(baseline, settings, alone.num_classes, alone.in_channels)
        points = taken_of(feasible, settings)
        plan = grid_plan(baseline, points, settings)
        evaluator = evaluator_for(config, [member.architecture for member in plan.members], progress)
    again = f", up to {settings.max_seeds} where noise demands" if settings.max_seeds > settings.seeds else ""
    there = len(feasible)
    taken = "" if there == len(points) else f"; {len(points)} of them, spread out, are taken (scaling.points)"
    console.err.print(
        f"{networks(there)} of the grid keep to {settings.factor:g} times the MACs of "
        f"{baseline.name}{taken}; with it {len(plan.members)} are trained, "
        f"{count_of(settings.seeds, 'seed')} each{again}, the largest with "
        f"{count(max(point.macs for point in points))} MACs",
        soft_wrap=True,
    )
    end = _run(config, plan, evaluator, reuse, options.address)
    classes, channels = evaluator.num_classes, evaluator.in_channels
    findings = grid_findings(baseline, points, end.accuracies, end.failed, classes, channels)
    if findings is None:
        _explain_failing(end)
    assert findings is not None
    return Ended(run=end.run, num_classes=classes, in_channels=channels), findings


def run_dimensions(found: Found, options: TrainingOptions) -> tuple[Ended, DimensionFindings]:
    """Run the experiment on the dimensions of scaling as far as it goes; raises as `search_grid`."""
    from nas.dimensions import experiment_of, findings_of
    from nas.scaling_run import check_run, evaluator_for

    baseline = found.architecture
    config = options.load(baseline)
    settings = config.dimensions or DimensionSettings()
    config = config.model_copy(update={"dimensions": settings, "scaling": None})
    check_run(config, options.address)
    reuse = [open_run(name) for name in options.reuse]
    with console.ItemProgress() as progress:
        alone = evaluator_for(config, [baseline], progress)
        experiment = experiment_of(baseline, settings, alone.num_classes, alone.in_channels)
        plan = experiment.plan(settings.seeds)
        evaluator = evaluator_for(config, [member.architecture for member in plan.members], progress)
    console.err.print(
        f"{networks(len(plan.members))} are trained, {count_of(settings.seeds, 'seed')} each", soft_wrap=True
    )
    end = _run(config, plan, evaluator, reuse, options.address)
    if not any(end.accuracies):
        _explain_failing(end)
    ended = Ended(run=end.run, num_classes=evaluator.num_classes, in_channels=evaluator.in_channels)
    return ended, findings_of(experiment, end.accuracies, end.failed)


def _run(
    config: ScalingConfig, plan: Plan, evaluator: Evaluator, reuse: Sequence[Run], address: str | None
) -> ScalingEnd:
    from nas.scaling_run import run_scaling

    progress = _Progress(config.name, plan.seeds * len(plan.members))
    with console.stdout_to_stderr(), progress:
        end = run_scaling(
            config,
            plan,
            evaluator,
            reuse=reuse,
            listeners=[progress],
            address=address,
        )
    if end.outcome == "interrupted":
        trials = end.run.trials()
        done = sum(trial.arrival is not None for trial in trials)
        console.err.print(
            f"{end.run.name}: {done} of {len(trials)} trainings are done; the same command goes on",
            soft_wrap=True,
        )
        raise typer.Exit(130)
    if end.outcome == "failing":
        _explain_failing(end)
    return end


def _explain_failing(end: ScalingEnd) -> None:
    """Why there is nothing to show; ends the command."""
    last = [trial.error for trial in end.run.trials() if trial.status == "failed"][-1:]
    console.err.print(f"nas: trainings fail: {console.printable(''.join(map(str, last)))}", soft_wrap=True)
    raise typer.Exit(1)


class _Progress(console.SearchProgress):
    """A search's progress; trainings may become more, and none has a reward."""

    def __init__(self, name: str, budget: int) -> None:
        super().__init__(name, budget)
        self._last = ""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self.grow(sum(counts.values()))
        what = ", ".join(f"{name} {value}" for name, value in trial.choices.items())
        text = "failed" if trial.accuracy is None else percent(trial.accuracy)
        self._last = f"{what}: {text}, {count(trial.macs)} MACs; "
        super().on_result(trial, None, counts)

    def _text(self, best: Trial | None, failed: int) -> str:
        return f"{self._last}{super()._text(best, failed)}"


# --- figures -----------------------------------------------------------------------------------------


def save_grid_figure(found: GridFindings, family: Sequence[ScaledNetwork], ended: Ended, path: Path) -> None:
    """Write the figure of a grid search and its family."""
    save_figure(_grid_figure(found, family, ended), path)


def _grid_figure(found: GridFindings, family: Sequence[ScaledNetwork], ended: Ended) -> Figure:
    from nas.repeated import repeated
    from results.figures import FamilyStep, GridPoint, scaling_figure
    from search_space import cost

    close = {point.architecture.key for point in found.close}
    points = [
        GridPoint(
            alpha=point.alpha,
            beta=point.beta,
            gamma=point.gamma,
            accuracy=found.measured.means[index],
            error=found.measured.error(index),
            macs_factor=point.macs_factor,
            nominal=point.nominal,
            seeds=len(found.measured.accuracies[index]),
            chosen=index == 0,
            close=point.architecture.key in close,
        )
        for index, point in enumerate(found.points)
    ]
    alone = None
    if found.alone:
        together = repeated([found.alone, *found.measured.accuracies])
        alone = (together.means[0], together.error(0))
    steps = []
    for member in family:
        macs, params = cost(member.architecture, ended.num_classes, ended.in_channels)
        steps.append(
            FamilyStep(
                name=member.architecture.name.removeprefix(f"{found.baseline.name}-"),
                phi=member.phi or 0.0,
                macs=macs,
                nominal_macs=member.nominal * found.macs,
                params=params,
            )
        )
    return scaling_figure(points, alone, steps, f"{ended.run.name}: {found.baseline.name}")


def save_dimensions_figure(found: DimensionFindings, ended: Ended, path: Path) -> None:
    """Write the figure of the experiment on dimensions."""
    from results.figures import dimensions_figure

    lines, widths = _drawn(found.experiment, found)
    name = found.experiment.members[0].architecture.name
    save_figure(dimensions_figure(lines, widths, f"{ended.run.name}: {name}"), path)


def _drawn(experiment: Experiment, found: DimensionFindings) -> tuple[list[ScaledLine], list[WidthLine]]:
    from nas.dimensions import Scaled
    from results.figures import ScaledLine, ScaledPoint, WidthLine

    def points(its: Sequence[Scaled]) -> tuple[ScaledPoint, ...]:
        known = [(point, accuracy) for point in its if (accuracy := found.accuracy(point)) is not None]
        return tuple(
            ScaledPoint(factor=point.factor, macs=point.macs, accuracy=mean, error=error)
            for point, (mean, error) in known
        )

    lines = [ScaledLine(name=line.dimension, points=points(line.points)) for line in experiment.lines]
    widths = [
        WidthLine(depth=group.depth, resolution=group.resolution, points=points(group.points))
        for group in experiment.widths
    ]
    return lines, widths
