"""``nas latency``: how long networks take on a device, and a model that predicts it."""

from __future__ import annotations

import typer

latency_app = typer.Typer(
    no_args_is_help=True, help="Measure how long networks take on a device, or predict it."
)

from nas import latency_fit_commands  # noqa: E402, F401 - adds its commands
