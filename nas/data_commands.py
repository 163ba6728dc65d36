"""``nas data``: fetch and prepare images for searching, look at what was prepared, and check it."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.console import ByteProgress, ItemProgress, duration, err, out, print_json, print_table
from nas.options import JsonOption
from search_space import FieldError, InputError
from trainers.cache import CacheFacts, read_facts, verify

data_app = typer.Typer(
    no_args_is_help=True, help="Fetch images, prepare them for searching; look at them, check them."
)

CacheArgument = Annotated[
    Path, typer.Argument(help="A folder that nas data prepare made.", show_default=False)
]


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder that the archive is put into.")
    ] = Path("data"),
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="Another address of the same file, such as a mirror's.", show_default=False
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Download a published data set, checked: nas data fetch cifar10

    What was interrupted goes on where it was when the same command is given again. What is there is checked
    and not fetched.
    """
    from trainers.fetching import fetch as download
    from trainers.fetching import published

    item = published(name)
    began = time.monotonic()
    try:
        with _terminable(), ByteProgress() as progress:
            fetched = download(item, output, url=url, progress=progress)
    except KeyboardInterrupt:
        err.print("interrupted; what came is kept, and the same command goes on")
        raise typer.Exit(130) from None
    seconds = time.monotonic() - began
    words = ["nas", "data", "prepare", str(fetched.path), "--image-size", str(item.image_size)]
    after = shlex.join([*words, "-o", str(output / f"{item.name}-{item.image_size}")])
    if json_output:
        facts = {"name": item.name, "file": str(fetched.path), "bytes": item.size, "sha256": item.sha256}
        came = {"received": fetched.received, "resumed_from": fetched.resumed_from, "seconds": seconds}
        print_json({**facts, **came, "citation": item.citation, "terms": item.terms, "next": after})
        return
    how = f"fetched in {duration(seconds)}" if fetched.received else "there already"
    out.print(f"{fetched.path}: {how}, {item.size:,} bytes, SHA-256 {item.sha256}", soft_wrap=True)
    out.print(f"cite: {item.citation}; {item.terms}", soft_wrap=True)
    out.print(f"next: {after}", soft_wrap=True)


