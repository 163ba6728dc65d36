"""Measured latencies as tables, figures and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.console import out, print_table
from results.latency_store import LatencyRecord
from results.wording import count, count_of

_COLUMNS = ("network", "pixels", "MACs", "params", "median ms", "p5 to p95 ms", "images/s")


def milliseconds(value: float) -> str:
    """Three significant digits, never fewer than the whole milliseconds."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_latencies(records: Sequence[LatencyRecord]) -> None:
    """One table a setting: device, backend, threads and batch."""
    settings: dict[tuple[object, ...], list[LatencyRecord]] = {}
    for record in records:
        settings.setdefault((*record.setting, record.reference, *record.versions.items()), []).append(record)
    for number, group in enumerate(settings.values()):
        if number:
            out.print()
        _print_setting(group)
    if not records:
        out.print("no measured latencies")


def _print_setting(records: Sequence[LatencyRecord]) -> None:
    first = records[0]
    name = first.reference
    columns = _COLUMNS if not name else (*_COLUMNS, f"x {name}", "p5 to p95")
    rows = []
    for record in records:
        row = [
            record.name,
            record.image_size,
            count(record.macs),
            count(record.params),
            milliseconds(record.median_ms),
            f"{milliseconds(record.p5_ms)} to {milliseconds(record.p95_ms)}",
            f"{record.images_per_second:.3g}" if record.median_ms else "-",
        ]
        if name:
            row += _ratios(record)
        rows.append(row)
    software = ", ".join(f"{name} {version}" for name, version in first.versions.items())
    print_table(columns, rows, f"{title_of(first)}; {software}" if software else title_of(first))


def _ratios(record: LatencyRecord) -> list[str]:
    if record.ratio is None or record.ratio_p5 is None or record.ratio_p95 is None:
        return ["-", "-"]
    return [f"{record.ratio:.3g}", f"{record.ratio_p5:.3g} to {record.ratio_p95:.3g}"]


def title_of(record: LatencyRecord) -> str:
    """Device, backend, threads and batch in words."""
    threads = "" if record.device == "cuda" else f", {count_of(record.threads, 'thread')}"
    return f"{record.device_name}, {record.backend}{threads}, batch {record.batch}"


def latency_json(record: LatencyRecord) -> dict[str, Any]:
    """The record and its throughput."""
    throughput = record.images_per_second if record.median_ms else None
    return {**record.to_json(), "images_per_second": throughput}


def plot_latencies(records: Sequence[LatencyRecord], path: Path, *, quiet: bool) -> None:
    """Latency over multiply-adds, one colour a setting."""
    from results.figures import LatencyPoint, latency_figure, save_figure

    settings = list(dict.fromkeys(record.setting for record in records))
    titles = {record.setting: title_of(record) for record in records}
    figure = latency_figure(
        [
            LatencyPoint(
                name=record.name,
                macs=record.macs * record.batch,
                median_ms=record.median_ms,
                p5_ms=record.p5_ms,
                p95_ms=record.p95_ms,
                series=titles[record.setting] if len(settings) > 1 else "",
            )
            for record in records
        ],
        "measured latency" if len(settings) > 1 else titles[settings[0]],
    )
    save_figure(figure, path)
    if not quiet:
        out.print(f"wrote {path}", soft_wrap=True)
