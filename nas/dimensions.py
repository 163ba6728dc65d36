"""The paper's two observations as an experiment: a baseline scaled by one dimension, and by all three.

Figures 3 and 8 of EfficientNet (arXiv 1905.11946): depth, width, resolution and compound at equal MACs.
Figure 4: width scaled under several pairs of depth and resolution. MACs are equal as nearly as rounding lets
them be: of factors on a grid of a hundredth, the one whose true MACs are nearest is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nas.repeated import Margin, Repeated, repeated
from nas.scaling_run import Member, Plan
from nas.scaling_settings import DimensionSettings
from search_space import Architecture, FieldError, InputError, cost, scale_architecture

Dimension = Literal["depth", "width", "resolution", "compound"]
DIMENSIONS: tuple[Dimension, ...] = ("depth", "width", "resolution", "compound")
_LETTERS = {"depth": "d", "width": "w", "resolution": "r", "compound": "phi"}
_STEP = 0.01
_MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A network of the experiment.

    Attributes:
        architecture: of it.
        factor: of its dimension; for compound, phi.
        macs: true multiply-adds of one image.
    """

    architecture: Architecture
    factor: float
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Networks along one dimension; the first is the baseline.

    Attributes:
        dimension: which.
        points: by rising MACs.
    """

    dimension: Dimension
    points: tuple[Scaled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthLine:
    """Networks whose width is scaled, all of one depth and resolution.

    Attributes:
        depth, resolution: factors over the baseline.
        points: by rising width.
    """

    depth: float
    resolution: float
    points: tuple[Scaled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is trained.

    Attributes:
        lines: one a dimension, compound last.
        widths: of figure 4.
        targets: MACs over the baseline's at which the lines are compared.
        members: every network once, the baseline first.
    """

    lines: tuple[Line, ...]
    widths: tuple[WidthLine, ...]
    targets: tuple[float, ...]
    members: tuple[Member, ...]

    def plan(self, seeds: int) -> Plan:
        """Each network so many times."""
        return Plan(members=self.members, seeds=seeds, most=seeds)


def experiment_of(
    baseline: Architecture, settings: DimensionSettings, num_classes: int, in_channels: int
) -> Experiment:
    """The networks of the experiment.

    Args:
        baseline: what is scaled.
        settings: how far and how often.
        num_classes, in_channels: of the networks, for their cost.

    Raises:
        InputError: a network cannot be built.
    """

    def scaled(factor: float, depth: float, width: float, resolution: float) -> Scaled:
        size = round(baseline.image_size * resolution)
        network = scale_architecture(baseline, depth=depth, width=width, image_size=size)
        return Scaled(architecture=network, factor=factor, macs=cost(network, num_classes, in_channels).macs)

    makers: dict[Dimension, Callable[[float], Scaled]] = {
        "depth": lambda d: scaled(d, d, 1.0, 1.0),
        "width": lambda w: scaled(w, 1.0, w, 1.0),
        "resolution": lambda r: scaled(r, 1.0, 1.0, r),
        "compound": lambda phi: scaled(phi, settings.alpha**phi, settings.beta**phi, settings.gamma**phi),
    }
    start = scaled(1.0, 1.0, 1.0, 1.0)
    lines = []
    for dimension in DIMENSIONS:
        least = 0.0 if dimension == "compound" else 1.0
        points = [
            Scaled(architecture=start.architecture, factor=least, macs=start.macs),
            *(_nearest(makers[dimension], least, dimension, f * start.macs) for f in settings.factors),
        ]
        for factor, point in zip(settings.factors, points[1:], strict=True):
            if point.architecture.key == start.architecture.key:
                raise InputError(
                    f"dimensions.factors: at {factor:g} times the MACs the nearest network by {dimension} is "
                    "the baseline itself, so coarse is rounding; give larger factors"
                )
        lines.append(Line(dimension=dimension, points=tuple(points)))
    widths = []
    for depth, resolution in settings.pairs if settings.widths else ():
        try:
            made = tuple(scaled(width, depth, width, resolution) for width in settings.widths)
        except FieldError as error:
            raise InputError(f"dimensions.pairs: [{depth:g}, {resolution:g}]: {error}") from None
        widths.append(WidthLine(depth=depth, resolution=resolution, points=made))
    return Experiment(
        lines=tuple(lines),
        widths=tuple(widths),
        targets=settings.factors,
        members=_members(lines, widths),
    )


