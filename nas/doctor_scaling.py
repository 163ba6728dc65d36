"""What the rows of a run of scaling must satisfy, and whether it could go on with the data that are here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nas.scaling_config import ScalingConfig
from nas.scaling_run import Member, evaluator_for, seeds_of
from nas.search import measured_by
from results import EvaluatorFacts, Trial
from search_space import FieldError, InputError
from trainers import Evaluator

if TYPE_CHECKING:
    from nas.doctor_rows import Content, Findings

Members = tuple[Member, ...]


def members_of(config: ScalingConfig, facts: EvaluatorFacts) -> Members:
    """The networks that such a run trains.

    Args:
        config: of the run.
        facts: of its evaluator, for classes and channels.

    Raises:
        InputError: the configuration holds no baseline, or nothing can be made of it.
    """
    from nas.dimensions import experiment_of
    from nas.scaling_search import grid_plan, grid_points
    from nas.scaling_settings import GridSettings

    base = config.baseline
    if base is None:
        raise InputError("baseline: is missing")
    if config.dimensions is not None:
        settings = config.dimensions
        return experiment_of(base, settings, facts.num_classes, facts.in_channels).members
    grid = config.scaling or GridSettings()
    return grid_plan(base, grid_points(base, grid, facts.num_classes, facts.in_channels), grid).members


def check_scaled_trials(
    content: Content, config: ScalingConfig, members: Members | None, findings: Findings
) -> None:
    """Whether networks, choices, seeds and protocols are those of the configuration, and none has a reward.

    Args:
        content: the rows.
        config: of the run.
        members: of it, where they were made already.
        findings: take what is wrong.
    """
    assert content.facts is not None
    known: dict[str, dict[str, object]] | None = None
    try:
        members = members_of(config, content.facts) if members is None else members
        known = {member.architecture.key: dict(member.choices) for member in members}
    except (InputError, FieldError) as error:
        findings.error("members", f"config.yaml: its networks cannot be made: {error}")
    seeds, usual = frozenset(seeds_of(config.seed)), _usual_evaluators(content.trials)
    for trial in content.trials:
        place = f"trial {trial.id}"
        with findings.reading(place):
            if known is not None and trial.key not in known:
                findings.error("members", f"{place}: is of a network that config.yaml does not ask for")
            elif known is not None and trial.choices != known[trial.key]:
                text = f"{place}: its choices are {trial.choices}, its network's are {known[trial.key]}"
                findings.error("choices", text)
            if trial.seed not in seeds:
                text = f"{place}: seed is {trial.seed}, which is none that seed {config.seed} draws"
                findings.error("seed", text)
            if trial.reward is not None:
                findings.error("reward", f"{place}: has a reward, and a run of scaling gives none")
            network = trial.network()
            measure = (
                f"{usual[network.image_size]} dropout {network.dropout:g} drop_path {network.drop_path:g}"
            )
            if trial.protocol != measure and not trial.protocol.startswith(f"{measure} trained as "):
                text = f"{place}: was measured otherwise than the others at {network.image_size} pixels"
                findings.error("protocol", text)


def _usual_evaluators(trials: list[Trial]) -> dict[int, str]:
    """Image size to the fingerprint of what measured most of its networks; see `measured_by`."""
    votes: dict[int, Counter[str]] = {}
    for trial in trials:
        fingerprint = trial.protocol.partition(" ")[0]
        votes.setdefault(trial.network().image_size, Counter())[fingerprint] += 1
    return {size: its.most_common(1)[0][0] for size, its in votes.items()}


def check_scaled_evaluator(content: Content, evaluator: Evaluator, findings: Findings) -> None:
    """Whether every row was measured as this evaluator measures its network."""
    for trial in content.trials:
        with findings.reading(f"trial {trial.id}"):
            if trial.protocol != measured_by(evaluator, trial.network()):
                text = f"trial {trial.id}: was measured otherwise than its network is measured"
                findings.error("protocol", text)


def scaled_evaluator(config: ScalingConfig, content: Content) -> Evaluator:
    """What trains all networks of such a run; images of a size that is missing are not prepared.

    Raises:
        InputError: the data are not here, at one of the sizes, or changed.
    """
    networks = {trial.key: trial.network() for trial in content.trials}
    if content.facts is not None:
        for member in members_of(config, content.facts):  # a journal that was saved in part lacks some
            networks.setdefault(member.architecture.key, member.architecture)
    return evaluator_for(config, list(networks.values()), may_prepare=False)
