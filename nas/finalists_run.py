"""Finalists: the top of a search, trained fully under one recipe with several seeds, and what came of it.

The networks are frozen in the run's configuration when it begins; from then on the search may change, or go.
Everything else is as in other runs of given networks (`nas.scaling_run`): the journal is the truth.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nas.config import load_config
from nas.config_reading import differences
from nas.finalists_choice import choose, search_key
from nas.finalists_config import Chosen, FinalistsConfig, load_finalists_config
from nas.finalists_findings import FinalFindings, findings_of
from nas.launch import check_executor, executor_of
from nas.scaling_run import Member, Plan, refuse_without_journal, train_plan
from nas.search import Listener
from nas.sized_data import images_at, untouched_fingerprint_at, untouched_images_at
from nas.trainings import Outcome
from results import Run, Trial, open_run, run_path, write_whole
from results.run import FINALISTS
from results.wording import count_of
from search_space import FieldError, InputError
from trainers import Evaluator, read_facts
from trainers.full import check_full_fit
from trainers.full_evaluator import FullEvaluator, training_folder
from trainers.prepare import PrepareProgress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistsEnd:
    """How a session ended.

    Attributes:
        run: its folder.
        outcome: ``finished``, ``failing`` (one training after the other failed) or ``interrupted``.
        findings: of what has been trained so far; None before any finalist has a result.
    """

    run: Run
    outcome: Outcome
    findings: FinalFindings | None


def prepared(config: FinalistsConfig, search: Run | str | Path) -> FinalistsConfig:
    """A configuration with its data and its networks: those of the run that goes on, or chosen now.

    Args:
        config: as a user gave it.
        search: the run that the finalists are of; where the finalists' own run is there already it need not
            be there any more.

    Raises:
        InputError: the run of that name holds something else, or was made with another configuration or of
            another search; see `choose`.
    """
    run = Run(run_path(config.name))
    if run.path.exists():
        before = _stored(run)
        assert before.chosen is not None
        _check_search(str(run.path), before.chosen, search)
        config = _with_data(config.model_copy(update={"chosen": before.chosen}))
        _check_same(run, config, before)
        return config
    if config.chosen is not None:  # of another run's configuration
        _check_search("chosen", config.chosen, search)
        return _with_data(config)
    found = search if isinstance(search, Run) else open_run(search)
    return _with_data(config.model_copy(update={"chosen": choose(found, config)}))


def _with_data(config: FinalistsConfig) -> FinalistsConfig:
    """The same with the search's data where it says none."""
    assert config.chosen is not None
    if config.data is not None:
        return config
    data = config.chosen.search.data
    if data is None:
        raise InputError(
            f"data: must say what the finalists are trained on, since {config.chosen.search.name} replays a "
            "table"
        )
    return config.model_copy(update={"data": data})


def finalists_evaluator(
    config: FinalistsConfig,
    progress: PrepareProgress | None = None,
    *,
    address: str | None = None,
    may_prepare: bool = True,
) -> FullEvaluator:
    """What trains the networks of a configuration.

    Args:
        config: see `prepared`.
        progress: told where images of the recipe's size are prepared.
        address: of a Ray cluster.
        may_prepare: whether they are prepared where they are missing; else that is an error.

    Raises:
        InputError: the data cannot be used, have other classes or channels than the search's, or do not fit
            the recipe.
    """
    assert config.chosen is not None
    assert config.data is not None
    chosen = config.chosen
    size = chosen.networks[0].architecture.image_size
    if config.data.cache is not None:  # before images of another size are made of it
        facts = read_facts(config.data.cache)
        _check_alike(facts.name, len(facts.class_names), facts.channels, chosen)
    data = images_at(config.data, size, progress, may_prepare=may_prepare)
    _check_alike(data.name, data.num_classes, data.in_channels, chosen)
    for network in chosen.networks:
        try:
            check_full_fit(network.architecture, config.recipe, data)
        except FieldError as error:
            raise InputError(f"recipe: {network.name}: {error}") from None
    settings = config.finalists
    saved = address is None if settings.checkpoints is None else settings.checkpoints
    folder = _checkpoints(Run(run_path(config.name))) if saved else None
    return FullEvaluator(
        recipe=config.recipe,
        data=data,
        test=untouched_images_at(config.data, size),
        test_fingerprint=untouched_fingerprint_at(config.data, size),
        checkpoints=None if folder is None else folder.absolute(),
    )


