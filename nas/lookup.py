"""From what a user types to an architecture: a reference name, a file, ``RUN@best``, ``RUN@observed``,
``RUN@17``, a run's baseline as ``RUN@efficientnet_b0``, a file of weights, or a training's ``NAME@last``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import search_space
from results import RUNS, Run, Trial, by_network, chosen_of, open_run, words_of
from results.run import OF_GIVEN, Kind
from results.training import find_training
from results.wording import count_of
from search_space import Architecture, InputError
from trainers.pretrained_sources import SAVED_BY_TORCH

if TYPE_CHECKING:
    from trainers.checkpoints import Checkpoint

IMAGENET = (1000, 3)  # classes and channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An architecture and where it comes from.

    Attributes:
        architecture: the network.
        run, trial: the run that trained it, if one did.
        recommended: whether that search's controller bets on it; of a scaling search, whether it is the best
            point.
        num_classes, in_channels: of the networks that were trained there; ImageNet's otherwise.
        sized: whether the run, or the file of weights, says these two.
        kind: of the run; only a search has rewards.
        accuracies: of a run of scaling or of finalists, those of the network's trainings that succeeded.
        file: the file of weights that the network was found in, if it was.
        checkpoint: what that file says of a full training, if it is of one.
        training: name of that training, where the file lies in its folder.
    """

    architecture: Architecture
    run: Run | None = None
    trial: Trial | None = None
    recommended: bool = False
    num_classes: int = IMAGENET[0]
    in_channels: int = IMAGENET[1]
    sized: bool = False
    kind: Kind = "search"
    accuracies: tuple[float, ...] = ()
    file: Path | None = None
    checkpoint: Checkpoint | None = None
    training: str = ""

    @property
    def weights(self) -> Path | None:
        """Its trained weights, if they were kept."""
        if self.file is not None:
            return self.file
        if self.run is None or self.trial is None:
            return None
        path = self.run.weights_path(self.trial.id)
        return path if path.is_file() else None

    @property
    def accuracy(self) -> float | None:
        """As its run or training measured it, 0 to 1; of given networks the mean of their seeds.

        A checkpoint within an epoch has none: the accuracy that it knows is of the weights before.
        """
        if self.checkpoint is not None:
            return None if self.checkpoint.facts.step else self.checkpoint.facts.accuracy
        if self.accuracies:
            return sum(self.accuracies) / len(self.accuracies)
        return None if self.trial is None else self.trial.accuracy

    @property
    def origin(self) -> str:
        """One line on where it comes from; empty for a reference or a description."""
        if self.checkpoint is not None:
            from nas.checkpoint_lookup import checkpoint_words

            return checkpoint_words(self.checkpoint, self.training)
        if self.file is not None:
            return f"weights in {self.file}{f': {self._sizes}' if self.sized else ', without a classifier'}"
        if self.run is None or self.trial is None:
            return ""
        trial = self.trial
        if self.kind != "search":
            return self._unranked_origin(self.run, trial)
        what = trial.title
        if trial.baseline is not None and not trial.proposed:
            what = f"{what} ({trial.adapted or 'as published'})"
        if trial.accuracy is None or trial.reward is None:
            return f"{what} of the search {self.run.name} ({trial.status})"
        bet = " (recommended)" if self.recommended else ""
        return (
            f"{what} of the search {self.run.name}{bet}: "
            f"validation accuracy {trial.accuracy:.4f}, reward {trial.reward:.4f}, {self._sizes}"
        )

    @property
    def _sizes(self) -> str:
        classes = count_of(self.num_classes, "class", "classes")
        return f"{classes}, {count_of(self.in_channels, 'input channel')}"

    def default_sizes(self, classes: int | None, channels: int | None) -> str:
        """What to say of classes and image channels that are ImageNet's because nobody said others.

        Args:
            classes, channels: as the user asked; None where not.

        Returns:
            One line; empty where the run or the user said both.
        """
        words = {
            "--classes": count_of(self.num_classes, "class", "classes") if classes is None else "",
            "--channels": count_of(self.in_channels, "image channel") if channels is None else "",
        }
        options = [option for option, said in words.items() if said]
        if self.sized or not options:
            return ""
        which = " and ".join(words[option] for option in options)
        verb = "says" if len(options) == 1 else "say"
        return f"{which}, by default: {' and '.join(options)} {verb} others"

    def _unranked_origin(self, run: Run, trial: Trial) -> str:
        """The same of a training of an audit or of scaling."""
        kinds = {"audit": "audit", "finalists": "finalists"}
        what = f"trial {trial.id} of the {kinds.get(self.kind, 'scaling run')} {run.name}"
        if self.kind in OF_GIVEN:
            words = "the one to take" if self.kind == "finalists" else "the best point by mean accuracy"
            best = f" ({words})" if self.recommended else ""
            what += f", {words_of(trial.choices)}{best}"
        if trial.accuracy is None:
            return f"{what} ({trial.status})"
        its = f"validation accuracy {trial.accuracy:.4f}"
        if len(self.accuracies) > 1:
            its += f" with seed {trial.seed}, {self.accuracy:.4f} in the mean of {len(self.accuracies)} seeds"
        return f"{what}: {its}, {self._sizes}"


