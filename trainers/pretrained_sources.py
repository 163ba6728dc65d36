"""Where pretrained EfficientNets come from, and what of their networks the weights do not say.

Two networks with the same names and shapes may be two functions: batch norm's epsilon and the padding are in
no state dict, nor is how images are to be prepared. Each fact was read in the package named beside it
(torchvision 0.29.2, timm 1.0.31, efficientnet_pytorch 0.7.1) and is compared with what the packages build by
``python -m benchmarks.pretrained_fixtures``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainers.pretrained_names import NAMINGS, Naming

SAVED_BY_TORCH = (".pth", ".pt", ".bin", ".tar", ".ckpt")  # endings of its files
MEMBERS = tuple(f"b{number}" for number in range(8))
SourceName = Literal["torchvision", "timm", "timm_tf", "efficientnet_pytorch"]
NormalisationName = Literal["imagenet", "inception"]
Sizes = Mapping[str, tuple[int, float]]  # by member: pixels, side of the central part as a share

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # timm/data/constants.py; torchvision/transforms/_presets.py; the README of EfficientNet-PyTorch
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # timm/data/constants.py; img * 2 - 1 in the README of EfficientNet-PyTorch is the same
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and deviation, a channel, in units of 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Weights of a source that want their images prepared alike.

    Attributes:
        tag: what they are called there.
        pattern: found in the names of their files.
        normalisation: of `NORMALISATIONS`.
        sizes: of the networks that there are such weights of.
    """

    tag: str
    pattern: str
    normalisation: NormalisationName = "imagenet"
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One line of networks that B0 to B7 are published as.

    Attributes:
        name: as the command line calls it.
        title: for people.
        network: what a network is called there, with ``{member}``.
        naming: of its layers.
        padding: of its convolutions.
        bn_eps: batch norm's epsilon.
        other_eps: of the members that have another.
        releases: weights by how their images are prepared; the last is the usual one.
    """

    name: SourceName
    title: str
    network: str
    naming: Naming
    padding: Literal["symmetric", "same"]
    bn_eps: float
    other_eps: Mapping[str, float] = field(default_factory=dict)
    releases: tuple[Release, ...]

    def eps_of(self, member: str | None) -> float:
        """Batch norm's epsilon of one of `MEMBERS`; None is any other network of the source."""
        return self.bn_eps if member is None else self.other_eps.get(member, self.bn_eps)

    def release_of(self, member: str, file_name: str) -> tuple[Release, bool]:
        """The weights that a file's name speaks of, and whether it does; else the usual ones."""
        there = [release for release in self.releases if member in release.sizes]
        for release in there:
            if re.search(release.pattern, file_name):
                return release, True
        return there[-1], False

    def doubtful(self, member: str) -> bool:
        """Whether there are weights of a member whose images are normalised otherwise than usual."""
        there = {release.normalisation for release in self.releases if member in release.sizes}
        return len(there) > 1


def _sizes(*rows: tuple[int, float]) -> Sizes:
    return dict(zip(MEMBERS, rows, strict=True))


# pixels of efficientnet_params in both; crops of timm/models/efficientnet.py, default_cfgs
_PAPER = _sizes(
    (224, 0.875), (240, 0.882), (260, 0.890), (300, 0.904),
    (380, 0.922), (456, 0.934), (528, 0.942), (600, 0.949),
)  # fmt: skip

# EfficientNet_B0_Weights and so on, DEFAULT: crop_size, crop_size / resize_size
_TORCHVISION = _sizes(
    (224, 224 / 256), (240, 240 / 255), (288, 1.0), (300, 300 / 320),
    (380, 380 / 384), (456, 1.0), (528, 1.0), (600, 1.0),
)  # fmt: skip
# ra_in1k, ft_in1k, ra_in1k, ra2_in1k, ra2_in1k, sw_in12k_ft_in1k; of B6 and B7 timm has no weights
_TIMM = _sizes(
    (224, 0.875), (224, 0.875), (256, 0.875), (288, 0.875),
    (320, 0.875), (448, 1.0), (528, 0.942), (600, 0.949),
)  # fmt: skip
_LUKEMELAS = {member: (size, 1.0) for member, (size, _) in _PAPER.items()}  # README: Resize(224), no crop

SOURCES: dict[str, Source] = {
    "torchvision": Source(
        name="torchvision",
        title="torchvision",
        network="efficientnet_{member}",
        naming=NAMINGS["torchvision"],
        padding="symmetric",
        bn_eps=1e-5,  # nn.BatchNorm2d's
        other_eps=dict.fromkeys(
            ("b5", "b6", "b7"), 1e-3
        ),  # efficientnet_b5: norm_layer=partial(..., eps=0.001)
        releases=(
            # EfficientNet_B1_Weights: efficientnet_b1_rwightman-bac287d4.pth is the first
            Release(tag="IMAGENET1K_V1", pattern="b1_rwightman", sizes={"b1": (240, 240 / 256)}),
            Release(
                tag="DEFAULT",
                pattern=r"efficientnet_b\d(_rwightman|_lukemelas)?-[0-9a-f]{8}",
                sizes=_TORCHVISION,
            ),
        ),
    ),
    "timm": Source(
        name="timm",
        title="timm",
        network="efficientnet_{member}",
        naming=NAMINGS["timm"],
        padding="symmetric",
        bn_eps=1e-5,  # efficientnet_b0 sets none: nn.BatchNorm2d's
        releases=(
            Release(
                tag="ra4_e3600",
                pattern="ra4_e3600",
                normalisation="inception",
                sizes={"b0": (224, 0.9), "b1": (240, 0.9)},
            ),
            Release(tag="sw_in12k", pattern="sw_in12k(?!_ft)", sizes={"b5": (416, 0.95)}),
            Release(
                tag="in1k",
                pattern=r"b\d(_ra2?)?(_320)?-[0-9a-f]{8}|\.(ra2?|ft|sw_in12k_ft)_in1k",
                sizes=_TIMM,
            ),
        ),
    ),
    "timm_tf": Source(
        name="timm_tf",
        title="timm",
        network="tf_efficientnet_{member}",
        naming=NAMINGS["timm"],
        padding="same",  # tf_efficientnet_b0: kwargs.setdefault("pad_type", "same")
        bn_eps=1e-3,  # and bn_eps BN_EPS_TF_DEFAULT
        releases=(
            Release(tag="ap", pattern=r"b\d[._]ap[_-]", normalisation="inception", sizes=_PAPER),
            Release(
                tag="in1k, aa, ra or ns",
                pattern=r"b\d(_(aa|ra|ns))?-[0-9a-f]{8}|\.((aa|ra|ns_jft)_)?in1k",
                sizes=_PAPER,
            ),
        ),
    ),
    "efficientnet_pytorch": Source(
        name="efficientnet_pytorch",
        title="EfficientNet-PyTorch",
        network="efficientnet-{member}",
        naming=NAMINGS["efficientnet_pytorch"],
        padding="same",  # utils.py: Conv2dStaticSamePadding
        bn_eps=1e-3,  # utils.py, efficientnet: batch_norm_epsilon
        releases=(
            # README: "for models using advprop pretrained weights" pixels are normalised otherwise
            Release(
                tag="advprop",
                pattern="^adv-",
                normalisation="inception",
                sizes=_LUKEMELAS,
            ),
            Release(tag="standard", pattern=r"^efficientnet-b\d-[0-9a-f]{8}", sizes=_LUKEMELAS),
        ),
    ),
}
"""By the name that ``--source`` takes."""
