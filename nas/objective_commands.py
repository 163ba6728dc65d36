"""``nas objective``: what the objective of a search prefers, beside others with the same target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json, print_table, printable
from nas.figure_commands import check_plot
from nas.lookup import search_of
from nas.options import JsonOption, PlotOption, SetOption
from results import Run
from results.wording import amount, percent
from search_space import FieldError, InputError

if TYPE_CHECKING:
    from nas.config import SearchConfig
    from nas.objective_forms import Choice, Form, Networks

objective_app = typer.Typer()


@objective_app.command()
def objective(
    what: Annotated[
        str, typer.Argument(metavar="CONFIG|RUN", help="A configuration or a run.", show_default=False)
    ],
    form: Annotated[str | None, typer.Option("--form", help="Ask for product, absolute or hard.")] = None,
    target: Annotated[
        float | None, typer.Option("--target", help="Ask for another T, in the unit of the cost.")
    ] = None,
    doubling_gain: Annotated[
        float | None,
        typer.Option("--doubling-gain", help="Ask what twice the cost is worth: 0.05 is 5 %."),
    ] = None,
    overrides: SetOption = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """What an objective prefers, beside others: nas objective quickstart --plot objective.png

    What twice the cost must bring and half the cost may lose; and, of a run's networks or those of a
    configuration's table, which each objective would choose, and how far from the target.
    """
    from nas.objective_forms import asked, choice_of, forms

    check_plot(plot)
    run = None if _is_file(what) else search_of(what)
    config = _config(what if run is None else run.config_path, overrides)
    try:
        other = asked(config.objective, form, target, doubling_gain)
    except FieldError as error:
        raise InputError(f"--{error.path.replace('_', '-')} {error.rule}") from None
    own = ("this configuration" if run is None else "this run", config.objective)
    shown = forms(own, other)
    networks = _of_config(config) if run is None else _of_run(run, config)
    choices = [None if networks is None else choice_of(its.objective, networks) for its in shown]
    if plot is not None:
        _plot(config.name, shown, choices, networks, plot)
    if json_output:
        print_json(_document(config, shown, choices, networks))
        return
    _print_exchange(shown)
    _print_choices(shown, choices, networks, config)
    if plot is not None:
        out.print(f"wrote {plot}", soft_wrap=True)


def _is_file(what: str) -> bool:
    """Whether a configuration is meant, not a run."""
    return Path(what).is_file() or what.lower().endswith((".yaml", ".yml"))


def _config(path: str | Path, overrides: list[str] | None) -> SearchConfig:
    from nas.config import load_config

    return load_config(path, overrides)


def _of_run(run: Run, config: SearchConfig) -> Networks:
    """The candidates of a run that finished, and whose cost was measured."""
    import numpy as np

    from nas.objective_forms import Networks

    cost = config.objective.cost
    found = [
        (trial.id, trial.accuracy, its)
        for trial in run.trials()
        if trial.status == "done" and trial.accuracy is not None and (its := trial.cost(cost))
    ]
    return Networks(
        name=lambda place: f"candidate {found[place][0]}",
        accuracy=np.array([accuracy for _, accuracy, _ in found]),
        cost=np.array([its for _, _, its in found], dtype=np.float64),
        source=f"candidates of {run.name} by their measured accuracy",
    )


def _of_config(config: SearchConfig) -> Networks | None:
    """The networks of a table that lie within the limits; None where a search would train.

    Raises:
        InputError: the table cannot be read.
    """
    if config.evaluator is None:
        return None
    import numpy as np

    from nas.objective_forms import Networks
    from search_space import load_space
    from trainers.table_files import read_table

    model = None if config.latency is None else config.latency.model
    source, space = config.evaluator, load_space(config.space).limited(config.limits, latency=model)
    with console.err.status("reading the table"):
        table = read_table(Path(source.path), space, source.accuracy, source.percent)
    known = space.known_cost(table.points, config.objective.cost)
    cost = table.metrics.get(config.objective.cost) if known is None else known
    if cost is None:
        raise InputError(f"{source.path}: has no column {config.objective.cost!r}, the objective's cost")
    kept = space.allowed(table.points) & np.isfinite(cost) & (cost > 0)
    points = table.points[kept]
    return Networks(
        name=lambda place: space.decode(tuple(int(index) for index in points[place])).summary(),
        accuracy=table.accuracy[kept],
        cost=cost[kept],
        source=f"networks of {Path(source.path).name}",
    )


def _document(
    config: SearchConfig, shown: list[Form], choices: list[Choice | None], networks: Networks | None
) -> dict[str, Any]:
    from nas.objective_forms import form_json

    return {
        "name": config.name,
        "cost": shown[-1].objective.cost,
        "target": shown[-1].objective.target,
        "networks": None if networks is None else len(networks),
        "forms": [form_json(form, choice) for form, choice in zip(shown, choices, strict=True)],
    }


def _print_exchange(shown: list[Form]) -> None:
    """What each objective takes for more cost, and gives for less."""
    last = shown[-1].objective
    rows = []
    for form in shown:
        cells = [_change(form, value) for value in form.exchange().values()]
        rows.append([form.name, form.formula, *cells])
    text = f"what a step in cost must bring (+) or may lose (-); T is {amount(last.target, last.cost)}"
    out.print(text, soft_wrap=True)
    print_table(("objective", "reward", "T/2 to T", "T to 2 T", "2 T to 4 T", "T to T/2"), rows)
    out.print("%: of the accuracy, relatively; points: of accuracy, whatever it is", soft_wrap=True)


def _change(form: Form, value: float) -> str:
    unit = "points" if form.absolute else "%"
    return f"{100 * value:+.1f} {unit}" if abs(value) >= 5e-4 else "nothing"


def _print_choices(
    shown: list[Form], choices: list[Choice | None], networks: Networks | None, config: SearchConfig
) -> None:
    """The network that each objective would choose."""
    if networks is None:
        out.print(f"what each would choose is known when {printable(config.name)} has run", soft_wrap=True)
        return
    if not networks:
        out.print("no network has finished with its cost known, so nothing can be chosen yet")
        return
    rows = []
    for form, choice in zip(shown, choices, strict=True):
        assert choice is not None  # there are networks
        cost = amount(choice.cost, form.objective.cost)
        rows.append([form.name, percent(choice.accuracy), cost, f"{choice.drift:.2f} x", choice.name])
    out.print()
    out.print(f"the best of {len(networks):,} {printable(networks.source)}", soft_wrap=True)
    print_table(("objective", "accuracy", "cost", "of T", "it chooses"), rows)


def _plot(
    name: str, shown: list[Form], choices: list[Choice | None], networks: Networks | None, path: Path
) -> None:
    """Write the figure."""
    import numpy as np

    from nas.objective_forms import at_target, curves
    from results import save_figure
    from results.figures import objective_figure

    last = shown[-1].objective
    points = np.empty((0, 2))
    if networks:
        points = np.stack([networks.cost / last.target, networks.accuracy], axis=1)
    middle = at_target(last, networks)
    figure = objective_figure(
        curves(shown, choices, middle, networks),
        points,
        middle,
        f"{name}: what objectives prefer, T = {amount(last.target, last.cost)}",
    )
    save_figure(figure, path)
