"""What all figures share: colours, units of an axis, and writing a file. Nothing is shown on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from results.export import write_whole
from search_space import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
BLUE, RED, GREEN, GREY = "#1f5fa8", "#c8442c", "#3d8b50", "0.72"


def unit_of(values: Sequence[float]) -> tuple[float, str]:
    """A unit for values of this size, and its word: ``(1e6, "million ")``."""
    largest = max(values, default=0)
    for unit, word in ((1e9, "billion "), (1e6, "million "), (1e3, "thousand ")):
        if largest >= unit:
            return unit, word
    return 1.0, ""


def check_figure_path(path: Path) -> None:
    """Refuse an ending that no figure can have.

    Raises:
        InputError: it is not one of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: must end in {', '.join(FORMATS)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's ending.

    Raises:
        InputError: an unknown ending, or the file cannot be written.
    """
    check_figure_path(path)
    write_whole(path, lambda unfinished: figure.savefig(unfinished, dpi=150, format=path.suffix[1:].lower()))
