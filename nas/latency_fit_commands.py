"""``nas latency fit`` and ``nas latency predict``: a model of latency from measured networks, and its use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas import console
from nas.console import out, print_json, print_table
from nas.latency_commands import latency_app
from nas.options import JsonOption, PlotOption
from results import check_figure_path, save_figure, write_whole
from results.wording import count
from search_space import FieldError, InputError, StageSpace, cost, load_latency_model, load_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.latency_fit import FitPlan, LatencyFit, Measure
    from nas.latency_samples import Conditions, SampleFile
    from search_space import Architecture
    from trainers.latency import Latency, LatencyProtocol

_UNITS = {"operators": (1e3, "us each"), "macs": (1e9, "ms/G MACs"), "values": (1e6, "ms/M values")}
_WEIGHTS = (1e6, "ms/M weights")
_UNSTEADY = 0.1  # mean difference of two measurements of one network, from which a fit is in doubt
_TOGETHER = 8  # networks that share one compiled reference


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """How it is to be measured, as far as it was said; a file of measurements may say the rest."""

    device: str | None
    backend: str | None
    batch: int | None
    threads: int | None
    reference: str | None
    num_classes: int | None
    in_channels: int | None
    repeats: int


@latency_app.command()
def fit(
    given: Annotated[str, typer.Argument(metavar="SPACE", help="A preset or a YAML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model, a .json file.")] = Path(
        "latency.json"
    ),
    networks: Annotated[int, typer.Option(help="Measured networks to fit.", min=20, max=100_000)] = 300,
    held_out: Annotated[int, typer.Option(help="Measured networks to test on.", min=10, max=100_000)] = 100,
    retests: Annotated[int, typer.Option(help="Of these measured twice, for the noise.", min=0)] = 40,
    seed: Annotated[int, typer.Option(help="Of the draw, and of who is held out.", min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="cpu (the default) or cuda.")] = None,
    backend: Annotated[str | None, typer.Option(help="eager (the default), compile or onnxruntime.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a call; 1 by default.", min=1)] = None,
    threads: Annotated[int | None, typer.Option(help="Of the CPU; 1 by default.", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each network.", min=1)] = 15,
    reference: Annotated[
        str | None, typer.Option(help="Takes turns with each network; efficientnet_b0 by default.")
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", help="1000 by default.", min=1)] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Of images; 3 by default.", min=1)
    ] = None,
    measurements: Annotated[
        Path | None, typer.Option(help="What is measured, instead of <output>.measured.jsonl.")
    ] = None,
    plot: PlotOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure networks of a space and fit a model: nas latency fit efficientnet -o latency.json

    Every measurement is kept at once beside the model. Interrupted, the same command goes on; with other
    --networks, --held-out or --seed it takes up what is measured, and measures only what lacks.
    """
    from nas.latency_fit import FitPlan, lacking
    from nas.latency_fit import fit as fitted
    from nas.latency_samples import SampleFile

    if output.suffix != ".json":
        raise InputError(f"{output}: must end in .json")
    if plot is not None:
        check_figure_path(plot)
    space = load_space(given)
    asked = _Asked(
        device=device,
        backend=backend,
        batch=batch,
        threads=threads,
        reference=reference,
        num_classes=classes,
        in_channels=channels,
        repeats=repeats,
    )
    plan = FitPlan(networks=networks, held_out=held_out, retests=retests, seed=seed)
    file = SampleFile(measurements or output.with_suffix(".measured.jsonl"), space)
    _check_asked(asked, file)
    if lacking(file.samples, plan):
        with console.stdout_to_stderr():
            _measure(space, file, plan, asked)
    if file.conditions is None:  # cannot be: what is not lacking was measured under some
        raise InputError(f"{file.path}: holds no measurements")
    found = fitted(space, file.samples, file.conditions, plan)
    text = json.dumps(found.model.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(output, lambda path: path.write_text(text, encoding="utf-8"))
    if plot is not None:
        save_figure(_figure(found), plot)
    if json_output:
        print_json(_fit_json(found, file, output))
        return
    _print(found, file)
    for path in filter(None, (output, plot)):
        out.print(f"wrote {path}", soft_wrap=True)


@latency_app.command()
def predict(
    architectures: Annotated[
        list[str], typer.Argument(metavar="ARCH...", help="Networks, as for nas show.", show_default=False)
    ],
    model: Annotated[Path, typer.Option("--model", help="What nas latency fit wrote.")],
    classes: Annotated[
        int | None, typer.Option("--classes", help="A run's own, else the model's.", min=1)
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="A run's own, else the model's.", min=1)
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """The latency a model predicts: nas latency predict mine@best --model latency.json"""
    from nas.lookup import find_architecture

    predictor = load_latency_model(model)
    facts: list[dict[str, Any]] = []
    for text in architectures:
        found = find_architecture(text)
        network, its = found.architecture, found if found.run is not None or found.sized else predictor
        own = (classes or its.num_classes, channels or its.in_channels)
        try:
            milliseconds = predictor.predict(network, *own)
        except FieldError as error:
            raise InputError(f"{text}: {error}") from None
        macs, params = cost(network, *own)
        facts.append(
            {
                "name": network.name,
                "key": network.key,
                "latency_ms": milliseconds,
                "ratio": milliseconds / predictor.reference_ms if predictor.reference_ms else None,
                "macs": macs,
                "params": params,
                "image_size": network.image_size,
            }
        )
    if json_output:
        print_json({"model": str(model), "fingerprint": predictor.fingerprint, "networks": facts})
        return
    rows = [
        (
            f["name"],
            f["image_size"],
            count(f["macs"]),
            count(f["params"]),
            f"{f['latency_ms']:.3g}",
            _ratio(f),
        )
        for f in facts
    ]
    columns = (
        "network",
        "image",
        "MACs",
        "params",
        "predicted ms",
        f"x {predictor.reference or 'reference'}",
    )
    where = f"{predictor.device_name}, {_how(predictor)}"
    print_table(columns, rows, where)
    if predictor.quality is not None:
        mean = f"{100 * predictor.quality.mape:.1f} %"
        out.print(
            f"held-out networks of the space {console.printable(predictor.space)} "
            f"had an error of {mean} in the mean"
        )


def _ratio(facts: dict[str, Any]) -> str:
    return "-" if facts["ratio"] is None else f"{facts['ratio']:.3f}"


def _how(subject: Any) -> str:
    """Backend, batch and threads of a model or of conditions."""
    threads = f", {subject.threads} threads" if subject.threads > 1 else ", 1 thread"
    return f"{subject.backend}, batch {subject.batch}{threads if subject.device == 'cpu' else ''}"


def _check_asked(asked: _Asked, file: SampleFile) -> None:
    """What was said must be what the file's measurements are of."""
    if file.conditions is None:
        return
    for name, value in asdict(asked).items():
        own = getattr(file.conditions, name, value)
        if value is not None and name != "repeats" and own != value:
            option = {"num_classes": "classes", "in_channels": "channels"}.get(name, name)
            raise InputError(
                f"{file.path}: its measurements have --{option} {own}, not {value}; "
                "--measurements takes another file"
            )


def _measure(space: StageSpace, file: SampleFile, plan: FitPlan, asked: _Asked) -> None:
    """What lacks, with progress; Ctrl-C keeps what is measured, and the same command goes on."""
    from nas.latency_fit import collect, lacking

    protocol, conditions = _protocol(space, file, asked)
    classes = (conditions.num_classes, conditions.in_channels)
    group = 1 if protocol.backend == "eager" else _TOGETHER
    progress = console.ItemProgress()
    missing = lacking(file.samples, plan)
    try:
        with file.writing(conditions), progress:
            progress.begin(f"measuring networks of {console.printable(space.name)}", missing)
            collect(space, file, plan, _measurer(protocol, *classes), lambda: progress.advance(1), group)
    except KeyboardInterrupt:
        left = lacking(file.samples, plan)
        console.err.print(
            f"{missing - left} measurements were made, {left} are left; the same command goes on",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None


def _measurer(protocol: LatencyProtocol, num_classes: int, in_channels: int) -> Measure:
    from trainers.latency import measure_latencies

    def measure(networks: Sequence[Architecture]) -> list[Latency | Exception]:
        failures: dict[int, Exception] = {}
        found = measure_latencies(
            networks, protocol, num_classes, in_channels, on_failure=failures.__setitem__
        )
        rest = iter(found)  # in the order given, without those that failed
        return [failures[number] if number in failures else next(rest) for number in range(len(networks))]

    return measure


def _protocol(space: StageSpace, file: SampleFile, asked: _Asked) -> tuple[LatencyProtocol, Conditions]:
    """How networks are measured here: as in the file, else as said, else as usual."""
    from nas.latency_samples import Conditions, digest_of
    from trainers.latency import LatencyProtocol, device_name, versions
    from trainers.latency_backends import check_backend

    before = file.conditions
    chosen: dict[str, Any] = {
        name: getattr(before, name) if before is not None else getattr(asked, name)
        for name in ("device", "backend", "batch", "threads", "reference")
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    try:
        protocol = LatencyProtocol(**chosen, repeats=asked.repeats)
    except FieldError as error:
        raise InputError(f"--{error}") from None
    if not protocol.reference:
        raise InputError("--reference must be a network: a model is fitted to ratios")
    check_backend(protocol.device, protocol.backend, protocol.threads)
    conditions = Conditions(
        space=space.name,
        space_digest=digest_of(space),
        device=protocol.device,
        device_name=device_name(protocol.device),
        backend=protocol.backend,
        batch=protocol.batch,
        threads=protocol.threads,
        reference=protocol.reference,
        num_classes=before.num_classes if before is not None else asked.num_classes or 1000,
        in_channels=before.in_channels if before is not None else asked.in_channels or 3,
        versions=versions(protocol),
    )
    return protocol, conditions


# --- what is shown -------------------------------------------------------------------------------------


def _fit_json(found: LatencyFit, file: SampleFile, output: Path) -> dict[str, Any]:
    model = found.model.to_dict()
    return {
        "model": str(output),
        "measurements": str(file.path),
        "fingerprint": found.model.fingerprint,
        **{name: model[name] for name in ("space", "device", "device_name", "backend", "batch", "threads")},
        **{name: model[name] for name in ("versions", "reference", "reference_ms", "intercept")},
        "coefficients": model["coefficients"],
        "shares": found.shares,
        "quality": model["quality"],
        "failed": sum(bool(sample.error) for sample in file.samples),
    }


def _print(found: LatencyFit, file: SampleFile) -> None:
    """The rates, and how good they are on networks that were held out."""
    model, quality = found.model, found.model.quality
    if quality is None:  # cannot be: a fit is tested
        return
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in model.coefficients))
    rows = []
    for kind in kinds:
        cells = [_rate(model.coefficients.get(f"{kind}.{measure}"), measure) for measure in _measures()]
        share = sum(value for name, value in found.shares.items() if name.partition(".")[0] == kind)
        rows.append((kind, *cells, f"{100 * share:.1f} %"))
    units = [unit for _, unit in (*_UNITS.values(), _WEIGHTS)]
    title = f"{model.space} on {model.device_name}, {_how(model)}"
    print_table(("operators", *units, "of the latency"), rows, title)
    reference = f"{console.printable(model.reference)} takes {model.reference_ms:.3g} ms"
    out.print(f"besides {model.intercept:.3g} ms for every network; {reference}")
    out.print(f"on {quality.held_out} networks that were not among the {quality.fitted} fitted:")
    interval = f"[{quality.spearman_low:.3f}, {quality.spearman_high:.3f}]"
    out.print(
        f"  Spearman {quality.spearman:.3f} {interval}, Kendall {quality.kendall:.3f}, "
        f"mean error {100 * quality.mape:.1f} %"
    )
    out.print(
        f"  MACs alone: Spearman {quality.macs_spearman:.3f}; parameters alone: {quality.params_spearman:.3f}"
    )
    if quality.retest_spearman is not None and quality.retest_mape is not None:
        out.print(
            f"  measured a second time: Spearman {quality.retest_spearman:.3f}, "
            f"mean difference {100 * quality.retest_mape:.1f} %"
        )
        if quality.retest_mape > _UNSTEADY:
            out.print("  the device does not agree with itself: take more --repeats, or a quieter moment")
    if quality.spearman <= quality.macs_spearman:
        out.print("  it ranks no better than MACs: measure more networks, with more --repeats")
    failed = sum(bool(sample.error) for sample in file.samples)
    if failed:
        out.print(f"{failed} networks could not be measured and are left out")


def _measures() -> tuple[str, ...]:
    return (*_UNITS, "weights")


def _rate(rate: float | None, measure: str) -> str:
    """A coefficient in its column's unit; empty where the model has none."""
    if rate is None:
        return ""
    factor, _ = _UNITS.get(measure, _WEIGHTS)
    return f"{factor * rate:.3g}"


def _figure(found: LatencyFit) -> Figure:
    from results.figures import latency_model_figure

    model, quality = found.model, found.model.quality
    words = ["", ""]
    if quality is not None:
        words = [
            f"the model: Spearman {quality.spearman:.3f}, mean error {100 * quality.mape:.1f} %",
            f"MACs alone: Spearman {quality.macs_spearman:.3f}",
        ]
    return latency_model_figure(
        found.measured_ms.tolist(),
        found.predicted_ms.tolist(),
        found.macs.tolist(),
        model_text=words[0],
        macs_text=words[1],
        title=f"{model.space}: {len(found.held_out)} networks that were not fitted, {model.device_name}",
    )
