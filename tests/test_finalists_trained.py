"""Finalists that are really trained: on digits of 8 pixels, in this process, and in one that is killed."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import nas as package
from nas import InputError
from nas.doctor import Replays, examine
from nas.finalists_config import load_finalists_config
from nas.finalists_run import finalists_evaluator, prepared
from nas.lookup import find_architecture
from nas.provenance import provenance_of
from results import Run, by_network
from tests.doctoring import errors
from tests.finalists import RECIPE, finalists_config, searched
from tests.processes import nas_command, wait_for
from tests.searching import Scripted, config
from tests.test_audit import Interrupting
from tests.test_cli import nas
from trainers import read_facts
from trainers.checkpoints import read_checkpoint

SMALL = {**RECIPE, "image_size": 8, "batch": 400, "shift": 1}  # a training of it takes a fraction of a second


def test_digits_are_really_trained_and_the_test_part_is_measured(in_tmp: Path) -> None:
    search = searched(in_tmp)
    settings = finalists_config(recipe={**SMALL, "epochs": 1}, n=2, seeds=2, keep_weights=True)
    seen: list[bool] = []

    class Looking(Interrupting):
        def on_result(self, trial, best, counts) -> None:
            seen.append(Path("runs/f/checkpoints").is_dir())

    end = package.run_finalists(settings, search, listeners=[Looking(after=-1)])
    assert (end.outcome, end.findings.part, len(seen)) == ("finished", "test", 12)
    assert any(seen)
    assert not Path("runs/f/checkpoints").exists()  # results are in the journal
    for trial in end.run.trials():
        assert len(trial.curve) == 1
        assert trial.curve[-1]["test_accuracy"] == pytest.approx(
            round(trial.curve[-1]["test_accuracy"] * 297) / 297
        )
        checkpoint = read_checkpoint(end.run.weights_path(trial.id))
        assert (checkpoint.architecture.key, checkpoint.facts.seed) == (trial.key, trial.seed)
        assert not checkpoint.resumable
    by = by_network(end.run.trials())
    assert len(by) == 6
    assert {len(set(network.accuracies)) for network in by} != {1}  # seeds differ
    found = examine(end.run, Replays())
    assert (errors(found), found.findings[-1].text) == ({}, "data and trainer are those of the journal")
    assert load_finalists_config(end.run.config_path).chosen.test_part is not None
    other = replace(finalists_evaluator(prepared(settings, search)), test_fingerprint="other")
    with pytest.raises(InputError, match=r"^runs/f: was measured on another test part than that of digits"):
        package.run_finalists(settings, search, evaluator=other)
    with pytest.raises(InputError, match=r"runs/f: was measured on another .* leave it out of --reuse"):
        again = settings.model_copy(update={"name": "g"})
        package.run_finalists(again, search, evaluator=other, reuse=[end.run])
    assert not Path("runs/g").exists()
    known = provenance_of(find_architecture("f@best"))
    assert (known.weights, known.data.name, known.data.confirmed) == ("trained", "digits", True)
    assert len(known.data.mean) == 1


def test_images_of_the_recipes_size_and_their_test_part(in_tmp: Path, photos: Path) -> None:
    from trainers.prepare import PrepareOptions, prepare

    prepare(photos, Path("data/x-16"), PrepareOptions(image_size=16, channels=1, workers=1, validation=0.25))
    shutil.rmtree(photos / "val")
    prepare(photos, Path("data/y-16"), PrepareOptions(image_size=16, channels=1, workers=1, validation=0.25))
    evaluator = Scripted(in_tmp / "d", num_classes=3)
    search = package.run_search(config("s", search={"keep_weights": 0}), evaluator=evaluator).run
    small = {**RECIPE, "image_size": 16, "batch": 4}
    settings = prepared(finalists_config(recipe=small), search)
    x, y = (
        finalists_evaluator(
            settings.model_copy(update={"data": package.parse_config(_data(name)).data, "name": name})
        )
        for name in ("x", "y")
    )
    assert (len(x.test), y.test) == (5, None)
    assert (x.test_fingerprint, y.test_fingerprint) == (read_facts(Path("data/x-16")).test_fingerprint, None)
    assert x.checkpoints == in_tmp / "runs" / "x" / "checkpoints"


def _data(name: str) -> dict:
    return {"name": name, "space": "digits", "objective": {"target": 1}, "data": {"cache": f"data/{name}-16"}}


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(in_tmp: Path, capsys) -> None:
    searched(in_tmp)
    recipe = json.dumps({**SMALL, "epochs": 5})
    Path("c.yaml").write_text(
        f"recipe: {recipe}\nexecutor: {{kind: inline}}\nfinalists: {{n: 1, seeds: 1}}\n"
    )
    words = ["finalists", "s", "--config", "c.yaml", "--run", "f"]
    process = nas_command(*words)
    run = Run(Path("runs/f"))

    def in_the_midst() -> bool:
        saved = list(run.path.glob("checkpoints/*/epoch-*.safetensors"))
        return bool(saved) and run.journal_path.exists() and done(run) >= 1

    wait_for(in_the_midst, process)
    process.kill()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    before = {trial.id: trial for trial in run.trials() if trial.status == "done"}
    assert 1 <= len(before) < 5
    (saved,) = [path for path in run.path.glob("checkpoints/*") if list(path.glob("epoch-*"))]
    assert errors(examine(run)) == {}
    code, out, _ = nas(capsys, *words)
    assert (code, "take candidate" in out) == (0, True)
    assert not saved.exists()
    for trial in run.trials():
        assert trial.status == "done"
        assert [row["epoch"] for row in trial.curve] == [1, 2, 3, 4, 5]
        if trial.id in before:
            assert trial == before[trial.id]
    again = [trial for trial in run.trials() if trial.attempts > 1]
    assert len(again) <= 1


def done(run: Run) -> int:
    """Trainings with a result."""
    try:
        return sum(trial.status == "done" for trial in run.trials())
    except InputError:  # it is only just being made
        return 0
