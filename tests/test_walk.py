"""docs/walk.md: its commands can be typed, its files are there, and `benchmarks.walk` runs what it says."""

from __future__ import annotations

import json
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from benchmarks import walk, walk_page
from benchmarks.walk_page import (
    LARGEST_FIGURE,
    Step,
    clock,
    figures_of,
    small_png,
    steps_of,
    with_printed,
    with_times,
)
from nas import load_config, load_train_config
from nas.cli import app
from nas.finalists_config import load_finalists_config
from nas.scaling import scale_dimensions
from nas.scaling_config import load_scaling_config
from nas.scaling_grid import within_budget
from nas.scaling_settings import GridSettings
from nas.transfer_config import load_transfer_config
from search_space import InputError, load_space
from trainers import read_facts
from trainers.prepare import PrepareOptions, prepare

PAGE = walk.PAGE.read_text(encoding="utf-8")
STEPS = steps_of(PAGE)
COMMANDS = [shlex.split(command) for step in STEPS for command in step.commands]
CONFIGS = walk.ROOT / "configs" / "walk"
MACHINE = "two cores"

SMALL = """# A walk
In <!-- total -->?<!-- end -->.
<!-- times -->
<!-- end -->
## One
```sh
echo one \\
  more
# a remark
mkdir -p runs/a
```
<!-- printed: echo one -->
old
<!-- end -->
## Nothing to do
## Two
```sh
mkdir -p runs/b/figures
sh step.sh runs/b/figures/x.png
```
<!-- printed, 1 lines: sh step.sh -->
<!-- end -->
![x](images/walk-x.png)
"""


# --- the page ----------------------------------------------------------------------------------------------


def parsed(words: list[str]) -> dict[str, Any]:
    """A command's values by its own parser, without running it."""
    command = typer.main.get_command(app)
    context = command.make_context("nas", words[1:])
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context.params


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words[:3]) for words in COMMANDS])
def test_every_command_can_be_typed(words: list[str]) -> None:
    assert words[0] == "nas"
    assert parsed(words)


def test_the_parser_of_these_tests_refuses_what_is_no_option() -> None:
    with pytest.raises(Exception, match="no such option|No such option"):
        parsed(["nas", "data", "show", "x", "--imagse", "4"])


def test_the_page_walks_the_whole_road_in_order() -> None:
    road = ["fetch", "search", "pareto", "compare", "export", "scale", "finalists", "transfer", "cam"]
    places = [next(i for i, words in enumerate(COMMANDS) if word in words[1:3]) for word in road]
    assert places == sorted(places)


def test_every_file_that_a_command_reads_is_there_or_made_before() -> None:
    configs = [word for words in COMMANDS for word in words if word.startswith("configs/")]
    assert len(set(configs)) >= 4
    assert {path for path in configs if not (walk.ROOT / path).is_file()} == set()
    runs = {"walk"}
    for words in COMMANDS:
        assert {word.split("@")[0] for word in words if "@" in word} <= runs
        runs |= {after for word, after in pairwise(words) if word == "--run"}
    made: list[str] = []
    for words in COMMANDS:
        for word in words:
            if word.endswith(("/*.yaml", "/*.png")):
                assert word.rpartition("/")[0] in made
        made += [after for word, after in pairwise(words) if word == "-o"]


def test_every_figure_is_there_small_and_written_by_a_command() -> None:
    figures = figures_of(PAGE)
    assert len(figures) >= 5
    for file in figures:
        path = walk.PAGE.parent / "images" / file
        assert 0 < path.stat().st_size <= LARGEST_FIGURE
        with Image.open(path) as image:
            assert image.format == "PNG"


def test_the_page_links_to_what_exists_and_names_no_machine() -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGE)]
    assert links
    assert [link for link in links if not (walk.PAGE.parent / link).exists()] == []
    assert not re.search(r"/(tmp|home|root|work|mnt|Users)/", PAGE)


