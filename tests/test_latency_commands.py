"""``nas latency measure`` and ``show``: what is printed, stored and refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.latency_commands import _default_sizes, _told_apart
from nas.lookup import Found, find_architecture
from results import list_runs
from results.figures import LatencyPoint, check_figure_path, latency_figure, save_figure
from results.latency_store import (
    LATENCIES,
    append_latencies,
    latest,
    read_latencies,
)
from search_space import InputError
from tests.test_latency import OTHER, QUICK, RECORD, TINY, _small_reference, breaking, nas  # noqa: F401


def test_a_stored_measurement_comes_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "new" / "stored.jsonl"
    other = replace(RECORD, ratio=None, ratio_p5=None, ratio_p95=None, reference_ms=None, reference="")
    append_latencies(path, [RECORD])
    append_latencies(path, [other, RECORD])
    assert read_latencies(path).records == (RECORD, other, RECORD)
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_line_is_passed_over_and_the_next_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "stored.jsonl"
    append_latencies(path, [RECORD, RECORD])
    path.write_bytes(path.read_bytes()[:-40])
    assert (len(read_latencies(path).records), read_latencies(path).torn) == (1, (2,))
    append_latencies(path, [RECORD])
    stored = read_latencies(path)
    assert (stored.records, stored.torn) == ((RECORD, RECORD), (2,))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"median_ms": "fast"}, "1: median_ms must be a number, got 'fast'"),
        ({"median_ms": float("nan")}, "1: median_ms must be at least 0, got nan"),
        ({"batch": 0}, "1: batch must be at least 1, got 0"),
        ({"measured_at": "today"}, "1: measured_at must be a date and time with its zone, got 'today'"),
        ({"format": 2}, "1: format must be 1, got 2"),
        ({"medianms": 1}, "1: medianms is an unknown key; did you mean median_ms"),
    ],
)
def test_a_wrong_measurement_is_named_with_its_line(
    tmp_path: Path, change: dict[str, object], rule: str
) -> None:
    path = tmp_path / "stored.jsonl"
    path.write_text(json.dumps(RECORD.to_json() | change) + "\n")
    with pytest.raises(InputError, match=f"stored.jsonl:{rule}"):
        read_latencies(path)


def test_nothing_is_left_of_what_a_full_disk_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "stored.jsonl", os.write
    append_latencies(path, [RECORD])
    before, calls = path.read_bytes(), iter((10, None))

    def full(file: int, data: bytes) -> int:
        room = next(calls)
        if room is None:
            raise OSError(28, "No space left on device")
        return write(file, data[:room])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match="stored.jsonl: cannot be written: No space left on device"):
        append_latencies(path, [RECORD])
    assert path.read_bytes() == before


def test_the_latest_of_each_network_and_setting_counts() -> None:
    later = replace(RECORD, median_ms=9.0)
    two = replace(RECORD, threads=2)
    wide = replace(RECORD, num_classes=1000)
    assert latest([RECORD, two, later, wide]) == [later, two, wide]


def test_the_command_prints_stores_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("--repeats", "5", "--warmup", "1")
    assert nas("latency", "measure", "efficientnet_b0", "resnet_50", *quick, "--plot", "it.png") == 0
    printed = capsys.readouterr().out
    assert "eager, 1 thread, batch 1; python" in printed
    assert "x efficientnet_b0" in printed
    assert "stored in runs/latency.jsonl" in printed
    assert Path("it.png").read_bytes()[:4] == b"\x89PNG"
    assert [record.name for record in read_latencies(LATENCIES).records] == ["efficientnet_b0", "resnet_50"]
    assert list_runs() == []
    assert nas("ls", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    with LATENCIES.open("a") as file:
        file.write('{"name": "cut')
    assert nas("latency", "show", "--json") == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert [each["name"] for each in document["latencies"]] == ["efficientnet_b0", "resnet_50"]
    assert document["torn_lines"] == [3]
    assert shown.err == "nas: runs/latency.jsonl:3: this line was cut off and is passed over\n"
    assert nas("latency", "show", "--device", "cuda") == 0
    assert "no measured latencies" in capsys.readouterr().out


def test_sizes_that_nobody_chose_are_said() -> None:
    plain = Found(architecture=TINY)
    its_run = Found(architecture=OTHER, num_classes=10, in_channels=1, sized=True)
    line = "1,000 classes and 3 image channels, by default: --classes and --channels say others"
    assert _default_sizes([plain], None, None) == [line]
    assert _default_sizes([its_run, plain], None, None) == [f"{TINY.name}: {line}"]
    assert _default_sizes([its_run], None, None) == []
    assert _default_sizes([plain], 10, 1) == []


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "resnet_50",
        "--reference",
        "none",
        "--repeats",
        "2",
        "--batch",
        "3",
        "-o",
        "mine.jsonl",
        "--json",
    )
    assert nas("latency", "measure", *words) == 0
    printed = capsys.readouterr()
    assert (
        "1,000 classes and 3 image channels, by default: --classes and --channels say others" in printed.err
    )
    document = json.loads(printed.out)
    (found,) = document["latencies"]
    assert document["protocol"]["reference"] == ""
    assert (found["ratio"], found["batch"], found["num_classes"]) == (None, 3, 1000)
    assert found["images_per_second"] == pytest.approx(3e3 / found["median_ms"])
    assert (document["failures"], document["interrupted"], document["stored"]) == ([], False, "mine.jsonl")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("measure", "resnet_51"), "'resnet_51' is no known architecture; did you mean resnet_50?"),
        (("measure", "resnet_50", "--backend", "tvm"), "--backend must be eager or compile or onnxruntime"),
        (("measure", "resnet_50", "--repeats", "0"), "--repeats must be between 1"),
        (("measure", "resnet_50", "--reference", "b9"), "--reference is 'b9', which is no known network"),
        (("measure", "resnet_50", "--device", "cuda"), "device is cuda, and torch sees no GPU here"),
        (("measure", "resnet_50", "-o", "."), ".: must be a file to which measurements are appended"),
        (("measure", "resnet_50", "--plot", "it.gif"), "it.gif: must end in .png"),
        (("show",), "nothing has been measured yet: there is no runs/latency.jsonl"),
        (("show", "none.jsonl"), "none.jsonl: cannot be read: No such file or directory"),
        (("show", "text.md"), "text.md: holds no measured latencies"),
        (("show", "--device", "tpu"), "--device must be cpu or cuda, got 'tpu'"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("text.md").write_text("# no measurements\n")
    assert nas("latency", *words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"nas: {said}")
    assert printed.err.count("\n") == 1


@pytest.mark.usefixtures("breaking")
def test_a_failure_is_said_and_the_others_are_stored(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("resnet_50", "efficientnet_b0", "--reference", "none", "--repeats", "2", "--warmup", "1")
    assert nas("latency", "measure", *words) == 1
    printed = capsys.readouterr()
    assert "nas: resnet_50: not measured: no memory for it" in printed.err.splitlines()
    assert [record.name for record in read_latencies(LATENCIES).records] == ["efficientnet_b0"]


def test_what_cannot_be_stored_is_printed_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, records: object) -> None:
        raise InputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr("nas.latency_commands.append_latencies", full)
    assert nas("latency", "measure", "resnet_50", "--repeats", "2") == 1
    printed = capsys.readouterr()
    assert "resnet_50" in printed.out
    said = "nas: not stored: runs/latency.jsonl: cannot be written: No space left on device"
    assert said in printed.err.splitlines()


def test_an_interrupted_measurement_is_shown_and_stored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: object, done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr("nas.console.RoundProgress.round", stop)
    assert nas("latency", "measure", "resnet_50", "--repeats", "50") == 130
    printed = capsys.readouterr()
    assert "nas: interrupted after 6 rounds" in printed.err
    assert [record.repeats for record in read_latencies(LATENCIES).records] == [6]
    monkeypatch.setattr("trainers.latency_turns.LEAST_ROUNDS", 7)
    assert nas("latency", "measure", "resnet_50", "--repeats", "50") == 130
    assert "nas: interrupted too early for a result" in capsys.readouterr().err
    assert len(read_latencies(LATENCIES).records) == 1


def test_names_in_a_figure_are_no_formulas(tmp_path: Path) -> None:
    points = [
        LatencyPoint(name="$\\frac{1}$\x1b[2J", macs=1e6, median_ms=1.0, p5_ms=0.9, p95_ms=1.2, series=series)
        for series in ("_a $x^", "b")
    ]
    points.append(
        LatencyPoint(name="<b>same</b>", macs=1e6, median_ms=1.0, p5_ms=1.0, p95_ms=1.0, series="b")
    )
    figure = latency_figure(points, "$x^$ title")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"$\\frac{1}$\N{REPLACEMENT CHARACTER}[2J", "<b>same</b>"} <= texts
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_a $x^", "b"]
    check_figure_path(tmp_path / "it.svg")
    save_figure(figure, tmp_path / "it.svg")
    save_figure(latency_figure(points[:1], ""), tmp_path / "one.png")


def test_networks_of_one_name_are_told_apart_by_what_was_typed() -> None:
    b0, b1 = find_architecture("efficientnet_b0"), find_architecture("efficientnet_b1")
    other = replace(b1, architecture=b1.architecture.renamed(b0.architecture.name))
    told = _told_apart([b0, other, b0], ["a/mine.yaml", "b/mine.yaml", "a/mine.yaml"])
    assert [each.architecture.name for each in told] == ["a/mine.yaml", "b/mine.yaml", "a/mine.yaml"]
    assert _told_apart([b0, b0], ["x", "y"]) == [b0, b0]  # the same network twice
