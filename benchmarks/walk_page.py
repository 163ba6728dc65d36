"""The page of the walk, docs/walk.md, as what `benchmarks.walk` runs and fills in.

A step is a section (``## …``) with commands: the lines of its ``sh`` blocks. Filled in are, each up to
``<!-- end -->``: the table of times after ``<!-- times -->``, the sum of them after ``<!-- total -->``, and
what a command prints after ``<!-- printed: COMMAND -->`` (its beginning is enough; of
``<!-- printed, 9 lines: COMMAND -->`` the first 9). A figure ``images/walk-NAME.png`` is the ``NAME.png``
that a command writes.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from search_space import InputError

LARGEST_FIGURE = 320_000  # bytes
_SCALES = (1.0, 0.85, 0.7, 0.55)  # of a figure that is too large, one after the other
_END = "<!-- end -->"
_PRINTED = re.compile(r"(<!-- printed(?:, (\d+) lines)?: (.+?) -->\n).*?" + _END, re.DOTALL)
_FIGURE = re.compile(r"\]\(images/(walk-([\w-]+)\.png)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A section of the page that has commands.

    Attributes:
        number: from 1.
        title: the section's.
        commands: its lines of shell, in order; a line that ends with a backslash goes on.
    """

    number: int
    title: str
    commands: tuple[str, ...]


def steps_of(page: str) -> list[Step]:
    """The steps of a page, in order."""
    steps: list[Step] = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        lines = "".join(blocks).replace("\\\n", " ").splitlines()
        commands = tuple(" ".join(line.split()) for line in lines if shlex.split(line, comments=True))
        if commands:
            title = section.partition("\n")[0].strip()
            steps.append(Step(number=len(steps) + 1, title=title, commands=commands))
    return steps


def figures_of(page: str) -> dict[str, str]:
    """Of each figure on the page its file in ``docs/images`` and the path that a command gives it.

    Raises:
        InputError: no command writes it.
    """
    words = [word for step in steps_of(page) for command in step.commands for word in shlex.split(command)]
    found = {}
    for file, name in _FIGURE.findall(page):
        paths = [word for word in words if Path(word).name == f"{name}.png"]
        if not paths:
            raise InputError(f"no command of the page writes {name}.png, which it shows as {file}")
        found[file] = paths[0]
    return found


def with_printed(page: str, printed: Mapping[str, str]) -> str:
    """The page with what its commands printed.

    Args:
        page: as it is.
        printed: of each command what it printed.

    Raises:
        InputError: the page shows what no command printed.
    """

    def shown(match: re.Match[str]) -> str:
        head, limit, beginning = match.groups()
        texts = [text for command, text in printed.items() if command.startswith(beginning)]
        if len(texts) != 1:
            raise InputError(f"{len(texts)} commands of the page begin with {beginning!r}, which it quotes")
        lines = [line.rstrip() for line in texts[0].strip("\n").splitlines()]
        if limit is not None and len(lines) > int(limit):
            lines = [*lines[: int(limit)], "…"]
        return "\n".join([head + "```text", *lines, "```", _END])

    return _PRINTED.sub(shown, page)


def with_times(page: str, seconds: Sequence[float], machine: str) -> str:
    """The page with the seconds of its steps, and on what they were measured.

    Raises:
        InputError: the page has no place for them.
    """
    steps = steps_of(page)
    rows = [f"| {step.title} | {clock(its)} |" for step, its in zip(steps, seconds, strict=True)]
    table = ["| step | time |", "|---|---|", *rows, f"| all | {clock(sum(seconds))} |", "", f"*{machine}.*"]
    page = _replaced(page, "times", "\n" + "\n".join(table) + "\n")
    return _replaced(page, "total", f"{max(1, round(sum(seconds) / 60))} minutes")


def _replaced(page: str, mark: str, text: str) -> str:
    page, number = re.subn(f"(<!-- {mark} -->).*?{_END}", lambda m: m[1] + text + _END, page, flags=re.DOTALL)
    if number != 1:
        raise InputError(f"the page has {number} places <!-- {mark} --> … {_END}, and not one")
    return page


def clock(seconds: float) -> str:
    """95 as ``1:35``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def small_png(path: Path) -> Callable[[Path], object]:
    """What writes a figure as small as the repository takes it.

    As it is, where it is small enough; else in 256 colours; where that is too large still, with fewer pixels.

    Raises:
        InputError: it is not there, is no image, or is too large all the same.
    """
    try:
        contents = path.read_bytes()
        with Image.open(io.BytesIO(contents)) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; run its step again") from None
    for scale in _SCALES:
        if len(contents) <= LARGEST_FIGURE:
            break
        smaller = image.resize(
            (round(scale * image.width), round(scale * image.height)), Image.Resampling.LANCZOS
        )
        target = io.BytesIO()
        colours = smaller.quantize(256)
        # dithered, which hides the steps between so few colours in photographs
        dithered = smaller.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
        dithered.save(target, "PNG", optimize=True)
        contents = target.getvalue()
    if len(contents) > LARGEST_FIGURE:
        raise InputError(
            f"{path}: takes {len(contents):,} bytes at {_SCALES[-1]:g} of its size, over {LARGEST_FIGURE:,}"
        )
    return lambda to: to.write_bytes(contents)
