"""Architectures drawn: each stage a block, to scale, above a table of what was chosen for it.

A block's width is its layers, each a slab; its height the channels that leave it, its depth the pixels a side
that come in, both by their square roots. All networks of a figure have one scale, and where they have equally
many stages these stand under one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.drawing import DrawnStage, drawn_stages
from results.figures.blocks import COLOURS, SE_COLOUR, draw_block
from results.figures.labels import plain
from results.figures.style import RED
from results.wording import count
from search_space import Architecture, InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST, MOST_STAGES = 4, 100  # networks of a figure, stages of each
# inches: margins, a column's least width, what a figure should not exceed, the parts of a network's band
_LEFT, _RIGHT, _CELL, _NARROW, _WIDE = 1.12, 0.3, 0.82, 8.2, 14.5
_TITLE, _ROW, _BAR, _GAP, _FOOT = 0.62, 0.19, 0.62, 0.3, 0.52
_TALL, _DEEP, _RISE = 1.6, 0.46, 0.62  # most channels, most pixels, and the slope of the depth
_SLAB, _THIN = 0.19, 0.0005  # a layer, at most and at least
_GREY, _TINT = "0.42", "#fbddd4"

_CHOSEN = ("operator", "expansion", "kernel", "squeeze-excite", "skip", "channels", "layers")
_ROWS = ("stage", *_CHOSEN, "pixels in")  # pixels follow from the image and strides: no difference of a stage
_NONE, _TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
_OPERATORS = {
    "conv": "Conv",
    "dsconv": "DSConv",
    "dsconv_act": "DSConv, act.",
    "mbconv": "MBConv",
    "bottleneck": "Bottleneck",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """One network of a figure.

    Attributes:
        title, facts: above it.
        stages: from stem to head.
        cells: for each stage what the table says, by row.
        marked: for each stage the rows that differ from the first network's.
    """

    title: str
    facts: str
    stages: list[DrawnStage]
    cells: list[dict[str, str]]
    marked: list[set[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """What all networks of a figure share; lengths in inches.

    Attributes:
        slab: width of a layer.
        channels, pixels: the largest.
        share: the largest share of multiply-adds that a stage has.
    """

    slab: float
    channels: int
    pixels: int
    share: float

    def height(self, stage: DrawnStage) -> float:
        return float(_TALL * (stage.channels / self.channels) ** 0.5)

    def depth(self, stage: DrawnStage) -> float:
        return float(_DEEP * (stage.resolution / self.pixels) ** 0.5)


def architecture_figure(
    architectures: Sequence[Architecture],
    num_classes: int = 1000,
    in_channels: int = 3,
    titles: Sequence[str] | None = None,
) -> Figure:
    """One network, or up to four under one another; what differs from the first is marked.

    Args:
        architectures: the networks.
        num_classes, in_channels: as for `search_space.cost`, of all.
        titles: above each; by default their names.

    Raises:
        ValueError: there is none, or there are more than four, or not as many titles.
        InputError: a network has more stages than there is room for.
    """
    from matplotlib.figure import Figure

    if not 1 <= len(architectures) <= MOST:
        raise ValueError(f"architectures must be 1 to {MOST}, got {len(architectures)}")
    names = [a.name for a in architectures] if titles is None else list(titles)
    if len(names) != len(architectures):
        raise ValueError(f"titles must be {len(architectures)}, got {len(names)}")
    for name, architecture in zip(names, architectures, strict=True):
        if len(architecture.stages) > MOST_STAGES:
            raise InputError(
                f"{name}: has {len(architecture.stages)} stages; a drawing has room for {MOST_STAGES}"
            )
    networks: list[_Drawn] = []
    for name, architecture in zip(names, architectures, strict=True):
        first = networks[0] if networks else None
        networks.append(_drawn(architecture, name, num_classes, in_channels, first))
    scale, columns = _fit(networks)
    rows = _rows(networks)
    band = _TITLE + _TALL + _DEEP * _RISE + len(rows) * _ROW + _BAR + _GAP
    width = _LEFT + max(sum(its) for its in columns) + _RIGHT
    height = band * len(networks) + _FOOT
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    for number, (network, widths) in enumerate(zip(networks, columns, strict=True)):
        _draw(axes, number, network, widths, rows, scale, height - number * band)
    _legend(axes, networks, width)
    return figure


def _drawn(
    architecture: Architecture, title: str, num_classes: int, in_channels: int, first: _Drawn | None
) -> _Drawn:
    """What is drawn of a network, beside the first of the figure."""
    stages = drawn_stages(architecture, num_classes, in_channels)
    cells = _cells(architecture, stages)
    facts = (
        f"{architecture.image_size} pixels · {count(sum(s.macs for s in stages))} multiply-adds · "
        f"{count(sum(s.params for s in stages))} parameters · {architecture.depth} layers in "
        f"{len(architecture.stages)} stages"
    )
    marked: list[set[str]] = [set() for _ in stages]
    if first is not None and len(first.stages) == len(stages):
        marked = [
            {row for row in _ROWS if its[row] != other[row]}
            for its, other in zip(cells, first.cells, strict=True)
        ]
        differ = sum(bool(rows & set(_CHOSEN)) for rows in marked)
        facts += f" · {differ or 'none'} of {len(stages)} columns differ{'' if differ > 1 else 's'}"
    elif first is not None:
        facts += f" · stages not matched: the first network has {len(first.stages) - 2}"
    return _Drawn(title=title, facts=facts, stages=stages, cells=cells, marked=marked)


def _cells(architecture: Architecture, stages: Sequence[DrawnStage]) -> list[dict[str, str]]:
    """What the table says of each stage."""
    skips, place, before = [""], 0, architecture.blocks()
    for plan in architecture.stages:
        found = {block.skip for block in before[place : place + plan.repeats]} - {"none"}
        skips.append("pool" if "pool" in found else "identity" if found else "none")
        place += plan.repeats
    cells = []
    for number, (stage, skip) in enumerate(zip(stages, [*skips, ""], strict=True)):
        operator = _OPERATORS.get(stage.kind, "")
        kernel = _NONE if stage.kernel is None else f"{stage.kernel}{_TIMES}{stage.kernel}"
        if stage.kind == "stem":
            operator = "Conv, pool" if "Pool" in stage.operator else "Conv"
        elif stage.kind == "head":
            operator, kernel = ("Conv, FC", f"1{_TIMES}1") if "Conv" in stage.operator else ("FC", _NONE)
        expands = stage.kind in ("mbconv", "dsconv")
        values = (
            stage.kind if stage.kind in ("stem", "head") else str(number),
            operator,
            f"{_TIMES}{stage.expansion if stage.kind == 'mbconv' else 1}" if expands else _NONE,
            kernel,
            f"{stage.se_ratio:g}" if stage.se_ratio and stage.kind in _SQUEEZED else _NONE,
            skip or _NONE,
            f"{stage.channels}",
            f"{stage.layers}",
            f"{stage.resolution}",
        )
        cells.append(dict(zip(_ROWS, values, strict=True)))
    return cells


_SQUEEZED = ("mbconv", "dsconv", "dsconv_act")


def _rows(networks: Sequence[_Drawn]) -> list[str]:
    """The rows of the table that say something; skips do where a stage of several layers lacks the usual."""
    stages = [pair for n in networks for pair in zip(n.stages, n.cells, strict=True)]
    odd = any(s.skip == "pool" or (cell["skip"] == "none" and s.layers > 1) for s, cell in stages)
    return [row for row in _ROWS if any(cell[row] != _NONE for _, cell in stages) and (row != "skip" or odd)]


def _fit(networks: Sequence[_Drawn]) -> tuple[_Scale, list[list[float]]]:
    """The common scale, and the widths of each network's columns."""
    matched = len({len(network.stages) for network in networks}) == 1
    stages = [stage for network in networks for stage in network.stages]
    scale = _Scale(
        slab=_SLAB,
        channels=max(stage.channels for stage in stages),
        pixels=max(stage.resolution for stage in stages),
        share=max(s.macs / max(1, sum(o.macs for o in n.stages)) for n in networks for s in n.stages),
    )

    def widths(slab: float) -> list[list[float]]:
        each = [
            [max(_CELL, slab * stage.layers + scale.depth(stage) + 0.2) for stage in network.stages]
            for network in networks
        ]
        return [[max(column) for column in zip(*each, strict=True)]] * len(each) if matched else each

    low, high = _THIN, _SLAB
    if max(map(sum, widths(high))) > _WIDE - _LEFT - _RIGHT:
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (
                (low, middle) if max(map(sum, widths(middle))) > _WIDE - _LEFT - _RIGHT else (middle, high)
            )
        high = low
    columns = widths(high)
    wanting = max(0.0, _NARROW - _LEFT - _RIGHT - max(map(sum, columns)))
    columns = [[width + wanting / len(its) for width in its] for its in columns]
    return (
        _Scale(slab=high, channels=scale.channels, pixels=scale.pixels, share=scale.share),
        columns,
    )


