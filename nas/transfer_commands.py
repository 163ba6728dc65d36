"""``nas transfer``: trained networks on other data, beside training from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json
from nas.options import DeviceOption, JsonOption, PlotOption, RunNameOption, SetOption
from nas.train_session import begin_training
from results import check_figure_path
from results.transfer_run import find_transfer
from search_space import InputError

if TYPE_CHECKING:
    from nas.transfer_config import TransferConfig

transfer_app = typer.Typer()


@transfer_app.command()
def transfer(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Whose weights: .safetensors files of nas train or nas import, or NAME@best, NAME@last or "
            "NAME@12 of trainings.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="A folder that nas data prepare made, or digits; repeatable."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A YAML configuration: recipe, finetuning, scratch, seeds, data."),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Trainings of each, each way: 3.")] = None,
    run: RunNameOption = None,
    scratch: Annotated[
        bool, typer.Option(" /--no-scratch", help="Fine-tune alone; train nothing from scratch.")
    ] = True,
    overrides: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run of --run.")] = False,
    device: DeviceOption = "auto",
    plot: PlotOption = None,
    published: Annotated[
        bool, typer.Option("--published", help="The paper's transfer table besides.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Take networks to data sets: nas transfer a@last b@last --data digits --config configs/transfer.yaml

    Every network is fine-tuned on every data set and, at equal budget, trained from scratch. Interrupted or
    killed, the same command goes on; started several times at once, it shares the work.
    """
    begin_training(device)
    if plot is not None:
        check_figure_path(plot)
    given = [*(overrides or []), *([] if seeds is None else [f"seeds={seeds}"])]
    settings = _settings(checkpoints or [], data or [], config, run, given, resume, scratch)
    from nas.transfer_progress import TransferProgress
    from nas.transfer_run import run_transfer
    from nas.transfer_views import print_end, save_transfer_figures, transfer_json

    with console.stdout_to_stderr(), TransferProgress() as progress:
        end = run_transfer(settings, device=device, listener=progress)
    if json_output:
        print_json(transfer_json(end, published=published))
    else:
        print_end(end, published=published)
    if plot is not None:
        for path in save_transfer_figures(end, plot, published=published):
            (console.err if json_output else out).print(f"wrote {path}", soft_wrap=True)
    if end.outcome == "interrupted":
        console.err.print(f"go on with: nas transfer --resume --run {end.run.name}", soft_wrap=True)
        raise typer.Exit(130)
    if end.outcome == "failed":
        raise typer.Exit(1)


def _settings(
    checkpoints: list[str],
    data: list[str],
    config: Path | None,
    run: str | None,
    overrides: list[str],
    resume: bool,
    scratch: bool,
) -> TransferConfig:
    """The configuration with its networks and data sets."""
    from nas.checkpoint_lookup import may_be_checkpoint
    from nas.finetuning import is_data
    from nas.transfer_run import resumed_transfer
    from nas.transfer_setup import transfer_config

    if resume and not checkpoints and not data and config is None:
        if run is None:
            raise InputError("--resume needs --run NAME")
        found = resumed_transfer(run, overrides)
        return found if scratch else found.model_copy(update={"scratch": None})
    if not checkpoints or not data:
        raise InputError(
            "nas transfer needs trained networks and data: nas transfer CHECKPOINT... --data DATA --config "
            "FILE; or --resume --run NAME"
        )
    for first in checkpoints:
        if is_data(first) and (meant := [text for text in data if may_be_checkpoint(text)]):
            raise InputError(f"the checkpoint comes first: nas transfer {' '.join(meant)} --data {first}")
    if config is None:
        raise InputError("nas transfer needs --config FILE; configs/transfer.yaml is one")
    settings = transfer_config(checkpoints, data, config, overrides, run, from_scratch=scratch)
    if resume and find_transfer(settings.name) is None:
        raise InputError(f"runs/{settings.name}: there is no such transfer; leave out --resume")
    return settings
