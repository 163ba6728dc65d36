"""EfficientNet-B0 to B7 as constructors, with the arguments Keras users know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from torch import nn

from nas.weights import load_weights
from search_space import load_architecture

Constructor = Callable[..., nn.Module]


def _constructor(member: str) -> Constructor:
    def make(
        include_top: bool = True,
        weights: str | Path | None = None,
        pooling: Literal["avg", "max"] | None = None,
        classes: int = 1000,
    ) -> nn.Module:
        model = load_architecture(f"efficientnet_{member}").build(
            classes, include_top=include_top, pooling=pooling
        )
        if weights is not None:
            load_weights(model, weights)
        return model

    make.__name__ = make.__qualname__ = f"EfficientNet{member.upper()}"
    make.__doc__ = f"""EfficientNet-{member.upper()} as a torch module (arXiv 1905.11946).

    Args:
        include_top: end in the classifier; otherwise in features.
        weights: a ``.safetensors`` file of such a network, or None for fresh weights. No pretrained
            weights come with this package.
        pooling: without the top, None gives maps (batch, channels, height, width), ``avg`` and ``max``
            give (batch, channels).
        classes: outputs of the classifier.

    Raises:
        InputError: the weights are missing or do not fit.
    """
    return make


EfficientNetB0 = _constructor("b0")
EfficientNetB1 = _constructor("b1")
EfficientNetB2 = _constructor("b2")
EfficientNetB3 = _constructor("b3")
EfficientNetB4 = _constructor("b4")
EfficientNetB5 = _constructor("b5")
EfficientNetB6 = _constructor("b6")
EfficientNetB7 = _constructor("b7")