def test_its_times_are_of_every_step_and_the_sum_of_them() -> None:
    table = re.search(r"<!-- times -->(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert table is not None
    rows = dict(re.findall(r"^\| (.+) \| (\d+:\d\d) \|$", table[1], re.MULTILINE))
    seconds = {name: 60 * int(text[:-3]) + int(text[-2:]) for name, text in rows.items()}
    whole = seconds.pop("all")
    assert list(seconds) == [step.title for step in STEPS]
    assert abs(sum(seconds.values()) - whole) <= len(STEPS)


def test_its_configurations_are_read_and_the_grid_has_points_whatever_the_search_finds() -> None:
    search = load_config(CONFIGS / "search.yaml")
    assert search.name == "walk"
    assert load_train_config(CONFIGS / "train.yaml").subset
    assert load_finalists_config(CONFIGS / "finalists.yaml").finalists.seeds == 2
    assert load_transfer_config(CONFIGS / "transfer.yaml").seeds == 3
    settings = load_scaling_config(CONFIGS / "search.yaml").scaling
    assert isinstance(settings, GridSettings)
    space, rng = load_space(search.space), np.random.default_rng(0)
    for _ in range(40):
        network = space.decode(space.random(rng))
        points = within_budget(network, settings, 10, 3)
        assert len(points) >= 2
        assert all(point.gamma > 1 and max(point.alpha, point.beta) > 1 for point in points)
        for factors in ((2.0, 1.0, 1.0), (1.0, 1.4, 1.0), (1.0, 1.0, 4 / 3)):
            assert scale_dimensions(network, *factors).architecture.key != network.key


# --- reading it, filling it in -----------------------------------------------------------------------------


def test_steps_are_sections_with_commands_whose_lines_are_joined() -> None:
    one = Step(number=1, title="One", commands=("echo one more", "mkdir -p runs/a"))
    two = ("mkdir -p runs/b/figures", "sh step.sh runs/b/figures/x.png")
    assert steps_of(SMALL) == [one, Step(number=2, title="Two", commands=two)]
    assert figures_of(SMALL) == {"walk-x.png": "runs/b/figures/x.png"}


def test_what_came_out_takes_the_place_of_what_was_there_and_again_the_same() -> None:
    printed = {"echo one more": "one more  \n", "sh step.sh runs/b/figures/x.png": "first\nsecond\n"}
    page = with_times(with_printed(SMALL, printed), [61.0, 59.6], MACHINE)
    assert "<!-- printed: echo one -->\n```text\none more\n```\n<!-- end -->" in page
    assert "```text\nfirst\n…\n```" in page
    assert "| One | 1:01 |\n| Two | 1:00 |\n| all | 2:01 |\n\n*two cores.*\n<!-- end -->" in page
    assert "In <!-- total -->2 minutes<!-- end -->." in page
    assert "old" not in page
    assert with_times(with_printed(page, printed), [61.0, 59.6], MACHINE) == page
    assert steps_of(page) == steps_of(SMALL)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            SMALL.replace("printed: echo one", "printed: echo two"),
            "0 commands of the page begin with 'echo two'",
        ),
        (SMALL.replace("x.png\n```", "y.png\n```"), "no command of the page writes x.png"),
        (SMALL.replace("<!-- times -->", ""), "the page has 0 places <!-- times -->"),
    ],
)
def test_a_page_that_does_not_fit_its_commands_is_refused(page: str, message: str) -> None:
    printed = {command: "" for step in steps_of(page) for command in step.commands}
    with pytest.raises(InputError, match=re.escape(message)):
        figures_of(with_times(with_printed(page, printed), [1.0, 1.0], MACHINE))


@pytest.mark.parametrize("seconds", [0.2, 59.7, 61, 3601])
def test_a_time_is_minutes_and_seconds(seconds: float) -> None:
    minutes, rest = clock(seconds).split(":")
    assert 60 * int(minutes) + int(rest) == round(seconds)


