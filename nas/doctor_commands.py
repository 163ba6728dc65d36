"""``nas doctor``: is a run sound, and what can be mended of it?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from nas import console
from nas.console import out, print_json, print_table
from nas.options import JsonOption, RunArgument
from search_space import InputError

if TYPE_CHECKING:
    from nas.doctor import Examination

doctor_app = typer.Typer()
LONG = 2.0  # seconds of a replay before it is shown


class _ReplayProgress(console.ItemProgress):
    """Progress of a replay that takes longer."""

    def __init__(self) -> None:
        super().__init__()
        self._began: float | None = None
        self._shown = 0

    def step(self, done: int, steps: int) -> None:
        """See `nas.replay.replay`."""
        if self._began is None or done == 1:
            self._began, self._shown = time.monotonic(), 0
        if time.monotonic() - self._began < LONG and not self._shown:
            return
        if not self._shown:
            self.begin("replay of asks and tells", steps)
        self.advance(done - self._shown)
        self._shown = done


@doctor_app.command()
def doctor(
    run: RunArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    with_replay: Annotated[
        bool,
        typer.Option("--replay/--no-replay", help="Compare the controller's state with that of a replay."),
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Verify a run: journal, history, results, controller, files: nas doctor quickstart

    Exit code 0: nothing is wrong (warnings may be there); 1: something is. While a search runs, its folder is
    only read. With --repair nothing is destroyed: what is replaced stays beside it as NAME.damaged-1.
    """
    from nas.doctor import Replays, examine, find_run
    from nas.doctor_repair import repair as mend

    found_run = find_run(run)
    if repair and found_run.is_running():
        raise InputError(f"{found_run.path}: a search holds this folder; without --repair it is only read")
    before, done, failed = None, [], None
    with _ReplayProgress() as progress:
        replays = Replays(progress.step)
        compared = replays if with_replay else None
        if repair:
            with found_run.lock():
                before = examine(found_run, compared, held=True)
                try:
                    done = mend(before, replays)
                except InputError as error:
                    failed = str(error)
                found = examine(found_run, compared, held=True)
        else:
            found = examine(found_run, compared)
    if json_output:
        print_json(_document(found, before, done, failed))
    else:
        _print(found, done)
    if failed is not None:
        console.err.print(f"nas: {failed}", soft_wrap=True)
    if failed is not None or not found.sound:
        raise typer.Exit(1)


def _document(
    found: Examination, before: Examination | None, done: list[str], failed: str | None
) -> dict[str, object]:
    return {
        "run": found.run.name,
        "running": found.running,
        "sound": found.sound,
        "findings": [finding.to_json() for finding in found.findings],
        "before": None if before is None else [finding.to_json() for finding in before.findings],
        "repaired": done,
        "failed": failed,
    }


def _print(found: Examination, done: list[str]) -> None:
    for text in done:
        out.print(f"repaired: {text}", soft_wrap=True)
    rows: list[tuple[str, str, str]] = []
    for finding in found.findings:
        rows.append((finding.check, finding.severity, finding.text))
        if finding.repair is not None:
            rows.append(("", "", f"-> {finding.repair}"))
    print_table(("check", "", "finding"), rows)
    errors, warnings = (
        sum(finding.severity == severity for finding in found.findings) for severity in ("error", "warning")
    )
    state = "a search is running; " if found.running else ""
    verdict = "sound" if found.sound else "damaged"
    out.print(f"{found.run.name}: {state}{verdict}; {errors} errors, {warnings} warnings", soft_wrap=True)
