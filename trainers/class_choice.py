"""Some classes of a source: those that are named, or all but those.

The classes that stay keep their order and get the labels from 0 on, so that the images, the split and the
fingerprint are those of a folder that holds only these classes.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from search_space import InputError
from search_space.errors import suggestion
from trainers.cache import CacheFacts
from trainers.data import classes_in_words
from trainers.image_sources import Entry, ImageSource, Payload


def with_classes(source: ImageSource, names: Sequence[str], *, without: bool = False) -> ImageSource:
    """A source of some of its classes.

    Args:
        source: which keeps its name and its notes.
        names: of classes, in any order.
        without: take the others.

    Raises:
        InputError: a name is no class of the source, or fewer than two classes are left.
    """
    unknown = sorted(set(names) - set(source.class_names))
    if unknown:
        hint = suggestion(unknown[0], source.class_names)
        raise InputError(f"{source.path}: has no {classes_in_words(unknown)}{hint}")
    kept = [name for name in source.class_names if (name in names) is not without]
    if len(kept) < 2:
        left = f"one class only ({kept[0]})" if kept else "no class"
        raise InputError(
            f"{source.path}: of its {len(source.class_names)} classes {left} would be left; a classifier "
            "needs two or more"
        )
    label_of = {source.class_names.index(name): label for label, name in enumerate(kept)}

    def of_kept(entries: Sequence[Entry]) -> tuple[Entry, ...]:
        return tuple(e._replace(label=label_of[e.label]) for e in entries if e.label in label_of)

    train, test = of_kept(source.train), of_kept(source.test)
    keys = {entry.key for entry in (*train, *test)}

    def payloads() -> Iterator[tuple[str, Payload]]:
        return ((key, payload) for key, payload in source.payloads() if key in keys)

    return replace(source, class_names=tuple(kept), train=train, test=test, payloads=payloads)


def as_options(facts: CacheFacts) -> str:
    """What ``nas data prepare`` is to be told to take the classes of a cache, with a blank before it.

    Returns:
        The shorter of the two options; empty where no class was left out.
    """
    if not facts.left_out:
        return ""
    words = {"--classes": facts.class_names, "--without-classes": facts.left_out}
    if any("," in name for names in words.values() for name in names):
        return " --classes FILE"  # with its class names, a line each
    return min((f" {option} {shlex.quote(','.join(names))}" for option, names in words.items()), key=len)
