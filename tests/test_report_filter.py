"""The filter of a report means what the conditions of the queries mean: one in the browser, one in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from benchmarks.browser import BROWSER, chromium
from results import Run
from results.report.data import report_data
from results.report.page import script_json
from results.report.source import read
from results.table import TrialTable, trial_table
from search_space import InputError
from tests.reporting import searched

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
KEPT = """window.kept = (text) => {
    try { const keep = filterOf(text); return T.id.filter((_, row) => keep(row)); }
    catch (error) { return error.message; }
};
const cut = (text) => text;"""
CONDITIONS = [
    "macs < 1e6",
    "0.6 < accuracy <= 0.8 or status == 'failed'",
    "not accuracy > 0.75",
    "not (accuracy > 0.75 and macs < 1e6) or not status == 'done' and id > 30",
    "accuracy != 0.5",
    "-accuracy < 1",
    "-accuracy < -0.7",
    "1 - accuracy < 0.25",
    "accuracy * macs / 1e6 + 1 > 1.5",
    "macs - params - 1e5 > macs - (params - 1e5) - 3e5",
    "(macs) < 2 * (3e5 + 2e5) and ((accuracy) > 0.6)",
    "macs / (id - id) > 0",
    "(macs - macs) / (id - id) != 1",
    "stage1.kernel == 5",
    "stage1.kernel != 5",
    "stage1.kernel in (3, 5)",
    "stage1.kernel not in [5]",
    "stage1.kernel > stage2.kernel",
    "stage1.se_ratio == 0.25",
    "stage1.op == 'mbconv6'",
    "stage1.op == stage2.op",
    "stage1.op not in {'mbconv6', 'mbconv3',}",
    'status in ("failed",)',
    "error == 'nothing'",
    "baseline == 'mobilenet_v2' or baseline not in ('x', 'mobilenet_v2')",
    "baseline != reused",
    "epochs == 3 and seed == 0 and attempts <= 1 and arrival < 20",
    "loss < 0.3",
    "seed == False",
    "attempts == True",
]
REFUSED = [
    *("status < 'z'", "accuracy > 'abc'", "accuracy == 'abc'", "'5' == stage1.kernel", "status + 1 > 2"),
    *("-status < 2", "stage1.kernel in (5)", "stage1.kernel in ()", "stage1.kernel in 5 < 3"),
    *("macs < 1 and accuracy", "not macs == 1 and", "(macs < 1", "macs < 1)", "macs <", "< 3", "macs < 1 2"),
    *("(macs < 1) == (id < 3)", "alert(1) > 0", "macs ** 2 < 1", "macs < 5j", "nothing == 1", "id in [1,,2]"),
    *("accuracy > 1 " + "+ 1 " * 1000, "macs < '", "status == 'do\\x6ee'", "__proto__ == 1", "T.id == 1"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched(tmp_path_factory.mktemp("filter"))


@pytest.fixture(scope="module")
def table(run: Run) -> TrialTable:
    return trial_table(read(run).trials)


@pytest.fixture(scope="module")
def kept(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[int] | str]]:
    """The numbers of the trials that the page's filter keeps, or what it says is wrong."""
    data = f'<script type="application/json" id="data">{script_json(report_data(run))}</script>'
    sources = [files("results.report") / name for name in ("model.js", "filter.js")]
    code = "".join(source.read_text("utf-8") for source in sources)
    page: Path = tmp_path_factory.mktemp("page") / "filter.html"
    page.write_text(f"<!doctype html>{data}<script>{code}{KEPT}</script>", encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page()
        tab.goto(page.as_uri())
        yield lambda text: tab.evaluate("(text) => window.kept(text)", text)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_filter_keeps_what_a_query_selects(
    kept: Callable[[str], list[int] | str], table: TrialTable, condition: str
) -> None:
    assert kept(condition) == table["id"][table.matching(condition)].tolist()


@pytest.mark.parametrize("condition", REFUSED)
def test_the_filter_refuses_what_a_query_refuses(
    kept: Callable[[str], list[int] | str], table: TrialTable, condition: str
) -> None:
    if "\\" not in condition:  # which Python reads
        with pytest.raises(InputError):
            table.matching(condition)
    assert isinstance(kept(condition), str)


def test_the_conditions_tell_networks_apart(table: TrialTable) -> None:
    numbers = [int(table.matching(condition).sum()) for condition in CONDITIONS]
    assert sum(0 < number < len(table) for number in numbers) > len(CONDITIONS) / 2


def test_words_are_looked_for_everywhere(
    kept: Callable[[str], list[int] | str], table: TrialTable, run: Run
) -> None:
    assert kept("OUT of memory") == table["id"][table.matching("status == 'failed'")].tolist()
    assert kept("baseline mobilenet_v2") == table["id"][table.matching("baseline == 'mobilenet_v2'")].tolist()
    assert kept("mobilenet_v2 candidate") == []
    assert kept("  ") == table["id"].tolist()
    fronts = [trial.id for trial in read(run).front.trials]
    assert sorted(kept("front == 1")) == sorted(fronts)
