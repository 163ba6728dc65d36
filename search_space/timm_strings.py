"""timm's block strings, both ways, so that a discovered network can be timm's ``arch_def``.

Source: ``decode_arch_def`` and ``_decode_block_str`` in timm/models/_efficientnet_builder.py. A string is a
block type and options joined by ``_``: ``ir_r2_k3_s2_e6_c24_se0.25``. timm takes the SE ratio of an ``ir``
over the block's input (``se_from_exp=False``), as EfficientNet and this package do. It rounds the squeezed
channels to the nearest, we and the reference round down; at input channels that are multiples of 8 and the
ratio 0.25 both agree. Unlike timm, which leaves out what it does not understand, a typo is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from search_space.architecture import Architecture
from search_space.errors import FieldError
from search_space.stage import Stage

_TO_TYPE = {"conv": "cn", "dsconv": "ds", "dsconv_act": "dsa", "mbconv": "ir"}
_TO_OP = {name: op for op, name in _TO_TYPE.items()}
_OPTION = re.compile(r"(r|k|s|e|c)([1-9]\d*)|(se)(0?\.\d+|1(?:\.0*)?|0)|(noskip)")
_NEEDED = {"cn": "rksc", "ds": "rksc", "dsa": "rksc", "ir": "rksec"}


def to_timm(architecture: Architecture) -> list[list[str]]:
    """The stages as timm's ``arch_def``.

    Raises:
        FieldError: a block that timm's strings have no word for (pooling skips, bottlenecks).
    """
    return [[stage_to_timm(stage, f"stages[{i}]")] for i, stage in enumerate(architecture.stages)]


def stage_to_timm(stage: Stage, path: str = "stage") -> str:
    """One stage as a string."""
    if stage.op not in _TO_TYPE or stage.skip == "pool":
        what = "a pooling skip" if stage.skip == "pool" else stage.op
        raise FieldError(path, f"cannot be said in timm's strings: {what}")
    if stage.op == "dsconv_act" and stage.skip != "none":
        raise FieldError(path, "cannot be said in timm's strings: timm's dsa has no skip")
    plain = stage.op == "mbconv" and stage.expansion == 1  # timm's name for it
    words = [
        "ds" if plain else _TO_TYPE[stage.op],
        f"r{stage.repeats}",
        f"k{stage.kernel}",
        f"s{stage.stride}",
    ]
    if stage.op != "conv":
        words.append(f"e{stage.expansion if stage.op == 'mbconv' else 1}")
    words.append(f"c{stage.channels}")
    if stage.se_ratio and stage.op != "conv":
        words.append(f"se{np.format_float_positional(stage.se_ratio, trim='-')}")
    if stage.skip == "none" and stage.op not in ("conv", "dsconv_act"):
        words.append("noskip")
    elif stage.skip == "identity" and stage.op == "conv":
        words.append("skip")
    return "_".join(words)


def stage_from_timm(text: str) -> Stage:
    """A string as a stage.

    Raises:
        FieldError: an unknown block or option, one given twice, or one missing.
    """
    kind, *options = text.split("_")
    if kind not in _TO_OP:
        raise FieldError(text, f"must begin with {', '.join(_TO_OP)}, got {kind!r}")
    values: dict[str, Any] = {}
    for option in options:
        if option == "skip" and kind == "cn":
            key, value = "skip", "identity"
        else:
            match = _OPTION.fullmatch(option)
            if not match:
                raise FieldError(text, f"has an option that is not known: {option!r}")
            key, value = match[1] or match[3] or match[5], match[2] or match[4] or ""
        if key in values:
            raise FieldError(text, f"gives {key} twice")
        values[key] = value
    missing = [letter for letter in _NEEDED[kind] if letter not in values]
    if missing:
        raise FieldError(text, f"lacks {', '.join(missing)}")
    if kind != "ir" and values.get("e", "1") != "1":
        raise FieldError(text, f"has expansion {values['e']}, which {kind} does not have")
    if kind == "cn" and ("se" in values or "noskip" in values):
        raise FieldError(text, "has an option that cn does not have")
    if kind == "ir" and values["e"] == "1":
        raise FieldError(text, "has an expansion of 1, for which timm still builds the expansion; say ds")
    without = "noskip" in values or kind == "dsa" or (kind == "cn" and "skip" not in values)
    skip = "none" if without else "identity"
    try:
        return Stage(
            op=_TO_OP[kind],  # type: ignore[arg-type]
            channels=int(values["c"]),
            repeats=int(values["r"]),
            kernel=int(values["k"]),
            stride=int(values["s"]),
            expansion=int(values.get("e", 1)),
            se_ratio=float(values.get("se", 0)),
            skip=skip,  # type: ignore[arg-type]
        )
    except FieldError as error:
        raise FieldError(text, f"has a value out of range: {error}") from None


def stages_from_timm(arch_def: Sequence[str | Sequence[str]]) -> tuple[Stage, ...]:
    """An ``arch_def`` (strings, or lists of strings) as stages, one a string.

    Raises:
        FieldError: see `stage_from_timm`.
    """
    stages = []
    for entry in arch_def:
        for number, text in enumerate([entry] if isinstance(entry, str) else entry):
            stage = stage_from_timm(text)
            if number and stage.stride != 1:
                raise FieldError(text, "has a stride, which timm takes from the first block of a stage only")
            stages.append(stage)
    return tuple(stages)


def timm_arguments(
    architecture: Architecture, num_classes: int = 1000, in_channels: int = 3
) -> dict[str, Any]:
    """The architecture by the names of the arguments of timm's EfficientNet.

    Raises:
        FieldError: something that timm would build differently: another stem than 3x3 with stride 2, widths
            that are no multiples of 8, no head, squeezed channels that timm rounds otherwise.
    """
    stem = architecture.stem
    if (stem.kernel, stem.stride, stem.pool) != (3, 2, "none"):
        raise FieldError("stem", "cannot be said in timm's arguments: its stem is 3x3 with stride 2")
    if not architecture.head.channels:
        raise FieldError("head", "cannot be said in timm's arguments: its EfficientNet has one")
    blocks = architecture.blocks()
    widths = [stem.channels, architecture.head.channels]
    widths += [width for block in blocks for width in (block.inner_channels, block.channels)]
    if any(width % 8 for width in widths):
        raise FieldError("channels", "must be multiples of 8 for timm, which rounds them to that")
    arch_def = to_timm(architecture)
    channels = stem.channels
    for stage in architecture.stages:
        for block in stage.blocks(channels):
            # as timm computes it, down to the rounding of floats: a half may go either way
            expansion = block.inner_channels // block.in_channels if block.op == "mbconv" else 1
            timms = round(block.inner_channels * (stage.se_ratio / expansion))
            if block.se_channels and block.se_channels != timms:
                raise FieldError("se_ratio", f"of {stage.se_ratio:g} is rounded otherwise by timm")
        channels = stage.channels
    return {
        "arch_def": arch_def,
        "stem_size": stem.channels,
        "num_features": architecture.head.channels,
        "act_layer": architecture.activation,
        "bn_eps": architecture.bn_eps,
        "pad_type": "same" if architecture.padding == "same" else "",
        # beyond it timm dilates instead of striding
        "output_stride": max(32, architecture.total_stride),
        "drop_rate": architecture.dropout,
        "drop_path_rate": architecture.drop_path,
        "num_classes": num_classes,
        "in_chans": in_channels,
        "input_size": [in_channels, architecture.image_size, architecture.image_size],
    }
