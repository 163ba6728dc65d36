"""Pretrained EfficientNets of other libraries as networks of ours.

A state dict has names and shapes. The names say whose it is (`trainers.pretrained_names`), the shapes say
which of B0 to B7; batch norm's epsilon, the padding and how images are prepared are the source's
(`trainers.pretrained_sources`). timm's plain networks and its ``tf_`` ones have the same names and shapes,
and are other functions: which it is, is asked, or read in a ``config.json`` or the file's name; it is never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from search_space import REFERENCES, Architecture, FieldError, InputError
from search_space.errors import suggestion
from search_space.fields import check_int
from trainers.pretrained_config import TIMMS, HubConfig, read_hub_config
from trainers.pretrained_files import read_tensors
from trainers.pretrained_mapping import mapped_network
from trainers.pretrained_names import NAMINGS, width
from trainers.pretrained_sources import MEMBERS, NORMALISATIONS, SOURCES, Source

_BY_CONFIG = "by config.json beside it"
_ASK = "say --source timm or --source timm_tf"
_NAMED = re.compile(rf"(?<![a-z]){TIMMS.pattern}(?![0-9])")
_TF = re.compile("tf|tensorflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How images are prepared for a network.

    Attributes:
        image_size: pixels.
        crop: side of the central part that is taken, as a share.
        mean, std: a channel, in units of 0 to 1.
        by: whose word this is, in words.
    """

    image_size: int
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """A network of ours with the weights of a file.

    Attributes:
        source: whose network it is.
        recognised: by what, in words.
        network: what it is called there; None of one that is none of B0 to B7.
        architecture: ours, with the source's epsilon and padding.
        model: built, with the weights, in eval mode.
        num_classes, in_channels: of it.
        preparation: of its images.
        taken: how many tensors of the file were taken.
        unused: tensors of the file that were not.
        fresh: tensors of ours that the file does not have.
        notes: what else is to be known, a sentence each.
    """

    source: Source
    recognised: str
    network: str | None
    architecture: Architecture
    model: nn.Module
    num_classes: int
    in_channels: int
    preparation: Preparation
    taken: int
    unused: tuple[str, ...]
    fresh: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Such as ``torchvision's efficientnet_b0``."""
        whose = f"{self.source.title}'s"
        return f"a network named as {whose}" if self.network is None else f"{whose} {self.network}"


def read_pretrained(
    path: Path,
    *,
    source: str | None = None,
    architecture: Architecture | None = None,
    image_size: int | None = None,
    normalisation: str | None = None,
    num_classes: int | None = None,
) -> Pretrained:
    """Read the weights of a network that another library names.

    Args:
        path: a file with one of `trainers.pretrained_files.ENDINGS`.
        source: of `SOURCES`; None recognises it.
        architecture: of the network, with our epsilon and padding; None is the one of B0 to B7 that has the
            file's shapes.
        image_size: pixels; None is the source's.
        normalisation: of `NORMALISATIONS`; None is the source's.
        num_classes: of the new classifier, all zeros, of a file that has none.

    Raises:
        InputError: the file cannot be read; it is of another network, of none that is known, of one of
            several sources; or a tensor is missing, or of another shape.
        FieldError: an option is out of range.
    """
    for name, given, known in (("source", source, SOURCES), ("normalisation", normalisation, NORMALISATIONS)):
        if given is not None and given not in known:
            raise FieldError(name, f"must be {' or '.join(known)}, got {given!r}{suggestion(given, known)}")
    if num_classes is not None:
        check_int("num_classes", num_classes, 1, 1_000_000)
    tensors, notes = read_tensors(path)
    naming = _naming_of(path, tensors)
    config, passed_over = read_hub_config(path) if naming == "timm" else (None, "")
    its, recognised = _source_of(path, naming, source, config)
    network, member = _network_of(path, its, tensors, architecture)
    if config is not None and config.architecture != its.network.format(member=member):
        passed_over = f"config.json beside it is of {config.architecture}"
        if recognised.startswith(_BY_CONFIG):  # then it is no word on these weights
            shape = f"the file's shapes are of {network.name}"
            raise InputError(f"{path}: {passed_over}, and {shape}; {_ASK}")
        config = None
    if passed_over:
        notes += (f"{passed_over}; it was passed over",)
    preparation, doubts = _preparation(path, its, member, network, config, normalisation)
    if image_size is not None:
        check_int("image_size", image_size, network.total_stride, 4096)
        preparation = replace(preparation, image_size=image_size)
    network = replace(network, image_size=preparation.image_size)
    mapped = mapped_network(path, its, network, tensors, num_classes)
    if len(preparation.mean) != mapped.in_channels:
        raise InputError(
            f"{path}: is of images with {mapped.in_channels} channels, and the source's are normalised by "
            f"{len(preparation.mean)}"
        )
    return Pretrained(
        source=its,
        recognised=recognised,
        network=its.network.format(member=member) if member else None,
        architecture=network,
        model=mapped.model,
        num_classes=mapped.num_classes,
        in_channels=mapped.in_channels,
        preparation=preparation,
        taken=mapped.taken,
        unused=mapped.unused,
        fresh=mapped.fresh,
        notes=(*notes, *doubts, *mapped.notes),
    )


