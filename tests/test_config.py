"""Configurations: strict, and clear about what is wrong."""

from pathlib import Path

import pytest

from nas import InputError, load_config, load_space
from nas.finalists_config import load_finalists_config
from nas.scaling_config import load_scaling_config
from nas.train_config import load_train_config
from nas.transfer_config import load_transfer_config
from search_space import read_yaml
from trainers import ProxyProtocol

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    if "finalists" in read_yaml(path).data:
        assert load_finalists_config(path, [], "a").recipe.epochs > 0
        return
    if "scratch" in read_yaml(path).data:
        assert load_transfer_config(path).name == path.stem
        return
    if "recipe" in read_yaml(path).data:
        assert load_train_config(path).name == path.stem
        return
    if "space" not in read_yaml(path).data:
        scaling = load_scaling_config(path)
        assert (scaling.name, scaling.dimensions is None) == (path.stem, False)
        return
    config = load_config(path)
    load_space(config.space)
    assert config.name == path.stem


def test_the_resolved_configuration_reads_back_equal(tmp_path) -> None:
    config = load_config(CONFIGS / "quickstart.yaml", ["name=other", "executor.time_limit=2.5"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config
    assert load_config(path).executor.time_limit == 2.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("controler: {name: ppo}", "config.yaml:3: controler is an unknown key; did you mean controller?"),
        ("protocol: {epoch: 3}", "config.yaml:3: protocol.epoch is an unknown key; did you mean epochs?"),
        ("protocol: {epochs: 0}", "config.yaml:3: protocol.epochs must be between 1 and 100000, got 0"),
        (
            "protocol: {learning_rate: fast}",
            "config.yaml:3: protocol.learning_rate must be a number, got 'fast'",
        ),
        ("search: {candidates: 1.5}", "config.yaml:3: search.candidates must be a whole number"),
        ("search: {candidates: yes}", "config.yaml:3: search.candidates must be a whole number, got 'yes'"),
        ("search: {candidates: true}", "config.yaml:3: search.candidates must be a whole number, got True"),
        ("executor: {kind: slurm}", "config.yaml:3: executor.kind must be 'ray' or 'inline', got 'slurm'"),
        ("seed: -1", "config.yaml:3: seed must be greater than or equal to 0, got -1"),
        (
            "data: {name: digts}",
            "config.yaml:3: data.name must be one of digits, got 'digts'; did you mean digits?",
        ),
        ("controller: {name: pppo}", "config.yaml:3: controller.name .*; did you mean ppo?"),
        (
            "controller: {options: {lerning_rate: 1}}",
            "config.yaml:3: controller.options.lerning_rate is an unknown key; did you mean learning_rate?",
        ),
        ("space: digits", "config.yaml:3: key 'space' is given twice"),
        ("search: {candidates: 3", "config.yaml:"),
        ("- 3", "config.yaml:"),
    ],
)
def test_a_broken_configuration_names_file_line_and_field(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"space: digits\nobjective: {{target: 1e6}}\n{text}\n")
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["1e3", "2024", "on", "null", "1.5"])
def test_a_run_may_be_called_what_yaml_would_read_otherwise(tmp_path, name: str) -> None:
    config = load_config(CONFIGS / "quickstart.yaml", name=name)
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: \x01", "config.yaml: .*special characters"),
        ("a: &x [*x]", "config.yaml: is nested too deeply, or refers to itself"),
        ("? [a, b]\n: 1", "config.yaml:"),
        ("seed: 010", "seed must be"),
        ("seed: 1:30", "seed must be|mapping values"),
        ("seed: 1_000", "seed must be"),
    ],
)
def test_yamls_traps_are_errors(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"space: digits\nobjective: {{target: 1e6}}\n{text}\n")
    with pytest.raises(InputError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_what_is_done_to_a_document_is_not_in_the_next_reading_of_it(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: [1, 2]}\n")
    first = read_yaml(tmp_path / "a.yaml")
    first.data["a"]["b"].append(3)
    first.lines.clear()
    again = read_yaml(tmp_path / "a.yaml")
    assert (again.data, again.lines["a.b[1]"]) == ({"a": {"b": [1, 2]}}, 1)


def test_a_missing_field_is_named(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("space: digits\nobjective: {cost: params}\n")
    with pytest.raises(InputError, match="config.yaml:2: objective.target is missing"):
        load_config(path)


def test_a_number_in_scientific_notation_is_a_number(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {learning_rate: 1e-3, weight_decay: 1E-5}\n"
    )
    config = load_config(path)
    assert (config.objective.target, config.protocol.learning_rate) == (1e6, 1e-3)
    assert config.protocol.weight_decay == 1e-5


def test_a_section_that_is_null_can_be_set(tmp_path) -> None:
    """A run's own file says so of sections that it was not given."""
    path = tmp_path / "config.yaml"
    path.write_text("space: digits\nobjective: {target: 1e6}\nscaling: null\n")
    assert load_config(path).scaling is None
    assert load_config(path, ["scaling.points=2"]).scaling.points == 2
    with pytest.raises(InputError, match="^--set scaling.pionts is an unknown key; did you mean points?"):
        load_config(path, ["scaling.pionts=2"])


def test_overrides_replace_values_and_name_themselves_when_wrong() -> None:
    path = CONFIGS / "quickstart.yaml"
    assert load_config(path, ["protocol.epochs=7"]).protocol.epochs == 7
    with pytest.raises(InputError, match="^--set protocol.epochs must be between 1 and 100000, got 0$"):
        load_config(path, ["protocol.epochs=0"])
    with pytest.raises(InputError, match="^--set sarch is an unknown key; did you mean search?"):
        load_config(path, ["sarch.candidates=3"])
    with pytest.raises(InputError, match="must be key=value"):
        load_config(path, ["candidates"])
    with pytest.raises(InputError, match="^--set seed.x: seed holds no keys$"):
        load_config(path, ["seed=3", "seed.x=4"])
    with pytest.raises(InputError, match="^--set choices.kernel: choices holds no keys$"):
        load_space("digits", {"choices": 3, "choices.kernel": [3]})


def test_a_space_file_is_found_beside_the_configuration(tmp_path, monkeypatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("space: mine.yaml\nobjective: {target: 1e6}\n")
    space = tmp_path / "conf" / "mine.yaml"
    space.write_text("extends: digits\nname: mine\nchoices: {kernel: [3, 5, 7]}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config("conf/config.yaml")
    assert config.space["choices"]["kernel"] == [3, 5, 7]
    assert load_space(config.space).decisions[1].choices == (3, 5, 7)  # whatever becomes of the file
    space.write_text("extends: digits\nname: mine\nchoices: {kernel: [4]}\n")
    match = r"conf/config.yaml:1: space: conf/mine.yaml:3: choices.kernel\[0\] must be 1 or 3"
    with pytest.raises(InputError, match=match):
        load_config("conf/config.yaml")


def test_a_space_on_the_command_line_is_looked_for_in_the_current_directory(tmp_path, monkeypatch) -> None:
    (tmp_path / "here.yaml").write_text("extends: digits\nchoices: {kernel: [7]}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(CONFIGS / "quickstart.yaml", ["space=here.yaml"])
    assert config.space["choices"]["kernel"] == [7]


def test_a_space_may_stand_in_the_configuration(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("space: {extends: digits, choices: {kernel: [7]}}\nobjective: {target: 1e6}\n")
    assert load_space(load_config(path).space).decisions[1].choices == (7,)
    path.write_text("objective: {target: 1e6}\nspace:\n  extends: digits\n  choices: {kernel: [4]}\n")
    with pytest.raises(InputError, match=r"config.yaml:4: choices.kernel\[0\] must be 1 or 3"):
        load_config(path)
    path.write_text("space: [digits]\nobjective: {target: 1e6}\n")
    with pytest.raises(InputError, match="config.yaml:1: space must be a preset's name, a YAML file or"):
        load_config(path)


def test_limits_are_checked(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("space: digits\nobjective: {target: 1e6}\nlimits: {macs: 2e6, flops: 1}\n")
    with pytest.raises(InputError, match="config.yaml:3: limits.flops is an unknown key"):
        load_config(path)
    path.write_text("space: digits\nobjective: {target: 1e6}\nlimits: {macs: -1}\n")
    with pytest.raises(InputError, match="config.yaml:3: limits.macs must be at least 1, got -1"):
        load_config(path)


def test_the_protocols_hash_follows_every_field_and_the_data() -> None:
    base = ProxyProtocol()
    others = [ProxyProtocol(epochs=4), ProxyProtocol(flip=True), ProxyProtocol(weight_decay=0.0)]
    hashes = {p.hash("data") for p in [base, *others]} | {base.hash("other data")}
    assert len(hashes) == 5
    assert base.hash("data") == ProxyProtocol().hash("data")


def test_a_missing_space_after_a_colon_is_pointed_at(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("space: digits\nobjective: {target: 1e6}\n")
    with pytest.raises(InputError, match=r"YAML wants a space after a colon: \{big: 1\}"):
        load_config(path, ["executor.resources={big:1}"])
