"""What timm imports of torchvision, where there is no torchvision that loads: only so that timm imports.

timm's networks need nothing of it; its data loaders, which nothing here touches, would. The stand-ins have
names and do nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from types import ModuleType

from torch import nn

HAVE_TIMM = find_spec("timm") is not None
WITHOUT_TIMM = "timm is not installed: pip install --no-deps timm (without the torchvision it asks for)"


class InterpolationMode(Enum):
    """torchvision's, by the names that timm asks for."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class Nothing(nn.Module):
    """A class with a name."""


MODULES: dict[str, dict[str, object]] = {
    "torchvision": {},
    "torchvision.transforms": {"ToTensor": Nothing},
    "torchvision.transforms.functional": {"InterpolationMode": InterpolationMode},
    "torchvision.datasets": dict.fromkeys(
        ["CIFAR100", "CIFAR10", "MNIST", "KMNIST", "FashionMNIST", "ImageFolder"], Nothing
    ),
    "torchvision.ops": {},
    "torchvision.ops.misc": {"FrozenBatchNorm2d": Nothing},
}


@contextmanager
def importable_timm() -> Iterator[None]:
    """timm imports, with torchvision where that loads, and with stand-ins for it where it does not.

    Afterwards neither is loaded, for nothing else may take the stand-ins for torchvision.
    """
    try:
        import torchvision  # noqa: F401
    except Exception:  # a wheel that does not fit this torch raises what it likes
        forget("torchvision")
        for name, contents in MODULES.items():
            module = ModuleType(name)
            module.__dict__.update(contents)
            sys.modules[name] = module
    try:
        yield
    finally:
        forget("timm", "torchvision")


def forget(*packages: str) -> None:
    """Unload packages."""
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]
