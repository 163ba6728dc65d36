"""A network so small that a bundle of it takes little time."""

from __future__ import annotations

from search_space import Architecture, Head, Stage, Stem

TINY = Architecture(
    name="tiny",
    image_size=16,
    stem=Stem(channels=8, kernel=3, stride=2),
    stages=(
        Stage(op="mbconv", channels=8, repeats=1, kernel=3, stride=2, expansion=1, se_ratio=0.25),
        Stage(op="mbconv", channels=16, repeats=2, kernel=5, stride=2, expansion=3),
    ),
    head=Head(channels=32),
)
