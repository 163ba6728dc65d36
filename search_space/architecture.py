"""What a network is: an immutable description, independent of weights and of the number of classes.

A network is a stem, stages and a head, as in table 1 of EfficientNet (arXiv 1905.11946). A stage repeats one
block; only its first layer changes stride and channels. A description is checked when it is made, converts
to and from plain dicts, and has a key that two descriptions share exactly when they build the same network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search_space.errors import FieldError
from search_space.fields import as_floats, check_choice, check_float, check_int, check_mapping
from search_space.stage import Block, Head, Stage, Stem
from search_space.yaml_io import dump_yaml

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
ACTIVATIONS = ("swish", "relu", "relu6")
PADDINGS = ("symmetric", "same")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An immutable network description.

    Attributes:
        name: for people; not part of the identity.
        stem, stages, head: the layers.
        image_size: side of the square input, pixels.
        activation: ``swish``, ``relu`` or ``relu6``.
        bn_eps: batch norm's epsilon.
        padding: ``symmetric`` (torch's habit) or ``same`` (TensorFlow's: the odd pixel goes right and below).
        dropout: before the classifier; a training detail, not part of the identity.
        drop_path: stochastic depth at the last block, falling linearly to 0 at the first; likewise.

    Raises:
        FieldError: a value breaks a rule, or the image is smaller than the total stride.
    """

    name: str = "unnamed"
    image_size: int
    stem: Stem
    stages: tuple[Stage, ...]
    head: Head
    activation: Literal["swish", "relu", "relu6"] = "swish"
    bn_eps: float = 1e-3
    padding: Literal["symmetric", "same"] = "symmetric"
    dropout: float = 0.2
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "\n" in self.name:
            raise FieldError("name", f"must be one line of text, got {self.name!r}")
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages:
            raise FieldError("stages", "must hold at least one stage")
        check_choice("activation", self.activation, ACTIVATIONS)
        check_float("bn_eps", self.bn_eps, 1e-12, 1.0)
        check_choice("padding", self.padding, PADDINGS)
        check_float("dropout", self.dropout, 0.0, 0.999)
        check_float("drop_path", self.drop_path, 0.0, 0.999)
        check_int("image_size", self.image_size, 1, 8192)
        as_floats(self, "bn_eps", "dropout", "drop_path")
        if self.image_size < self.total_stride:
            raise FieldError(
                "image_size", f"must be at least the total stride, {self.total_stride}, got {self.image_size}"
            )

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last feature map, along one side."""
        stride = self.stem.stride * (2 if self.stem.pool == "max" else 1)
        for stage in self.stages:
            stride *= stage.stride
        return stride

    @property
    def features(self) -> int:
        """Channels that the classifier sees."""
        return self.head.channels or self.stages[-1].channels

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(stage.repeats for stage in self.stages)

    def blocks(self) -> tuple[Block, ...]:
        """Every block in order, resolved: channels, squeezed channels, whether the skip exists."""
        blocks: list[Block] = []
        in_channels = self.stem.channels
        for stage in self.stages:
            blocks += stage.blocks(in_channels)
            in_channels = stage.channels
        return tuple(blocks)

    @property
    def key(self) -> str:
        """SHA-256 of what is built: equal exactly when two descriptions give the same network.

        Name, dropout and drop path do not count; the image size does. Choices that change nothing, such as
        the skip of a stage with one strided layer, vanish because the key is made from resolved blocks.
        """
        blocks = self.blocks()
        strided = [(self.stem.kernel, self.stem.stride), *((b.kernel, b.stride) for b in blocks)]
        padded = self.stem.pool == "max" or any(kernel > 1 and stride > 1 for kernel, stride in strided)
        identity = [
            self.image_size,
            self.activation,
            self.bn_eps,
            self.padding if padded else "",  # without a stride, or with one pixel, both paddings are one
            [self.stem.kernel, self.stem.stride, self.stem.channels, self.stem.pool],
            [[b.op, b.kernel, b.stride, b.inner_channels, b.channels, b.se_channels, b.skip] for b in blocks],
            self.head.channels,
        ]
        canonical = json.dumps(identity, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back to an equal object."""
        return {"format": FORMAT, **asdict(self), "stages": [asdict(stage) for stage in self.stages]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Read what `to_dict` wrote.

        Raises:
            FieldError: an unknown key, a missing one, a value out of range, or a newer format.
        """
        known = [field.name for field in fields(cls)]
        values = dict(check_mapping("", data, ["format", *known], ["image_size", "stem", "stages", "head"]))
        file_format = values.pop("format", FORMAT)
        if file_format != FORMAT:
            raise FieldError("format", f"must be {FORMAT}, got {file_format!r}: a file of another version")
        stages = values["stages"]
        if isinstance(stages, str) or not isinstance(stages, Sequence):
            raise FieldError("stages", f"must be a list, got {stages!r}")
        values["stages"] = tuple(_read(Stage, f"stages[{i}]", stage) for i, stage in enumerate(stages))
        values["stem"] = _read(Stem, "stem", values["stem"])
        values["head"] = _read(Head, "head", values["head"])
        return cls(**values)

    def to_yaml(self) -> str:
        """A YAML file for people, one stage a line; `load_architecture` reads it back to an equal object."""
        data = self.to_dict()
        lines = []
        for key, value in data.items():
            if key == "stages":
                lines += ["stages:", *(f"  - {dump_yaml(stage, flow=True)}" for stage in value)]
            else:
                lines.append(f"{key}: {dump_yaml(value, flow=True)}")
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """The stages in short, such as ``mb6 k5 se 40x2``: operator, kernel, SE, channels x layers."""
        return " | ".join(
            f"{s.operator.replace('mbconv', 'mb')} k{s.kernel}{' se' if s.se_ratio else ''}"
            f"{'' if s.skip == 'identity' else ' ' + s.skip} {s.channels}x{s.repeats}"
            for s in self.stages
        )

    def renamed(self, name: str) -> Architecture:
        """The same network under another name."""
        return replace(self, name=name)

    def build(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        bn_momentum: float = 0.01,
        bn_eps: float | None = None,
        dropout: float | None = None,
        drop_path: float | None = None,
        include_top: bool = True,
        features_only: bool = False,
        pooling: Literal["avg", "max"] | None = None,
    ) -> nn.Module:
        """The network as a module, initialised as the reference implementation does it.

        Args:
            num_classes: outputs of the classifier.
            in_channels: channels of the image.
            bn_momentum: in torch's sense; 0.01 is TensorFlow's 0.99. Short proxies want 0.1.
            bn_eps, dropout, drop_path: instead of the architecture's own.
            include_top: end in the classifier; otherwise in features, shaped by `pooling`.
            features_only: the same as ``include_top=False``.
            pooling: without the top, ``None`` gives maps (batch, channels, height, width),
                ``avg`` and ``max`` give (batch, channels).

        Raises:
            FieldError: an argument is out of range.
        """
        from search_space.network import Network

        return Network(
            self,
            num_classes=num_classes,
            in_channels=in_channels,
            bn_momentum=bn_momentum,
            bn_eps=self.bn_eps if bn_eps is None else bn_eps,
            dropout=self.dropout if dropout is None else dropout,
            drop_path=self.drop_path if drop_path is None else drop_path,
            include_top=include_top and not features_only,
            pooling=pooling,
        )

    def save(self, path: Path | str) -> None:
        """Write `to_yaml` to a file."""
        Path(path).write_text(self.to_yaml(), encoding="utf-8")


def _read(cls: type[Any], path: str, data: object) -> Any:
    names = [field.name for field in fields(cls)]
    values = check_mapping(path, data, names, ["channels"])
    try:
        return cls(**values)
    except FieldError as error:
        raise error.under(path) from None
