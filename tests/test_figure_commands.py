"""``nas figures``, ``nas show --plot`` and ``nas scale --plot`` as a user meets them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nas import run_search
from results import Run
from results.figures import FamilyPoint
from search_space import load_architecture
from tests.searching import Scripted, config
from tests.test_cli import nas

NAMES = ["pareto", "search", "hypervolume", "policy", "choices", "architecture"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A current directory with a search of 8 candidates and a baseline, and one of nothing but a failure."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("place")
    os.chdir(folder)
    run_search(
        config(search={"candidates": 8}, baselines=["efficientnet_b0"]),
        evaluator=Scripted(folder / "diary", acts={3: "raise"}),
    )
    run_search(
        config("empty", search={"candidates": 1}), evaluator=Scripted(folder / "other", acts={1: "raise"})
    )
    yield folder
    os.chdir(before)


def svg_text(path: Path) -> str:
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_every_figure_of_a_run_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = nas(capsys, "figures", "t")
    assert (code, err) == (0, "")
    paths = [Path("runs/t/figures") / f"{name}.png" for name in NAMES]
    assert out.splitlines() == [f"wrote {path}" for path in paths]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert sorted(Path("runs/t/figures").iterdir()) == sorted(paths)


def test_another_folder_and_format_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        code, out, err = nas(capsys, "figures", "t", "-o", "deep/er", "--format", "svg", "--json")
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    assert document == {"run": "t", "figures": {name: f"deep/er/{name}.svg" for name in NAMES}}
    drawing = svg_text(Path("deep/er/architecture.svg"))
    recommended = Run(Path("runs/t")).recommended()
    assert f"t: candidate {recommended.id}, recommended" in drawing
    assert "efficientnet_b0, baseline" in drawing
    assert "hypervolume" in svg_text(Path("deep/er/hypervolume.svg"))


def test_a_drawing_and_a_family_are_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = nas(capsys, "show", "t@best", "--plot", "one.png")
    assert (code, err, out.splitlines()[-1]) == (0, "", "wrote one.png")
    code, out, err = nas(capsys, "show", "t@best", "--plot", "two.pdf", "--json")
    assert (code, err) == (0, "")
    assert "key" in json.loads(out)
    code, out, err = nas(
        capsys, "scale", "mnasnet_a1", "--plot", "f.svg", "--accuracy", "mnasnet_a1_b0=0.752"
    )
    assert (code, err, out.splitlines()[-1]) == (0, "", "wrote f.svg")
    assert Path("one.png").read_bytes().startswith(b"\x89PNG")
    assert Path("two.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["efficientnet_b0"], []),
        (["mine.yaml"], []),  # the same network under another name
        (["efficientnet_b0", "--accuracy", "efficientnet_b1=0.78"], [("efficientnet_b1", 0.78)]),
        (["efficientnet_b0", "--phi", "1"], [("efficientnet_b0-phi1", None)]),
        (
            ["resnet_50", "--phi", "0", "--phi", "1", "--accuracy", "resnet_50-phi1=1"],
            [("resnet_50-phi0", None), ("resnet_50-phi1", 1.0)],
        ),
        (["efficientnet_b0", "--depth", "2"], [("efficientnet_b0-d2", None)]),
    ],
)
def test_members_are_drawn_with_what_is_known_and_the_published_family_only_once(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: list[tuple[str, float | None]],
) -> None:
    drawn: list[FamilyPoint] = []
    monkeypatch.setattr("results.figures.family_figure", lambda members, *_, **__: drawn.extend(members))
    monkeypatch.setattr("nas.figure_commands.save_figure", lambda figure, path: None)
    load_architecture("efficientnet_b0").renamed("mine").save("mine.yaml")
    assert nas(capsys, "scale", *arguments, "--plot", "family.svg")[0] == 0
    assert [(member.name, member.accuracy) for member in drawn] == expected


def test_the_figure_of_a_family_is_of_the_edition_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("scale", "efficientnet_b0", "--edition", "icml", "--plot", "family.svg")
    assert nas(capsys, *arguments)[0] == 0
    drawn = Path("family.svg").read_text()
    assert "ICML 2019" in drawn
    assert "1905.11946v5" not in drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figures", "empty"], "empty: no candidate has finished yet, so there is nothing to draw"),
        (["figures", "nosuch"], "no run 'nosuch' under runs/"),
        (["figures", "t", "--format", "gif"], "--format must be png, svg, pdf, got 'gif'"),
        (["figures", "t", "-o", "file"], "file: must be a folder"),
        (["figures", "t", "-o", "file/in"], "cannot be written"),
        (["show", "efficientnet_b0", "--plot", "x.bmp"], "x.bmp: must end in .png, .svg, .pdf"),
        (["show", "nosuch", "--plot", "x.png"], "nosuch"),
        (["scale", "efficientnet_b0", "--plot", "x"], "x: must end in .png, .svg, .pdf"),
        (["scale", "efficientnet_b0", "--accuracy", "efficientnet_b0=0.7"], "needs --plot"),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", "--accuracy", "0.7", "-o", "members"],
            "--accuracy must be NAME=VALUE, got '0.7'",
        ),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", "--accuracy", "efficientnet_b1=high"],
            "--accuracy must be NAME=VALUE, got 'efficientnet_b1=high'",
        ),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", "--accuracy", "eficientnet_b1=0.7"],
            "did you mean efficientnet_b1?",
        ),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", "--accuracy", "efficientnet_b1=77.1"],
            "efficientnet_b1 must be between 0 and 1, got 77.1",
        ),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", "--accuracy", "efficientnet_b1=nan"],
            "efficientnet_b1 must be between 0 and 1, got nan",
        ),
        (
            ["scale", "efficientnet_b0", "--plot", "x.png", *["--accuracy", "efficientnet_b1=0.7"] * 2],
            "--accuracy gives efficientnet_b1 twice",
        ),
    ],
)
def test_mistakes_are_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("file").touch()
    before = sorted(path for path in Path().rglob("*") if not path.name.endswith(("-wal", "-shm")))
    code, out, err = nas(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert sorted(path for path in Path().rglob("*") if not path.name.endswith(("-wal", "-shm"))) == before


def test_an_audit_has_its_own_figure(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil
    import sqlite3

    shutil.copytree("runs/t", "runs/audited")
    with sqlite3.connect("runs/audited/journal.db") as journal:
        journal.execute("DELETE FROM proposals")
        journal.execute("UPDATE trials SET reward = NULL")
    journal.close()
    code, out, err = nas(capsys, "figures", "audited")
    assert (code, out) == (2, "")
    assert "audited is an audit and ranks nothing" in err
