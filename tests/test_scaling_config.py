"""The configuration of scaling: a file of its own, a search's, a run's."""

from pathlib import Path

import pytest

from nas import InputError, load_config
from nas.scaling_config import ScalingConfig, load_scaling_config, of_search, parse_scaling_config
from nas.scaling_settings import DimensionSettings, GridSettings
from search_space import load_architecture
from tests.test_architecture import small
from trainers import ProxyProtocol

SEARCH = (
    "space: digits\nobjective: {target: 1e6}\nseed: 3\nprotocol: {epochs: 2}\n"
    "search: {candidates: 5, max_failures: 7}\nexecutor: {kind: inline}\n"
)


@pytest.fixture
def file(in_tmp: Path) -> Path:
    return in_tmp / "c.yaml"


def test_an_empty_mapping_is_all_defaults(file: Path) -> None:
    file.write_text("{}\n")
    config = load_scaling_config(file)
    assert config == ScalingConfig(name="c")
    assert (config.how, config.data.name, config.scaling) == (ProxyProtocol(), "digits", None)
    file.write_text("protocol: null\n")
    assert load_scaling_config(file).how == ProxyProtocol()


@pytest.mark.parametrize(
    "baseline", [None, small(name="1e3", dropout=0.0), load_architecture("efficientnet_b0")]
)
def test_a_configuration_reads_back_equal(file: Path, baseline) -> None:
    config = ScalingConfig(
        name="c",
        seed=5,
        baseline=baseline,
        protocol=ProxyProtocol(epochs=4, subset=600),
        scaling=GridSettings(alpha=[1, 1.5], points=3),
        dimensions=DimensionSettings(pairs=[(1, 1.3)]),
    )
    file.write_text(config.to_yaml())
    assert load_scaling_config(file) == config
    assert load_scaling_config(file).to_yaml() == config.to_yaml()


def test_a_searchs_configuration_gives_its_data_protocol_seed_and_executor(file: Path) -> None:
    file.write_text(SEARCH + "scaling: {points: 3}\n")
    search, config = load_config(file), load_scaling_config(file)
    assert (config.name, config.seed, config.baseline, config.scaling.points) == ("c-scaling", 3, None, 3)
    assert (config.data, config.protocol, config.executor) == (search.data, search.protocol, search.executor)
    assert (config.search.max_failures, "candidates" in config.search.model_dump()) == (7, False)
    assert load_scaling_config(file, ["training_seed=9", "scaling.seeds=4"], "n") == config.model_copy(
        update={"name": "n", "seed": 9, "scaling": GridSettings(points=3, seeds=4)}
    )
    assert of_search(search, "c-scaling") == config


def test_the_resolved_configuration_of_a_search_serves(file: Path) -> None:
    file.write_text(SEARCH)
    expected = load_scaling_config(file, name="n")
    file.write_text(load_config(file).to_yaml())
    assert load_scaling_config(file, name="n") == expected


def test_a_cache_lies_beside_its_file(file: Path) -> None:
    for text in ("data: {cache: ../photos-16}\n", SEARCH + "data: {cache: ../photos-16}\n"):
        file.write_text(text)
        assert load_scaling_config(file).data.cache == str((file.parent.parent / "photos-16").resolve())
        typed = load_scaling_config(file, ["data.cache=here"])
        assert typed.data.cache == str(Path("here").resolve())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scalling: {}\n", "c.yaml:1: scalling is an unknown key; did you mean scaling?"),
        (
            "seed: 1\nscaling: {alpah: [1]}\n",
            "c.yaml:2: scaling.alpah is an unknown key; did you mean alpha?",
        ),
        (
            "dimensions: {factor: [2]}\n",
            "c.yaml:1: dimensions.factor is an unknown key; did you mean factors?",
        ),
        ("scaling: 3\n", "c.yaml:1: scaling must hold keys and values, got 3"),
        (
            "scaling: {seeds: 2, max_seeds: 1}\n",
            "c.yaml:1: scaling.max_seeds must be at least seeds, 2, got 1",
        ),
        ("data: {name: digts}\n", "c.yaml:1: data.name must be one of digits, got 'digts'"),
        ("data: {name: digits, cache: x}\n", "c.yaml:1: data.cache is one way and name another"),
        (
            "baseline: efficientnet_b0\n",
            "c.yaml:1: baseline must be the contents of an architecture file, got",
        ),
        ("protocol: {epochs: 0}\n", "c.yaml:1: protocol.epochs must be between 1 and 100000, got 0"),
        ("executor: {kind: rey}\n", "c.yaml:1: executor.kind"),
        ("seed: -1\n", "c.yaml:1: seed must be greater than or equal to 0, got -1"),
        ("search: {candidates: 3}\n", "c.yaml:1: search.candidates is an unknown key"),
        (SEARCH + "scaling: {points: 0}\n", "c.yaml:7: scaling.points must be between 1 and 100000, got 0"),
        (SEARCH + "contoller: {}\n", "c.yaml:7: contoller is an unknown key; did you mean controller?"),
    ],
)
def test_a_mistake_names_file_line_and_field(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scaling_config(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plain_data_is_checked_too() -> None:
    with pytest.raises(InputError, match="name is missing"):
        parse_scaling_config({"seed": 3})
