"""Spaces that are factorised by stage: a skeleton, and up to six choices for each of its stages.

The factorised hierarchical space of MnasNet (arXiv 1807.11626, section 4.1): every stage has its own
operation, kernel, squeeze-and-excitation ratio, skip, filters and layers, shared by all its layers. Filters
are factors on the skeleton's, rounded as the compound scaler rounds; factors that round to one width are one
choice. Layers are differences from the skeleton's, and no stage has fewer than one. What a space does not
list is fixed as the skeleton has it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from search_space.architecture import Architecture
from search_space.errors import FieldError, suggestion
from search_space.fields import check_choice, check_float, check_int, check_mapping
from search_space.latency_model import LatencyModel
from search_space.limits import Limits
from search_space.reference import REFERENCES, reference_name
from search_space.scaling import round_channels
from search_space.space import Decision, Indices, SearchSpace
from search_space.stage import OPS, SKIPS, Block, Head, Stage, Stem
from search_space.tables import StageTables

CHOICES = ("op", "kernel", "se_ratio", "skip", "filters", "layers")
_FIXED = ("activation", "bn_eps", "padding", "dropout", "drop_path")
_SPACE_KEYS = ("name", "extends", "reference", "image_size", "stem", "head", "stages", "choices", *_FIXED)


@dataclass(frozen=True, slots=True)
class StageDecoder:
    """Reads the choices of every stage onto a skeleton.

    Attributes:
        skeleton: stem, head, strides and everything that is not chosen.
        chosen: for each stage what is chosen, of `CHOICES` and in their order.
    """

    skeleton: Architecture
    chosen: tuple[tuple[str, ...], ...]

    def stage(self, number: int, values: Sequence[Any]) -> Stage:
        """One stage with its choices."""
        base = self.skeleton.stages[number]
        op, expansion, kernel, se_ratio = base.op, base.expansion, base.kernel, base.se_ratio
        skip, channels, repeats = base.skip, base.channels, base.repeats
        for name, value in zip(self.chosen[number], values, strict=True):
            if name == "op":
                op, expansion = operator(value)
            elif name == "kernel":
                kernel = value
            elif name == "se_ratio":
                se_ratio = value
            elif name == "skip":
                skip = value
            elif name == "filters":
                channels = value
            else:
                repeats = value
        return Stage(
            op=op,
            channels=channels,
            repeats=repeats,
            kernel=kernel,
            stride=base.stride,
            expansion=expansion,
            se_ratio=se_ratio,
            skip=skip,
        )

    def decode(self, choices: Sequence[Any]) -> Architecture:
        """Choices, stage after stage, to an architecture."""
        stages, start = [], 0
        for number, names in enumerate(self.chosen):
            stages.append(self.stage(number, choices[start : start + len(names)]))
            start += len(names)
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


def operator(text: str) -> tuple[Any, int]:
    """An operation as a space lists it, to op and expansion: ``mbconv6`` to ``("mbconv", 6)``."""
    match = re.fullmatch(r"mbconv([1-9]\d*)", text) if isinstance(text, str) else None
    if match:
        return "mbconv", int(match[1])
    others = [op for op in OPS if op != "mbconv"]
    if text not in others:
        raise FieldError(
            "op", f"must be mbconv with its expansion (mbconv6) or {', '.join(others)}, got {text!r}"
        )
    return text, 1


class StageSpace(SearchSpace):
    """A stage-factorised space, with cost for many points at once and limits on cost.

    Args:
        skeleton: what is not chosen.
        offered: for each stage the choices on offer, of `CHOICES` and in their order.
        name: for messages and records.
    """

    def __init__(
        self, skeleton: Architecture, offered: Sequence[Mapping[str, tuple[Any, ...]]], name: str
    ) -> None:
        decisions = [
            Decision(f"stage{number}.{choice}", values)
            for number, stage in enumerate(offered, start=1)
            for choice, values in stage.items()
        ]
        super().__init__(decisions, name=name)
        self.skeleton = skeleton
        self.offered = tuple(dict(stage) for stage in offered)
        self.decoder = StageDecoder(skeleton, tuple(tuple(stage) for stage in offered))
        self.limits = Limits()
        self._tables: StageTables | None = None
        self._anchor: Indices = ()

    def decode(self, indices: Sequence[int]) -> Architecture:
        """See `SearchSpace.decode`."""
        return self.decoder.decode(self.choices(indices))

    def encode(self, architecture: Architecture) -> Indices:
        """See `SearchSpace.encode`."""
        if len(architecture.stages) != len(self.offered):
            raise FieldError("stages", f"must number {len(self.offered)}, got {len(architecture.stages)}")
        indices: list[int] = []
        in_channels = architecture.stem.channels
        for number, stage in enumerate(architecture.stages):
            indices += self._encode_stage(number, stage, in_channels)
            in_channels = stage.channels
        if self.decode(indices).key != architecture.key:
            raise FieldError(
                "architecture", f"differs from the space {self.name!r} in what the space holds fixed"
            )
        return tuple(indices)

    def _encode_stage(self, number: int, stage: Stage, in_channels: int) -> list[int]:
        """The choices that build this stage's blocks; op, SE and skip may say the same in several ways."""
        wanted: list[Block] = stage.blocks(in_channels)
        own = {"kernel": stage.kernel, "filters": stage.channels, "layers": stage.repeats}
        options = []
        for choice, values in self.offered[number].items():
            if choice not in own:
                options.append(range(len(values)))
            elif own[choice] in values:
                options.append(range(values.index(own[choice]), values.index(own[choice]) + 1))
            else:
                offered = ", ".join(str(value) for value in values)
                raise FieldError(
                    f"stage{number + 1}.{choice}", f"must be one of {offered}, got {own[choice]}"
                )
        lists = list(self.offered[number].values())
        for indices in itertools.product(*options):
            chosen = [offered[i] for offered, i in zip(lists, indices, strict=True)]
            candidate = self.decoder.stage(number, chosen)
            if candidate.stride == stage.stride and candidate.blocks(in_channels) == wanted:
                return list(indices)
        raise FieldError(
            f"stage{number + 1}",
            f"must be one of the space's, got {stage.operator}, kernel {stage.kernel}, "
            f"SE {stage.se_ratio:g}, skip {stage.skip}, {stage.channels} channels, {stage.repeats} layers",
        )

    # --- cost of many points ---------------------------------------------------------------------------

    def tables(
        self, num_classes: int = 1000, in_channels: int = 3, latency: LatencyModel | None = None
    ) -> StageTables:
        """The cost of every stage after every width before it: what batch evaluation adds up.

        Raises:
            FieldError: the latency model cannot predict the space's networks.
        """
        return StageTables(self.skeleton, self.decoder.stage, self.offered, num_classes, in_channels, latency)

    def batch_cost(
        self, indices: npt.ArrayLike, num_classes: int = 1000, in_channels: int = 3
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """MACs (N,) and parameters (N,) of many points, equal to `cost` of each.

        Args:
            indices: (N, decisions).
            num_classes, in_channels: as for `cost`. For many calls keep `tables` and use its `cost`.

        Raises:
            FieldError: the wrong shape, or an index out of range.
        """
        return self.tables(num_classes, in_channels).cost(indices)

    def canonical(self, points: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """See `SearchSpace.canonical`; operations, squeeze-and-excitation and skips may say one thing in
        several ways."""
        return self._own_tables().canonical(points)

    # --- limits ----------------------------------------------------------------------------------------

    def known_cost(self, points: npt.ArrayLike, cost: str) -> npt.NDArray[np.float64] | None:
        """MACs, parameters or predicted ``latency_ms``, of networks with the classes and channels given to
        `limited`; latency with the model given there, without one it is not known."""
        if cost == "latency_ms":
            tables = self._own_tables()
            return tables.latency(points) if tables.has_latency else None
        if cost not in ("macs", "params"):
            return None
        macs, params = self._own_tables().cost(points)
        return (macs if cost == "macs" else params).astype(np.float64)

    def _own_tables(self) -> StageTables:
        if self._tables is None:
            self._tables = self.tables()
        return self._tables

    def limited(
        self,
        limits: Limits,
        num_classes: int = 1000,
        in_channels: int = 3,
        latency: LatencyModel | None = None,
    ) -> StageSpace:
        """The same space, of which controllers propose only networks within limits.

        Args:
            limits: on MACs, parameters, memory and latency; none of them is required.
            num_classes, in_channels: of the networks that are meant.
            latency: predicts ``latency_ms``, for its limit and for `known_cost`.

        Raises:
            FieldError: no network of the space is within them, with the smallest possible value; a limit on
                latency without a model; a model that cannot predict the space's networks.
        """
        if limits.latency_ms is not None and latency is None:
            raise FieldError("limits.latency_ms", "needs a latency model")
        space = StageSpace(self.skeleton, self.offered, self.name)
        space.limits = limits
        space._tables = self.tables(num_classes, in_channels, latency)
        if limits.given():
            space._anchor = space._tables.within(limits)
        return space

    def allows(self, indices: Sequence[int]) -> bool:
        """Whether a point is within the limits."""
        return not self.limits.given() or bool(self.allowed([indices])[0])

    def allowed(self, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether points are within the limits."""
        if not self.limits.given():
            return super().allowed(points)
        return self._own_tables().excess(points, self.limits) <= 1.0

    def repaired(self, indices: Sequence[int]) -> Indices:
        """A point within the limits near this one: stages become those of a small network, one a round.

        At most one round a stage: when all are the small network's, the point is within the limits.
        """
        if self.allows(indices):
            return tuple(indices)
        tables = self._own_tables()
        current, anchor = np.array(indices), np.array(self._anchor)
        left = [stage for stage in tables.columns if (current[stage] != anchor[stage]).any()]
        while left:
            options = np.repeat(current[None], len(left), axis=0)  # (stages left, decisions)
            for row, stage in enumerate(left):
                options[row, stage] = anchor[stage]
            excess = tables.excess(options, self.limits)
            fits = np.flatnonzero(excess <= 1.0)
            # of those that fit the one that gives up least, else the one that comes nearest
            best = fits[np.argmax(excess[fits])] if len(fits) else int(np.argmin(excess))
            current = options[best]
            if len(fits):
                break
            del left[int(best)]
        return tuple(int(i) for i in current)


def space_from_dict(data: object) -> StageSpace:
    """The space that a YAML file describes, `extends` already resolved.

    Args:
        data: ``name``, and either ``reference`` (a published network as the skeleton) or ``image_size``,
            ``stem``, ``head`` and ``stages``, which also replace those of a reference; ``choices`` for all
            stages, and in a stage its own for some of them.

    Raises:
        FieldError: with the path of the field and the rule it breaks.
    """
    values = dict(check_mapping("", data, _SPACE_KEYS, []))
    values.setdefault("name", "space")
    common = check_mapping("choices", values.pop("choices", {}), CHOICES)
    skeleton, own = _skeleton(values)
    offered = []
    for number, stage in enumerate(skeleton.stages):
        mine: dict[str, tuple[Any, ...]] = {}
        for choice in CHOICES:
            if choice in own[number]:
                where, given = f"stages[{number}].choices.{choice}", own[number][choice]
            elif choice in common:
                where, given = f"choices.{choice}", common[choice]
            else:
                continue
            mine[choice] = _offered(where, choice, given, stage)
        offered.append(mine)
    if not any(offered):
        raise FieldError("choices", "must list something to choose")
    return StageSpace(skeleton, offered, skeleton.name)


def _skeleton(values: dict[str, Any]) -> tuple[Architecture, list[Mapping[str, Any]]]:
    """What is fixed, and the choices that single stages give themselves."""
    parts: dict[str, Any] = {}
    own: list[Mapping[str, Any]] = []
    if "reference" in values:
        name = reference_name(str(values["reference"]))
        if name is None:
            near = suggestion(str(values["reference"]), REFERENCES)
            raise FieldError("reference", f"is {values['reference']!r}, which is no known network{near}")
        base = REFERENCES[name]()
        parts = {field.name: getattr(base, field.name) for field in fields(Architecture)}
        own = [{} for _ in base.stages]
    else:
        check_mapping("", values, _SPACE_KEYS, ["image_size", "stem", "head", "stages"])
    for key, cls in (("stem", Stem), ("head", Head)):
        if key in values:
            known = [field.name for field in fields(cls)]
            parts[key] = _under(key, cls, check_mapping(key, values[key], known, ["channels"]))
    if "stages" in values:
        stages, own = _stages(values["stages"])
        parts["stages"] = stages
    parts |= {key: values[key] for key in ("name", "image_size", *_FIXED) if key in values}
    return Architecture(**parts), own


def _stages(given: object) -> tuple[tuple[Stage, ...], list[Mapping[str, Any]]]:
    if not isinstance(given, list) or not given:
        raise FieldError("stages", "must be a list of stages")
    known = [field.name for field in fields(Stage)]
    stages, own = [], []
    for number, entry in enumerate(given):
        path = f"stages[{number}]"
        values = dict(check_mapping(path, entry, [*known, "choices"], ["channels"]))
        own.append(check_mapping(f"{path}.choices", values.pop("choices", {}), CHOICES))
        if re.fullmatch(r"mbconv[1-9]\d*", str(values.get("op"))):  # as choices say it
            values["op"], values["expansion"] = operator(values["op"])
        stages.append(_under(path, Stage, values))
    return tuple(stages), own


def _under(path: str, cls: type[Any], values: Mapping[str, Any]) -> Any:
    try:
        return cls(**values)
    except FieldError as error:
        raise error.under(path) from None


def _offered(where: str, choice: str, given: object, stage: Stage) -> tuple[Any, ...]:
    """The choices of one decision, checked."""
    if not isinstance(given, list) or not given:
        raise FieldError(where, f"must be a list of choices, got {given!r}")
    offered: list[Any] = []
    for number, value in enumerate(given):
        try:
            resolved = _resolved(choice, value, stage)
        except FieldError as error:
            raise FieldError(f"{where}[{number}]", error.rule) from None
        if resolved not in offered:
            offered.append(resolved)
    return tuple(offered)


def _resolved(choice: str, value: Any, stage: Stage) -> Any:
    if choice == "op":
        operator(value)
        return value
    if choice == "filters":
        check_float("filters", value, 0.01, 100.0)
        return stage.channels if value == 1 else round_channels(stage.channels * value)
    if choice == "layers":
        check_int("layers", value, -100, 100)
        return max(1, stage.repeats + value)
    if choice == "skip":
        check_choice("skip", value, SKIPS)
        return value
    if choice == "se_ratio":
        check_float("se_ratio", value, 0.0, 1.0)
        return float(value)
    replace(stage, kernel=value)  # the stage checks its kernel
    return value
