"""The report of a search for latency: its cost is a metric, with a column, an axis and words of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import BROWSER, chromium
from nas import run_search
from results import Run, create_run
from results.report.columns import measures_of
from results.report.data import report_data
from results.report.page import report_page
from tests.browsing import Page
from tests.scripted import Timed
from tests.searching import config
from tests.test_baselines import with_baselines

AIM: dict[str, Any] = {"cost": "latency_ms", "target": 5.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, before = tmp_path_factory.mktemp("timed"), Path.cwd()
    os.chdir(folder)
    try:
        settings = with_baselines("efficientnet_b0", name="timed", objective=AIM, search={"candidates": 12})
        found = run_search(settings, evaluator=Timed(folder / "diary", acts={3: "raise"})).run
        return Run(found.path.absolute())
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def data(run: Run) -> dict[str, Any]:
    return report_data(run)


def test_the_cost_of_the_search_has_a_column_and_a_measure(run: Run, data: dict[str, Any]) -> None:
    columns, key = data["trials"]["columns"], data["cost"]
    assert key == "metric:latency_ms"
    assert {"key": key, "label": "latency, ms", "better": "less"} in data["measures"]
    trials = {trial.id: trial for trial in [*run.trials(), *run.baselines()]}
    assert data["trials"]["metrics"]["latency_ms"] == [
        trials[number].cost("latency_ms") for number in columns["id"]
    ]
    assert {trial.status for trial in trials.values()} == {"done", "failed"}
    assert data["reference_cost"] == 10.0


@pytest.mark.parametrize("cost", ["macs", "params", "latency_ms"])
def test_the_cost_is_there_before_the_first_result(in_tmp: Path, cost: str) -> None:
    settings = config("new", objective={"cost": cost, "target": 5.0}, latency={"measured": {}})
    data = report_data(create_run("new", json.dumps(settings.model_dump(mode="json"))))
    assert data["cost"] in [measure["key"] for measure in data["measures"]]
    assert data["front"] == []


def test_milliseconds_are_told_in_the_label() -> None:
    labels = {m["key"]: m["label"] for m in measures_of(["latency_ms", "latency_p95_ms", "train_loss"])}
    assert labels["metric:latency_ms"] == "latency, ms"
    assert labels["metric:latency_p95_ms"] == "latency p95, ms"
    assert labels["metric:train_loss"] == "train loss"


def test_the_words_are_of_latency(run: Run, data: dict[str, Any]) -> None:
    bet = run.recommended()
    assert bet is not None
    tiles = {tile["label"]: tile["value"] for tile in data["tiles"]}
    assert tiles["latency"] == f"{bet.cost('latency_ms'):.3g} ms"
    assert "(latency / T)^w with T = 5 ms" in " ".join(data["summary"])
    assert f"parameters, {tiles['latency']}, reward" in data["summary"][1]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_is_drawn_over_latency(data: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path / "report.html"
    file.write_text(report_page(data), encoding="utf-8")
    with chromium() as browser:
        page = Page(browser, file)
        assert page.tab.locator("#axis-x").input_value() == data["cost"]
        assert [int(n) for n in page.tab.locator("#pareto").get_attribute("data-front").split()] == data[
            "front"
        ]
        assert page.tab.locator("#pareto .xtitle").text_content() == "latency, ms"
        assert page.tab.locator("#curves .y3title").text_content() == "latency, ms"
        assert page.text("#pareto-note").startswith("Front of highest accuracy and lowest latency, ms: ")
        assert "from accuracy 0 and 10 ms to accuracy 1" in page.text("#volume-note")
        assert "accuracy and latency and better" in page.text("#baselines-table caption")
        page.tab.click("#ranks button:has-text('Latency, ms')")
        headings = page.texts("#ranks thead th")
        cells = page.texts(f"#ranks tbody td:nth-child({headings.index('Latency, ms') + 1})")
        there = [float(cell) for cell in cells if cell[0].isdigit()]
        assert there == sorted(there)
        assert len(there) > 10
        page.screenshot("latency", whole=True)
        page.close()
