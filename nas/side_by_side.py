"""Architectures side by side: stem, stages and head aligned by position, each in a short text.

Stages count as the decisions of a search space do: ``stage1`` is the first after the stem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from search_space import Architecture, Head, Stage, Stem, stage_table
from search_space.stage import SE_OPS

NONE = "-"  # an architecture has no such stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """One stage of several architectures.

    Attributes:
        stage: ``stem``, ``stage1`` and so on, ``head``.
        texts: for each architecture what is there, such as ``mbconv6 k5 se0.25 40 ch x2 s2``: operation with
            expansion, kernel, squeeze-and-excitation ratio, skip where it is not the identity, output
            channels, layers, stride where it is not 1. ``-`` where it has no such stage.
        resolutions: for each the side of the stage's input, pixels; None where it has none.
        same: whether all are of one text, or build the same layers.
    """

    stage: str
    texts: tuple[str, ...]
    resolutions: tuple[int | None, ...]
    same: bool


def side_by_side(architectures: Sequence[Architecture]) -> list[StageLine]:
    """The stages of architectures, aligned by position; a stem with stems and a head with heads.

    Args:
        architectures: one or more.
    """
    tables = [[row.resolution for row in stage_table(network)] for network in architectures]
    lines = [
        _line(
            "stem",
            [_stem_text(network.stem) for network in architectures],
            [resolutions[0] for resolutions in tables],
        )
    ]
    columns = zip_longest(*(network.stages for network in architectures))
    for number, stages in enumerate(columns, start=1):
        texts = [NONE if stage is None else stage_text(stage) for stage in stages]
        resolutions = [
            None if stage is None else table[number] for stage, table in zip(stages, tables, strict=True)
        ]
        lines.append(_line(f"stage{number}", texts, resolutions, _one_network(architectures, number - 1)))
    heads = [_head_text(network.head) for network in architectures]
    lines.append(_line("head", heads, [resolutions[-1] for resolutions in tables]))
    return lines


def stage_text(stage: Stage) -> str:
    """A stage in short, see `StageLine`."""
    squeeze = f" se{stage.se_ratio:g}" if stage.se_ratio and stage.op in SE_OPS else ""
    skip = "" if stage.skip == "identity" else f" skip {stage.skip}"
    stride = "" if stage.stride == 1 else f" s{stage.stride}"
    kernel = f"k{stage.kernel}"
    return f"{stage.operator} {kernel}{squeeze}{skip} {stage.channels} ch x{stage.repeats}{stride}"


def _stem_text(stem: Stem) -> str:
    stride = "" if stem.stride == 1 else f" s{stem.stride}"
    pool = "" if stem.pool == "none" else ", max-pool"
    return f"conv k{stem.kernel} {stem.channels} ch{stride}{pool}"


def _head_text(head: Head) -> str:
    return f"conv k1 {head.channels} ch, pool" if head.channels else "pool"


def _line(stage: str, texts: list[str], resolutions: Sequence[int | None], one: bool = False) -> StageLine:
    return StageLine(
        stage=stage,
        texts=tuple(texts),
        resolutions=tuple(resolutions),
        same=one or len(set(texts)) == 1,
    )


def _one_network(architectures: Sequence[Architecture], number: int) -> bool:
    """Whether a stage builds the same layers everywhere: choices that change nothing may be written apart."""
    if any(number >= len(network.stages) for network in architectures):
        return False
    built = []
    for network in architectures:
        before = network.stages[number - 1].channels if number else network.stem.channels
        built.append(network.stages[number].blocks(before))
    return all(blocks == built[0] for blocks in built)


def other_differences(architectures: Sequence[Architecture]) -> dict[str, tuple[object, ...]]:
    """What no stage shows and what makes other networks: field to its values, where they differ."""
    found = {}
    for field in ("activation", "padding", "bn_eps"):
        values = tuple(getattr(network, field) for network in architectures)
        if len(set(values)) > 1:
            found[field] = values
    return found
