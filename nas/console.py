"""What the command line shows: tables, progress, and JSON when asked."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from results import Trial
from results.training import TrainingRun
from results.wording import amount, count, count_of, percent

if TYPE_CHECKING:
    from typing_extensions import Self

    from trainers import Dataset, Measurement

_SILENCE_SECONDS = 30.0  # after which a training tells how far it is

# piped output does not wrap at a terminal's width that is not there
out = Console(
    highlight=False,
    markup=False,
    emoji=False,
    width=None if sys.stdout.isatty() else 200,
    color_system=None if os.environ.get("NO_COLOR") else "auto",  # else bold would stay
)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(document: Any) -> None:
    """One JSON document on standard output, and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str = "") -> None:
    """A table for people: numbers are right-aligned; narrow terminals wrap nothing but the last column."""
    table = Table(
        title=Text(printable(title)) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    texts = [[printable(cell) for cell in row] for row in rows]
    for number, name in enumerate(map(printable, columns)):
        cells = [row[number] for row in texts]
        numeric = bool(cells) and all(
            (cell[:1].isdigit() and ", " not in cell) or cell in ("", "-") for cell in cells
        )
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in texts:
        table.add_row(*(Text(cell) for cell in row))
    out.print(table)


def printable(text: object) -> str:
    """A text on one line that does nothing to a terminal: what is no printable character is a space."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def reward_text(reward: float | None) -> str:
    """A reward with four decimals."""
    return "-" if reward is None else f"{reward:.4f}"


def duration(seconds: float | None) -> str:
    """3725 as ``1:02:05``."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def hourly(rate: float | None) -> str:
    """Results an hour; a slow search has less than one."""
    if rate is None:
        return "-"
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def over(counts: dict[str, int]) -> int:
    """Candidates that have come to an end."""
    return sum(counts.get(status, 0) for status in ("done", "failed", "stopped"))


def trial_row(trial: Trial) -> list[str]:
    """Candidate, accuracy, reward, MACs, parameters, and the choices in short."""
    return [
        str(trial.id),
        percent(trial.accuracy),
        reward_text(trial.reward),
        count(trial.macs),
        count(trial.params),
        trial.network().summary(),
    ]


TRIAL_COLUMNS = ("candidate", "accuracy", "reward", "MACs", "params", "architecture")


def costs_in_words(trial: Trial) -> str:
    """``2.25 M MACs``; with its latency, where that is known."""
    words, latency = amount(trial.macs, "macs"), trial.cost("latency_ms")
    return words if latency is None else f"{words}, {amount(latency, 'latency_ms')}"


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what libraries' processes print on standard output to standard error; ours comes after."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


class ProgressBar:
    """What shows progress: a bar on a terminal, nothing elsewhere."""

    _bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class SearchProgress(ProgressBar):
    """A progress bar on a terminal; elsewhere a line for every tenth of the search."""

    def __init__(self, name: str, budget: int) -> None:
        self._name = name
        self._budget, self._over, self._first = budget, 0, 0
        self._began = time.monotonic()
        self._lines = max(1, budget // 10)
        if err.is_terminal:
            self._bar = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=10),
                TextColumn("{task.description}", markup=False),
                console=err,
            )
            self._task = self._bar.add_task("waiting for the first result", total=budget)

    def on_start(self, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self._over = self._first = over(counts)
        begins = f"goes on at {self._over} of {self._budget}" if self._over else "begins"
        text = f"{self._name} {begins}; in another terminal: nas status {self._name} --watch"
        err.print(text, soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._over)

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self._over = over(counts)
        if not trial.proposed:
            self._baseline(trial)
            return
        self._first += trial.reused is not None  # says nothing of the rate
        text = self._text(best, counts.get("failed", 0))
        if self._bar is not None:
            self._bar.update(self._task, completed=self._over, description=text)
        elif self._over % self._lines == 0 or self._over == self._budget:
            err.print(f"{self._over}/{self._budget} {text}", soft_wrap=True)

    def grow(self, budget: int) -> None:
        """There is more to do than was known; never less."""
        if budget <= self._budget:
            return
        self._budget, self._lines = budget, max(1, budget // 10)
        if self._bar is not None:
            self._bar.update(self._task, total=budget)

    def _baseline(self, trial: Trial) -> None:
        text = printable(f"failed: {trial.error}") if trial.status == "failed" else percent(trial.accuracy)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._over, description=f"{trial.title}: {text}")
        else:
            err.print(f"{trial.title}: {text}, {costs_in_words(trial)}", soft_wrap=True)

    def _text(self, best: Trial | None, failed: int) -> str:
        rate = (self._over - self._first) / max(1e-9, time.monotonic() - self._began)
        left = duration((self._budget - self._over) / rate) if rate else "-"
        text = ""
        if best is not None:
            text = f"best {reward_text(best.reward)}: {percent(best.accuracy)}, {costs_in_words(best)}; "
        failures = f"{failed} failed; " if failed else ""
        return f"{text}{failures}{hourly(3600 * rate)}/h; {left} left"


class ItemProgress(ProgressBar):
    """Progress over images: a bar on a terminal; elsewhere a line for every tenth of a step."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None)

    def begin(self, what: str, total: int | None) -> None:
        """Another step begins, of so many images; None where nobody knows."""
        self._what, self._total, self._done = what, total or 0, 0
        if self._bar is not None:
            self._bar.reset(self._task, total=total, description=what)

    def advance(self, images: int) -> None:
        """So many more are done."""
        before, self._done = self._done, self._done + images
        if self._bar is not None:
            self._bar.advance(self._task, images)
        elif self._total and 10 * self._done // self._total > 10 * before // self._total:
            err.print(f"{self._what}: {self._done:,}/{self._total:,}", soft_wrap=True)


class ByteProgress(ProgressBar):
    """Progress over bytes, with their rate: a bar on a terminal; elsewhere a line for every tenth."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        self._first, self._began = 0, time.monotonic()
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None)

    def begin(self, what: str, done: int, total: int) -> None:
        """Another step begins, of so many bytes, of which so many are done."""
        self._what, self._total, self._done = printable(what), total, done
        self._first, self._began = done, time.monotonic()
        if self._bar is not None:
            self._bar.reset(self._task, total=total, completed=done, description=self._what)

    def advance(self, size: int) -> None:
        """So many more bytes are done."""
        before, self._done = self._done, self._done + size
        if self._bar is not None:
            self._bar.advance(self._task, size)
        elif 10 * self._done // self._total > 10 * before // self._total:
            rate = (self._done - self._first) / max(1e-9, time.monotonic() - self._began)
            sizes = f"{self._done / 1e6:,.1f} of {self._total / 1e6:,.1f} MB"
            err.print(f"{self._what}: {sizes}, {rate / 1e6:,.1f} MB/s", soft_wrap=True)

    def note(self, text: str) -> None:
        """Something did not go as it should, and what is done about it."""
        err.print(printable(text), soft_wrap=True)