@data_app.command()
def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            help="CIFAR's binary files, a folder with one directory a class (or with train/ and test/ of "
            "them), or a .tar, .tar.gz or .tgz of these.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.", show_default=False)],
    image_size: Annotated[
        int, typer.Option("--image-size", help="Side of the square images, pixels.", show_default=False)
    ],
    validation: Annotated[
        str, typer.Option("--validation", help="To hold out of the training images: a share, or a number.")
    ] = "0.1",
    channels: Annotated[int, typer.Option("--channels", help="3 (RGB) or 1 (grey).")] = 3,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes; one a processor by default.")
    ] = None,
    max_corrupt: Annotated[
        float, typer.Option("--max-corrupt", help="Share of a part's images that may be unreadable.")
    ] = 0.01,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the data set; the source's by default.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Only these classes: cat,dog or a text file with one name a line.",
            show_default=False,
        ),
    ] = None,
    without_classes: Annotated[
        str | None,
        typer.Option(
            "--without-classes", help="All classes but these, named the same way.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a cache that is there.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Decode images once, for all searches: nas data prepare photos/ --image-size 64 -o data/photos-64

    The folder appears when it is whole, or not at all.
    """
    from trainers.prepare import PrepareOptions
    from trainers.prepare import prepare as make

    try:
        options = PrepareOptions(
            image_size=image_size,
            channels=channels,
            validation=_amount(validation),
            workers=workers,
            max_corrupt=max_corrupt,
            name=name,
            classes=_names("--classes", classes),
            without_classes=_names("--without-classes", without_classes),
        )
    except FieldError as error:
        raise InputError(f"--{error.path.replace('_', '-')} {error.rule}") from None
    began = time.monotonic()
    try:
        with _terminable(), ItemProgress() as progress:
            progress.begin(f"reading the names in {source}", None)
            facts = make(source, output, options, force=force, progress=progress)
    except KeyboardInterrupt:
        err.print("interrupted; nothing is left behind")
        raise typer.Exit(130) from None
    seconds = time.monotonic() - began
    if json_output:
        print_json({**_facts_json(output, facts), "seconds": seconds})
        return
    _print_facts(output, facts)
    out.print(
        f"prepared in {duration(seconds)}; in a configuration: data: {{cache: {output.resolve()}}}",
        soft_wrap=True,
    )


@data_app.command()
def show(
    cache: CacheArgument,
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="Write so many images: one of each class, then a second."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder for --images.", show_default=False)
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """What a prepared data set holds: nas data show data/photos-64

    nas data show data/photos-64 --images 6 -o images/ writes PNG files of the part that no training sees.
    """
    if (images is None) != (output is None):
        raise InputError("--images and -o go together: --images 6 -o FOLDER writes six images")
    facts = read_facts(cache)
    written: list[Path] = []
    if images is not None and output is not None:
        from nas.data_examples import write_examples

        written = write_examples(cache, images, output)
    if json_output:
        listed = {"images": [str(path) for path in written]} if written else {}
        print_json({**_facts_json(cache, facts), **listed})
        return
    if not written:
        _print_facts(cache, facts)
    for path in written:
        out.print(f"wrote {path}", soft_wrap=True)


@data_app.command(name="verify")
def check(cache: CacheArgument, json_output: JsonOption = False) -> None:
    """Read all of a prepared data set and compare its fingerprint: nas data verify data/photos-64"""
    facts = read_facts(cache)
    with ItemProgress() as progress:
        progress.begin("reading", sum(facts.counts.values()))
        wrong = verify(cache, progress.advance)
    if json_output:
        print_json(
            {"cache": str(cache), "whole": not wrong, "fingerprint": facts.fingerprint, "wrong": wrong}
        )
    elif not wrong:
        out.print(f"{cache}: whole; fingerprint {facts.fingerprint}", soft_wrap=True)
    for line in wrong:
        err.print(f"nas: {cache}: {line}", soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


def _amount(given: str) -> float | int:
    """``0.1`` is a share, ``50000`` a number of images."""
    for kind in (int, float):
        try:
            return kind(given)
        except ValueError:
            continue
    raise InputError(f"--validation must be a share such as 0.1 or a number such as 50000, got {given!r}")


def _names(option: str, given: str | None) -> tuple[str, ...] | None:
    """``cat,dog``, or the lines of the file that is named."""
    if given is None:
        return None
    path, names = Path(given), given.split(",")
    try:
        if len(names) == 1 and path.is_file():
            names = path.read_text(encoding="utf-8-sig").split("\n")
        elif path.suffix == ".txt":
            raise InputError(f"{option} {given}: no such file; one class name a line is expected in it")
    except UnicodeDecodeError:
        raise InputError(f"{option} {given}: is no text; one class name a line is expected in it") from None
    except OSError as error:
        raise InputError(f"{option} {given}: cannot be read: {error.strerror}") from None
    return tuple(name.strip() for name in names if name.strip())


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the body as an exception does, so that it tidies up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _facts_json(path: Path, facts: CacheFacts) -> dict[str, Any]:
    return {**facts.to_json(), "cache": str(path), "bytes": _bytes(path)}


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


def _print_facts(path: Path, facts: CacheFacts) -> None:
    colour = "RGB" if facts.channels == 3 else "grey"
    rows = [
        ("name", facts.name),
        ("images", f"{facts.image_size}x{facts.image_size} {colour}"),
        ("resized", facts.resized),
        ("classes", f"{facts.number_of_classes}: {_some(facts.class_names)}"),
        *([("left out", _some(facts.left_out))] if facts.left_out else []),
        ("train", f"{facts.counts['train']:,}"),
        ("validation", f"{facts.counts['validation']:,}: {facts.held_out['validation']}"),
        ("test", f"{facts.counts['test']:,}: {facts.held_out['test']}"),
        ("mean, std", f"{_numbers(facts.mean)}; {_numbers(facts.std)}"),
        ("source", f"{facts.source['path']} ({facts.source['kind']})"),
        ("on disk", f"{_bytes(path) / 1e6:,.1f} MB"),
        ("fingerprint", facts.fingerprint),
    ]
    print_table((str(path), ""), rows)
    if facts.problems:
        out.print(
            f"{facts.problems} images could not be read and are left out: {path / 'problems.txt'}",
            soft_wrap=True,
        )
    for note in facts.notes:
        out.print(note, soft_wrap=True)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + ", …" * (len(names) > 8)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
