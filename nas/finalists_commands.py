"""``nas finalists``: the top of a search, trained fully, and whether the search was right."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json
from nas.options import AddressOption, JsonOption, ReuseOption, RunArgument, SetOption
from results import Trial, check_figure_path, open_run
from results.wording import count, percent

if TYPE_CHECKING:
    from nas.finalists_config import FinalistsConfig
    from nas.finalists_run import FinalistsEnd
    from trainers.full_evaluator import FullEvaluator

finalists_app = typer.Typer()


@finalists_app.command()
def finalists(
    run: RunArgument,
    config: Annotated[
        Path, typer.Option("--config", help="A YAML configuration of finalists: recipe, seeds, executor.")
    ],
    number: Annotated[int | None, typer.Option("-n", help="Finalists: 5.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Trainings of each network: 3.")] = None,
    pick: Annotated[
        str | None, typer.Option("--pick", help="front (the Pareto front first) or top (by reward alone).")
    ] = None,
    random: Annotated[
        int | None,
        typer.Option("--random", help="Random networks of equal MACs: as many as finalists, at least 3."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--run", help="Name of the new run, instead of the file's or RUN-finalists.")
    ] = None,
    overrides: SetOption = None,
    reuse: ReuseOption = None,
    address: AddressOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "-o", "--plot", help="The figure: .png, .svg, .pdf or .html, instead of finalists.png of the run."
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Train the top of a search fully: nas finalists quickstart --config configs/finalists_cifar10_cpu.yaml

    Beside them a network shaped as EfficientNet-B0 and random networks of equal MACs, all by one recipe with
    the same seeds. Interrupted or killed, the same command goes on, and nothing is trained twice.
    """
    from trainers.factory import spin_no_threads

    spin_no_threads()
    from nas.finalists_config import load_finalists_config
    from nas.finalists_run import finalists_evaluator, prepared, run_finalists
    from nas.finalists_views import FIGURES, print_findings, save_finalists_figure
    from nas.finalists_words import end_words, plan_words

    if plot is not None:
        check_figure_path(plot, FIGURES)
    typed = {"n": number, "seeds": seeds, "random": random, "pick": pick}
    options = [f"finalists.{key}={value}" for key, value in typed.items() if value is not None]
    search = Path(run).resolve().name  # of . too
    known = {
        f"finalists.{key}": "-n" if key == "n" else f"--{key}" for key in typed if typed[key] is not None
    }
    asked = load_finalists_config(config, [*(overrides or []), *options], name, search, known)
    settings = prepared(asked, run)
    assert settings.chosen is not None
    earlier = [open_run(other) for other in reuse or []]
    with console.ItemProgress() as images:
        evaluator = finalists_evaluator(settings, images, address=address)
    plan = plan_words(settings.chosen, settings.finalists.seeds, settings.finalists.randoms)
    for line in plan:
        console.err.print(console.printable(line), soft_wrap=True)
    _warn(evaluator)
    progress = _Progress(settings.name, len(settings.chosen.networks) * settings.finalists.seeds)
    with console.stdout_to_stderr(), progress:
        end = run_finalists(
            settings, run, evaluator=evaluator, reuse=earlier, listeners=[progress], address=address
        )
    if end.findings is not None:
        path = plot or end.run.path / "finalists.png"
        save_finalists_figure(end.findings, end.run.name, path)
        if json_output:
            print_json({"run": end.run.name, "outcome": end.outcome, **end.findings.to_json()})
        else:
            print_findings(end.findings)
            out.print(f"wrote {path}", soft_wrap=True)
            if end.outcome == "finished":
                for line in end_words(end.findings, end.run.name, weights=settings.finalists.keep_weights):
                    out.print(console.printable(line), soft_wrap=True)
    _end(end, settings, run, reuse or [], address)


def _warn(evaluator: FullEvaluator) -> None:
    if evaluator.test is None:
        console.err.print(
            f"nas: {console.printable(evaluator.data.name)} has no test part: validation accuracies are "
            "reported alone, and the best of them is optimistic",
            soft_wrap=True,
        )


def _end(
    end: FinalistsEnd, config: FinalistsConfig, search: str, reuse: Sequence[str], address: str | None
) -> None:
    """What to do where it did not finish; ends the command."""
    trials = end.run.trials()
    if end.outcome == "interrupted":
        words = ["nas", "finalists", search, "--config", str(end.run.config_path)]
        words += [word for other in reuse for word in ("--reuse", str(other))]
        words += [] if address is None else ["--address", address]
        done = sum(trial.arrival is not None for trial in trials)
        console.err.print(
            f"{config.name}: {done} of {len(trials)} trainings are done; go on with: "
            + console.printable(shlex.join(words)),
            soft_wrap=True,
        )
        raise typer.Exit(130)
    if end.outcome == "failing" or end.findings is None:
        last = [trial.error for trial in trials if trial.status == "failed"][-1:]
        text = f"nas: trainings fail: {console.printable(''.join(map(str, last)))}"
        console.err.print(text, soft_wrap=True)
        raise typer.Exit(1)


class _Progress(console.SearchProgress):
    """A search's progress, with the last network instead of the best; none has a reward."""

    _last = ""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self.grow(sum(counts.values()))
        text = "failed" if trial.accuracy is None else percent(trial.accuracy)
        self._last = f"{trial.choices.get('network')}: {text}, {count(trial.macs)} MACs; "
        super().on_result(trial, None, counts)

    def _text(self, best: Trial | None, failed: int) -> str:
        return f"{self._last}{super()._text(best, failed)}"
