"""The stage-factorised space of a YAML file: a skeleton, and five choices for each of its stages.

Filters are given as factors on the skeleton's and rounded as the compound scaler rounds; factors that round
to one width are one choice. Layers are given as differences, and no stage has fewer than one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from search_space.architecture import ACTIVATIONS, PADDINGS, Architecture, Head, Stage, Stem
from search_space.errors import FieldError
from search_space.fields import check_float, check_int, check_mapping
from search_space.scaling import round_channels
from search_space.space import Decision, SearchSpace

CHOICES = ("op", "kernel", "se_ratio", "filters", "layers")
_FIXED = ("activation", "bn_eps", "padding", "dropout", "drop_path")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDecoder:
    """Reads five choices a stage onto a skeleton.

    Attributes:
        skeleton: stem, head, strides and everything that is not chosen.
    """

    skeleton: Architecture

    def decode(self, choices: Sequence[Any]) -> Architecture:
        """Choices in the order of `CHOICES`, stage after stage, to an architecture."""
        stages = []
        for number, stage in enumerate(self.skeleton.stages):
            op, kernel, se_ratio, filters, layers = choices[5 * number : 5 * number + 5]
            stages.append(
                Stage(
                    op="mbconv",
                    expansion=_expansion(op),
                    kernel=kernel,
                    se_ratio=se_ratio,
                    channels=filters,
                    repeats=layers,
                    stride=stage.stride,
                    skip=stage.skip,
                )
            )
        base = self.skeleton
        return Architecture(
            name=base.name,
            image_size=base.image_size,
            stem=base.stem,
            stages=tuple(stages),
            head=base.head,
            activation=base.activation,
            bn_eps=base.bn_eps,
            padding=base.padding,
            dropout=base.dropout,
            drop_path=base.drop_path,
        )

    def encode(self, architecture: Architecture) -> tuple[Any, ...]:
        """The five choices of each stage."""
        wanted = len(self.skeleton.stages)
        if len(architecture.stages) != wanted:
            raise FieldError("stages", f"must number {wanted}, got {len(architecture.stages)}")
        return tuple(
            choice
            for stage in architecture.stages
            for choice in (
                f"{stage.op}{stage.expansion}",
                stage.kernel,
                stage.se_ratio,
                stage.channels,
                stage.repeats,
            )
        )


def _expansion(op: str) -> int:
    match = re.fullmatch(r"mbconv([1-9]\d*)", op)
    if not match:
        raise FieldError("op", f"must be mbconv followed by its expansion ratio, such as mbconv6, got {op!r}")
    return int(match[1])


def space_from_dict(data: object) -> SearchSpace:
    """The space that a YAML file describes.

    Args:
        data: ``name``, ``image_size``, ``stem``, ``head``, ``stages`` (each ``channels``, ``stride``,
            ``repeats``) and ``choices`` (``op``, ``kernel``, ``se_ratio``, ``filters``, ``layers``).
            A stage may give its own ``choices`` for some of the five.

    Raises:
        FieldError: with the path of the field and the rule it breaks.
    """
    required = ["name", "image_size", "stem", "head", "stages", "choices"]
    values = check_mapping("", data, [*required, *_FIXED], required)
    if not isinstance(values["stages"], list) or not values["stages"]:
        raise FieldError("stages", "must be a list of stages")
    common = check_mapping("choices", values["choices"], CHOICES)
    stages, decisions = [], []
    for number, entry in enumerate(values["stages"]):
        path = f"stages[{number}]"
        fields = check_mapping(
            path, entry, ["channels", "stride", "repeats", "choices"], ["channels", "stride", "repeats"]
        )
        own = check_mapping(f"{path}.choices", fields.get("choices", {}), CHOICES)
        stage = _under(path, Stage, {k: v for k, v in fields.items() if k != "choices"})
        stages.append(stage)
        for choice in CHOICES:
            where = f"{path}.choices.{choice}" if choice in own else f"choices.{choice}"
            if choice not in own and choice not in common:
                raise FieldError(where, "is missing")
            offered = _offered(where, choice, own.get(choice, common.get(choice)), stage)
            decisions.append(Decision(f"stage{number + 1}.{choice}", offered))
    skeleton = Architecture(
        name=values["name"],
        image_size=values["image_size"],
        stem=_under("stem", Stem, check_mapping("stem", values["stem"], ["channels", "kernel", "stride"])),
        stages=tuple(stages),
        head=_under("head", Head, check_mapping("head", values["head"], ["channels"])),
        **{key: values[key] for key in _FIXED if key in values},
    )
    return SearchSpace(decisions, StageDecoder(skeleton=skeleton), name=skeleton.name)


def _under(path: str, cls: type[Any], fields: Mapping[str, Any]) -> Any:
    try:
        return cls(**fields)
    except FieldError as error:
        raise error.under(path) from None
    except TypeError as error:
        raise FieldError(path, f"is incomplete: {error}") from None


def _offered(where: str, choice: str, given: object, stage: Stage) -> tuple[Any, ...]:
    """The choices of one decision, checked by making the stage that each would give."""
    if not isinstance(given, list) or not given:
        raise FieldError(where, f"must be a list of choices, got {given!r}")
    offered: list[Any] = []
    for number, value in enumerate(given):
        path = f"{where}[{number}]"
        try:
            if choice == "op":
                resolved: Any = f"mbconv{_expansion(value) if isinstance(value, str) else value!r}"
            elif choice == "filters":
                check_float("filters", value, 0.01, 100.0)
                resolved = round_channels(stage.channels * value)
            elif choice == "layers":
                check_int("layers", value, -100, 100)
                resolved = max(1, stage.repeats + value)
            else:
                resolved = {"kernel": int, "se_ratio": float}[choice](value)
                Stage(**{**asdict(stage), choice: value})
        except FieldError as error:
            raise FieldError(path, error.rule) from None
        except (TypeError, ValueError):
            raise FieldError(path, f"must be a number, got {value!r}") from None
        if resolved not in offered:
            offered.append(resolved)
    return tuple(offered)


__all__ = ["ACTIVATIONS", "CHOICES", "PADDINGS", "StageDecoder", "space_from_dict"]
