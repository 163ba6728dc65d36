"""What the rows of a run of finalists must satisfy, and whether it could go on with the data here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.finalists_config import FinalistsConfig
from nas.finalists_run import finalists_evaluator, plan_of
from nas.scaling_run import seeds_of
from search_space import InputError
from trainers import Evaluator

if TYPE_CHECKING:
    from nas.doctor_rows import Content, Findings


def check_final_trials(content: Content, config: FinalistsConfig, findings: Findings) -> None:
    """Whether networks, choices and seeds are those of the configuration, all are measured alike, and none
    has a reward.

    Args:
        content: the rows.
        config: of the run.
        findings: take what is wrong.
    """
    assert content.facts is not None
    if config.chosen is None:
        findings.error("members", "config.yaml: chosen: is missing, the networks that the run trains")
        return
    known = {m.architecture.key: (m.architecture, dict(m.choices)) for m in plan_of(config).members}
    seeds = frozenset(seeds_of(config.seed))
    for trial in content.trials:
        place = f"trial {trial.id}"
        with findings.reading(place):
            if trial.key not in known:
                findings.error("members", f"{place}: is of a network that config.yaml does not ask for")
                continue
            network, choices = known[trial.key]
            if trial.choices != choices:
                text = f"{place}: its choices are {trial.choices}, its network's are {choices}"
                findings.error("choices", text)
            if trial.seed not in seeds:
                text = f"{place}: seed is {trial.seed}, which is none that seed {config.seed} draws"
                findings.error("seed", text)
            if trial.reward is not None:
                findings.error("reward", f"{place}: has a reward, and a run of finalists gives none")
            measure = f"{content.facts.fingerprint} dropout {network.dropout:g} "
            if trial.protocol != f"{measure}drop_path {network.drop_path:g}":
                findings.error("protocol", f"{place}: was measured otherwise than its network is measured")


def final_evaluator(config: FinalistsConfig) -> Evaluator:
    """What trains the networks of such a run; images of a size that is missing are not prepared.

    Raises:
        InputError: the data are not here, or changed.
    """
    if config.chosen is None or config.data is None:
        raise InputError("chosen: is missing, the networks that the run trains")
    return finalists_evaluator(config, may_prepare=False)
