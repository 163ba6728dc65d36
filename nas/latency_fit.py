"""Fit a model of latency to networks of a space that were measured, and test it on others.

The networks are drawn uniformly over the space's choices and are all different. What is fitted is the ratio
to a reference network that ran in between, times the reference's median over the whole session, so that a
machine's drift cancels. A part is held out by a seeded draw and touches no coefficient; some networks are
measured a second time, which tells how well anything could predict.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nas.latency_regression import fit_rates, kendall, relative_error, spearman, spearman_interval
from nas.latency_samples import Conditions, Sample, SampleFile
from search_space import Architecture, FieldError, InputError, LatencyModel, StageSpace, cost
from search_space.operators import features, operators

if TYPE_CHECKING:
    from trainers.latency import Latency

Floats = npt.NDArray[np.float64]
Measure = Callable[[Sequence[Architecture]], "Sequence[Latency | Exception]"]
"""Of networks that take turns: the latency of each, or why it cannot be run."""
_DRAWS = 50  # for each network that is wanted, before a space is held to have no more
_FAILURES = 5  # in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """How many networks are measured, and which part of them tests.

    Attributes:
        networks: that are fitted.
        held_out: that test.
        retests: how many are measured twice, at most as many as are held out.
        seed: of the draw of networks, and of the choice of those that are held out.
    """

    networks: int = 300
    held_out: int = 100
    retests: int = 40
    seed: int = 0

    @property
    def measurements(self) -> int:
        """All there are to be made."""
        return self.networks + self.held_out + min(self.retests, self.held_out)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyFit:
    """A fitted model with what it was tested on; F fitted and H held-out networks.

    Attributes:
        model: with its quality.
        fitted, held_out: the networks of both parts, which share none.
        fitted_ms, measured_ms: measured, (F,) and (H,).
        predicted_ms: of the held-out networks, (H,).
        macs: of the held-out networks, (H,).
        shares: what each feature contributes to the fitted networks' latency, in the mean, 0 to 1.
    """

    model: LatencyModel
    fitted: Sequence[Architecture]
    held_out: Sequence[Architecture]
    fitted_ms: Floats
    measured_ms: Floats
    predicted_ms: Floats
    macs: Floats
    shares: dict[str, float]


def collect(
    space: StageSpace,
    file: SampleFile,
    plan: FitPlan,
    measure: Measure,
    on_sample: Callable[[], None] | None = None,
    group: int = 1,
) -> None:
    """Measure what the plan still lacks, each into the file at once.

    Args:
        space: whose networks are drawn.
        file: within its `SampleFile.writing`.
        plan: how many.
        measure: of a group; a network that cannot be run is recorded as such, and another is drawn.
        on_sample: called after each measurement that succeeded.
        group: networks that are measured together, and are lost together when the process is killed.

    Raises:
        InputError: the space holds too few networks, or several in a row cannot be run.
    """
    drawn = _draws(space, plan, {sample.architecture.key for sample in file.samples})
    missing = plan.networks + plan.held_out - len(first_measurements(file.samples))
    failed = 0
    while missing > 0:
        networks = list(itertools.islice(drawn, min(group, missing)))
        for sample in _measured(networks, measure, retest=False):
            file.append(sample)
            if sample.error:
                failed += 1
                if failed == _FAILURES:
                    raise InputError(f"{failed} networks in a row cannot be run; the last: {sample.error}")
                continue
            missing, failed = missing - 1, 0
            if on_sample is not None:
                on_sample()
    rest = _not_retested(file.samples, plan)
    for start in range(0, len(rest), group):
        for sample in _measured(rest[start : start + group], measure, retest=True):
            file.append(sample)
            if on_sample is not None:
                on_sample()


def lacking(samples: Sequence[Sample], plan: FitPlan) -> int:
    """How many measurements the plan still lacks."""
    missing = plan.networks + plan.held_out - len(first_measurements(samples))
    again = sum(sample.retest for sample in samples)
    return max(0, missing) + max(0, min(plan.retests, plan.held_out) - again)


def _not_retested(samples: Sequence[Sample], plan: FitPlan) -> list[Architecture]:
    """Held-out networks to measure a second time, where not enough networks have been."""
    _, held_out = divide(samples, plan)
    again = {sample.architecture.key for sample in samples if sample.retest}
    rest = [sample.architecture for sample in held_out if sample.architecture.key not in again]
    return rest[: max(0, min(plan.retests, plan.held_out) - len(again))]


def first_measurements(samples: Sequence[Sample]) -> list[Sample]:
    """The first of each network, without failures."""
    found: dict[str, Sample] = {}
    for sample in samples:
        if not sample.error and not sample.retest:
            found.setdefault(sample.architecture.key, sample)
    return list(found.values())


def divide(samples: Sequence[Sample], plan: FitPlan) -> tuple[list[Sample], list[Sample]]:
    """Those to fit and those that are held out, in an order that does not follow the session's.

    The choice depends on the seed and on the networks, not on when they were measured.

    Raises:
        InputError: there are fewer than the plan wants.
    """
    pool = first_measurements(samples)[: plan.networks + plan.held_out]
    if len(pool) < plan.networks + plan.held_out:
        raise InputError(f"{len(pool)} networks are measured, and {plan.networks + plan.held_out} are wanted")
    pool.sort(key=lambda sample: sample.architecture.key)
    order = np.random.default_rng([plan.seed, 1]).permutation(len(pool))
    shuffled = [pool[place] for place in order]
    return shuffled[plan.held_out :], shuffled[: plan.held_out]


def fit(space: StageSpace, samples: Sequence[Sample], conditions: Conditions, plan: FitPlan) -> LatencyFit:
    """Fit on one part and test on the other.

    Args:
        space: whose networks they are.
        samples: the measurements.
        conditions: under which they were made.
        plan: how many are fitted and held out, and the seed that divides them.

    Raises:
        InputError: there are too few measurements.
    """
    fitted, held_out = divide(samples, plan)
    reference_ms = float(np.median([sample.reference_ms for sample in (*fitted, *held_out)]))
    targets = np.array([sample.ratio for sample in fitted]) * reference_ms
    measured = np.array([sample.ratio for sample in held_out]) * reference_ms
    networks = [sample.architecture for sample in fitted]
    others = [sample.architecture for sample in held_out]
    untested = fit_model(space, networks, targets, conditions, reference_ms)
    classes = (conditions.num_classes, conditions.in_channels)
    predicted = _predicted(untested, others, classes)
    costs = np.array([cost(network, *classes) for network in others], dtype=np.float64)  # (H, 2)
    quality = _quality(len(fitted), predicted, measured, costs, _retested(samples))
    model = LatencyModel.from_dict({**untested.to_dict(), "quality": quality})
    return LatencyFit(
        model=model,
        fitted=networks,
        held_out=others,
        fitted_ms=targets,
        measured_ms=measured,
        predicted_ms=predicted,
        macs=costs[:, 0],
        shares=_shares(model, networks, classes),
    )


def fit_model(
    space: StageSpace,
    architectures: Sequence[Architecture],
    milliseconds: npt.ArrayLike,
    conditions: Conditions,
    reference_ms: float,
) -> LatencyModel:
    """The model of measured networks, untested.

    Args:
        space: whose networks they are.
        architectures: N networks.
        milliseconds: (N,) what they take.
        conditions: under which they were measured.
        reference_ms: the reference's median.
    """
    classes = (conditions.num_classes, conditions.in_channels)
    names, amounts = feature_matrix(architectures, *classes)
    intercept, rates = fit_rates(amounts, np.asarray(milliseconds, dtype=np.float64))
    return LatencyModel(
        intercept=intercept,
        coefficients=dict(zip(names, rates.tolist(), strict=True)),
        image_size=space.skeleton.image_size,
        stem=space.skeleton.stem,
        head=space.skeleton.head,
        num_classes=conditions.num_classes,
        in_channels=conditions.in_channels,
        device=conditions.device,
        device_name=conditions.device_name,
        backend=conditions.backend,
        batch=conditions.batch,
        threads=conditions.threads,
        versions=conditions.versions,
        space=space.name,
        reference=conditions.reference,
        reference_ms=reference_ms,
    )


def feature_matrix(
    architectures: Sequence[Architecture], num_classes: int = 1000, in_channels: int = 3
) -> tuple[list[str], Floats]:
    """Names (F) and amounts (N, F) of the features in which networks differ; what none varies is left out."""
    rows = [features(operators(network, num_classes, in_channels)) for network in architectures]
    names = sorted({name for row in rows for name in row})
    amounts = np.array([[row.get(name, 0) for name in names] for row in rows], dtype=np.float64)
    varies = amounts.max(axis=0) > amounts.min(axis=0)
    return [name for name, kept in zip(names, varies, strict=True) if kept], amounts[:, varies]


def _draws(space: StageSpace, plan: FitPlan, known: set[str]) -> Iterator[Architecture]:
    """Networks that are not known, each once; the same ones for the same seed."""
    rng = np.random.default_rng([plan.seed, 0])
    seen = set(known)
    for _ in range(_DRAWS * (plan.networks + plan.held_out)):
        network = space.decode(space.random(rng))
        if network.key not in seen:
            seen.add(network.key)
            yield network
    wanted = plan.networks + plan.held_out
    raise InputError(f"{wanted} different networks are wanted, and {space.name!r} gave only {len(seen)}")


def _measured(networks: Sequence[Architecture], measure: Measure, retest: bool) -> Iterator[Sample]:
    for network, found in zip(networks, measure(networks), strict=True):
        if isinstance(found, Exception):  # such as too little memory
            text = " ".join(str(found).split()) or type(found).__name__
            yield Sample(architecture=network, retest=retest, error=text)
            continue
        if found.ratio is None or found.reference_ms is None:
            raise InputError("a model of latency is fitted to ratios, which need a reference network")
        yield Sample(
            architecture=network,
            ratio=found.ratio,
            reference_ms=found.reference_ms,
            median_ms=found.median_ms,
            repeats=found.repeats,
            retest=retest,
        )


def _predicted(
    model: LatencyModel, architectures: Sequence[Architecture], classes: tuple[int, int]
) -> Floats:
    try:
        return model.predict_many(architectures, *classes)
    except FieldError as error:  # an operator that only held-out networks have
        raise InputError(f"the networks to fit are too few: a held-out one {error}") from None


def _retested(samples: Sequence[Sample]) -> Floats:
    """Ratios of the networks that were measured twice, first and second: (R, 2)."""
    first = {sample.architecture.key: sample.ratio for sample in first_measurements(samples)}
    second = {s.architecture.key: s.ratio for s in samples if s.retest and not s.error}
    return np.array([[first[key], second[key]] for key in first if key in second]).reshape(-1, 2)


def _quality(
    fitted: int, predicted: Floats, measured: Floats, costs: Floats, retested: Floats
) -> dict[str, float | None]:
    low, high = spearman_interval(predicted, measured)
    twice = len(retested) > 2
    return {
        "fitted": fitted,
        "held_out": len(measured),
        "spearman": spearman(predicted, measured),
        "spearman_low": low,
        "spearman_high": high,
        "kendall": kendall(predicted, measured),
        "mape": relative_error(predicted, measured),
        "macs_spearman": spearman(costs[:, 0], measured),
        "params_spearman": spearman(costs[:, 1], measured),
        "retest_spearman": spearman(retested[:, 1], retested[:, 0]) if twice else None,
        "retest_mape": relative_error(retested[:, 1], retested[:, 0]) if twice else None,
    }


def _shares(
    model: LatencyModel, networks: Sequence[Architecture], classes: tuple[int, int]
) -> dict[str, float]:
    rows = [features(operators(network, *classes)) for network in networks]
    total = model.predict_many(networks, *classes)
    return {
        name: float(np.mean([rate * row.get(name, 0) for row in rows] / total))
        for name, rate in model.coefficients.items()
    }
