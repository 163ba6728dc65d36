"""Which networks are trained fully: the top of a search, and what is put beside it to judge that.

The top of a ranking by noisy accuracies is in part the luckiest (the winner's curse), and a space may be so
good that any network of it does: so a network shaped as EfficientNet-B0 and random networks of the space are
trained alongside, all of about the multiply-adds of the network that the search recommends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nas.config import SearchConfig, load_config
from nas.finalists_config import Chosen, ChosenNetwork, FinalistsConfig, Pick, SearchFacts
from nas.finalists_shape import is_b0_shaped, matched_b0
from nas.lookup import refuse_unranked
from nas.replay import space_of
from results import EvaluatorFacts, Run, Trial, cost_of, front_by, ranked
from results.wording import COST_NAMES, count_of, networks
from search_space import Architecture, FieldError, InputError, StageSpace, cost
from trainers.recipe import Recipe

TOLERANCE = 0.05  # of the MACs of random networks, at first
WIDEST = 6.4  # beyond that equal MACs mean nothing
_DRAWS = 20_000
_AT_ONCE = 2_000


def choose(search: Run, config: FinalistsConfig) -> Chosen:
    """The networks that a configuration takes from a search.

    Args:
        search: the run.
        config: how many, by which rule, and at which image size they will be trained.

    Raises:
        InputError: it is no search, too few of its candidates have finished, or they cannot be trained at
            one image size.
    """
    refuse_unranked(search)
    settings = load_config(search.config_path)
    with search.journal() as journal:
        facts = journal.evaluator()
    done = ranked(search.trials())
    wanted = config.finalists
    if facts is None or len(done) < wanted.n:
        raise InputError(
            f"{search.name}: has {count_of(len(done), 'finished candidate')}, too few for "
            f"{count_of(wanted.n, 'finalist')}; -n takes fewer"
        )
    front = front_by(done, (cost_of(search.config()), "accuracy")).trials
    best = search.recommended()
    picked = _picked(done, front, best, wanted.n, wanted.pick)
    finalists = [_finalist(trial, trial.id == best.id, settings, config.recipe) for trial in picked]
    _check_sizes(finalists)
    b0 = _b0(search, settings, facts, finalists, config.recipe)
    if isinstance(b0, int):
        finalists[b0] = replace(finalists[b0], b0_shaped=True)
    taken = [*finalists, *([] if isinstance(b0, int) else [b0])]
    random, tolerance = _random(search, settings, facts, taken, config)
    return Chosen(
        search=SearchFacts(
            name=search.path.resolve().name,  # of . too, and of a link
            key=search_key(settings, facts),
            num_classes=facts.num_classes,
            in_channels=facts.in_channels,
            candidates=len(done),
            front=len(front),
            objective=settings.objective,
            data=settings.data,
            protocol=None if settings.protocol is None else settings.model_dump(mode="json")["protocol"],
        ),
        rule=_rule(picked, front, wanted.pick, settings.objective.cost),
        tolerance=tolerance,
        networks=(*taken, *random),
    )


def search_key(config: SearchConfig, facts: EvaluatorFacts) -> str:
    """What a search is known by: all that its candidates' rewards depend on, and no name of a file."""
    data = config.model_dump(mode="json")
    parts = {name: data[name] for name in ("space", "limits", "objective", "protocol")}
    text = json.dumps({**parts, "evaluator": facts.fingerprint}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# --- finalists ---------------------------------------------------------------------------------------


def _picked(
    done: Sequence[Trial], front: Sequence[Trial], best: Trial, number: int, pick: Pick
) -> list[Trial]:
    """The recommended network first, then by reward: those of the front before others where that is asked."""
    on_front = {trial.id for trial in front} if pick == "front" else set()
    others = [trial for trial in done if trial.id != best.id]
    others.sort(key=lambda trial: trial.id not in on_front)  # stable: by reward within both
    return [best, *others[: number - 1]]


def _rule(picked: Sequence[Trial], front: Sequence[Trial], pick: Pick, cost_name: str) -> str:
    """How they were picked, in words."""
    first = f"candidate {picked[0].id}, which the search recommends"
    if len(picked) == 1:
        return f"{first}, alone"
    if pick == "top":
        return f"{first}, and the next {len(picked) - 1} by reward"
    on_front = {trial.id for trial in front}
    number = sum(trial.id in on_front for trial in picked[1:])
    what = f"of the Pareto front of accuracy and {COST_NAMES.get(cost_name, cost_name)}"
    text = f"{first}, and {number} {what} ({networks(len(front))}) by reward"
    more = len(picked) - 1 - number
    return text if not more else f"{text}; then the next {more} by reward, since the front has no more"


def _finalist(trial: Trial, recommended: bool, settings: SearchConfig, recipe: Recipe) -> ChosenNetwork:
    architecture = _trained(trial.network(), recipe)
    return ChosenNetwork(
        name=f"candidate {trial.id}",
        role="finalist",
        architecture=architecture.renamed(f"candidate-{trial.id}"),
        recommended=recommended,
        b0_shaped=is_b0_shaped(architecture),
        candidate=trial.id,
        proxy_accuracy=trial.accuracy,
        cost=trial.cost(settings.objective.cost),
    )


def _trained(architecture: Architecture, recipe: Recipe) -> Architecture:
    """What a recipe trains for an architecture.

    Raises:
        InputError: its image size is too small.
    """
    try:
        return recipe.network(architecture)
    except FieldError as error:
        raise InputError(f"recipe: {error}") from None


def _check_sizes(finalists: Sequence[ChosenNetwork]) -> None:
    """Refuse networks whose costs do not compare."""
    sizes = sorted({network.architecture.image_size for network in finalists})
    if len(sizes) > 1:
        raise InputError(
            f"the finalists take images of {', '.join(map(str, sizes))} pixels, and their costs do not "
            f"compare; recipe.image_size={sizes[-1]} trains all at one size"
        )


# --- what is put beside them -------------------------------------------------------------------------


def _b0(
    search: Run,
    settings: SearchConfig,
    facts: EvaluatorFacts,
    finalists: Sequence[ChosenNetwork],
    recipe: Recipe,
) -> ChosenNetwork | int:
    """B0's shape at the recommended network's MACs, or the place of the finalist that it is.

    A baseline of the search that is shaped as B0 is taken where its MACs are near enough.
    """
    best = finalists[0].architecture
    target = cost(best, facts.num_classes, facts.in_channels).macs
    for place, finalist in enumerate(finalists):
        macs = cost(finalist.architecture, facts.num_classes, facts.in_channels).macs
        if finalist.b0_shaped and abs(macs / target - 1.0) <= TOLERANCE:
            return place
    own = [
        _alike(_trained(trial.network(), recipe), best)
        for trial in search.baselines()
        if is_b0_shaped(trial.network())
    ]
    shape = matched_b0(_space_of(settings, facts), best, own, facts.num_classes, facts.in_channels)
    known = {finalist.architecture.key: place for place, finalist in enumerate(finalists)}
    if shape.architecture.key in known:
        return known[shape.architecture.key]
    name = shape.architecture.name
    return ChosenNetwork(
        name=f"baseline {name}" if shape.architecture in own else name,  # no name of another network here
        role="b0",
        architecture=shape.architecture,
        b0_shaped=True,
        proxy_accuracy=_proxy_accuracy(search, shape.architecture, recipe),
        note=shape.note,
    )


def _alike(architecture: Architecture, other: Architecture) -> Architecture:
    """The same with the dropout and the stochastic depth of another, so that shapes alone are compared."""
    return replace(architecture, dropout=other.dropout, drop_path=other.drop_path)


def _space_of(settings: SearchConfig, facts: EvaluatorFacts) -> StageSpace:
    """The space of a search, with its limits.

    Raises:
        InputError: its limits leave nothing of it.
    """
    try:
        return space_of(settings, facts)
    except FieldError as error:
        raise InputError(str(error)) from None


def _proxy_accuracy(search: Run, architecture: Architecture, recipe: Recipe) -> float | None:
    """Of a network that the search happens to have measured."""
    measured = _measured(search, recipe)
    trial = measured.get((architecture.key, architecture.dropout, architecture.drop_path))
    return None if trial is None else trial.accuracy


def _measured(search: Run, recipe: Recipe) -> Mapping[tuple[str, float, float], Trial]:
    """What the search has measured, by what would be trained for it."""
    known = {}
    for trial in [*search.baselines(), *search.trials()]:
        if trial.status == "done":
            network = _trained(trial.network(), recipe)
            known[network.key, network.dropout, network.drop_path] = trial
    return known


def _random(
    search: Run,
    settings: SearchConfig,
    facts: EvaluatorFacts,
    taken: Sequence[ChosenNetwork],
    config: FinalistsConfig,
) -> tuple[list[ChosenNetwork], float]:
    """Random networks of the space of about the recommended one's MACs, and how near these are.

    The tolerance doubles until there are enough, for a space may hold few. The draws are the same each time.
    """
    space = _space_of(settings, facts)
    target = cost(taken[0].architecture, facts.num_classes, facts.in_channels).macs
    keys = {network.architecture.key for network in taken}
    tolerance, found = TOLERANCE, list[Architecture]()
    while tolerance <= WIDEST:
        found = _drawn(space, facts, target, tolerance, keys, config)
        if len(found) == config.finalists.randoms:
            break
        tolerance *= 2
    tolerance = min(tolerance, WIDEST)
    measured = _measured(search, config.recipe)
    networks = []
    for number, architecture in enumerate(found, start=1):
        trial = measured.get((architecture.key, architecture.dropout, architecture.drop_path))
        proposed = trial is not None and trial.proposed
        networks.append(
            ChosenNetwork(
                name=f"random {number}",
                role="random",
                architecture=architecture.renamed(f"random-{number}"),
                b0_shaped=is_b0_shaped(architecture),
                candidate=trial.id if trial is not None and proposed else None,
                proxy_accuracy=None if trial is None else trial.accuracy,
            )
        )
    return networks, tolerance


def _drawn(
    space: StageSpace,
    facts: EvaluatorFacts,
    target: int,
    tolerance: float,
    others: set[str],
    config: FinalistsConfig,
) -> list[Architecture]:
    """Different networks within a tolerance of some MACs, uniform over the choices; as many as are wanted."""
    found: dict[str, Architecture] = {}
    for point in _near(space, target, tolerance, config):
        network = _trained(space.decode(point), config.recipe)
        macs = cost(network, facts.num_classes, facts.in_channels).macs
        if abs(macs / target - 1.0) <= tolerance and network.key not in others:
            found.setdefault(network.key, network)
        if len(found) == config.finalists.randoms:
            break
    return list(found.values())


def _near(
    space: StageSpace, target: int, tolerance: float, config: FinalistsConfig
) -> Iterator[Sequence[int]]:
    """Points drawn within the space's limits; where tables tell MACs, those that are far off are left out."""
    rng = np.random.default_rng(config.seed)
    seen: set[tuple[int, ...]] = set()
    sizes = np.array([len(decision.choices) for decision in space.decisions])
    same_size = config.recipe.image_size in (None, space.skeleton.image_size)
    for _ in range(_DRAWS // _AT_ONCE):
        points = rng.integers(sizes, size=(_AT_ONCE, len(sizes)))
        kept = space.allowed(points)
        macs = space.known_cost(points, "macs") if same_size else None
        if macs is not None:
            kept = kept & (np.abs(macs / target - 1.0) <= tolerance)
        for point in map(tuple, points[kept].tolist()):
            if point not in seen:
                seen.add(point)
                yield point
