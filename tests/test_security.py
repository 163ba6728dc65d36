"""Files that come from others run no code, names stay in their folder, secrets stay in the environment."""

import io
import os
import re
from pathlib import Path

import pytest
import torch

from nas import load_config, open_run, parse_config, run_search
from results import Journal, run_path
from search_space import InputError, load_architecture, load_space
from tests.processes import Forked
from tests.searching import Scripted, config, session

ROOT = Path(__file__).parent.parent
PACKAGES = ("controller", "nas", "results", "search_space", "trainers")


class Malice:
    """Unpickled, it leaves a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("read", [load_config, load_space, load_architecture])
@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!!python/tuple"]
)
def test_yaml_makes_no_objects(in_tmp: Path, read, tag: str) -> None:
    (in_tmp / "x.yaml").write_text(f"name: {tag} ['touch hacked']\nspace: digits\n")
    with pytest.raises(InputError, match=r"x\.yaml"):
        read(Path("x.yaml") if read is load_config else "x.yaml")
    assert not (in_tmp / "hacked").exists()


def test_a_controllers_state_runs_no_code(in_tmp: Path) -> None:
    scripted = Scripted(in_tmp / "diary")
    run = run_search(config(), evaluator=scripted).run
    journal = Journal.open(run.journal_path)
    state = io.BytesIO()
    torch.save({"malice": Malice(in_tmp / "hacked")}, state)
    journal._db.execute("UPDATE controller SET state = ?", (state.getvalue(),))
    journal.close()
    with pytest.raises(InputError, match="the controller's state cannot be read"):
        run_search(config(search={"candidates": 8}), evaluator=scripted, resume=True)
    assert not (in_tmp / "hacked").exists()


def test_nothing_in_the_packages_reads_what_could_run_code() -> None:
    """Pickles are loaded as weights only, YAML safely; nothing is evaluated.

    What workers of one training say to each other is pickled as all that Ray carries between them is.
    """
    dangerous = re.compile(
        r"torch\.load\((?![^\n]*weights_only=True)|pickle\.loads?\(|yaml\.(load|unsafe_load|full_load)\(|"
        r"(?<![\w.])(eval|exec)\(|shell=True|os\.system\("
    )
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text()
            if file.name == "ray_mailbox.py":
                assert text.count("pickle.loads(said)") == 1
                text = text.replace("pickle.loads(said)", "")
            found = dangerous.search(text)
            assert found is None, f"{file}: {found and found[0]}"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/tmp/x", ".hidden", "-x", "", "a\0b", "a\nb", "x" * 200, ".."]
)
def test_a_runs_name_cannot_leave_the_runs_folder(in_tmp: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no name for a run"):
        run_path(name)
    before = sorted(in_tmp.rglob("*"))
    with pytest.raises(InputError):
        run_search(parse_config({**config().model_dump(mode="json"), "name": name}))
    assert sorted(in_tmp.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_secrets_of_the_environment_are_not_written_into_a_run(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "se-cr-et-1234")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "se-cr-et-5678")
    process = Forked(session, "t", executor, "4")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(open_run("t").trials()) == 4
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in files)
    assert any("tfevents" in path.name for path in files)
    for path in files:
        assert b"se-cr-et" not in path.read_bytes(), path
