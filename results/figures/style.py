"""What all figures share: colours, units of an axis, and writing a file. Nothing is shown on a screen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from results.export import write_whole
from search_space import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
BLUE, RED, GREEN, GREY = "#1f5fa8", "#c8442c", "#3d8b50", "0.72"
# Okabe and Ito 2008: apart for the colour-blind; without yellow, which is too light for points on white
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def unit_of(values: Sequence[float]) -> tuple[float, str]:
    """A unit for values of this size, and its word: ``(1e6, "million ")``."""
    largest = max(values, default=0)
    for unit, word in ((1e9, "billion "), (1e6, "million "), (1e3, "thousand ")):
        if largest >= unit:
            return unit, word
    return 1.0, ""


@contextmanager
def any_letters() -> Iterator[None]:
    """Names may have letters that the font has not: they become boxes, and nobody is warned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def check_figure_path(path: Path, formats: Sequence[str] = FORMATS) -> None:
    """Refuse an ending that no figure can have.

    Args:
        path: of a figure to be.
        formats: the endings that it may have.

    Raises:
        InputError: it is not one of them.
    """
    if path.suffix.lower() not in formats:
        raise InputError(f"{path}: must end in {', '.join(formats)}")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the file's ending.

    Raises:
        InputError: an unknown ending, or the file cannot be written.
    """
    path = Path(path)
    check_figure_path(path)
    with any_letters():
        write_whole(
            path, lambda unfinished: figure.savefig(unfinished, dpi=150, format=path.suffix[1:].lower())
        )
