"""``nas latency``: how long networks take on a device, and a model that predicts it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json
from nas.latency_views import latency_json, plot_latencies, print_latencies
from nas.options import JsonOption, PlotOption
from results.latency_store import (
    LATENCIES,
    LatencyRecord,
    append_latencies,
    check_latencies,
    latest,
    read_latencies,
)
from results.wording import count_of
from search_space import FieldError, InputError

if TYPE_CHECKING:
    from nas.lookup import Found
    from trainers.latency import Latency, LatencyProtocol

latency_app = typer.Typer(
    no_args_is_help=True, help="Measure how long networks take on a device, or predict it."
)

ArchitecturesArgument = Annotated[
    list[str],
    typer.Argument(
        help="References (efficientnet_b0), YAML or JSON files, .safetensors files, RUN@best or RUN@17.",
        show_default=False,
    ),
]


@latency_app.command()
def measure(
    architectures: ArchitecturesArgument,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    backend: Annotated[str, typer.Option("--backend", help="eager, compile or onnxruntime.")] = "eager",
    batch: Annotated[int, typer.Option("--batch", help="Images a call.")] = 1,
    threads: Annotated[int, typer.Option("--threads", help="Of the processor, for one call.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", help="Timed calls of each network.")] = 20,
    warmup: Annotated[int, typer.Option("--warmup", help="Untimed calls of each before.")] = 3,
    reference: Annotated[
        str, typer.Option("--reference", metavar="NAME", help="Takes turns with each; none for no ratios.")
    ] = "efficientnet_b0",
    classes: Annotated[int | None, typer.Option(help="Classes; a run's own, else 1000.", min=1)] = None,
    channels: Annotated[int | None, typer.Option(help="Image channels; a run's own, else 3.", min=1)] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.jsonl", help="What is measured is appended here.")
    ] = LATENCIES,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """Time networks, in turns with a reference: nas latency measure efficientnet_b1 resnet_152 --threads 1

    The ratio to the reference next to it holds on a noisy machine, the milliseconds do not.
    """
    from nas.figure_commands import check_plot
    from nas.lookup import find_architecture
    from trainers.latency import LatencyProtocol

    check_plot(plot)
    try:
        protocol = LatencyProtocol(
            device=device,  # type: ignore[arg-type]
            backend=backend,  # type: ignore[arg-type]
            batch=batch,
            threads=threads,
            warmup=warmup,
            repeats=repeats,
            reference="" if reference == "none" else reference,
        )
    except FieldError as error:
        raise InputError(f"--{error}") from None
    found = _told_apart([find_architecture(text) for text in architectures], architectures)
    check_latencies(output)
    measured = _Measured(found, protocol, classes, channels)
    with console.stdout_to_stderr():
        measured.run()
    records = measured.records()
    stored = _store(output, records)
    if json_output:
        print_json(
            {
                "protocol": asdict(protocol),
                "latencies": [latency_json(record) for record in records],
                "failures": [{"name": name, "error": error} for name, error in measured.failures],
                "interrupted": measured.interrupted,
                "stored": str(output) if stored else None,
            }
        )
    else:
        print_latencies(records)
        if stored:
            out.print(f"stored in {output}; nas latency show prints what is there", soft_wrap=True)
    for line in _default_sizes(found, classes, channels):
        (console.err if json_output else out).print(console.printable(line), soft_wrap=True)
    for name, reason in measured.failures:
        console.err.print(f"nas: {console.printable(f'{name}: not measured: {reason}')}", soft_wrap=True)
    if plot is not None and records:
        plot_latencies(records, plot, quiet=json_output)
    if measured.interrupted:
        raise typer.Exit(130)
    if not stored or measured.failures:
        raise typer.Exit(1)


def _told_apart(found: list[Found], typed: list[str]) -> list[Found]:
    """Networks of one name and not one description under what was typed for each."""
    keys: dict[str, set[str]] = {}
    for each in found:
        keys.setdefault(each.architecture.name, set()).add(each.architecture.key)
    return [
        replace(each, architecture=each.architecture.renamed(text))
        if len(keys[each.architecture.name]) > 1
        else each
        for each, text in zip(found, typed, strict=True)
    ]


def _default_sizes(found: list[Found], classes: int | None, channels: int | None) -> list[str]:
    """The line on networks whose classes and channels nobody said; none where a run or the user did."""
    networks = {each.architecture.name: each.default_sizes(classes, channels) for each in found}
    lines = sorted({line for line in networks.values() if line})
    if all(networks.values()):
        return lines
    return [f"{', '.join(name for name, its in networks.items() if its == line)}: {line}" for line in lines]


class _Measured:
    """Networks that are measured, and what became of each.

    Attributes:
        failures: names and reasons of those that could not be.
        interrupted: whether Ctrl-C came before all rounds were complete.
    """

    def __init__(
        self, found: list[Found], protocol: LatencyProtocol, classes: int | None, channels: int | None
    ) -> None:
        self._networks = [each.architecture for each in found]
        self._classes = [classes or each.num_classes for each in found]
        self._channels = [channels or each.in_channels for each in found]
        self._protocol = protocol
        self._latencies: list[tuple[int, Latency]] = []
        self.failures: list[tuple[str, str]] = []
        self.interrupted = False

    def run(self) -> None:
        """Measure, and show how far it is."""
        from trainers.latency import LatencyInterrupted, measure_latencies

        failed: set[int] = set()

        def fail(number: int, error: Exception) -> None:
            failed.add(number)
            reason = " ".join(str(error).split()) or type(error).__name__
            self.failures.append((self._networks[number].name, reason))

        with console.RoundProgress(len(self._networks)) as progress:
            try:
                latencies = measure_latencies(
                    self._networks,
                    self._protocol,
                    self._classes,
                    self._channels,
                    on_round=progress.round,
                    on_failure=fail,
                    on_ready=lambda number: progress.ready(self._networks[number].name),
                )
            except LatencyInterrupted as interruption:
                latencies = interruption.latencies
                self.interrupted = True
            except KeyboardInterrupt:
                latencies = []
                self.interrupted = True
        if self.interrupted:
            rounds = latencies[0].repeats if latencies else 0
            done = f"after {count_of(rounds, 'round')}" if rounds else "too early for a result"
            console.err.print(f"nas: interrupted {done}")
        kept = [number for number in range(len(self._networks)) if number not in failed]
        self._latencies = list(zip(kept, latencies, strict=True)) if latencies else []

    def records(self) -> list[LatencyRecord]:
        """What was measured, as it is stored."""
        from trainers.latency import versions

        how = self._protocol
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return [
            LatencyRecord(
                **latency.to_json(),
                device=how.device,
                backend=how.backend,
                batch=how.batch,
                threads=how.threads,
                reference=how.reference,
                num_classes=self._classes[number],
                in_channels=self._channels[number],
                versions=versions(how),
                measured_at=now,
            )
            for number, latency in self._latencies
        ]


def _store(path: Path, records: list[LatencyRecord]) -> bool:
    """Whether they are in the file; why not is said."""
    if not records:
        return False
    try:
        append_latencies(path, records)
    except InputError as error:
        console.err.print(f"nas: not stored: {console.printable(error)}", soft_wrap=True)
        return False
    return True


@latency_app.command()
def show(
    file: Annotated[
        Path, typer.Argument(help="Of measurements, as nas latency measure -o wrote it.")
    ] = LATENCIES,
    device: Annotated[str | None, typer.Option("--device", help="Only of cpu or cuda.")] = None,
    backend: Annotated[str | None, typer.Option("--backend", help="Only of this backend.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every measurement, not only the last of each network.")
    ] = False,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """What was measured, the last of each network and setting: nas latency show --plot latency.png"""
    from nas.figure_commands import check_plot

    check_plot(plot)
    for name, value, known in (
        ("device", device, ("cpu", "cuda")),
        ("backend", backend, ("eager", "compile", "onnxruntime")),
    ):
        if value is not None and value not in known:
            raise InputError(f"--{name} must be {' or '.join(known)}, got {value!r}")
    if file == LATENCIES and not file.exists():
        raise InputError(f"nothing has been measured yet: there is no {file}; nas latency measure makes it")
    stored = read_latencies(file)
    for number in stored.torn:
        console.err.print(f"nas: {file}:{number}: this line was cut off and is passed over", soft_wrap=True)
    records = list(stored.records) if every else latest(stored.records)
    records = [
        record for record in records if device in (None, record.device) and backend in (None, record.backend)
    ]
    if plot is not None:
        if not records:
            raise InputError(f"{file}: holds no such measurements to draw")
        plot_latencies(records, plot, quiet=json_output)
    if json_output:
        document: dict[str, Any] = {"file": str(file), "torn_lines": list(stored.torn)}
        print_json(document | {"latencies": [latency_json(record) for record in records]})
    else:
        print_latencies(records)


from nas import latency_fit_commands  # noqa: E402, F401 - adds its commands
