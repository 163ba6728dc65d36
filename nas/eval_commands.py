"""``nas eval``: what a checkpoint gets right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json, print_table, printable
from nas.late_progress import LateProgress
from nas.options import CheckpointArgument, JsonOption
from results.wording import count_of, percent
from search_space import FieldError, InputError

if TYPE_CHECKING:
    from nas.evaluate import CheckpointEvaluation

eval_app = typer.Typer()
_PLOTS = (".png", ".svg", ".pdf", ".html")


@eval_app.command(name="eval")
def evaluate(
    checkpoint: CheckpointArgument,
    data: Annotated[
        str, typer.Argument(help="A folder that nas data prepare made, or digits.", show_default=False)
    ],
    part: Annotated[
        str | None,
        typer.Option("--part", help="test, validation or train; test where there is one, else validation."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels the network is given; as it was trained.")
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option("--crop", help="Side of the central part that is taken, such as 0.875; the recipe's."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Images at a time.")] = 250,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda or cuda:1; a GPU where there is one.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32 or bfloat16.")] = "float32",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="The confusion matrix: .png, .svg, .pdf or .html.")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Classes to list, the worst first.", min=0)] = 10,
    json_output: JsonOption = False,
) -> None:
    """What a checkpoint gets right, at any image size and crop: nas eval mine@best data/photos-64

    Top-1 with its interval, top-5, cross entropy, each class, and which classes are taken for which.
    """
    from trainers.factory import spin_no_threads

    spin_no_threads()
    from nas.evaluate import evaluate_checkpoint
    from results import check_figure_path

    if plot is not None:
        check_figure_path(plot, _PLOTS)
    try:
        with LateProgress(f"evaluating {checkpoint}") as progress:
            found = evaluate_checkpoint(
                checkpoint,
                data,
                part=part,  # type: ignore[arg-type]
                image_size=image_size,
                crop=crop,
                batch=batch,
                device=device,
                precision=precision,  # type: ignore[arg-type]
                begin=progress.begin,
            )
    except FieldError as error:
        raise InputError(f"--{error.path.replace('_', '-')} {error.rule}") from None
    if plot is not None:
        _plot(found, plot)
    if json_output:
        print_json(found.to_json())
    else:
        _print(found, top)
    for note in found.notes:
        (console.err if json_output or found.trained_on else out).print(printable(note), soft_wrap=True)
    if plot is not None and not json_output:
        out.print(f"wrote {plot}", soft_wrap=True)


def _print(found: CheckpointEvaluation, top: int) -> None:
    """The figures, and the worst classes."""
    from nas.checkpoint_lookup import checkpoint_words, training_of

    measured = found.evaluation
    training = training_of(found.checkpoint.path)
    words = checkpoint_words(found.checkpoint, "" if training is None else training.name)
    out.print(printable(words), soft_wrap=True)
    low, high = measured.interval
    number = len(found.class_names)
    top5 = percent(measured.top5_accuracy) if found.has_top5 else f"says nothing of {number} classes"
    crop = "" if found.crop == 1.0 else f", the central {100 * found.crop:g} % of the side"
    print_table(
        (f"{found.data}, {found.part} part", ""),
        [
            ("images", f"{measured.images:,} at {found.image_size} pixels{crop}"),
            ("top-1", f"{percent(measured.accuracy)} (95 % interval {percent(low)} to {percent(high)})"),
            ("top-5", top5),
            ("cross entropy", f"{measured.loss:.4f} nats"),
            ("measured on", f"{found.device} in {found.precision}"),
        ],
    )
    if top:
        _print_classes(found, top)


def _print_classes(found: CheckpointEvaluation, top: int) -> None:
    """The worst classes first, each with the one that it is most often taken for."""
    measured, names = found.evaluation, found.class_names
    accuracies = measured.per_class
    order = sorted(
        (place for place, accuracy in enumerate(accuracies) if accuracy is not None),
        key=lambda place: (accuracies[place], place),
    )
    rows = []
    for place in order[:top]:
        row = measured.confusion[place].copy()
        images = int(row.sum())
        row[place] = 0
        said = int(row.argmax())
        taken = f"{names[said]} ({percent(row[said] / images)})" if row[said] else "-"
        rows.append((names[place], f"{images:,}", percent(accuracies[place]), taken))
    out.print()
    print_table(("class, the worst first", "images", "accuracy", "most often taken for"), rows)
    rest, without = len(order) - len(rows), len(names) - len(order)
    if rest:
        out.print(f"{count_of(rest, 'class is', 'classes are')} better; --top {len(order)} lists all")
    if without:
        out.print(f"{count_of(without, 'class has', 'classes have')} no image here")


def _plot(found: CheckpointEvaluation, path: Path) -> None:
    """Write the confusion matrix."""
    from results import save_figure
    from results.figures import confusion_figure, save_confusion_page

    measured = found.evaluation
    low, high = measured.interval
    title = (
        f"{found.checkpoint.architecture.name} on {found.data}, {found.part} part: top-1 "
        f"{percent(measured.accuracy)} ({percent(low)} to {percent(high)})"
    )
    if path.suffix.lower() == ".html":
        save_confusion_page(measured.confusion, found.class_names, title, path)
    else:
        save_figure(confusion_figure(measured.confusion, found.class_names, title), path)