def _check_alike(name: str, num_classes: int, in_channels: int, chosen: Chosen) -> None:
    """Refuse data of other classes or channels than the search's."""
    search = chosen.search
    if (num_classes, in_channels) != (search.num_classes, search.in_channels):
        raise InputError(
            f"data: {name} has {count_of(num_classes, 'class', 'classes')} and "
            f"{count_of(in_channels, 'image channel')}, the networks of {search.name} were searched for "
            f"{search.num_classes} and {search.in_channels}"
        )


def plan_of(config: FinalistsConfig) -> Plan:
    """What is trained: seed after seed, so that a run that ends early has one seed of all."""
    assert config.chosen is not None
    members = [
        Member(architecture=n.architecture, choices={"network": n.name, "role": n.title})
        for n in config.chosen.networks
    ]
    seeds = config.finalists.seeds
    return Plan(members=tuple(members), seeds=seeds, most=seeds)


def run_finalists(
    config: FinalistsConfig,
    search: Run | str | Path,
    *,
    evaluator: Evaluator | None = None,
    reuse: Sequence[Run] = (),
    listeners: Sequence[Listener] = (),
    address: str | None = None,
) -> FinalistsEnd:
    """Train the finalists of a search as far as they are not trained yet, and compare.

    Args:
        config: which, and how; the run is ``runs/<name>`` of the current directory. Where it is there it goes
            on, and more seeds may be asked for.
        search: the run that they are of.
        evaluator: instead of full training on the configuration's data.
        reuse: earlier runs whose measurements are taken over where they are of the same network, data,
            recipe, trainer and seed.
        listeners: told of every result.
        address: of a Ray cluster, see `nas.run_search`.

    Raises:
        InputError: see `prepared` and `finalists_evaluator`; the executor cannot be used; the run is in use.
    """
    config = prepared(config, search)
    assert config.chosen is not None
    run = Run(run_path(config.name))
    check_executor(config.executor, address)
    executor_of(config.executor, run.path, address)
    evaluator = evaluator or finalists_evaluator(config, address=address)
    chosen = _with_test_part(config.chosen, evaluator, run, reuse)
    config = config.model_copy(update={"chosen": chosen})
    tidy = _Tidy(run)
    tidy.begin()
    end = train_plan(
        config,
        run,
        plan_of(config),
        evaluator,
        reuse=reuse,
        listeners=[tidy, _Telling(run, chosen), *listeners],
        address=address,
        weights=lambda trial: run.weights_path(trial.id) if config.finalists.keep_weights else None,
    )
    tidy.end()
    findings = _told(run, chosen, end.outcome)
    return FinalistsEnd(run=run, outcome=end.outcome, findings=findings)


def _with_test_part(chosen: Chosen, evaluator: Evaluator, run: Run, reuse: Sequence[Run]) -> Chosen:
    """The same with what the test images are known by.

    Raises:
        InputError: test accuracies of the run, or of one that measurements are taken from, are of others.
    """
    if not isinstance(evaluator, FullEvaluator) or evaluator.test_fingerprint is None:
        return chosen
    known = [(run, chosen.test_part)]
    for other in reuse:
        if other.kind() == "finalists":
            before = load_finalists_config(other.config_path).chosen
            known.append((other, None if before is None else before.test_part))
    for other, part in known:
        if part not in (None, evaluator.test_fingerprint):
            way = "choose another name with --run NAME" if other is run else "leave it out of --reuse"
            raise InputError(
                f"{other.path}: was measured on another test part than that of {evaluator.data.name}, and "
                f"test accuracies do not compare; {way}"
            )
    return replace(chosen, test_part=evaluator.test_fingerprint)


