"""Images at every size that scaled networks take, from the one data set that a configuration names.

A cache holds images of one size. Those of other sizes lie beside it (``data/cifar10-37`` beside
``data/cifar10-32``); where one is missing it is prepared from the same source with the same options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nas.config_sections import DataConfig
from search_space import Architecture, InputError
from trainers import (
    CacheFacts,
    Dataset,
    ImageSet,
    ProxyProtocol,
    load_dataset,
    load_test,
    open_cache,
    read_facts,
)
from trainers.class_choice import as_options
from trainers.digits import load_digits_test
from trainers.prepare import PrepareOptions, PrepareProgress, prepare
from trainers.proxy import ProxyEvaluator, check_fit
from trainers.sized import SizedEvaluator

_ALIKE = ("class_names", "counts", "channels", "held_out")


def sized_evaluator(
    data: DataConfig,
    protocol: ProxyProtocol,
    networks: Sequence[Architecture],
    progress: PrepareProgress | None = None,
    *,
    may_prepare: bool = True,
) -> SizedEvaluator:
    """What trains these networks, each at its own image size.

    Args:
        data: what on.
        protocol: how; without an image size, which is the networks'.
        networks: of which images of all sizes are wanted.
        progress: told where images are prepared.
        may_prepare: whether images of a size that is not there are prepared; else that is an error.

    Raises:
        InputError: the protocol has an image size; the data cannot be used, or not be prepared at a size.
    """
    if protocol.image_size is not None:
        raise InputError(
            f"protocol.image_size must be null, got {protocol.image_size}: each network is trained at its "
            "own resolution, which is what is scaled; --set protocol.image_size=null"
        )
    parts = []
    for size in sorted({network.image_size for network in networks}):
        images = images_at(data, size, progress, may_prepare=may_prepare)
        for network in networks:
            if network.image_size == size:
                check_fit(network, protocol, images)
        # what changes no accuracy is not to change what a result is known by
        whole = protocol.subset == len(images.train)
        parts.append(ProxyEvaluator(replace(protocol, subset=None) if whole else protocol, images))
    return SizedEvaluator.of_parts(parts)


def images_at(
    data: DataConfig, size: int, progress: PrepareProgress | None = None, *, may_prepare: bool = True
) -> Dataset:
    """The images of a configuration at a size; see `sized_evaluator`."""
    if data.cache is None:
        assert data.name is not None
        return load_dataset(data.name, size)
    given = read_facts(data.cache)
    place = sized_cache(Path(data.cache), given, size)
    if may_prepare and not place.exists():
        _prepare(given, place, size, progress)
    facts = read_facts(place)
    for name in _ALIKE:
        if getattr(facts, name) != getattr(given, name):
            raise InputError(
                f"{place}: has another {name} than {data.cache}; move it away to have it made anew"
            )
    if facts.image_size != size:
        raise InputError(f"{place}: holds {facts.image_size}-pixel images; move it away to have it made anew")
    return open_cache(place)


def untouched_images_at(data: DataConfig, size: int) -> ImageSet | None:
    """The images that no training sees, at a size; None where there are none.

    Raises:
        InputError: the data cannot be used, or are not there at that size.
    """
    if data.cache is None:
        return load_digits_test(size) if data.name == "digits" else None
    place = sized_cache(Path(data.cache), read_facts(data.cache), size)
    return load_test(place) if read_facts(place).counts["test"] else None


def untouched_fingerprint_at(data: DataConfig, size: int) -> str | None:
    """What the images of `untouched_images_at` are known by.

    Raises:
        InputError: as there.
    """
    if data.cache is not None:
        return read_facts(sized_cache(Path(data.cache), read_facts(data.cache), size)).test_fingerprint
    test = untouched_images_at(data, size)
    if test is None:
        return None
    return hashlib.sha256(
        f"{data.name} {size}".encode() + test.images.tobytes() + test.labels.tobytes()
    ).hexdigest()


def sized_cache(cache: Path, facts: CacheFacts, size: int) -> Path:
    """Where images of another size are: ``data/photos-64`` has them in ``data/photos-74``."""
    if facts.image_size == size:
        return cache
    return cache.with_name(f"{cache.name.removesuffix(f'-{facts.image_size}')}-{size}")


def _prepare(given: CacheFacts, place: Path, size: int, progress: PrepareProgress | None) -> None:
    """Make the images of a size from the source of a cache."""
    if not 8 <= size <= 1024:
        raise InputError(f"data.cache: images of {size} pixels cannot be prepared, only of 8 to 1024")
    options = PrepareOptions(
        image_size=size,
        channels=given.channels,
        validation=given.held_out["asked"],
        name=given.name,
        classes=given.class_names if given.left_out else None,
    )
    try:
        prepare(given.source["path"], place, options, progress=progress)
    except InputError as error:
        raise InputError(
            f"data.cache: {place} is wanted for networks at {size} pixels: {error}; or nas data prepare "
            f"SOURCE --image-size {size} -o {place} --validation {given.held_out['asked']} "
            f"--channels {given.channels}{as_options(given)}"
        ) from None
