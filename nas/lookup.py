"""From what a user types to an architecture: a reference name, a file, ``RUN@best``, ``RUN@observed``,
``RUN@17``, or a run's baseline as ``RUN@efficientnet_b0``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import search_space
from results import RUNS, Run, Trial, open_run
from search_space import Architecture, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An architecture and where it comes from.

    Attributes:
        architecture: the network.
        run, trial: the search that found it, if one did.
        recommended: whether that search's controller bets on it.
        num_classes, in_channels: of the networks that were trained there; ImageNet's otherwise.
    """

    architecture: Architecture
    run: Run | None = None
    trial: Trial | None = None
    recommended: bool = False
    num_classes: int = 1000
    in_channels: int = 3

    @property
    def weights(self) -> Path | None:
        """Its trained weights, if they were kept."""
        if self.run is None or self.trial is None:
            return None
        path = self.run.weights_path(self.trial.id)
        return path if path.is_file() else None

    @property
    def origin(self) -> str:
        """One line on where it comes from; empty for a reference or a file."""
        if self.run is None or self.trial is None:
            return ""
        trial = self.trial
        what = trial.title
        if trial.baseline is not None and not trial.proposed:
            what = f"{what} ({trial.adapted or 'as published'})"
        if trial.accuracy is None or trial.reward is None:
            return f"{what} of the search {self.run.name} ({trial.status})"
        bet = " (recommended)" if self.recommended else ""
        return (
            f"{what} of the search {self.run.name}{bet}: "
            f"validation accuracy {trial.accuracy:.4f}, reward {trial.reward:.4f}, "
            f"{self.num_classes} classes, {self.in_channels} input channels"
        )


def search_of(name: str | Path) -> Run:
    """A run by its name or path, which must hold a search.

    Raises:
        InputError: there is none, or it holds an audit.
    """
    found = open_run(name)
    refuse_audit(found)
    return found


def refuse_audit(run: Run) -> None:
    """Refuse a run in which one network was trained in several ways, and none has a reward.

    Raises:
        InputError: it is an audit.
    """
    with run.journal() as journal:
        audit = journal.is_audit()
    if audit:
        figure = run.path / "audit.png"
        its = f"; its figure is {figure}" if figure.is_file() else ""
        raise InputError(f"{run.name} is an audit and ranks nothing{its}")


def find_architecture(text: str | Path) -> Found:
    """What the text stands for, with its origin.

    Raises:
        InputError: nothing of that name.
    """
    run_name, at, reference = str(text).rpartition("@")
    if not at or Path(text).is_file():
        try:
            return Found(architecture=search_space.load_architecture(text))
        except InputError:
            if (RUNS / str(text) / "journal.db").is_file():
                raise InputError(f"{text!r} is a run; its best network is {text}@best") from None
            raise
    run = open_run(run_name)
    trial = run.trial(reference)
    with run.journal() as journal:
        facts, bet = journal.evaluator(), journal.recommended()
    recommended = bet is not None and bet.id == trial.id
    own_name = trial.id if trial.proposed or trial.baseline is None else trial.baseline
    architecture = trial.network().renamed(f"{run.name}-{own_name}")
    if facts is None:
        return Found(architecture=architecture, run=run, trial=trial, recommended=recommended)
    return Found(
        architecture=architecture,
        run=run,
        trial=trial,
        recommended=recommended,
        num_classes=facts.num_classes,
        in_channels=facts.in_channels,
    )


def load_architecture(text: str | Path) -> Architecture:
    """An architecture by reference name, from a YAML or JSON file, or from a search.

    Args:
        text: such as ``efficientnet_b0``, ``network.yaml``, ``quickstart@best`` (the recommended),
            ``quickstart@observed`` (the best observed), ``runs/quickstart@17``,
            ``quickstart@efficientnet_b0`` (a baseline, as trained in the run).

    Raises:
        InputError: nothing of that name, with the nearest.
    """
    return find_architecture(text).architecture
