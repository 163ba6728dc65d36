"""What a drawing of an architecture shows, for figures and pages: one row a stage, stem and head included."""

from __future__ import annotations

from typing import NamedTuple

from search_space import Architecture, stage_table


class DrawnStage(NamedTuple):
    """One stage of a drawing.

    Attributes:
        kind: ``stem``, ``head``, or the operator: ``mbconv``, ``conv``, ``dsconv``, …
        operator: with its kernel, as the papers write it.
        kernel: pixels; None of the head.
        expansion: of the channels in each block; 1 where there is none.
        se_ratio: of squeeze-and-excitation; 0 where there is none.
        skip: ``identity``, ``pool`` or ``none``; empty of stem and head.
        stride: of the first layer.
        resolution: pixels a side of what comes in.
        channels: of what goes out.
        layers: blocks of the stage.
        macs, params: of the stage; all stages add up to the network's.
    """

    kind: str
    operator: str
    kernel: int | None
    expansion: int
    se_ratio: float
    skip: str
    stride: int
    resolution: int
    channels: int
    layers: int
    macs: int
    params: int


def drawn_stages(
    architecture: Architecture, num_classes: int = 1000, in_channels: int = 3
) -> list[DrawnStage]:
    """The rows of a drawing, from the stem to the head.

    Args:
        architecture: the network.
        num_classes, in_channels: as for `search_space.cost`.
    """
    stem = architecture.stem
    kinds: list[tuple[str, int | None, int, float, str, int]] = [
        ("stem", stem.kernel, 1, 0.0, "", stem.stride),
        *(
            (stage.op, stage.kernel, stage.expansion, stage.se_ratio, stage.skip, stage.stride)
            for stage in architecture.stages
        ),
        ("head", None, 1, 0.0, "", 1),
    ]
    rows = stage_table(architecture, num_classes, in_channels)
    return [
        DrawnStage(
            kind=kind,
            operator=row.operator,
            kernel=kernel,
            expansion=expansion,
            se_ratio=se_ratio,
            skip=skip,
            stride=stride,
            resolution=row.resolution,
            channels=row.channels,
            layers=row.layers,
            macs=row.macs,
            params=row.params,
        )
        for (kind, kernel, expansion, se_ratio, skip, stride), row in zip(kinds, rows, strict=True)
    ]
