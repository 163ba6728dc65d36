"""A search for compound coefficients and the family that they give: a row a grid point, and MACs over phi.

Source of the search: section 3.3 of EfficientNet, arXiv 1905.11946.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.figures.labels import label_points, log_ticks, plain, settle
from results.figures.style import RED, unit_of
from results.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 24
_LONGEST = 28  # characters of a label beside a member of the family
_ROW = 0.27  # inches
_LOWEST = 4.4  # inches: a figure is no lower, however few its rows
_FEWEST = 4  # rows that there is room for
_SPAN = 0.5  # percentage points: the axis of the accuracy shows as much, however near the points are
_LETTERS = "\N{GREEK SMALL LETTER ALPHA}\N{GREEK SMALL LETTER BETA}\N{GREEK SMALL LETTER GAMMA}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_INK, _FAINT = "0.25", "0.45"
# label, colour, marker, its size: colours of Okabe and Ito, and another shape each
_CHOSEN = ("chosen", RED, "D", 8.0)
_CLOSE = ("cannot be told apart from it", "#e69f00", "o", 7.0)
_OTHER = ("others", "0.6", "s", 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """A point of the grid, trained.

    Attributes:
        alpha, beta, gamma: factors of depth, width and resolution at phi = 1.
        accuracy: mean over seeds, 0 to 1.
        error: half the width of the mean's 95 % interval; None with a single training.
        macs_factor: its true multiply-adds over the baseline's.
        nominal: what the formula says they are: alpha * beta^2 * gamma^2.
        seeds: trainings behind the mean.
        chosen: it is the one that the search takes.
        close: it cannot be told apart from the chosen.
    """

    alpha: float
    beta: float
    gamma: float
    accuracy: float
    error: float | None
    macs_factor: float
    nominal: float
    seeds: int
    chosen: bool
    close: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyStep:
    """A member of the family.

    Attributes:
        name: of it.
        phi: the compound coefficient.
        macs: its true multiply-adds of one image.
        nominal_macs: what the formula says they are: the baseline's times
            (alpha * beta^2 * gamma^2)^phi.
        params: parameters.
    """

    name: str
    phi: float
    macs: float
    nominal_macs: float
    params: float


def scaling_figure(
    points: Sequence[GridPoint],
    baseline: tuple[float, float | None] | None,
    family: Sequence[FamilyStep],
    title: str,
) -> Figure:
    """The grid's points by accuracy, with intervals, and the family's multiply-adds over phi.

    Args:
        points: of the grid, in any order. Of more than 24 the best are drawn, with the chosen one, and it is
            said how many are left out. None leaves the family alone.
        baseline: the mean accuracy of the network that is scaled, 0 to 1, and half the width of its 95 %
            interval; None where it was not trained.
        family: members in any order; none leaves the grid alone.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    rows = _rows(points)
    height = max(_LOWEST, _ROW * len(rows) + 1.8)
    both = bool(points and family)
    figure = Figure(figsize=(11.6 if both else 7.6, height), layout="constrained")
    figure.suptitle(plain(title, 100 if both else 62), parse_math=False, fontsize=12)
    panels = list(figure.subplots(1, 2 if both else 1, squeeze=False)[0])
    if points or not family:
        _forest(panels[0], rows, len(points) - len(rows), baseline)
    if family:
        _growth(panels[-1], sorted(family, key=lambda step: (step.phi, step.macs)))
    _legend(figure, panels)
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    if family:
        _names(panels[-1], family)
    return figure


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, below them: the standings of the points, then the family."""
    entries = [entry for axes in panels for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    order = [look[0] for look in (_CHOSEN, _CLOSE, _OTHER)]
    entries.sort(key=lambda entry: order.index(entry[1]) if entry[1] in order else len(order))
    if not entries:
        return
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)


def _rows(points: Sequence[GridPoint]) -> list[GridPoint]:
    """The best points, best first; the chosen one is among them."""
    best = sorted(points, key=lambda point: (-point.accuracy, not point.chosen))
    rows = best[:MOST_ROWS]
    missing = [point for point in best[MOST_ROWS:] if point.chosen]
    return rows[: MOST_ROWS - len(missing)] + missing if missing else rows


def _forest(
    axes: Axes, rows: Sequence[GridPoint], left_out: int, baseline: tuple[float, float | None] | None
) -> None:
    """A row a point: its mean and interval, and its multiply-adds in a column at the right."""
    axes.set_title(_heading(len(rows), left_out), fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not rows:
        axes.text(0.5, 0.5, "no grid point has an accuracy yet", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    places = dict(enumerate(rows))
    close = {place for place, point in places.items() if point.close and not point.chosen}
    chosen = {place for place, point in places.items() if point.chosen}
    for group, look in (
        (places.keys() - close - chosen, _OTHER),
        (close, _CLOSE),
        (chosen, _CHOSEN),
    ):
        _group(axes, {place: places[place] for place in sorted(group)}, look)
    axes.set_xlim(*_limits(rows, baseline))
    axes.set_ylim(max(len(rows), _FEWEST) - 0.4, -1.5)  # the best on top, below a line for headings
    axes.set_yticks(range(len(rows)), _factors(rows), fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel(_measure(rows))
    for place, label in enumerate(axes.get_yticklabels()):
        label.set_color(RED if place in chosen else _INK)
    _column(axes, rows)
    if baseline is not None:
        _baseline(axes, *baseline)


def _heading(shown: int, left_out: int) -> str:
    if left_out:
        return f"{shown} of {shown + left_out} grid points, the best on top; {left_out} are left out"
    return "the one grid point" if shown == 1 else f"{shown} grid points, the best on top"


def _group(axes: Axes, rows: dict[int, GridPoint], look: tuple[str, str, str, float]) -> None:
    """Points of one standing, by row, with their intervals."""
    if not rows:
        return
    label, colour, marker, size = look
    bars = [(100 * point.accuracy, row, 100 * point.error) for row, point in rows.items() if point.error]
    if bars:
        x, y, error = zip(*bars, strict=True)
        axes.errorbar(x, y, xerr=error, fmt="none", ecolor=colour, elinewidth=1.8, capsize=3, zorder=3)
    axes.plot(
        [100 * point.accuracy for point in rows.values()],
        list(rows),
        marker=marker,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.7,
        linestyle="none",
        color=colour,
        label=label,
        zorder=4,
    )


def _limits(rows: Sequence[GridPoint], baseline: tuple[float, float | None] | None) -> tuple[float, float]:
    """Of the axis of the accuracy, percent: all bars are inside, and equal points have room."""
    means = [(point.accuracy, point.error or 0.0) for point in rows]
    means += [(baseline[0], baseline[1] or 0.0)] if baseline is not None else []
    low = min(100 * (mean - error) for mean, error in means)
    high = max(100 * (mean + error) for mean, error in means)
    room = 0.06 * (high - low) + max(0.0, _SPAN - (high - low)) / 2
    return low - room, high + room


def _factors(rows: Sequence[GridPoint]) -> list[str]:
    """What stands before the rows; all with as many decimals, so that they stand under one another."""
    values = [value for point in rows for value in (point.alpha, point.beta, point.gamma)]
    decimals = max(1, *(len(f"{value:.4g}".partition(".")[2]) for value in values))
    return [
        "  ".join(
            f"{letter} {value:.{decimals}f}"
            for letter, value in zip(_LETTERS, (point.alpha, point.beta, point.gamma), strict=True)
        )
        for point in rows
    ]


def _measure(rows: Sequence[GridPoint]) -> str:
    """The axis of the accuracy, and what the bars are."""
    fewest, most = min(point.seeds for point in rows), max(point.seeds for point in rows)
    if most == 1:
        return "accuracy, % (a single training each)"
    seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    bars = any(point.error is not None for point in rows)
    return f"accuracy, %: mean of {seeds}{', bars: its 95 % interval' if bars else ''}"


def _column(axes: Axes, rows: Sequence[GridPoint]) -> None:
    """Multiply-adds beside the rows, at the right of the axes."""
    beside = axes.get_yaxis_transform()
    axes.text(
        1.02, -1.0, "times the baseline's MACs", transform=beside, va="center", fontsize=9, color=_FAINT
    )
    for place, point in enumerate(rows):
        axes.text(
            1.02,
            place,
            f"{point.macs_factor:.2f}{_TIMES}, formula {point.nominal:.2f}{_TIMES}",
            transform=beside,
            va="center",
            fontsize=9,
            color=RED if point.chosen else _INK,
        )


def _baseline(axes: Axes, mean: float, error: float | None) -> None:
    """The network that is scaled: a dashed line, its interval as a band, and its name on top."""
    x = 100 * mean
    if error:
        axes.axvspan(x - 100 * error, x + 100 * error, color="0.88", linewidth=0, zorder=0, gid="baseline")
    axes.axvline(x, color=_FAINT, linewidth=1.3, linestyle="--", zorder=1, gid="baseline")
    low, high = axes.get_xlim()
    at = (x - low) / (high - low)
    axes.text(
        x,
        -1.0,
        f" baseline {x:.1f} % ",
        ha="left" if at < 0.25 else "right" if at > 0.75 else "center",
        va="center",
        fontsize=9,
        color=_INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
    )


def _growth(axes: Axes, steps: Sequence[FamilyStep]) -> None:
    """Multiply-adds over phi: the formula's line, and the true points."""
    unit, word = unit_of([step.macs for step in steps])
    phis = [step.phi for step in steps]
    true, nominal = [step.macs / unit for step in steps], [step.nominal_macs / unit for step in steps]
    axes.set_title("the family", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yscale("log")
    axes.plot(
        phis,
        nominal,
        color=_FAINT,
        linestyle="--",
        linewidth=1.3,
        marker="_" if len(steps) == 1 else None,
        markersize=11,
        label="formula",
        zorder=2,
    )
    axes.plot(
        phis,
        true,
        color=RED,
        linestyle="none",
        marker="o",
        markersize=7,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label="as built, with parameters",
        zorder=4,
    )
    axes.set_ylim(min(true + nominal) / 1.35, max(true + nominal) * 1.35)
    room = 0.14 * (max(phis) - min(phis)) or 1.0
    axes.set_xlim(min(phis) - room, max(phis) + room)
    if all(float(phi).is_integer() for phi in phis) and len(set(phis)) <= 12:
        axes.set_xticks(sorted({int(phi) for phi in phis}))
    log_ticks(axes.yaxis)
    axes.set_xlabel("φ")
    axes.set_ylabel(f"{word}multiply-adds of one image")
    axes.grid(alpha=0.25)


def _names(axes: Axes, family: Sequence[FamilyStep]) -> None:
    """A name and the parameters beside each true point."""
    unit, _ = unit_of([step.macs for step in family])
    said = [f", {count(step.params)}" for step in family]
    label_points(
        axes,
        [(step.phi, step.macs / unit) for step in family],
        [plain(step.name, _LONGEST - len(text)) + text for step, text in zip(family, said, strict=True)],
        [RED] * len(family),
        8.5,
    )
