"""A scaled family beside the published models: accuracy against parameters, and against multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.figures.labels import label_points, log_ticks, plain, settle, spread
from results.figures.style import BLUE, RED
from results.published import LATEST, PublishedModel, published_models, source_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_INK = "0.45"
_LONGEST = 30  # characters of a name
_APART = 9.0  # typographic points between the names of members without an accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyPoint:
    """A member of a family.

    Attributes:
        name: of it.
        params: parameters.
        macs: multiply-adds of one image.
        accuracy: 0 to 1; None where nobody has trained it.
    """

    name: str
    params: float
    macs: float
    accuracy: float | None = None


def family_figure(
    members: Sequence[FamilyPoint],
    title: str,
    published: Sequence[PublishedModel] | None = None,
    edition: str = LATEST,
) -> Figure:
    """A family as a line, from its smallest to its largest, beside published models.

    A member whose accuracy nobody knows is a tick on the axis of the cost.

    Args:
        members: of the family, in any order; none leaves the published.
        title: above the figure.
        published: models with their accuracy on ImageNet; those of the edition by default.
        edition: of the paper, named in the legend; see `results.published.EDITIONS`.

    Raises:
        InputError: no such edition.
    """
    from matplotlib.figure import Figure

    source = source_of(2, edition)
    published = published_models(edition) if published is None else published
    figure = Figure(figsize=(10.8, 5.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    figure.suptitle(plain(title, 130), parse_math=False, fontsize=12)
    for axes, cost, label in (
        (panels[0], "params", "million parameters"),
        (panels[1], "macs", "billion multiply-adds of one image"),
    ):
        _points(axes, members, published, cost, source)
        axes.set_xlabel(label)
        axes.grid(alpha=0.22)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("top-1 accuracy, % (published models: ImageNet)")
    if any(member.accuracy is None for member in members):
        low, high = panels[0].get_ylim()
        longest = max(len(plain(m.name, _LONGEST)) for m in members if m.accuracy is None)
        room = 0.07 + 0.0138 * longest  # of the height, for the names along the axis
        panels[0].set_ylim(low - room / (1 - room) * (high - low), high)
        panels[0].plot(
            [], [], "|", color=RED, markersize=9, markeredgewidth=1.8, label="not trained: its cost alone"
        )
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    settle(figure)  # fixes the layout: names are placed by what is free then
    figure.set_layout_engine("none")
    for axes, cost in ((panels[0], "params"), (panels[1], "macs")):
        _names(axes, members, published, cost)
    return figure


def _unit(cost: str) -> float:
    return 1e6 if cost == "params" else 1e9


def _place(point: FamilyPoint | PublishedModel, cost: str) -> tuple[float, float] | None:
    """Where a point stands; None where its cost or its accuracy is not known."""
    value = getattr(point, cost)
    if value is None or point.accuracy is None:
        return None
    return value / _unit(cost), 100 * point.accuracy


def _points(
    axes: Axes, members: Sequence[FamilyPoint], published: Sequence[PublishedModel], cost: str, source: str
) -> None:
    """Everything but the names."""
    axes.set_xscale("log")
    others = [m for m in published if not m.efficientnet]
    family = "EfficientNet, as published" if others else f"EfficientNet, as published ({source})"
    groups = (
        (others, "0.62", "", f"published ({source})"),
        ([m for m in published if m.efficientnet], BLUE, "-", family),
        (sorted(members, key=lambda m: getattr(m, cost)), RED, "-", "this family"),
    )
    for group, colour, line, label in groups:
        places = [place for point in group if (place := _place(point, cost)) is not None]
        if not places:
            continue
        x, y = zip(*places, strict=True)
        own = label == "this family"
        axes.plot(
            x,
            y,
            marker="o" if line else "D",
            markersize=6.5 if own else 5.5 if line else 4.5,
            linestyle=line or "none",
            linewidth=2.0 if own else 1.5,
            color=colour,
            label=label,
            zorder=4 if own else 3 if line else 2,
        )
    costs = [getattr(p, cost) / _unit(cost) for p in (*members, *published) if getattr(p, cost) is not None]
    if costs:
        axes.set_xlim(min(costs) / 1.45, max(costs) * 1.45)
    log_ticks(axes.xaxis)


def _names(
    axes: Axes, members: Sequence[FamilyPoint], published: Sequence[PublishedModel], cost: str
) -> None:
    """Names beside the points, and the members without an accuracy along the axis."""
    unknown = sorted(
        (member for member in members if member.accuracy is None), key=lambda m: float(getattr(m, cost))
    )
    taken = _ticks(axes, unknown, cost)
    others = [model for model in published if not model.efficientnet]
    groups: tuple[tuple[list[FamilyPoint | PublishedModel], str], ...] = (
        ([*members], RED),
        ([m for m in published if m.efficientnet], BLUE),
        ([*sorted(others, key=lambda model: model.accuracy, reverse=True)], _INK),
    )
    named = [
        (place, point.name.replace("EfficientNet-", "") if colour == BLUE else point.name, colour)
        for group, colour in groups
        for point in group
        if (place := _place(point, cost)) is not None
    ]
    places, names = [place for place, _, _ in named], [name for _, name, _ in named]
    label_points(axes, places, names, [colour for _, _, colour in named], 7.5, taken)


def _ticks(axes: Axes, members: Sequence[FamilyPoint], cost: str) -> list[Bbox]:
    """Members whose accuracy is not known: a tick on the axis each, and the name upright; where these are."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    values = [getattr(member, cost) / _unit(cost) for member in members]
    pixels = [float(axes.transData.transform((value, axes.get_ylim()[0]))[0]) for value in values]
    gap = _APART * figure.dpi / 72
    written = []
    moved = spread(pixels, gap, axes.bbox.x0 + gap, axes.bbox.x1 - gap)
    for member, value, at, to in zip(members, values, pixels, moved, strict=True):
        axes.plot(
            [value, value],
            [0, 0.02],
            transform=axes.get_xaxis_transform(),
            color=RED,
            linewidth=1.8,
            clip_on=False,
            gid=f"untrained.{cost}",
            zorder=5,
        )
        name = axes.annotate(
            plain(member.name, _LONGEST),
            (value, 0.02),
            xycoords=axes.get_xaxis_transform(),
            xytext=((to - at) * 72 / figure.dpi, 9),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=RED,
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": RED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
        )
        written.append(name.get_window_extent())
    return written
