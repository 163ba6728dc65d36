"""What `nas export` refuses before anything is built, and what it says of sizes that nobody chose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nas.lookup import Found
from search_space import InputError


def checked_request(
    output: Path,
    kind: str | None,
    *,
    bundle: bool,
    weights: Path | None,
    opset: int | None,
    seed: int | None,
) -> str | None:
    """The one format that is asked for, None for a folder; before anything is looked up or built.

    Raises:
        InputError: options that exclude one another or would be ignored, a format that nobody knows, one that
            needs what is not installed, or a file that is not there or in the way.
    """
    from results.export import DESCRIPTIONS, wanted_format
    from results.exporting.graphs import check_opset, why_no_onnx

    if bundle:
        _check_bundle(output, kind)
    wanted = None if bundle else wanted_format(output, kind)
    if opset is not None:
        if not bundle and wanted != "onnx":
            raise InputError("--opset is for ONNX: --bundle, --format onnx or a file that ends in .onnx")
        check_opset(opset)
    if wanted == "onnx" and (why := why_no_onnx()):
        raise InputError(why)
    if weights is not None and wanted in DESCRIPTIONS:
        raise InputError(f"--weights is for what holds weights, and {wanted} holds none")
    if weights is not None and not weights.exists():
        raise InputError(f"{weights}: no such file of weights")
    if seed is not None:
        if weights is not None:
            raise InputError("--seed draws weights, and --weights gives them; give one of them")
        if wanted in DESCRIPTIONS:
            raise InputError(f"--seed draws weights, and {wanted} holds none")
        if wanted is None and not bundle:
            raise InputError(
                "--seed draws weights, and a folder gets none: --bundle, or --format safetensors"
            )
    return wanted


def _check_bundle(output: Path, kind: str | None) -> None:
    if kind is not None:
        raise InputError("--bundle writes every format, and --format one; give one of them")
    try:
        there, folder = output.exists(), output.is_dir()
    except OSError:  # a name that is too long, say, of which writing will tell
        there = folder = False
    if there and not folder:
        raise InputError(f"{output}: is a file; a bundle is a folder")
    if not folder and _named_format(output) is not None:
        raise InputError(f"{output}: --bundle writes a folder, and this names a file")


def _named_format(path: Path) -> str | None:
    """The format that a file's ending names; None for any other ending, which a folder may have too."""
    from results.export import format_of

    try:
        return format_of(path)
    except InputError:
        return None


def refuse_other_sizes(found: Found, classes: int | None, channels: int | None) -> None:
    """Refuse sizes that are not those of the weights that the run kept.

    Raises:
        InputError: with both numbers.
    """
    for name, asked, there in (
        ("classes", classes, found.num_classes),
        ("channels", channels, found.in_channels),
    ):
        if asked is not None and asked != there:
            raise InputError(f"--{name} {asked}: {found.weights} holds weights for {there} {name}")


def refuse_own_inputs(
    output: Path, kind: str | None, *, bundle: bool, inputs: Iterable[str | Path | None]
) -> None:
    """Refuse to write over what is exported.

    Args:
        output, kind, bundle: what is asked for.
        inputs: what was given, of which some are files.

    Raises:
        InputError: one of them is one of the files that would be written, perhaps by way of a link.
    """
    from results.export import files_of
    from results.exporting.bundle import files_in

    given = [Path(path) for path in inputs if path is not None and _is_file(Path(path))]
    written = files_in(output) if bundle else list(files_of(output, kind, weights=True).values())
    for path in written:
        for own in given:
            if _is_file(path) and path.samefile(own):
                raise InputError(f"{own}: is what is exported, and would be written over; choose another -o")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