def _nearest(make: Callable[[float], Scaled], least: float, dimension: Dimension, macs: float) -> Scaled:
    """The network along a dimension whose true MACs are nearest; they rise with its factor, in steps."""

    def at(step: int) -> Scaled:
        return make(round(least + _STEP * step, 2))

    def is_below(step: int) -> bool:
        try:
            return at(step).macs < macs
        except FieldError:  # larger than a network can be
            return False

    low, high = 0, 1
    while is_below(high):
        low, high = high, 2 * high
        if high > _MOST_STEPS:
            raise InputError(f"dimensions.factors: {dimension} does not reach {macs:.3g} MACs")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    below = at(low)
    try:
        above = at(high)
    except FieldError as error:
        raise InputError(
            f"dimensions.factors: {dimension} cannot reach {macs:.3g} MACs: {error}; the nearest is "
            f"{below.macs / at(0).macs:.3f} times the baseline's"
        ) from None
    if macs / below.macs > above.macs / macs:
        return above
    while low > 0 and at(low - 1).macs == below.macs:  # the smallest factor that makes this network
        low -= 1
    return at(low)


def _members(lines: Sequence[Line], widths: Sequence[WidthLine]) -> tuple[Member, ...]:
    """Every network once, with a name that says how it came about."""
    members: dict[str, Member] = {}

    def add(point: Scaled, text: str) -> None:
        network = point.architecture.renamed(f"{point.architecture.name}{text}")
        said = text.removeprefix("-") or "baseline"
        members.setdefault(network.key, Member(architecture=network, choices={"scaled": said}))

    for line in lines:
        for number, point in enumerate(line.points):
            add(point, f"-{_LETTERS[line.dimension]}{point.factor:g}" if number else "")
    for group in widths:
        for point in group.points:
            add(point, f"-d{group.depth:g}-w{point.factor:g}-r{group.resolution:g}")
    return tuple(members.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Compound scaling beside the best single dimension, at about equal MACs.

    Attributes:
        target: MACs over the baseline's.
        single: the dimension whose mean accuracy is highest.
        margin: of compound over it.
        macs: true MACs of compound and of the single one, over the baseline's.
    """

    target: float
    single: Dimension
    margin: Margin
    macs: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionFindings:
    """What the experiment found.

    Attributes:
        experiment: what was trained.
        measured: the accuracies of its members that have any.
        places: key of a network to its place there.
        failed: trainings that failed.
    """

    experiment: Experiment
    measured: Repeated
    places: dict[str, int]
    failed: int

    def accuracy(self, point: Scaled) -> tuple[float, float | None] | None:
        """Mean and half of its 95 % interval; None where every training failed."""
        place = self.places.get(point.architecture.key)
        return None if place is None else (self.measured.means[place], self.measured.error(place))

    def gains(self) -> list[Gain]:
        """Compound beside the best single dimension, MACs by MACs; where one has no accuracy, not."""
        base = self.experiment.lines[0].points[0].macs
        found = []
        for number, target in enumerate(self.experiment.targets, start=1):
            at = {line.dimension: line.points[number] for line in self.experiment.lines}
            places = {name: self.places.get(point.architecture.key) for name, point in at.items()}
            compound = places.pop("compound")
            singles = {name: place for name, place in places.items() if place is not None}
            if compound is None or not singles:
                continue
            best = max(singles, key=lambda name: self.measured.means[singles[name]])
            found.append(
                Gain(
                    target=target,
                    single=best,
                    margin=self.measured.margin(compound, singles[best]),
                    macs=(at["compound"].macs / base, at[best].macs / base),
                )
            )
        return found


def findings_of(
    experiment: Experiment, accuracies: Sequence[Sequence[float]], failed: Sequence[int]
) -> DimensionFindings:
    """What came of the experiment.

    Args:
        experiment: what was trained.
        accuracies, failed: of its members, see `ScalingEnd`.
    """
    keys = [
        member.architecture.key for member, its in zip(experiment.members, accuracies, strict=True) if its
    ]
    return DimensionFindings(
        experiment=experiment,
        measured=repeated([its for its in accuracies if its]),
        places={key: place for place, key in enumerate(keys)},
        failed=sum(failed),
    )
