"""The figure of class activation maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nas.map_facts import ActivationMaps, ClassMap
from results import save_figure
from results.figures import MapCell, MapRow, maps_figure
from results.figures.maps_figure import MOST_COLUMNS, MOST_ROWS, PIXELS
from search_space import InputError
from trainers.decoding import decode_file

_METHODS = {
    "cam": "class activation maps (arXiv 1512.04150)",
    "grad-cam": "Grad-CAM (arXiv 1610.02391)",
}


def check_figure_size(images: int, networks: int) -> None:
    """Refuse a figure that nobody could read, before anything is computed.

    Raises:
        InputError: more images or networks than a figure has room for.
    """
    if images > MOST_ROWS:
        raise InputError(
            f"a figure has room for {MOST_ROWS} images, got {images:,}; name fewer, or leave -o out"
        )
    if networks > MOST_COLUMNS:
        raise InputError(f"a figure has room for {MOST_COLUMNS} networks, got {networks:,}; leave some out")


def save_maps_figure(found: ActivationMaps, path: Path) -> None:
    """Write the figure: whole or not at all.

    Raises:
        InputError: it cannot be written, or an image is gone by now.
    """
    rows = [
        MapRow(
            name=Path(image.image).name,
            picture=decode_file(image.image, PIXELS),
            cells=tuple(_cell(its, found.target) for its in image.maps),
        )
        for image in found.images
    ]
    save_figure(maps_figure(rows, _columns(found.images[0].maps), _caption(found)), path)


def _cell(its: ClassMap, target: str | None) -> MapCell:
    """What is predicted, and of a class that was asked for how likely that is."""
    words = [_sure(its.predicted, its.probability)]
    if target is not None:
        words.append(_sure(target, its.target_probability))
    if its.concentration is None:
        words.append("nothing above 0")
    return MapCell(words=tuple(words), heat=its.enlarged(PIXELS - 2 * round(PIXELS * its.margin)))


def _sure(name: str, probability: float) -> str:
    return f"{name} {100 * probability:.0f} %"


def _columns(maps: Sequence[ClassMap]) -> list[tuple[str, str]]:
    """Network and pixels; where two networks have one name, the checkpoints' too."""
    times = Counter(its.network for its in maps)
    return [
        (its.network if times[its.network] == 1 else its.checkpoint, f"{its.image_size} px") for its in maps
    ]


def _caption(found: ActivationMaps) -> str:
    what = _METHODS[found.method]
    if found.method == "grad-cam":
        what += f" of {found.layer}"
    if found.target is None:
        whose = "of the class that each network predicts, which stands above the cell with its probability"
    else:
        whose = f"of the class {found.target}; above a cell the predicted class and this one"
    scale = "Each cell has its own scale, from 0 to its largest value; what is below 0 is shown as 0."
    return f"{what[:1].upper()}{what[1:]} {whose}. {scale}"