def _naming_of(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Whose names the tensors have.

    Raises:
        InputError: nobody's that is known.
    """
    for name, naming in NAMINGS.items():
        if naming.holds(tensors):
            return name
    if "stem.0.weight" in tensors and "blocks.0.depthwise.0.weight" in tensors:
        raise InputError(
            f"{path}: is named as this program names its own networks; there is nothing to import"
        )
    first = ", ".join(list(tensors)[:3])
    raise InputError(
        f"{path}: is named neither as {', '.join(NAMINGS)} name an EfficientNet; it begins with {first}"
    )


def _source_of(path: Path, naming: str, given: str | None, config: HubConfig | None) -> tuple[Source, str]:
    """Whose network it is, and by what that is known.

    Raises:
        InputError: it is given, and the names are of another; or it is of one of two.
    """
    fitting = [name for name, source in SOURCES.items() if source.naming is NAMINGS[naming]]
    if given is not None:
        if given not in fitting:
            raise InputError(f"{path}: is named as {naming} names its networks, and not as --source {given}")
        return SOURCES[given], "given, and its tensors are named so"
    if len(fitting) == 1:
        return SOURCES[fitting[0]], "by the names of its tensors"
    by_name, clear = _named_by(path)
    if config is not None:
        if by_name is not None and by_name != config.architecture:
            said = f"config.json beside it is of {config.architecture}, and its own name says {by_name}"
            raise InputError(f"{path}: {said}; {_ASK}")
        return _timm_of(config.architecture), f"{_BY_CONFIG}: {config.architecture}"
    if by_name is not None and clear:
        return _timm_of(by_name), f"by the file's name: {by_name}"
    raise InputError(
        f"{path}: timm names efficientnet_b* (epsilon 1e-5, symmetric padding) and tf_efficientnet_b* (1e-3, "
        f"SAME) alike; {_ASK}, or put the hub's config.json beside the file"
    )


def _timm_of(network: str) -> Source:
    return SOURCES["timm_tf" if network.startswith("tf_") else "timm"]


def _named_by(path: Path) -> tuple[str | None, bool]:
    """Which of timm's networks a file's name speaks of, and whether it is clear.

    A plain network in a name that has a "tf" elsewhere is likely a ``tf_`` one, and not clear.
    """
    name = path.name.lower()
    found = {match[0] for match in _NAMED.finditer(name)}
    if len(found) != 1:
        return (" and ".join(sorted(found)) or None), False
    (network,) = found
    if not network.startswith("tf_") and _TF.search(name):
        return f"tf_{network}", False
    return network, True


def _network_of(
    path: Path, source: Source, tensors: Mapping[str, Tensor], given: Architecture | None
) -> tuple[Architecture, str | None]:
    """The architecture with the source's epsilon and padding, and which of B0 to B7 it is, if it is one.

    Raises:
        InputError: none of B0 to B7 has the file's width and depth, or the given one has others.
    """
    naming = source.naming
    size = (
        width(tensors, f"{naming.stem[0]}.weight"),
        naming.depth(tensors),
        width(tensors, naming.modules(REFERENCES["efficientnet_b0"]())["head.0"] + ".weight"),
    )
    member = None
    for candidate in MEMBERS:
        known = REFERENCES[f"efficientnet_{candidate}"]()
        if given is None and size == _size(known):
            given, member = known, candidate
        elif given is not None and _is_network(given, known):
            member = candidate
    words = "a stem of {} channels, {} blocks and a head of {}"
    if given is None:
        raise InputError(
            f"{path}: is named as {source.name} names its networks, and none of EfficientNet-B0 to B7 has "
            f"{words.format(*size)}; --architecture names another network"
        )
    return replace(given, bn_eps=source.eps_of(member), padding=source.padding), member


def _size(architecture: Architecture) -> tuple[int, int, int]:
    return architecture.stem.channels, architecture.depth, architecture.head.channels


def _is_network(given: Architecture, known: Architecture) -> bool:
    """Whether two networks are one, but for what the source or the user decides."""
    # of the largest size, as one must be at least the total stride
    one, other = (replace(its, bn_eps=1e-3, padding="same", image_size=8192) for its in (given, known))
    return one.key == other.key


def _preparation(
    path: Path,
    source: Source,
    member: str | None,
    network: Architecture,
    config: HubConfig | None,
    normalisation: str | None,
) -> tuple[Preparation, tuple[str, ...]]:
    """How images are prepared, and what of it is in doubt."""
    notes: tuple[str, ...] = ()
    if config is not None:
        found = Preparation(
            image_size=config.image_size, crop=config.crop, mean=config.mean, std=config.std, by="config.json"
        )
    elif member is None:
        mean, std = NORMALISATIONS["imagenet"]
        found = Preparation(
            image_size=network.image_size, crop=1.0, mean=mean, std=std, by="no word of the source"
        )
        notes += ("how its images were prepared is not known; --normalisation and --image-size say it",)
    else:
        release, said = source.release_of(member, path.name)
        image_size, crop = release.sizes[member]
        mean, std = NORMALISATIONS[release.normalisation]
        called = f"{source.title}'s {source.network.format(member=member)} ({release.tag})"
        found = Preparation(image_size=image_size, crop=crop, mean=mean, std=std, by=called)
        if not said and normalisation is None and source.doubtful(member):
            notes += (
                f"some weights of {source.network.format(member=member)} want 0.5 as mean and deviation "
                "(--normalisation inception); nothing says that these do",
            )
    if normalisation is not None:
        mean, std = NORMALISATIONS[normalisation]
        found = replace(found, mean=mean, std=std)
    return found, notes
