"""Networks of which only the shapes count."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


@contextmanager
def shapes_only() -> Iterator[None]:
    """Tensors and modules made here have shapes and no numbers, whose drawing is half the work."""
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        for name in ("kaiming_uniform_", "normal_", "uniform_", "zeros_", "ones_"):
            patch.setattr(torch.nn.init, name, lambda tensor, *settings, **more: tensor)
        yield
