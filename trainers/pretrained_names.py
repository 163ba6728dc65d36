"""How other libraries name the layers of an EfficientNet: our names to theirs, module by module.

Sources: torchvision/models/efficientnet.py (torchvision 0.29.2), timm/models/efficientnet.py and
_efficientnet_blocks.py (timm 1.0.31), efficientnet_pytorch/model.py (efficientnet_pytorch 0.7.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_space import Architecture, InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Names of modules. Fields of a template: ``stage``, ``layer`` in the stage and ``block`` in the network
    count from 0, ``group`` is the stage counted from 1, ``last`` is the number of stages plus 1.

    Attributes:
        stem, head: convolution and batch norm.
        classifier: the linear layer.
        prefix: of a block's modules.
        expanded: modules of a block with an expansion, by ours.
        plain: of a block without one.
        block: what the name of a tensor in a block begins with; its groups tell blocks apart.
    """

    stem: tuple[str, str]
    head: tuple[str, str]
    classifier: str
    prefix: str
    expanded: Mapping[str, str]
    plain: Mapping[str, str]
    block: str

    def modules(self, architecture: Architecture) -> dict[str, str]:
        """Their names of modules that have tensors, by ours, in the network's order.

        Raises:
            InputError: see `check_skeleton`.
        """
        check_skeleton(architecture)
        last = len(architecture.stages) + 1
        found = dict(zip(("stem.0", "stem.1"), self.stem, strict=True))
        blocks = architecture.blocks()
        number = 0
        for stage, described in enumerate(architecture.stages):
            for layer in range(described.repeats):
                block = blocks[number]
                wide = block.inner_channels != block.in_channels
                prefix = self.prefix.format(stage=stage, group=stage + 1, layer=layer, block=number)
                for ours, theirs in (self.expanded if wide else self.plain).items():
                    if block.se_channels or not ours.startswith("se."):
                        found[f"blocks.{number}.{ours}"] = prefix + theirs
                number += 1
        found |= dict(zip(("head.0", "head.1"), (name.format(last=last) for name in self.head), strict=True))
        return found | {"classifier": self.classifier}

    def holds(self, names: Iterable[str]) -> bool:
        """Whether tensors are named like this."""
        names = set(names)
        block = re.compile(self.block)
        return f"{self.stem[0]}.weight" in names and any(block.match(name) for name in names)

    def depth(self, names: Iterable[str]) -> int:
        """How many blocks the tensors are of."""
        block = re.compile(self.block)
        return len({match.groups() for name in names if (match := block.match(name))})


def check_skeleton(architecture: Architecture) -> None:
    """Refuse a network whose layers the others have no names for.

    Raises:
        InputError: a stem with pooling, no head, or a block that is no MBConv.
    """
    why = ""
    if architecture.stem.pool != "none":
        why = "its stem pools"
    elif not architecture.head.channels:
        why = "it has no head convolution"
    elif others := {block.op for block in architecture.blocks()} - {"mbconv"}:
        why = f"it has blocks that are {sorted(others)[0]}"
    if why:
        raise InputError(f"{architecture.name}: no pretrained weights are named for it, since {why}")


def tensor_names(architecture: Architecture, naming: Naming, ours: Iterable[str]) -> dict[str, str]:
    """Their names of tensors by ours; the two are one to one.

    Args:
        architecture: whose tensors they are.
        naming: theirs.
        ours: names of the network's state.

    Raises:
        InputError: see `check_skeleton`.
    """
    modules = naming.modules(architecture)
    return {name: f"{modules[module]}.{leaf}" for name in ours for module, _, leaf in [name.rpartition(".")]}


def width(tensors: Mapping[str, Tensor], name: str) -> int:
    """The first side of a tensor; 0 where there is none."""
    return tensors[name].shape[0] if name in tensors and tensors[name].ndim else 0


_TORCHVISION = Naming(
    stem=("features.0.0", "features.0.1"),
    head=("features.{last}.0", "features.{last}.1"),
    classifier="classifier.1",
    prefix="features.{group}.{layer}.block.",
    # MBConv numbers its layers as it has them: without an expansion all move up by one
    expanded={
        "expand.0": "0.0",
        "expand.1": "0.1",
        "depthwise.0": "1.0",
        "depthwise.1": "1.1",
        "se.reduce": "2.fc1",
        "se.expand": "2.fc2",
        "project.0": "3.0",
        "project.1": "3.1",
    },
    plain={
        "depthwise.0": "0.0",
        "depthwise.1": "0.1",
        "se.reduce": "1.fc1",
        "se.expand": "1.fc2",
        "project.0": "2.0",
        "project.1": "2.1",
    },
    block=r"features\.(\d+)\.(\d+)\.block\.",
)

_TIMM = Naming(
    stem=("conv_stem", "bn1"),
    head=("conv_head", "bn2"),
    classifier="classifier",
    prefix="blocks.{stage}.{layer}.",
    expanded={  # InvertedResidual
        "expand.0": "conv_pw",
        "expand.1": "bn1",
        "depthwise.0": "conv_dw",
        "depthwise.1": "bn2",
        "se.reduce": "se.conv_reduce",
        "se.expand": "se.conv_expand",
        "project.0": "conv_pwl",
        "project.1": "bn3",
    },
    plain={  # DepthwiseSeparableConv, whose conv_pw is the projection
        "depthwise.0": "conv_dw",
        "depthwise.1": "bn1",
        "se.reduce": "se.conv_reduce",
        "se.expand": "se.conv_expand",
        "project.0": "conv_pw",
        "project.1": "bn2",
    },
    block=r"blocks\.(\d+)\.(\d+)\.",
)

_PLAIN_LUKEMELAS = {
    "depthwise.0": "_depthwise_conv",
    "depthwise.1": "_bn1",
    "se.reduce": "_se_reduce",
    "se.expand": "_se_expand",
    "project.0": "_project_conv",
    "project.1": "_bn2",
}
_LUKEMELAS = Naming(
    stem=("_conv_stem", "_bn0"),
    head=("_conv_head", "_bn1"),
    classifier="_fc",
    prefix="_blocks.{block}.",
    expanded={"expand.0": "_expand_conv", "expand.1": "_bn0", **_PLAIN_LUKEMELAS},
    plain=_PLAIN_LUKEMELAS,
    block=r"_blocks\.(\d+)\.",
)

NAMINGS = {"torchvision": _TORCHVISION, "timm": _TIMM, "efficientnet_pytorch": _LUKEMELAS}
"""By the library."""
