"""Fitting a latency model: what is learnt, that the test is on others, and that no measurement is lost."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import latency_fit
from nas.latency_fit import collect, divide, feature_matrix, fit, lacking
from nas.latency_regression import fit_rates, spearman, spearman_interval
from nas.latency_samples import Sample, SampleFile
from results.figures import latency_model_figure
from search_space import InputError, StageSpace, load_space
from tests.latencies import FEW, PLAN, Machine, a_model, conditions_of, latency_of, measured


@pytest.fixture(scope="module")
def space() -> StageSpace:
    return load_space("mnasnet")


@pytest.fixture(scope="module")
def noisy(space: StageSpace, tmp_path_factory: pytest.TempPathFactory) -> SampleFile:
    """Measurements of a machine with 3 % of noise."""
    path = tmp_path_factory.mktemp("noisy") / "m.jsonl"
    return measured(path, space, Machine(a_model(space), noise=0.03), PLAN)


# --- what is learnt ------------------------------------------------------------------------------------


def test_a_machine_that_is_a_sum_is_learnt(space: StageSpace, tmp_path: Path) -> None:
    truth = a_model(space)
    file = measured(tmp_path / "m.jsonl", space, Machine(truth), PLAN)
    found = fit(space, file.samples, conditions_of(space), PLAN)
    assert found.model.quality is not None
    assert found.model.quality.spearman > 0.995
    assert found.model.quality.mape < 0.01
    rng = np.random.default_rng(99)
    others = [space.decode(space.random(rng)) for _ in range(50)]
    np.testing.assert_allclose(found.model.predict_many(others), truth.predict_many(others), rtol=0.03)
    assert sum(found.shares.values()) < 1.0
    assert min(found.model.coefficients.values()) >= 0.0


def test_noise_is_told_from_the_second_measurement(space: StageSpace, noisy: SampleFile) -> None:
    quality = fit(space, noisy.samples, conditions_of(space), PLAN).model.quality
    assert quality is not None
    assert (quality.fitted, quality.held_out) == (90, 30)
    assert quality.spearman_low <= quality.spearman <= quality.spearman_high
    assert quality.spearman > 0.95 > quality.params_spearman
    assert quality.retest_mape == pytest.approx(0.03 * 2 / np.sqrt(np.pi), rel=0.6)
    assert quality.mape < 0.06


def test_a_drift_that_the_reference_shares_changes_nothing(space: StageSpace, tmp_path: Path) -> None:
    truth = a_model(space)
    steady = measured(tmp_path / "steady.jsonl", space, Machine(truth), PLAN)
    drifting = Machine(truth, drift=lambda call: 1.0 + (call > 60) + 0.2 * np.sin(call))
    drifted = measured(tmp_path / "drifted.jsonl", space, drifting, PLAN)
    ours, theirs = (fit(space, file.samples, conditions_of(space), PLAN).model for file in (steady, drifted))
    assert theirs.quality is not None
    assert theirs.quality.mape < 0.01
    scale = theirs.reference_ms / ours.reference_ms
    assert 1.0 < scale < 2.0
    network = space.decode(space.random(np.random.default_rng(5)))
    assert theirs.predict(network) == pytest.approx(scale * ours.predict(network), rel=1e-6)


def test_rates_are_the_best_on_relative_errors_and_not_negative() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.uniform(1, 10, (200, 3)) * np.array([1.0, 1e6, 1e-3])
    intercept, rates = fit_rates(amounts, 2.0 + amounts @ np.array([0.5, 3e-6, 0.0]))
    assert intercept == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(rates[:2], [0.5, 3e-6], rtol=0.01)
    falls = 100.0 - amounts[:, :1]  # only a negative rate would fit
    assert fit_rates(amounts[:, :1], falls[:, 0])[1][0] == 0.0


def test_features_that_never_vary_are_the_intercepts(space: StageSpace) -> None:
    rng = np.random.default_rng(0)
    networks = [space.decode(space.random(rng)) for _ in range(40)]
    names, amounts = feature_matrix(networks)
    assert amounts.shape == (40, len(names))
    assert (amounts.max(axis=0) > amounts.min(axis=0)).all()
    assert "conv3.macs" in names
    assert "mean.values" not in names
    only = load_space("efficientnet")
    names, _ = feature_matrix([only.decode(only.random(rng)) for _ in range(40)])
    assert not [name for name in names if name.startswith("conv")]  # the stem is all there is


def test_statistics_agree_with_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 40).astype(float)
    assert spearman(a, b + a) == pytest.approx(spearmanr(a, b + a).statistic)
    low, high = spearman_interval(a, b + a)
    assert -1 <= low < spearman(a, b + a) < high <= 1
    assert spearman(a, np.ones(40)) == 0.0


# --- the test is on others -----------------------------------------------------------------------------


def test_what_is_held_out_touches_no_coefficient(space: StageSpace, noisy: SampleFile) -> None:
    found = fit(space, noisy.samples, conditions_of(space), PLAN)
    held_out = {network.key for network in found.held_out}
    assert len(held_out) == 30
    assert not held_out & {network.key for network in found.fitted}
    lies = [
        replace(sample, ratio=17.0 * sample.ratio) if sample.architecture.key in held_out else sample
        for sample in noisy.samples
    ]
    misled = fit(space, lies, conditions_of(space), PLAN)
    assert misled.model.coefficients == found.model.coefficients
    assert misled.model.fingerprint == found.model.fingerprint
    assert misled.model.quality is not None
    assert misled.model.quality.mape > 0.5  # and what is told of them is told of what was measured


def test_who_is_held_out_depends_on_the_seed_and_not_on_the_order(noisy: SampleFile) -> None:
    def keys(samples, seed: int) -> set[str]:
        _, held_out = divide(samples, replace(PLAN, seed=seed))
        return {sample.architecture.key for sample in held_out}

    assert keys(noisy.samples, 0) == keys(noisy.samples[::-1], 0) != keys(noisy.samples, 1)
    first = [sample.architecture.key for sample in noisy.samples[:30]]
    assert 3 < len(keys(noisy.samples, 0) & set(first)) < 20  # from the whole session


def test_too_few_measurements_are_said(noisy: SampleFile) -> None:
    with pytest.raises(InputError, match="120 networks are measured, and 130 are wanted"):
        divide(noisy.samples, replace(PLAN, networks=100))


# --- nothing measured is lost --------------------------------------------------------------------------


def test_an_interrupted_session_goes_on_and_measures_no_network_again(space, tmp_path: Path) -> None:
    truth, path = a_model(space), tmp_path / "m.jsonl"
    whole = measured(tmp_path / "whole.jsonl", space, Machine(truth), FEW)
    with pytest.raises(KeyboardInterrupt):
        measured(path, space, Machine(truth, stop_after=7), FEW)
    assert len(SampleFile(path, space).samples) == 7
    with pytest.raises(KeyboardInterrupt):
        measured(path, space, Machine(truth, stop_after=25), FEW)  # in the second measurements
    file = SampleFile(path, space)
    assert lacking(file.samples, FEW) == 2
    last = Machine(truth)
    file = measured(path, space, last, FEW)
    assert len(last.asked) == 2
    assert lacking(file.samples, FEW) == 0
    keys = [(s.architecture.key, s.retest) for s in file.samples]
    assert keys == [(s.architecture.key, s.retest) for s in whole.samples]
    assert len(set(keys)) == len(keys) == FEW.measurements
    ours, theirs = (fit(space, f.samples, conditions_of(space), FEW).model for f in (file, whole))
    assert ours == theirs


def test_more_networks_take_up_what_is_measured(space, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    measured(path, space, Machine(a_model(space)), FEW)
    machine = Machine(a_model(space))
    more = replace(FEW, networks=25)
    file = measured(path, space, machine, more)
    assert len(machine.asked) == 5
    assert lacking(file.samples, more) == 0


def test_a_torn_last_line_is_dropped_and_measured_again(space, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    file = measured(path, space, Machine(a_model(space)), FEW)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:100])
    torn = SampleFile(path, space)
    assert len(torn.samples) == len(file.samples) - 1
    measured(path, space, Machine(a_model(space)), FEW)
    assert path.read_bytes().splitlines(keepends=True) == lines
    path.write_bytes(lines[0][:40])  # killed in the first line
    assert SampleFile(path, space).conditions is None
    measured(path, space, Machine(a_model(space)), FEW)
    assert path.read_bytes().splitlines(keepends=True) == lines


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (3, lambda text: text[:50], "is no line of JSON"),
        (3, lambda text: "[]", "the line must hold keys and values"),
        (
            3,
            lambda text: text.replace('"ratio"', '"ration"'),
            "the line.ration is an unknown key; did you mean ratio",
        ),
        (2, lambda text: re.sub(r'"ratio": [\d.e-]+', '"ratio": -1.0', text), "ratio must be at least"),
        (2, lambda text: re.sub(r'"ratio": [\d.e-]+', '"ratio": NaN', text), "ratio must be"),
        (
            4,
            lambda text: text.replace('"stride": 2', '"stride": 3'),
            "architecture.stem.stride|architecture.stages",
        ),
        (
            4,
            lambda text: text.replace('"image_size": 224', '"image_size": 96'),
            "must be a network of the space",
        ),
        (1, lambda text: text.replace('"format": 1', '"format": 2'), "format must be 1, got 2"),
        (1, lambda text: text.replace('"batch": 1', '"batch": "x"'), "batch must be a whole number"),
    ],
)
def test_a_corrupt_line_is_named(line: int, change, message: str, space, noisy, tmp_path: Path) -> None:
    lines = noisy.path.read_text().splitlines()[:6]
    changed = change(lines[line - 1])
    assert changed != lines[line - 1]
    lines[line - 1] = changed
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"m\.jsonl:{line}: .*({message})"):
        SampleFile(path, space)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_name": "another"}, "have device_name 'a machine', and here it is 'another'"),
        ({"threads": 2}, "have threads 1, and here it is 2"),
        (
            {"versions": {"python": "3.11.1", "torch": "3"}},
            "have versions torch 2.13, and here it is torch 3",
        ),
        ({"versions": {"python": "3.11.2", "torch": "2.13"}}, ""),
        ({"space": "renamed"}, ""),
    ],
)
def test_measurements_of_another_machine_are_not_mixed(changes, message: str, space, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    measured(path, space, Machine(a_model(space)), FEW)
    file = SampleFile(path, space)
    if not message:
        with file.writing(conditions_of(space, **changes)):
            return
    with pytest.raises(InputError, match=message), file.writing(conditions_of(space, **changes)):
        pass


def test_measurements_of_another_space_are_refused(noisy: SampleFile) -> None:
    with pytest.raises(InputError, match="are of another space, which was called 'mnasnet'"):
        SampleFile(noisy.path, load_space("mnasnet", {"choices.kernel": [3, 5, 7]}))


def test_two_processes_do_not_measure_into_one_file(space, tmp_path: Path) -> None:
    first, second = (SampleFile(tmp_path / "m.jsonl", space) for _ in range(2))
    busy = pytest.raises(InputError, match="another process measures into it")
    machine = Machine(a_model(space))
    with first.writing(conditions_of(space)):
        with busy, second.writing(conditions_of(space)):
            pass
        collect(space, first, FEW, machine)
    with second.writing(conditions_of(space)):  # it read the file when there was nothing in it
        collect(space, second, FEW, machine)
    assert len(machine.asked) == len(second.samples) == FEW.measurements


def test_networks_that_cannot_be_run_are_recorded_and_others_drawn(space, tmp_path: Path) -> None:
    truth, path = a_model(space), tmp_path / "m.jsonl"
    machine = Machine(truth, fails=lambda network: int(network.key[0], 16) < 4)
    file = measured(path, space, machine, FEW, group=4)
    errors = [sample for sample in file.samples if sample.error]
    assert errors
    assert {sample.error for sample in errors} == {"out of memory"}
    assert lacking(file.samples, FEW) == 0
    again = Machine(truth)
    measured(path, space, again, FEW)
    assert not again.asked
    with pytest.raises(InputError, match="5 networks in a row cannot be run; the last: out of memory"):
        measured(tmp_path / "n.jsonl", space, Machine(truth, fails=lambda network: True), FEW)


def test_a_space_with_too_few_networks_is_said(tmp_path: Path) -> None:
    stages = [{"channels": 16, "choices": {"kernel": [3, 5]}}]
    tiny = load_space(
        {"name": "tiny", "image_size": 32, "stem": {"channels": 8}, "head": {"channels": 0}, "stages": stages}
    )
    with pytest.raises(InputError, match="30 different networks are wanted, and 'tiny' gave only 2"):
        measured(tmp_path / "m.jsonl", tiny, Machine(a_model(tiny)), FEW)


def test_names_in_the_figure_are_drawn_as_they_are() -> None:
    title = r"$\frac{ <b>mine</b>"
    figure = latency_model_figure(
        [3.0, 4.0], [3.1, 3.9], [2e8, 3e8], model_text="$x_{", macs_text="y", title=title
    )
    figure.savefig(io.BytesIO())
    assert figure.get_suptitle() == title
    assert [ax.get_title() for ax in figure.axes] == ["$x_{", "y"]


def test_plans_and_samples_name_what_is_wrong(space: StageSpace) -> None:
    network = space.skeleton
    assert Sample(architecture=network, error="broke").ratio == 0.0
    assert FEW.measurements == 34
    with pytest.raises(ValueError, match="ratio must be at least"):
        Sample(architecture=network, repeats=3)
    unpaired = replace(latency_of(network, 3.0), ratio=None)
    with pytest.raises(InputError, match="need a reference network"):
        list(latency_fit._measured([network], lambda networks: [unpaired], retest=False))