def _told(run: Run, chosen: Chosen, outcome: Outcome) -> FinalFindings | None:
    """What has come of a run; it is written into its folder, where other commands find the one to take."""
    findings = findings_of(chosen, run.trials())
    if findings is not None:
        document = {"run": run.name, "outcome": outcome, **findings.to_json()}
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
        write_whole(run.path / FINALISTS, lambda path: path.write_text(text, encoding="utf-8"))
    return findings


class _Telling:
    """Writes what has come of a run after every training, for those who look meanwhile, or after a kill."""

    def __init__(self, run: Run, chosen: Chosen) -> None:
        self._run, self._chosen = run, chosen

    def on_start(self, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        try:
            _told(self._run, self._chosen, "interrupted")
        except InputError as error:  # the trainings matter more
            logger.warning("%s", error)


class _Tidy:
    """Takes away the checkpoints of trainings whose results are in the journal."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def begin(self) -> None:
        """What a session left that was killed between the two."""
        if self._run.journal_path.is_file() and not self._run.is_running():
            for trial in self._run.trials():
                if trial.arrival is not None:
                    self._remove(trial)

    def on_start(self, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""

    def on_result(self, trial: Trial, best: Trial | None, counts: dict[str, int]) -> None:
        """See `nas.search.Listener`."""
        self._remove(trial)

    def end(self) -> None:
        """The folder itself, where it is empty."""
        folder = _checkpoints(self._run)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _remove(self, trial: Trial) -> None:
        folder = training_folder(_checkpoints(self._run), trial.network(), trial.seed)
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("%s: cannot be removed: %s", folder, error.strerror or error)


def _checkpoints(run: Run) -> Path:
    return run.path / "checkpoints"


# --- going on ----------------------------------------------------------------------------------------


def check_finalists(run: Run) -> None:
    """Refuse a folder in which no finalists can go on.

    Raises:
        InputError: it has lost its journal, has none, or holds another kind of run.
    """
    refuse_without_journal(run)
    kind = run.kind()
    if kind != "finalists":
        what = {"audit": "an audit", "scaling": "a run of scaling"}.get(kind, "a search")
        raise InputError(f"{run.path}: holds {what}, and no finalists; choose another name with --run NAME")


def _stored(run: Run) -> FinalistsConfig:
    check_finalists(run)
    before = load_finalists_config(run.config_path)
    if before.chosen is None:
        raise InputError(f"{run.config_path}: chosen: is missing, the networks that the run trains")
    return before


def _check_search(place: str, chosen: Chosen, search: Run | str | Path) -> None:
    """Refuse another search than the one that the networks are of.

    Args:
        place: where these stand.
        chosen: the networks.
        search: the run that was named.

    Raises:
        InputError: it has another name, or is another search of that name.
    """
    name = search.name if isinstance(search, Run) else Path(search).name
    try:
        found = search if isinstance(search, Run) else open_run(search)
        same = _is_same(found, chosen)
    except InputError:  # it is gone, and is not needed
        same = name == chosen.search.name
    if not same:
        raise InputError(
            f"{place}: holds the finalists of {chosen.search.name}, and not of {name} as it is now; "
            "choose another name with --run NAME"
        )


def _is_same(search: Run, chosen: Chosen) -> bool:
    if search.path.resolve().name != chosen.search.name:
        return False
    with search.journal() as journal:
        facts = journal.evaluator()
    return facts is not None and search_key(load_config(search.config_path), facts) == chosen.search.key


def _check_same(run: Run, config: FinalistsConfig, before: FinalistsConfig) -> None:
    """Refuse a run that was made with another configuration.

    Raises:
        InputError: with the fields that differ.
    """
    changed = [field for field in differences(config, before) if _matters(field)]
    if changed:
        raise InputError(
            f"{run.path}: was made with another {', '.join(changed)}; choose another name with --run NAME "
            f"(--reuse {run.path} takes over what was measured alike)"
        )


def _matters(field: str) -> bool:
    """Whether the run depends on a field; how often networks are trained, and where, may change."""
    if field in ("name", "data.cache", "finalists.seeds", "finalists.keep_weights", "finalists.checkpoints"):
        return False
    return not field.startswith(("search.", "executor.")) or field == "executor.cpus"