def test_a_large_figure_gets_fewer_colours_then_fewer_pixels_and_a_small_one_stays(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(walk_page, "LARGEST_FIGURE", 8_000)
    rng, place = np.random.default_rng(0), tmp_path / "out.png"
    for side, same, kept in [(40, True, 40), (75, False, 75), (90, False, 76)]:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(tmp_path / "f.png")
        small_png(tmp_path / "f.png")(place)
        assert (place.read_bytes() == (tmp_path / "f.png").read_bytes()) == same
        assert place.stat().st_size <= 8_000
        with Image.open(place) as image:
            assert image.width == kept
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(tmp_path / "f.png")
    with pytest.raises(InputError, match="at 0.55 of its size, over 8,000"):
        small_png(tmp_path / "f.png")
    (tmp_path / "f.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be read.*run its step again"):
        small_png(tmp_path / "f.png")


# --- walking it --------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a page and configurations."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "walk.md").write_text(SMALL)
    monkeypatch.setattr(walk, "ROOT", tmp_path)
    monkeypatch.setattr(walk, "PAGE", tmp_path / "docs" / "walk.md")
    return tmp_path


def walked(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    """The exit code of the benchmark."""
    monkeypatch.setattr(sys, "argv", ["walk", "--folder", str(folder), *words])
    try:
        walk.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_walk_stops_where_a_command_fails_goes_on_there_and_fills_in_the_page(
    place: Path, monkeypatch, capfd
) -> None:
    folder = place / "w"
    assert walked(monkeypatch, folder) == 1
    printed = capfd.readouterr()
    assert "$ echo one more\none more\n  exit code 0" in printed.out
    assert "step 2, 'Two': 'sh step.sh runs/b/figures/x.png' failed with exit code" in printed.err
    assert "== Two" in printed.out
    assert "all" not in printed.out
    assert walked(monkeypatch, folder) == 2
    assert "holds a walk; --from N goes on with it" in capfd.readouterr().err
    (folder / "runs" / "b" / "left").touch()
    Image.new("RGB", (8, 8)).save(folder / "image.png")
    (folder / "step.sh").write_text("test ! -e runs/b/left && cp image.png $1 && echo $PWD/done\n")
    assert walked(monkeypatch, folder, "--from", "2", "--write") == 0
    assert re.search(r"0:00 {2}One\n +0:00 {2}Two\n +0:00 {2}all", capfd.readouterr().out)
    page = (place / "docs" / "walk.md").read_text()
    assert "```text\ndone\n```" in page  # without the folder's path
    assert "| Two | 0:00 |" in page
    assert (place / "docs" / "images" / "walk-x.png").is_file()
    assert [len(step["commands"]) for step in json.loads((folder / "walk.json").read_text())] == [2, 2]
    assert walked(monkeypatch, folder, "--from", "3") == 0  # nothing more to run
    (place / "docs" / "walk.md").write_text(SMALL.replace("echo one", "echo none"))
    assert walked(monkeypatch, folder, "--from", "2") == 2
    assert "step 1 has not been done as the page has it now; --from 1" in capfd.readouterr().err


def test_images_that_are_there_take_the_place_of_fetching_and_preparing_them(
    place: Path, photos: Path, monkeypatch, capfd
) -> None:
    cache = place / "c-8"
    prepare(photos, cache, PrepareOptions(image_size=8, workers=1, validation=0.25))
    commands = [
        "nas data fetch cifar10 -o data",
        "nas data prepare data/cifar-10-binary.tar.gz --image-size 8 -o data/c-8",
        "test data/cifar-10-binary.tar.gz -ef " + shlex.quote(str(photos)),
    ]
    block = "\n".join(["## One", "```sh", *commands, "```", ""])
    (place / "docs" / "walk.md").write_text(block)
    assert walked(monkeypatch, place / "w", "--data", str(cache)) == 0
    assert capfd.readouterr().out.count("not run: a link to what is there already") == 2
    assert read_facts(place / "w" / "data" / "c-8").fingerprint == read_facts(cache).fingerprint
    assert walked(monkeypatch, place / "v", "--data", str(place / "nothing")) == 2
    assert "nothing: is not there" in capfd.readouterr().err
