"""The torch module of an architecture."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from search_space.architecture import Architecture
from search_space.fields import check_choice, check_float, check_int
from search_space.layers import LAYERS, Classifier, Maker


class Network(nn.Module):
    """Stem, blocks, head, pooling and classifier; made by `Architecture.build`.

    Attributes:
        architecture: what it was built from.
        num_features: channels of the last maps.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int,
        in_channels: int,
        bn_momentum: float,
        bn_eps: float,
        dropout: float,
        drop_path: float,
        include_top: bool,
        pooling: Literal["avg", "max"] | None,
    ) -> None:
        super().__init__()
        check_int("num_classes", num_classes, 1)
        check_int("in_channels", in_channels, 1)
        check_float("bn_momentum", bn_momentum, 0.0, 1.0)
        check_float("bn_eps", bn_eps, 1e-12, 1.0)
        check_float("dropout", dropout, 0.0, 0.999)
        check_float("drop_path", drop_path, 0.0, 0.999)
        check_choice("pooling", pooling, (None, "avg", "max"))
        self.architecture = architecture
        self.num_features = architecture.features
        self.include_top = include_top
        self.pooling = "avg" if include_top else pooling
        make = Maker(architecture, bn_eps, bn_momentum)
        stem, head = architecture.stem, architecture.head
        self.stem = make.conv_norm_act(in_channels, stem.channels, stem.kernel, stem.stride)
        if stem.pool == "max":
            self.stem.append(make.max_pool())
        blocks = architecture.blocks()
        self.blocks = nn.Sequential(
            *(
                # the rate grows from 0 at the first block to `drop_path` at the last
                LAYERS[block.op](block, make, drop_path * i / max(1, len(blocks) - 1))
                for i, block in enumerate(blocks)
            )
        )
        self.head: nn.Module = nn.Identity()
        if head.channels:
            self.head = make.conv_norm_act(blocks[-1].channels, head.channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Module = nn.Identity()
        if include_top:
            self.classifier = Classifier(self.num_features, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (batch, in_channels, H, W) to the last maps (batch, num_features, h, w)."""
        return self.head(self.blocks(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits (batch, classes); without the top to maps, or to pooled features."""
        maps = self.forward_features(x)
        if self.pooling is None:
            return maps
        features = maps.mean((2, 3)) if self.pooling == "avg" else maps.amax((2, 3))  # (batch, num_features)
        if not self.include_top:
            return features
        return self.classifier(self.dropout(features))
