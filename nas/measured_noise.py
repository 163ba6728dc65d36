"""What one validation image is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller import Objective
from nas.config import SearchConfig
from nas.standing import Result, Standing, as_good
from search_space import InputError, load_space
from trainers import load_dataset, read_facts

_NEARLY = 0.01  # of an image: accuracies may be single precision


def validation_images(config: SearchConfig, accuracies: Sequence[float]) -> int | None:
    """How many images an accuracy is of; None where that is not known.

    The number is the data's, and it is believed where every accuracy is a whole number of images: an
    evaluator of the user's own may measure on other data than the configuration says.

    Args:
        config: of the run.
        accuracies: that were measured, 0 to 1.
    """
    if config.evaluator is not None or config.data is None:
        return None
    try:
        if config.data.cache is not None:
            images = int(read_facts(config.data.cache).counts["validation"])
        else:
            assert config.data.name is not None
            size = load_space(config.space).skeleton.image_size
            images = len(load_dataset(config.data.name, size).validation)
    except InputError:  # the data are elsewhere now
        return None
    whole = all(abs(images * accuracy - round(images * accuracy)) < _NEARLY for accuracy in accuracies)
    return images if images and whole else None


def decided_by_one_image(
    objective: Objective, results: Sequence[Result], reference: Standing, images: int
) -> bool | None:
    """Whether no network would be as good as the reference, were it right on one validation image less.

    Args:
        objective: of the run.
        results: the run's. The reference itself, where it is one of them, is left out.
        reference: with an accuracy.
        images: that an accuracy is of.

    Returns:
        None where no network but the reference itself is as good: then there is no margin.
    """
    one = (1.0 - 1e-6) / images  # who ties without it is still as good
    good = [r for r in results if r.id != reference.candidate and as_good(r, reference)]
    if not good:
        return None
    for result in good:
        fewer = max(0.0, result.accuracy - one)
        without = replace(result, accuracy=fewer, reward=objective.reward(fewer, result.cost))
        if as_good(without, reference):
            return False
    return True