def search_of(name: str | Path) -> Run:
    """A run by its name or path, which must hold a search.

    Raises:
        InputError: there is none, or it holds an audit or scaling.
    """
    found = open_run(name)
    refuse_unranked(found)
    return found


def refuse_unranked(run: Run) -> None:
    """Refuse a run in which given networks were trained, and none has a reward.

    Raises:
        InputError: it is an audit, or a run of scaling; what shows it is said.
    """
    if why := run.unranked():
        raise InputError(why)


def find_architecture(text: str | Path) -> Found:
    """What the text stands for, with its origin.

    Raises:
        InputError: nothing of that name.
    """
    from nas.checkpoint_lookup import found_in_file, found_in_training, import_hint

    run_name, at, reference = str(text).rpartition("@")
    if str(text).endswith(".safetensors"):
        return found_in_file(Path(text))
    if str(text).endswith(SAVED_BY_TORCH):
        from trainers.checkpoints import check_there

        check_there(text)
        raise InputError(f"{text}: is no checkpoint, which is a .safetensors file; {import_hint(text)}")
    if not at or Path(text).is_file():
        try:
            return Found(architecture=search_space.load_architecture(text))
        except InputError:
            if (RUNS / str(text) / "journal.db").is_file():
                raise InputError(f"{text!r} is a run; {_example(str(text))}") from None
            if find_training(text) is not None:
                hint = f"its best network is {text}@best, its last {text}@last"
                raise InputError(f"{str(text)!r} is a training; {hint}") from None
            raise
    if (training := find_training(run_name)) is not None:
        return found_in_training(training, run_name, reference)
    run = open_run(run_name)
    trial = run.trial(reference)
    with run.journal() as journal:
        facts, bet = journal.evaluator(), journal.recommended()
    recommended = bet is not None and bet.id == trial.id
    own_name = trial.id if trial.proposed or trial.baseline is None else trial.baseline
    architecture = trial.network().renamed(f"{run.name}-{own_name}")
    found = Found(architecture=architecture, run=run, trial=trial, recommended=recommended)
    if facts is not None:
        found = replace(found, num_classes=facts.num_classes, in_channels=facts.in_channels, sized=True)
    kind = run.kind()
    if kind not in OF_GIVEN:
        return replace(found, kind=kind)
    networks = by_network(run.trials())
    its = next(network for network in networks if trial.id in {other.id for other in network.trials})
    best = _is_taken(run, trial) if kind == "finalists" else its is chosen_of(networks)
    return replace(found, kind=kind, recommended=best, accuracies=its.accuracies)


def _is_taken(run: Run, trial: Trial) -> bool:
    """Whether a training is of the finalist to take."""
    try:
        return run.recommended().key == trial.key
    except InputError:  # nobody knows yet
        return False


def _example(name: str) -> str:
    """A network of a run, for somebody who named the run alone."""
    run = open_run(name)
    try:
        run.recommended()
        ranks = True
    except InputError:
        ranks = not run.unranked()
    return f"its best network is {name}@best" if ranks else f"a network of it is {name}@1"


def load_architecture(text: str | Path) -> Architecture:
    """An architecture by reference name, from a YAML or JSON file, a file of weights, a search or a training.

    Args:
        text: such as ``efficientnet_b0``, ``network.yaml``, ``quickstart@best`` (the recommended),
            ``quickstart@observed`` (the best observed), ``runs/quickstart@17``,
            ``quickstart@efficientnet_b0`` (a baseline, as trained in the run), ``best.safetensors``,
            or of a training ``mine@best``, ``mine@last`` and ``mine@12`` (after 12 epochs).

    Raises:
        InputError: nothing of that name, with the nearest.
    """
    return find_architecture(text).architecture
