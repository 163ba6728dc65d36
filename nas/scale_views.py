"""What the command line shows of scaled networks, of a grid search and of the experiment on dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.console import out, print_table
from nas.published_views import PUBLISHED_COLUMNS, published_cells
from nas.scaling import ScaledNetwork, rounding_note, scale_factor
from results.wording import count, count_of
from search_space import Architecture, cost
from search_space import memory as memory_of

if TYPE_CHECKING:
    from nas.dimensions import DimensionFindings
    from nas.repeated import Margin
    from nas.scaling_search import GridFindings

IMAGENET = (1000, 3)  # classes and channels of the published models
_SHOWN_POINTS = 12


def print_members(
    base: Architecture,
    members: Sequence[ScaledNetwork],
    title: str,
    num_classes: int,
    in_channels: int,
    edition: str,
    *,
    memory: bool = False,
) -> None:
    """A family as a table, with the published models of like cost where it is built for ImageNet.

    Args:
        base: what was scaled.
        members: of the family.
        title: above the table.
        num_classes, in_channels: of the networks, for their cost.
        edition: of the paper.
        memory: whether bytes of memory are shown.
    """
    base_macs = cost(base, num_classes, in_channels).macs
    beside = (num_classes, in_channels) == IMAGENET
    if not beside:
        title += f" ({count_of(num_classes, 'class', 'classes')}, {count_of(in_channels, 'image channel')})"
    rows = []
    for member in members:
        network = member.architecture
        macs, params = cost(network, num_classes, in_channels)
        row: list[Any] = [
            network.name,
            "-" if member.phi is None else f"{member.phi:g}",
            f"{member.depth:.3g}",
            f"{member.width:.3g}",
            network.image_size,
            f"{network.dropout:g}",
            count(macs),
            f"{macs / base_macs:.2f}",
            f"{member.nominal:.2f}",
            count(params),
        ]
        if memory:
            row.append(f"{count(memory_of(network, num_classes, in_channels))}B")
        rows.append([*row, *published_cells(network, macs, edition)] if beside else row)
    columns = (
        "name",
        "phi",
        "depth",
        "width",
        "image size",
        "dropout",
        "MACs",
        "x base",
        "nominal",
        "params",
        *(("memory",) if memory else ()),
    )
    print_table((*columns, *PUBLISHED_COLUMNS) if beside else columns, rows, title=title)
    if any(str(row[-3]).startswith("~") for row in rows):
        out.print("~: another network, the published one of nearest MACs", soft_wrap=True)
    notes = [rounding_note(base, member, num_classes, in_channels) for member in members]
    said = [note for note in notes if note is not None]
    if said:
        out.print(said[0], soft_wrap=True)
    if len(said) > 1:
        out.print(f"and {len(said) - 1} more of the family", soft_wrap=True)


def print_grid(found: GridFindings) -> None:
    """The points of a grid search, the chosen one, and how sure that is."""
    chances = found.measured.chances()
    rows = []
    for index, point in enumerate(found.points[:_SHOWN_POINTS]):
        rows.append(
            [
                f"{point.alpha:g}",
                f"{point.beta:g}",
                f"{point.gamma:g}",
                point.architecture.image_size,
                f"{point.macs_factor:.3f}",
                f"{point.nominal:.3f}",
                count(point.params),
                _mean(found.measured.means[index], found.measured.error(index)),
                len(found.measured.accuracies[index]),
                "-" if chances is None else f"{100 * chances[index]:.0f} %",
            ]
        )
    columns = ("alpha", "beta", "gamma", "image size", "x MACs", "nominal", "params", "accuracy", "seeds")
    title = f"grid search at phi = 1 on {found.baseline.name}"
    print_table((*columns, "best with"), rows, title=title)
    if len(found.points) > _SHOWN_POINTS:
        out.print(f"and {len(found.points) - _SHOWN_POINTS} points below", soft_wrap=True)
    if found.left_out or found.failed:
        out.print(
            f"{found.failed} trainings failed; {found.left_out} points have no accuracy and are left out",
            soft_wrap=True,
        )
    out.print(chosen_words(found), soft_wrap=True)
    for line in advice_words(found):
        out.print(line, soft_wrap=True)


def chosen_words(found: GridFindings) -> str:
    """The chosen point, its margin over the runner-up, and what that is worth."""
    chosen, margin = found.chosen, found.margin
    text = f"chosen: {chosen.text} ({chosen.macs_factor:.3f} x MACs, nominal {chosen.nominal:.3f})"
    if margin is None:
        return f"{text}; it is the only point"
    runner_up = found.points[1]
    text += f"; {margin_words(margin)} {runner_up.text}"
    if margin.low is None:
        return f"{text}; one training each says nothing of the noise between seeds: raise scaling.seeds"
    if margin.certain:
        return f"{text}: more than the noise between seeds"
    number = len(found.close)
    others = "1 other point" if number == 1 else f"{number} other points"
    return f"{text}: {others} cannot be told apart from it; the first by mean is taken"


def advice_words(found: GridFindings) -> list[str]:
    """What scaling gained over the baseline, and what to do where the noise leaves the choice open."""
    lines = []
    gain = found.gain
    if gain is not None:
        seeds = count_of(len(found.alone), "seed")
        mean = sum(found.alone) / len(found.alone)
        text = f"it is {margin_words(gain)} the baseline, which has {100 * mean:.2f} % with {seeds}"
        if gain.high is not None and gain.high < 0:
            text += ": under this protocol more MACs make it worse, which short training may do"
        elif not gain.certain:
            text += ": under this protocol more MACs are not seen to help"
        lines.append(text)
    margin = found.margin
    if margin is not None and not margin.certain:
        lines.append(
            "to tell points apart: more seeds (scaling.max_seeds), longer training (protocol.epochs), more "
            "validation images"
        )
    return lines


def reuse_words(architecture: str, found: GridFindings) -> str:
    """The command that makes the family again, without a run."""
    chosen = found.chosen
    coefficients = f"--alpha {chosen.alpha:g} --beta {chosen.beta:g} --gamma {chosen.gamma:g}"
    return f"other sizes: nas scale {architecture} {coefficients} --phi PHI"


def print_dimensions(found: DimensionFindings) -> None:
    """Every network of the experiment, and compound scaling beside the best single dimension."""
    base = found.experiment.lines[0].points[0].macs
    rows = []
    for line in found.experiment.lines:
        for number, point in enumerate(line.points):
            accuracy = found.accuracy(point)
            if number or line is found.experiment.lines[0]:
                what: str = "baseline" if number == 0 else line.dimension
                factor = "" if number == 0 else f"{'phi ' if what == 'compound' else ''}{point.factor:g}"
                rows.append(_dimension_row(what, factor, point.macs, base, accuracy))
    for group in found.experiment.widths:
        for point in group.points:
            what = f"depth {group.depth:g}, resolution {group.resolution:g}"
            accuracy = found.accuracy(point)
            rows.append(_dimension_row(what, f"width {point.factor:g}", point.macs, base, accuracy))
    title = f"{found.experiment.members[0].architecture.name}, scaled by one dimension and by all three"
    print_table(("scaled by", "factor", "MACs", "x base", "accuracy"), rows, title=title)
    for gain in found.gains():
        ours, theirs = gain.macs
        out.print(
            f"at about {gain.target:g} times the MACs compound ({ours:.2f}) is {margin_words(gain.margin)} "
            f"the best single dimension, {gain.single} ({theirs:.2f})"
            + ("" if gain.margin.certain or gain.margin.low is None else ": not told apart"),
            soft_wrap=True,
        )
    if found.measured.deviation is None:
        out.print("one training each says nothing of the noise between seeds: raise dimensions.seeds")
    if found.failed:
        out.print(f"{found.failed} trainings failed and are left out")


def _dimension_row(
    what: str, factor: str, macs: int, base: int, accuracy: tuple[float, float | None] | None
) -> list[str]:
    mean = "-" if accuracy is None else _mean(*accuracy)
    return [what, factor, count(macs), f"{macs / base:.2f}", mean]


def dimensions_json(found: DimensionFindings) -> dict[str, Any]:
    """The experiment as plain data."""

    def point_json(point: Any) -> dict[str, Any]:
        accuracy = found.accuracy(point)
        place = found.places.get(point.architecture.key)
        return {
            "factor": point.factor,
            "macs": point.macs,
            "image_size": point.architecture.image_size,
            "key": point.architecture.key,
            "accuracy": None if accuracy is None else accuracy[0],
            "error": None if accuracy is None else accuracy[1],
            "accuracies": [] if place is None else list(found.measured.accuracies[place]),
        }

    return {
        "lines": [
            {"dimension": line.dimension, "points": [point_json(point) for point in line.points]}
            for line in found.experiment.lines
        ],
        "widths": [
            {
                "depth": group.depth,
                "resolution": group.resolution,
                "points": [point_json(point) for point in group.points],
            }
            for group in found.experiment.widths
        ],
        "gains": [
            {
                "target": gain.target,
                "single": gain.single,
                **gain.margin.to_json(),
                "macs_factors": list(gain.macs),
            }
            for gain in found.gains()
        ],
        "deviation": found.measured.deviation,
        "failed": found.failed,
    }


def formula_title(alpha: float, beta: float, gamma: float) -> str:
    """What the family of a formula is."""
    factor = scale_factor(alpha, beta, gamma)
    return (
        f"formula: alpha {alpha:g}, beta {beta:g}, gamma {gamma:g}; MACs x {factor:.3f} for each phi, but "
        "for rounding"
    )


def _mean(mean: float, error: float | None) -> str:
    return f"{100 * mean:.2f} %" if error is None else f"{100 * mean:.2f} ± {100 * error:.2f} %"


def margin_words(margin: Margin) -> str:
    """``0.42 points [-0.70, +1.53] above``: a difference of accuracies with its interval."""
    text = f"{100 * abs(margin.value):.2f} points"
    if margin.low is not None and margin.high is not None:
        text += f" [{100 * margin.low:+.2f}, {100 * margin.high:+.2f}]"
    return f"{text} {'above' if margin.value >= 0 else 'below'}"