class TrainProgress(ProgressBar):
    """Progress of a full training: a bar over steps on a terminal, and a line an epoch; elsewhere a line for
    every tenth of the epochs, and where that takes long, one every half a minute.

    Attributes:
        began: whether there was anything to train.
    """

    def __init__(self) -> None:
        self.began = False
        self._epochs, self._batch, self._told = 1, 1, time.monotonic()
        self._first: tuple[int, float] | None = None  # steps done when this session's first was, and the time
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._task = self._bar.add_task("first step", total=None)

    def on_begin(self, run: TrainingRun, data: Dataset, done: int) -> None:
        """See `nas.train_run.TrainListener`."""
        from nas.train_views import finetuning_words, network_words

        config = run.config()
        self.began, self._told = True, time.monotonic()
        self._epochs, self._batch = config["recipe"]["epochs"], config["recipe"]["batch"]
        begins = f"goes on after epoch {done}" if done else "begins"
        its = count_of(self._epochs, "epoch")
        err.print(
            f"{run.name} {begins}: {printable(config['architecture']['name'])}, {its} on "
            f"{len(data.train):,} images of {printable(data.name)}; curves: tensorboard --logdir {run.path}",
            soft_wrap=True,
        )
        for line in [*network_words(config, data), *([] if done else finetuning_words(config, data))]:
            err.print(line, soft_wrap=True)

    def on_step(self, done: int, total: int, learning_rate: float) -> None:
        """See `nas.train_run.TrainListener`."""
        if self._bar is not None:
            steps = max(1, total // self._epochs)
            epoch = min(self._epochs, (done - 1) // steps + 1)
            text = f"epoch {epoch} of {self._epochs}, rate {learning_rate:.3g}"
            self._bar.update(self._task, completed=done, total=total, description=text)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = (done, now)
        elif now - self._told >= _SILENCE_SECONDS:
            self._told = now
            its = (now - self._first[1]) / max(1, done - self._first[0])  # seconds a step
            err.print(
                f"step {done:,} of {total:,}: {count(round(self._batch / its))} images/s, about "
                f"{duration((total - done) * its)} left",
                soft_wrap=True,
            )

    def on_epoch(self, measurement: Measurement) -> None:
        """See `nas.train_run.TrainListener`."""
        metrics = measurement.metrics
        epoch = int(metrics["epoch"])
        if self._bar is None and epoch % max(1, self._epochs // 10) and epoch != self._epochs:
            return
        text = (
            f"epoch {epoch} of {self._epochs}: validation accuracy {percent(measurement.accuracy)}, training "
            f"loss {metrics['train_loss']:.4f}, {count(round(metrics['images_per_second']))} images/s"
        )
        err.print(text, soft_wrap=True)
        self._told = time.monotonic()


class RoundProgress(ProgressBar):
    """Progress of timed rounds. Drawn between them alone: what redraws in the background takes part in what
    is timed."""

    def __init__(self, networks: int) -> None:
        self._networks, self._ready, self._tenth = networks, 0, 0
        if err.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                console=err,
                transient=True,
                auto_refresh=False,
            )
            self._task = self._bar.add_task("building", total=networks)

    def ready(self, name: str) -> None:
        """Another network is built and warm."""
        self._ready += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self._ready, description=f"ready: {printable(name)}")
            self._bar.refresh()
        else:
            err.print(f"ready: {printable(name)} ({self._ready} of {self._networks})", soft_wrap=True)

    def round(self, done: int, total: int) -> None:
        """So many rounds of all are complete."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description="rounds")
            self._bar.refresh()
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            err.print(f"rounds: {done:,}/{total:,}", soft_wrap=True)