def _draw(
    axes: Axes,
    number: int,
    network: _Drawn,
    widths: Sequence[float],
    rows: Sequence[str],
    scale: _Scale,
    top: float,
) -> None:
    """One network: title, blocks, table, shares of multiply-adds."""
    from matplotlib.patches import Rectangle

    _heading(axes, network, top)
    floor = top - _TITLE - _TALL - _DEEP * _RISE
    table = floor - 0.14
    foot = table - len(rows) * _ROW - _BAR
    for place, row in enumerate([*rows, "share of MACs"]):
        y = table - (place + 0.5) * _ROW - (0.5 * _BAR - 0.5 * _ROW if row == "share of MACs" else 0)
        axes.text(_LEFT - 0.12, y, row, fontsize=8, color=_GREY, ha="right", va="center")
    total = max(1, sum(stage.macs for stage in network.stages))
    x = _LEFT
    for place, (stage, width) in enumerate(zip(network.stages, widths, strict=True)):
        marked = network.marked[place]
        differs = bool(marked & set(_CHOSEN))
        tint = "#f6f7f9" if place % 2 == 0 else "white"
        axes.add_patch(
            Rectangle((x, foot), width, top - _TITLE + 0.06 - foot, facecolor=tint, linewidth=0, zorder=0)
        )
        box, depth = scale.slab * stage.layers, scale.depth(stage)
        corner = (x + (width - box - depth) / 2, floor)
        name = f"network{number}.{'stem' if not place else stage.kind if stage.kind == 'head' else place}"
        draw_block(axes, corner, stage, (scale.slab, scale.height(stage), depth, depth * _RISE), name)
        for line, row in enumerate(rows):
            middle = (x + width / 2, table - (line + 0.5) * _ROW)
            _cell(axes, middle, network.cells[place][row], row in marked, row == "stage")
        if differs:
            axes.plot([x + 0.05, x + width - 0.05], [floor, floor], color=RED, linewidth=2.6, zorder=2)
        _share(axes, (x, foot, width), stage.macs / total, scale.share, f"{name}.macs")
        x += width
    axes.plot([_LEFT, x], [floor, floor], color="0.55", linewidth=0.8, zorder=1)
    axes.plot([_LEFT, x], [foot, foot], color="0.55", linewidth=0.8, zorder=4)


