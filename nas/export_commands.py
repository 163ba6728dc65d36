"""``nas export``: a network to take away, as one file or as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json, print_table
from nas.options import ArchArgument, JsonOption
from search_space import InputError

if TYPE_CHECKING:
    from nas.lookup import Found
    from results.exporting.bundle import Bundle, Subject

export_app = typer.Typer()


@export_app.command()
def export(
    architecture: ArchArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="A file by its ending, or a folder.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", help="yaml, json, timm, safetensors, python, onnx or pt2; else by the ending."
        ),
    ] = None,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Every format into a folder, with a model card and a proof.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A .safetensors file, instead of what the run kept.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", help="Classes; the weights' or the run's, else 1000.", min=1)
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Image channels; the weights', the run's, else 3.", min=1)
    ] = None,
    opset: Annotated[
        int | None, typer.Option("--opset", help="ONNX's operators, 18 to 21; 18 is read by most programs.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the initialisation where nothing was trained; 0.", min=0)
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Write a network, with its weights where trained: nas export quickstart@best -o network/ --bundle"""
    from nas.export_request import checked_request, refuse_other_sizes, refuse_own_inputs
    from nas.lookup import find_architecture

    asked = kind is not None
    kind = checked_request(output, kind, bundle=bundle, weights=weights, opset=opset, seed=seed)
    refuse_own_inputs(output, kind, bundle=bundle, inputs=(architecture, weights))
    found = find_architecture(architecture)
    if found.checkpoint is not None:  # perhaps found by name
        refuse_own_inputs(output, kind, bundle=bundle, inputs=(found.file,))
    if seed is not None and found.weights is not None:
        raise InputError(f"--seed draws weights, and those of {architecture} were kept; leave it out")
    if bundle:
        _export_bundle(
            _subject(found, weights, classes, channels, seed),
            output,
            opset,
            json_output,
            _default_sizes(found, weights, classes, channels),
        )
        return
    graph = kind in ("onnx", "pt2")
    held = _holds_more(found, weights) and kind in (None, "safetensors")
    subject = None
    if (
        graph
        or held
        or weights is not None
        or (kind == "safetensors" and found.weights is None and seed is not None)
    ):
        subject = _subject(found, weights, classes, channels, seed)
    elif found.weights is not None:
        refuse_other_sizes(found, classes, channels)
    copied = None if held else found.weights if weights is None else weights
    files = _export_files(found, subject, output, kind, classes, channels, opset, copied)
    sizes = "" if kind in (None, "yaml", "json") else _default_sizes(found, weights, classes, channels)
    if json_output:
        facts: dict[str, Any] = {"files": [str(path) for path in files]}
        if subject is not None:
            facts["weights"] = subject.provenance.weights_words
        print_json(facts)
        _print_sizes(sizes, json_output)
        return
    for path in files:
        out.print(f"wrote {path}", soft_wrap=True)
    _print_sizes(sizes, json_output)
    if subject is not None and subject.provenance.weights == "untrained":
        print_untrained(found, subject)
    elif found.trial is not None and found.weights is None and not asked:
        out.print(why_no_weights(found), soft_wrap=True)


def _holds_more(found: Found, weights: Path | None) -> bool:
    """Whether the weights are in a checkpoint, of which the network's tensors alone are exported."""
    if weights is None:
        return found.checkpoint is not None
    from trainers.checkpoints import is_checkpoint

    return is_checkpoint(weights)


def _subject(
    found: Found, weights: Path | None, classes: int | None, channels: int | None, seed: int | None
) -> Subject:
    from nas.bundle import subject_of

    return subject_of(found, weights=weights, num_classes=classes, in_channels=channels, seed=seed or 0)


def _default_sizes(found: Found, weights: Path | None, classes: int | None, channels: int | None) -> str:
    """What to say of classes and channels that neither the user, nor weights, nor a run said."""
    said = weights is not None or found.weights is not None
    return "" if said else found.default_sizes(classes, channels)


def _print_sizes(text: str, json_output: bool) -> None:
    if text:
        (console.err if json_output else out).print(text, soft_wrap=True)


