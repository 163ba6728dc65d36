"""A network stage by stage: the paper's table 1 with receptive field and cost."""

from __future__ import annotations

from typing import Any, NamedTuple

from search_space.architecture import Architecture
from search_space.cost import head_cost, stage_cost, stem_cost


class StageRow(NamedTuple):
    """One line of the table.

    Attributes:
        stage: counts from 1.
        operator: in words.
        resolution: side of the input, pixels.
        channels: of the output.
        layers: how many.
        receptive_field: side of what one output pixel sees of the image, pixels, SE's pooling apart.
        macs: multiply-adds.
        params: parameters.
    """

    stage: int
    operator: str
    resolution: int
    channels: int
    layers: int
    receptive_field: int
    macs: int
    params: int

    def cells(self) -> tuple[object, ...]:
        """The fields as a table for people writes them: ``112x112``, and counts with separators."""
        resolution = f"{self.resolution}x{self.resolution}"
        costs = (f"{self.macs:,}", f"{self.params:,}")
        return (
            self.stage,
            self.operator,
            resolution,
            self.channels,
            self.layers,
            self.receptive_field,
            *costs,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return self._asdict()


def stage_table(architecture: Architecture, num_classes: int = 1000, in_channels: int = 3) -> list[StageRow]:
    """The stages from stem to classifier; MACs and parameters add up to `cost`.

    Args:
        architecture: the network.
        num_classes, in_channels: as for `cost`.
    """
    stem, head = architecture.stem, architecture.head
    macs, params, side = stem_cost(stem, in_channels, architecture.image_size)
    field, jump = stem.kernel, stem.stride
    pooled = ""
    if stem.pool == "max":
        field, jump, pooled = field + 2 * jump, jump * 2, " & MaxPool3x3"
    name = f"Conv{stem.kernel}x{stem.kernel}{pooled}"
    rows = [StageRow(1, name, architecture.image_size, stem.channels, 1, field, macs, params)]
    channels = stem.channels
    for number, stage in enumerate(architecture.stages, start=2):
        resolution = side
        macs, params, side = stage_cost(stage, channels, side)
        for block in stage.blocks(channels):
            kernel = max(stage.kernel, 3) if block.skip == "pool" else stage.kernel
            field += (kernel - 1) * jump
            jump *= block.stride
        operator = _operator(stage.op, stage.expansion, stage.kernel, stage.se_ratio, stage.skip)
        rows.append(
            StageRow(number, operator, resolution, stage.channels, stage.repeats, field, macs, params)
        )
        channels = stage.channels
    macs, params = head_cost(architecture, side, num_classes)
    name = "Conv1x1 & Pooling & FC" if head.channels else "Pooling & FC"
    whole = max(field, architecture.image_size)  # pooling sees the whole image
    last = len(architecture.stages) + 2
    rows.append(StageRow(last, name, side, head.channels or num_classes, 1, whole, macs, params))
    return rows


_NAMES = {
    "conv": "Conv",
    "dsconv": "DSConv",
    "dsconv_act": "DSConv (activated)",
    "bottleneck": "Bottleneck",
}


def _operator(op: str, expansion: int, kernel: int, se_ratio: float, skip: str) -> str:
    name = f"MBConv{expansion}" if op == "mbconv" else _NAMES[op]
    squeeze = f", SE {se_ratio:g}" if se_ratio and op not in ("conv", "bottleneck") else ""
    plain = skip == "identity" or op == "dsconv_act"
    return f"{name}, k{kernel}x{kernel}{squeeze}{'' if plain else f', skip {skip}'}"
