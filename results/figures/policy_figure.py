"""What a controller has settled, and when: a heat map of the entropy of its proposals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from results.figures.labels import plain, stage_borders
from results.figures.style import BLUE
from results.policy import Floats, PolicyMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.178  # inches a decision
_ENOUGH = 20  # proposals in a window: below, everything looks settled
_COLOURS = "YlGnBu_r"  # settled is dark, open is light; lightness alone tells, also in grey


def policy_figure(policy: PolicyMap, title: str) -> Figure:
    """Normalised entropy of each decision over the proposals, and the favourite choice at the end.

    Args:
        policy: D decisions in W windows; no window is allowed.
        title: above the figure.
    """
    from matplotlib.figure import Figure

    height = max(1.5, _ROW * len(policy.decisions))
    figure = Figure(figsize=(7.8, height + 1.45), layout="constrained")
    heat, side = figure.subplots(1, 2, width_ratios=(3.3, 1.0), sharey=True)
    for axes in (heat, side):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    _heat(heat, policy)
    _favourites(side, policy)
    _bar(figure, [heat, side], policy.window)
    figure.suptitle(plain(title, 110), parse_math=False, fontsize=11)
    return figure


def _heat(heat: Axes, policy: PolicyMap) -> None:
    """The map: a row a decision, a column a window."""
    heat.pcolormesh(
        _edges(policy),
        np.arange(len(policy.decisions) + 1),
        policy.entropy if len(policy.ends) else np.zeros((len(policy.decisions), 1)),
        cmap=_COLOURS,
        vmin=0.0,
        vmax=1.0,
        rasterized=True,
        visible=bool(len(policy.ends)),
        alpha=1.0 if policy.window >= _ENOUGH else 0.25,
    )
    rows = np.arange(len(policy.decisions)) + 0.5
    names = [plain(decision.name, 36) for decision in policy.decisions]
    heat.set_yticks(rows, names, fontsize=7.2, parse_math=False)
    heat.set_ylim(len(policy.decisions), 0)
    heat.set_xlabel("proposals")
    heat.tick_params(axis="x", length=3)
    heat.locator_params(axis="x", integer=True)
    for edge in stage_borders([decision.name for decision in policy.decisions]):
        heat.axhline(edge, color="white", linewidth=2.0)
        heat.axhline(edge, color="0.35", linewidth=0.7)
    if len(policy.ends) < 2:
        heat.set_xticks(policy.ends)
    if policy.window < _ENOUGH:
        heat.text(
            0.5,
            0.5,
            "no proposal yet" if not policy.window else f"{_proposals(policy.window)}: too few to tell",
            transform=heat.transAxes,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "0.7", "boxstyle": "round"},
        )


def _bar(figure: Figure, axes: list[Axes], window: int) -> None:
    """The colours of the map."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = figure.colorbar(
        ScalarMappable(Normalize(0.0, 1.0), _COLOURS),
        ax=axes,
        location="bottom",
        shrink=0.5,
        aspect=40,
        pad=0.02,
        ticks=[0, 0.5, 1],
    )
    bar.ax.set_xticklabels(["0 settled", "0.5", "1 open"])
    bar.set_label(f"normalised entropy of {_proposals(window)} at a time", fontsize=8.5)
    bar.outline.set_visible(False)


def _proposals(number: int) -> str:
    return f"{number} proposal{'' if number == 1 else 's'}"


def _edges(policy: PolicyMap) -> Floats:
    """Where the columns begin and end, (W + 1,): half-way between the ends of the windows."""
    ends = policy.ends.astype(np.float64)
    if len(ends) < 2:
        return np.array([ends[0] - 0.5, ends[0] + 0.5]) if len(ends) else np.array([0.0, 1.0])
    between = (ends[:-1] + ends[1:]) / 2
    return np.concatenate([[2 * ends[0] - between[0]], between, [2 * ends[-1] - between[-1]]])


def _favourites(axes: Axes, policy: PolicyMap) -> None:
    """The choice that the last window holds most, with its share as a bar."""
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.tick_params(axis="y", labelleft=False)
    axes.set_title(f"favourite of the last {policy.window}" if len(policy.ends) else "", fontsize=9)
    if not len(policy.ends):
        return
    for row, (decision, share) in enumerate(zip(policy.decisions, policy.shares, strict=True)):
        favourite = int(np.argmax(share))
        axes.barh(row + 0.5, 1.0, height=0.78, color="0.95", zorder=1)
        axes.barh(row + 0.5, share[favourite], height=0.78, color=BLUE, alpha=0.28, linewidth=0, zorder=2)
        style: dict[str, Any] = {"va": "center", "fontsize": 7.2, "zorder": 3}
        alone = len(decision.choices) == 1
        axes.text(
            0.03, row + 0.5, plain(decision.choices[favourite], 16), ha="left", parse_math=False, **style
        )
        axes.text(
            0.97,
            row + 0.5,
            "only choice" if alone else f"{100 * share[favourite]:.0f} %",
            ha="right",
            color="0.35",
            **style,
        )
    for edge in stage_borders([decision.name for decision in policy.decisions]):
        axes.axhline(edge, color="0.35", linewidth=0.7)
