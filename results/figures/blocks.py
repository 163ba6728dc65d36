"""A stage as a block in oblique projection, a slab a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.drawing import DrawnStage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "stem": "#8a94a3",
    "mbconv": "#3f78b5",
    "dsconv": "#4fa394",
    "dsconv_act": "#2c7d86",
    "conv": "#a5719b",
    "bottleneck": "#c9803f",
    "head": "#56606e",
}
SE_COLOUR = "#f3c242"
_FINEST = 0.02  # inches: thinner slabs are not told apart by lines
_LIGHTER = {1: 0.45, 3: 0.25, 5: 0.0, 7: -0.18, 9: -0.3, 11: -0.4}  # by kernel: towards white, or black

Colour = tuple[float, float, float]


def draw_block(
    axes: Axes,
    corner: tuple[float, float],
    stage: DrawnStage,
    size: tuple[float, float, float, float],
    name: str,
) -> None:
    """Draw a stage.

    Args:
        axes: in inches.
        corner: lower left of the front.
        stage: what is drawn.
        size: a layer's width, the height, and how far the depth goes right and up; inches.
        name: the group id of the front, for those who look for it in an SVG.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Polygon, Rectangle

    (x, y), (slab, height, right, up) = corner, size
    width = slab * stage.layers
    front = _shade(COLOURS[stage.kind], _LIGHTER.get(stage.kernel or 5, 0.0) if stage.kind != "head" else 0.0)
    edge = _shade(COLOURS[stage.kind], -0.45)
    style: dict[str, Any] = {"edgecolor": edge, "linewidth": 0.7, "joinstyle": "round", "zorder": 3}
    end, above = x + width, y + height
    axes.add_patch(
        Polygon(
            [(x, above), (end, above), (end + right, above + up), (x + right, above + up)],
            facecolor=_mix(front, 0.45),
            **style,
        )
    )
    axes.add_patch(
        Polygon(
            [(end, y), (end + right, y + up), (end + right, above + up), (end, above)],
            facecolor=_mix(front, -0.25),
            **style,
        )
    )
    axes.add_patch(Polygon([(x, y), (end, y), (end, above), (x, above)], facecolor=front, gid=name, **style))
    if stage.se_ratio and stage.kind in ("mbconv", "dsconv", "dsconv_act"):
        band = min(0.06, 0.3 * height)
        axes.add_patch(Rectangle((x, y), width, band, facecolor=SE_COLOUR, linewidth=0, zorder=3.5))
    if slab >= _FINEST:
        cuts = [x + slab * layer for layer in range(1, stage.layers)]
        lines = [[(cut, y), (cut, above), (cut + right, above + up)] for cut in cuts]
        axes.add_collection(LineCollection(lines, colors=[edge], linewidths=0.5, zorder=4), autolim=False)


def _shade(colour: str, lighter: float) -> Colour:
    from matplotlib.colors import to_rgb

    return _mix(to_rgb(colour), lighter)


def _mix(colour: Colour, lighter: float) -> Colour:
    """Towards white by a share, or towards black where it is negative."""
    end = 1.0 if lighter > 0 else 0.0
    red, green, blue = (part + (end - part) * abs(lighter) for part in colour)
    return red, green, blue
