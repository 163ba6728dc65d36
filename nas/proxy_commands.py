"""``nas proxy``: is the short training of a search good enough to rank networks?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from nas import console
from nas.console import duration, out, print_json, print_table
from nas.options import JsonOption, SetOption
from results import Trial, check_figure_path, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.audit import AuditEnd
    from nas.audit_findings import Findings
    from nas.audit_statistics import Estimate

proxy_app = typer.Typer(
    no_args_is_help=True, help="Ask whether short training ranks networks as long training would."
)


@proxy_app.callback()
def _proxy() -> None:
    """Keeps ``audit`` a command of its own while it is the only one."""


@proxy_app.command()
def audit(
    config: Annotated[Path, typer.Argument(help="The YAML configuration of a search.", show_default=False)],
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the audit's run, instead of <config name>-audit.")
    ] = None,
    overrides: SetOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="The figure: .png, .svg or .pdf, instead of audit.png of the run."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Is the proxy's ranking any good: nas proxy audit configs/quickstart.yaml --set audit.architectures=12

    Trains the same networks by the search's protocol, by others to compare, and by a longer reference; the
    section audit of the configuration says which. Interrupted, the same command goes on.
    """
    from nas.audit import run_audit
    from nas.audit_config import AuditSettings
    from nas.config import load_config

    if plot is not None:
        check_figure_path(plot)
    settings = load_config(config, overrides)
    name = run or f"{settings.name.removesuffix('-audit')}-audit"
    settings = settings.model_copy(update={"name": name})
    progress = _AuditProgress(name, (settings.audit or AuditSettings()).trainings)
    with console.stdout_to_stderr(), progress:
        end = run_audit(settings, listeners=[progress])
    if end.findings is None:
        _explain(end)
        raise typer.Exit(130 if end.outcome == "interrupted" else 1)
    path = plot or end.run.path / "audit.png"
    save_figure(_figure(end.findings, end.run.name), path)
    if json_output:
        print_json({"run": end.run.name, **end.findings.to_json()})
        return
    _print(end.findings)
    out.print(f"wrote {path}")


def _explain(end: AuditEnd) -> None:
    """Why there are no findings."""
    trials = end.run.trials()
    done = sum(trial.arrival is not None for trial in trials)
    if end.outcome == "interrupted":
        text = f"{end.run.name}: {done} of {len(trials)} trainings are done; the same command goes on"
    else:
        last = [trial.error for trial in trials if trial.status == "failed"][-1:]
        text = f"nas: trainings fail: {''.join(map(str, last))}"
    console.err.print(text, soft_wrap=True)


def _print(found: Findings) -> None:
    """The table, what was left out, and the verdicts."""
    rows = []
    for variant in found.variants:
        name, one = variant.name, found.agreements[variant.name]
        relative = found.relative_seconds(name)
        rows.append(
            (
                name,
                _interval(one.tau),
                _number(one.tau_mean.value),
                _number(one.precision.tau_seeds.value),
                f"{_points(one.precision.noise)} / {_points(one.precision.spread)}",
                _points(one.regret),
                "-" if one.precision.seconds is None else f"{one.precision.seconds:.3g}",
                "-" if relative is None else f"{100 * relative:.3g} %",
            )
        )
    alone = found.precision
    rows.append(
        (
            "reference",
            "-",
            "-",
            _number(alone.tau_seeds.value),
            f"{_points(alone.noise)} / {_points(alone.spread)}",
            "-",
            "-" if alone.seconds is None else f"{alone.seconds:.3g}",
            "100 %",
        )
    )
    settings = ", ".join(f"{key}={value}" for key, value in found.reference.settings.items())
    print_table(
        (
            "protocol",
            "tau",
            "of seeds' mean",
            "between seeds",
            "noise / spread",
            "top choice loses",
            "seconds",
            "of reference",
        ),
        rows,
        f"{len(found.networks)} networks; reference: {settings}",
    )
    failed = sum(trainings.failed for trainings in found.trainings.values())
    if failed:
        out.print(f"{failed} trainings failed and are left out")
    for variant in found.variants:
        one = found.agreements[variant.name]
        words = [found.verdict(variant.name).words]
        words += [
            f"{what}: {bias.words} ({_interval(bias.correlation)})"
            if bias.correlation.value is not None
            else f"{what}: {bias.words}"
            for what, bias in (("MACs", one.macs), ("layers", one.layers))
        ]
        out.print(f"{variant.name}: {'; '.join(words)}", soft_wrap=True)
    out.print(found.advice, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return _number(estimate.value)
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _points(share: float | None) -> str:
    """A difference of accuracies in percentage points."""
    return "-" if share is None else f"{100 * share:.2f}"


def _figure(found: Findings, title: str) -> Figure:
    from results.figures import AuditPanel, audit_figure

    theirs = found.trainings["reference"]
    panels = []
    for variant in found.variants:
        one, ours = found.agreements[variant.name], found.trainings[variant.name]
        both = np.isfinite(ours.mean()) & np.isfinite(theirs.mean())
        panels.append(
            AuditPanel(
                name=variant.name,
                proxy=ours.mean()[both].tolist(),
                reference=theirs.mean()[both].tolist(),
                proxy_error=ours.deviation()[both].tolist(),
                reference_error=theirs.deviation()[both].tolist(),
                macs=found.macs[both].tolist(),
                tau=one.tau.value,
                low=one.tau.low,
                high=one.tau.high,
                seconds=one.precision.seconds,
            )
        )
    return audit_figure(panels, found.target, f"{title}: {len(found.networks)} networks")


class _AuditProgress(console.SearchProgress):
    """A search's progress, with the protocol that is trained now instead of the best network."""

    _protocol = ""

    def on_protocol(self, name: str, trainings: int) -> None:
        """See `nas.audit.AuditListener`."""
        self._protocol = name
        if not console.err.is_terminal:
            console.err.print(f"{name}: {trainings} trainings", soft_wrap=True)

    def _text(self, best: Trial | None, failed: int) -> str:
        failures = f"{failed} failed; " if failed else ""
        return f"{self._protocol}; {failures}{duration(time.monotonic() - self._began)}"