def _export_files(
    found: Found,
    subject: Subject | None,
    output: Path,
    kind: str | None,
    classes: int | None,
    channels: int | None,
    opset: int | None,
    weights: Path | None,
) -> list[Path]:
    from results import export as write_export

    return write_export(
        found.architecture,
        output,
        weights,
        note=found.origin,
        kind=kind,
        num_classes=classes or found.num_classes,
        in_channels=channels or found.in_channels,
        subject=subject,
        opset=opset,
    )


def _export_bundle(subject: Subject, folder: Path, opset: int | None, json_output: bool, sizes: str) -> None:
    """Write, verify and show; exit code 1 where a file disagrees, or none could be checked."""
    from results.exporting.bundle import PROOF, write_bundle
    from results.exporting.graphs import OPSET

    try:
        with console.err.status("exporting") as status:
            bundle = write_bundle(
                subject,
                folder,
                opset=OPSET if opset is None else opset,
                tell=lambda text: status.update(text),
            )
    except KeyboardInterrupt:
        if (folder / PROOF).exists():  # an earlier bundle's, of which nothing was replaced yet
            raise
        text = f"{folder}: the bundle is not complete, and has no proof; the same command writes it anew"
        console.err.print(f"nas: {console.printable(text)}", soft_wrap=True)
        raise typer.Exit(130) from None
    if json_output:
        print_json(bundle_json(bundle))
    else:
        print_bundle(bundle, subject)
    _print_sizes(sizes, json_output)
    if not bundle.ok:
        texts = [
            f"nas: {row.file} disagrees with the network: {row.why}"
            for row in bundle.agreements
            if row.ok is False
        ]
        for text in texts or [f"nas: no file could be checked: {bundle.agreements[0].why}"]:
            console.err.print(console.printable(text), soft_wrap=True)
        raise typer.Exit(1)


def bundle_json(bundle: Bundle) -> dict[str, Any]:
    """What ``--json`` says of a bundle."""
    return {"files": [str(path) for path in bundle.files], "verify": dict(bundle.proof)}


def print_bundle(bundle: Bundle, subject: Subject) -> None:
    """The files with their agreement, and what is to be known of the weights."""
    from results.exporting.card import AGREEMENT_COLUMNS, accuracy_words, agreement_rows

    head = (*AGREEMENT_COLUMNS, "to write", "to check")
    rows = [
        [*cells, f"{row.write_seconds:.1f} s", f"{row.check_seconds:.1f} s"]
        for cells, row in zip(agreement_rows(bundle.agreements, quote=False), bundle.agreements, strict=True)
    ]
    order = [0, 1, 2, 3, 5, 6, 4]  # the last column may wrap, and has the reasons
    print_table([head[i] for i in order], [[row[i] for i in order] for row in rows])
    for name, why in bundle.absent.items():
        out.print(f"{name} was not written: {console.printable(why)}", soft_wrap=True)
    out.print(f"wrote {bundle.folder} with its card, README.md, and its proof, verify.json", soft_wrap=True)
    words = subject.provenance.weights_words
    out.print(
        f"weights: {words}. Accuracy: {accuracy_words(subject.provenance)}".replace("**", ""), soft_wrap=True
    )


def print_untrained(found: Found, subject: Subject) -> None:
    """That weights were drawn and not trained, and why there are no others."""
    why = "" if found.trial is None else f"; {why_no_weights(found)}"
    out.print(f"weights: {subject.provenance.weights_words}{why}", soft_wrap=True)


def why_no_weights(found: Found) -> str:
    """Why a run did not keep the weights of a network of it."""
    trial = found.trial
    assert trial is not None
    why = "when it finished it was neither recommended nor among the best search.keep_weights"
    if trial.baseline is not None:
        why = "it did not finish, or search.keep_weights was 0"
    if found.kind != "search":
        kinds = {
            "audit": "an audit keeps none",
            "finalists": "finalists.keep_weights was false, or it failed",
        }
        why = kinds.get(found.kind, "a run of scaling keeps none")
    title = trial.title if found.kind == "search" else f"trial {trial.id}"
    return f"{title} has no weights: {why}"