def _heading(axes: Axes, network: _Drawn, top: float) -> None:
    """Its name and what it costs."""
    axes.text(
        0.18,
        top - 0.2,
        plain(network.title, 70),
        fontsize=13,
        weight="bold",
        va="center",
        parse_math=False,
    )
    axes.text(0.18, top - 0.45, network.facts, fontsize=9, color=_GREY, va="center")


def _cell(axes: Axes, middle: tuple[float, float], text: str, marked: bool, heading: bool) -> None:
    """One cell of the table; red on a tint where it differs from the first network's."""
    from matplotlib.patches import Rectangle

    x, y = middle
    if marked:
        half = max(0.2, 0.036 * len(text) + 0.07)
        axes.add_patch(
            Rectangle((x - half, y - _ROW / 2), 2 * half, _ROW, facecolor=_TINT, linewidth=0, zorder=0.5)
        )
    axes.text(
        x,
        y,
        text,
        fontsize=8,
        ha="center",
        va="center",
        color=RED if marked else _GREY if heading else "black",
        weight="bold" if marked or heading else "normal",
    )


def _share(axes: Axes, place: tuple[float, float, float], share: float, largest: float, name: str) -> None:
    """The share of the multiply-adds that a stage has, as a bar with its number."""
    from matplotlib.patches import Rectangle

    x, y, width = place
    height = (_BAR - 0.22) * share / max(largest, 1e-9)
    wide = min(0.46, 0.6 * width)
    axes.add_patch(
        Rectangle((x + (width - wide) / 2, y), wide, height, facecolor="0.62", linewidth=0, gid=name)
    )
    text = f"{100 * share:.0f} %" if share >= 0.0095 else f"{100 * share:.1f} %"
    axes.text(
        x + width / 2, y + height + 0.03, text, fontsize=7, color=_GREY, ha="center", va="bottom", zorder=5
    )


def _legend(axes: Axes, networks: Sequence[_Drawn], width: float) -> None:
    """The colours that occur, and how to read the sizes."""
    from matplotlib.patches import Patch

    kinds = [kind for kind in COLOURS if any(s.kind == kind for n in networks for s in n.stages)]
    words = {**_OPERATORS, "stem": "stem", "head": "head", "dsconv_act": "DSConv, activated"}
    handles = [Patch(facecolor=COLOURS[kind], label=words[kind]) for kind in kinds]
    if any(s.se_ratio and s.kind in _SQUEEZED for n in networks for s in n.stages):
        handles.append(Patch(facecolor=SE_COLOUR, label="with squeeze-and-excitation"))
    axes.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(width / 2, _FOOT - 0.1),
        bbox_transform=axes.transData,
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        handlelength=1.1,
        handleheight=1.1,
        columnspacing=1.4,
        borderpad=0,
    )
    caption = (
        "width: layers, a slab each · height: channels (square root) · depth: pixels a side (square root) · "
        "darker: larger kernel"
    )
    if any(rows for network in networks for rows in network.marked):
        caption += " · red: differs from the first"
    axes.text(width / 2, 0.17, caption, fontsize=7.5, color=_GREY, ha="center", va="center")
