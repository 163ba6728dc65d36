"""The report in a real browser without a network: what is seen, clicked and typed. Screenshots are kept."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import BROWSER, chromium
from results import Run
from results.report.data import report_data
from results.report.page import report_page
from tests.browsing import Page
from tests.reporting import BASELINE, BOLD, SCRIPT, searched

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
PLACE = """(row) => {
    const [figure, data] = [document.getElementById('pareto'), JSON.parse(document.getElementById('data').textContent)];
    const {xaxis, yaxis} = figure._fullLayout, box = figure.getBoundingClientRect(), columns = data.trials.columns;
    return [box.left + xaxis._offset + xaxis.d2p(columns.macs[row]), box.top + yaxis._offset + yaxis.d2p(columns.accuracy[row])];
}"""  # noqa: E501


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def data(run: Run) -> dict[str, Any]:
    found = report_data(run)
    found["run"] = f"t {BOLD}"
    found["comparison"] = {
        "words": [f"A sentence about {SCRIPT}.", "Another."],
        "network_name": "recommended",
        "reference_name": BASELINE,
        "networks": [
            {"name": BASELINE, "accuracy": 0.5, "reward": None, "macs": 1e6, "params": 2e4,
             "candidate": None},
            {"name": "recommended", "accuracy": 0.6, "reward": 0.6, "macs": 1e6, "params": 2e4,
             "candidate": found["recommended"]},
        ],
        "stages": [{"stage": 1, "ours": "mb6 k3", "theirs": "<b>", "same": False}],
        "decisions": [{"decision": "stage1.op", "ours": "a", "theirs": "b", "same": False,
                       "share_first": 0.3, "share_last": 0.9, "uniform": 0.33}],
        "concentration": {"first": 0.3, "last": 0.8, "uniform": 0.4, "window": 20},
        "random": [{"run": "r", "results": 9, "best_reward": 0.5, "ours_at_that_budget": 0.6,
                    "reached_after": None}],
    }  # fmt: skip
    return found


@pytest.fixture(scope="module")
def file(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_page(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def shared(browser: Any, file: Path) -> Iterator[Page]:
    """A page for tests that only select: opening it is most of a test's time."""
    opened = Page(browser, file)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Page]:
    """A page of its own."""
    opened = Page(browser, file)
    yield opened
    opened.close()


def row_of(data: dict[str, Any], number: int) -> int:
    return int(data["trials"]["columns"]["id"].index(number))


def lonely(data: dict[str, Any]) -> int:
    """A row off the front that no other point is near."""
    columns = data["trials"]["columns"]
    done = [row for row, status in enumerate(columns["status"]) if status == "done"]
    macs, accuracy = columns["macs"], columns["accuracy"]
    wide = max(macs[row] for row in done)

    def distance(row: int) -> float:
        return min(
            abs(macs[row] - macs[other]) / wide + abs(accuracy[row] - accuracy[other])
            for other in done
            if other != row
        )

    off = [
        row
        for row in done
        if columns["id"][row] not in data["front"] and columns["proposed"][row] and macs[row] < 0.9 * wide
    ]
    return max(off, key=distance)


def test_a_point_shows_its_architecture_and_a_click_selects_it(shared: Page, data: dict[str, Any]) -> None:
    row = lonely(data)
    columns, stages = data["trials"]["columns"], data["trials"]["stages"]
    shared.tab.locator("#pareto").scroll_into_view_if_needed()
    across, down = shared.tab.evaluate(PLACE, row)
    shared.tab.mouse.move(across - 3, down)
    shared.tab.mouse.move(across, down)
    shared.tab.wait_for_selector("#pareto .hovertext")
    hover = shared.tab.locator("#pareto .hovertext").text_content()
    assert f"Candidate {columns['id'][row]}" in hover
    assert all(stages[number][-1] in hover for number in columns["stages"][row])
    shared.tab.mouse.down()
    shared.tab.mouse.up()
    shared.tab.wait_for_function(
        f"document.getElementById('selected-name').textContent === 'Candidate {columns['id'][row]}'"
    )
    operators = [stages[number][1] for number in columns["stages"][row]]
    assert shared.texts("#stages tbody tr td:nth-child(2)") == operators
    assert shared.tab.locator("#drawing rect[fill-opacity]").count() == sum(
        stages[number][9] for number in columns["stages"][row]
    )
    assert f"{columns['macs'][row]:,}" in shared.text("#stages tfoot")
    assert f"Candidate {columns['id'][row]}" in shared.tab.locator("#announcement").text_content()
    assert "epoch 3" in shared.tab.locator("#selected-curve").text_content()
    shared.screenshot("selection")


def test_other_axes_have_another_front(page: Page, data: dict[str, Any]) -> None:
    columns = data["trials"]["columns"]

    def front() -> list[int]:
        return [int(n) for n in page.tab.locator("#pareto").get_attribute("data-front").split()]

    def expected(x: str, y: str, lower: bool) -> list[int]:
        done = [
            row
            for row, status in enumerate(columns["status"])
            if status == "done" and columns["proposed"][row]
        ]
        points = {row: ((1 if lower else -1) * columns[x][row], -columns[y][row]) for row in done}
        return sorted(
            columns["id"][row]
            for row, (a, b) in points.items()
            if not any(c <= a and d <= b and (c, d) != (a, b) for c, d in points.values())
        )

    assert front() == data["front"]
    assert sorted(front()) == expected("macs", "accuracy", lower=True)
    page.tab.select_option("#axis-x", "params")
    page.tab.select_option("#axis-y", "reward")
    assert sorted(front()) == expected("params", "reward", lower=True)
    assert "highest reward and lowest parameters" in page.text("#pareto-note")
    page.tab.select_option("#axis-x", "accuracy")
    assert sorted(front()) == expected("accuracy", "reward", lower=False)
    page.tab.select_option("#axis-x", "metric:loss")
    page.tab.select_option("#axis-colour", "metric:<b>")
    page.tab.check("#log-x")
    assert front()


def test_zoom_shows_a_part_and_a_double_click_all(page: Page, data: dict[str, Any]) -> None:
    tab = page.tab
    shown = "document.getElementById('pareto')._fullLayout.xaxis.range"
    painted = """() => {
        const canvas = document.querySelector('#pareto canvas.dots');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.filter((value, place) => place % 4 === 3 && value > 0).length;
    }"""
    tab.locator("#pareto").scroll_into_view_if_needed()
    across, down = tab.evaluate(PLACE, lonely(data))
    whole, before = tab.evaluate(shown), tab.evaluate(painted)
    tab.mouse.move(across - 14, down - 14)
    tab.mouse.down()
    tab.mouse.move(across + 14, down + 14, steps=4)
    tab.mouse.up()
    tab.wait_for_function(f"{shown}[0] > {whole[0]}")
    assert 0 < tab.evaluate(painted) < before  # the one point that is in the part
    tab.wait_for_timeout(400)  # else the first click would be half of a double-click
    tab.mouse.dblclick(across, down)
    tab.wait_for_function(f"{shown}[0] === {whole[0]}")
    assert tab.evaluate(painted) == pytest.approx(before, rel=0.05)  # what is selected may be another


def test_the_buttons_walk_along_the_front(shared: Page, data: dict[str, Any]) -> None:
    numbers = data["front"]
    shared.tab.click("#pick-best")
    assert shared.text("#selected-name") == f"Candidate {data['best']}"
    while shared.tab.locator("#front-before").is_enabled():
        shared.tab.click("#front-before")
    walked = [shared.text("#selected-name")]
    while shared.tab.locator("#front-after").is_enabled():
        shared.tab.click("#front-after")
        walked.append(shared.text("#selected-name"))
    assert walked == [f"Candidate {number}" for number in numbers]
    shared.tab.click("#pick-recommended")
    assert shared.text("#selected-name") == f"Candidate {data['recommended']}"


def test_the_ranking_is_sorted_and_filtered(page: Page, data: dict[str, Any]) -> None:
    columns = data["trials"]["columns"]
    rows = "#ranks tbody tr"

    def shown() -> list[int]:
        return [int(row) for row in page.tab.locator(rows).evaluate_all("all => all.map(r => r.dataset.row)")]

    def total() -> str:
        return page.text("#filter-note")

    page.tab.click("#ranks button[data-sort=macs]")
    macs = [columns["macs"][row] for row in shown()]
    assert macs == sorted(columns["macs"])[:50]
    assert page.tab.locator("#ranks th[aria-sort=ascending]").inner_text().startswith("MACs")
    page.tab.locator("#ranks button[data-sort=macs]").press("Enter")
    assert [columns["macs"][row] for row in shown()] == sorted(columns["macs"], reverse=True)[:50]
    page.tab.click("#page-last")
    assert columns["macs"][shown()[-1]] == min(columns["macs"])

    number = len(columns["id"])
    for text, test in (
        ("macs < 1e6", lambda row: columns["macs"][row] < 1e6),
        ("macs<1e6 and not (accuracy > 0.75)",
         lambda row: columns["macs"][row] < 1e6 and not (columns["accuracy"][row] or 0) > 0.75),
        ("0.6 < accuracy <= 0.8 or status == 'failed'",
         lambda row: columns["status"][row] == "failed" or 0.6 < (columns["accuracy"][row] or 0) <= 0.8),
        ("stage1.kernel = 5", lambda row: kernel(data, row) == "5"),
        ("out of memory", lambda row: columns["status"][row] == "failed"),
    ):  # fmt: skip
        page.tab.fill("#filter", text)
        wanted = sum(map(test, range(number)))
        page.tab.wait_for_function(
            f"document.getElementById('filter-note').textContent === '{wanted} of {number} networks'"
        )
        assert all(test(row) for row in shown())
    before = shown()
    page.tab.fill("#filter", "accuracies > 3")
    page.tab.wait_for_selector("#filter[aria-invalid=true]")
    assert 'no column "accuracies"' in total()
    assert shown() == before
    page.tab.fill("#filter", "alert(1) > 0")
    page.tab.wait_for_function("document.getElementById('filter-note').textContent.includes('alert')")
    page.tab.fill("#filter", "")
    page.tab.select_option("#status-filter", "failed")
    assert {columns["status"][row] for row in shown()} == {"failed"}


def kernel(data: dict[str, Any], row: int) -> str | None:
    names = [decision["name"] for decision in data["decisions"]]
    place = names.index("stage1.kernel")
    chosen = data["trials"]["columns"]["choices"][row][place]
    return None if chosen < 0 else data["decisions"][place]["choices"][chosen]


def test_the_keyboard_alone_is_enough(page: Page, data: dict[str, Any]) -> None:
    tab = page.tab
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    seen: list[str] = []
    for _ in range(150):
        tab.keyboard.press("Tab")
        seen.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert tab.evaluate(outline) != "none", seen[-1]
        if seen[-1] == "TR":
            break
    wanted = ["theme", "axis-x", "axis-y", "axis-colour", "log-x", "front-before", "filter", "TR"]
    assert [name for name in seen if name in wanted] == [
        name for name in wanted if name in seen
    ]  # in the order of the page
    assert {"theme", "axis-x", "filter", "TR"} <= set(seen)
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    chosen = int(tab.evaluate("document.activeElement.dataset.row"))
    assert tab.locator("#ranks tr[aria-selected=true]").get_attribute("data-row") == str(chosen)
    assert page.text("#selected-name") == f"Candidate {data['trials']['columns']['id'][chosen]}"
    tab.keyboard.press("End")
    assert "page 2 of 2" in page.text("#page-where")
    tab.keyboard.press("Home")
    assert "page 1 of 2" in page.text("#page-where")


def test_names_are_shown_as_they_are(shared: Page, data: dict[str, Any]) -> None:
    assert shared.text("h1") == f"t {BOLD}"
    assert BASELINE[:59] in shared.text("#baselines-table")
    labels = shared.tab.locator("#pareto .textpoint").all_text_contents()
    assert sorted(labels) == sorted(["mobilenet_v2", BASELINE[:39] + "…"])
    assert "<b onmouseover=alert(1)>bold</b>" in shared.text("#h-rediscovery")
    assert SCRIPT in shared.text("#rediscovery-body")
    assert SCRIPT in shared.text("#failures-body")
    failed = data["failures"][0]["trials"][0]
    shared.tab.locator("#failures-body").get_by_role(
        "button", name=f"Select Candidate {failed}", exact=True
    ).click()
    assert shared.text("#selected-name") == f"Candidate {failed}"
    assert SCRIPT in shared.text("#selected-facts .error")
    row = next(r for r, name in enumerate(data["trials"]["columns"]["baseline"]) if name == BASELINE)
    shared.tab.locator("#pareto").scroll_into_view_if_needed()
    across, down = shared.tab.evaluate(PLACE, row)
    shared.tab.mouse.move(across - 2, down)
    shared.tab.mouse.move(across, down)
    shared.tab.wait_for_selector("#pareto .hovertext")
    assert BOLD[:40] in shared.tab.locator("#pareto .hovertext").first.text_content()
    assert shared.tab.locator("img").count() == 0
    assert shared.tab.locator("svg a[href]").count() == 0


def test_every_section_is_there_in_order(shared: Page) -> None:
    levels = shared.tab.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.offsetParent).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert shared.texts("#contents a") == [
        *("Summary", "Networks", "Ranking", "Curves", "Policy", "Best tenth", "Rediscovered?", "Baselines"),
        *("Failures", "Configuration", "Environment", "Reproduce"),
    ]
    tables = shared.tab.locator("main table")
    assert tables.count() == shared.tab.locator("main table > caption").count()
    assert shared.tab.locator("#heat .hm, #heat image").count() > 0
    assert "controller:" in shared.text("#config")
    shared.screenshot("desktop-light", whole=True)


LUMINANCE = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const back = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll('main *, header *, nav *, footer *')) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || element.closest('svg, .plot, :disabled, .hidden, #ranks tr:nth-child(n+4)') || !element.offsetParent) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(back(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) poor.push(`${element.tagName}.${element.className} ${element.textContent.slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return poor;
}"""  # noqa: E501


def test_light_and_dark(browser: Any, file: Path) -> None:
    page = Page(browser, file, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    ticks = "getComputedStyle(document.querySelector('#pareto .xtick text')).fill"
    assert page.tab.evaluate("document.documentElement.dataset.theme") == "dark"
    dark = page.tab.evaluate(background), page.tab.evaluate(ticks)
    assert page.tab.evaluate(LUMINANCE) == []
    page.screenshot("desktop-dark", whole=True)
    page.tab.click("#theme")
    assert page.tab.evaluate("document.documentElement.dataset.theme") == "light"
    light = page.tab.evaluate(background), page.tab.evaluate(ticks)
    assert all(one != other for one, other in zip(dark, light, strict=True))
    assert page.tab.evaluate(LUMINANCE) == []
    page.close()


def test_a_phone_needs_no_sideways_scrolling(browser: Any, file: Path, data: dict[str, Any]) -> None:
    page = Page(browser, file, width=390, has_touch=True, is_mobile=True)
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    page.tab.locator("#ranks tbody tr").nth(3).tap()
    chosen = int(page.tab.locator("#ranks tr[aria-selected=true]").get_attribute("data-row"))
    assert page.text("#selected-name") == f"Candidate {data['trials']['columns']['id'][chosen]}"
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot("phone", whole=True)
    page.close()


@pytest.mark.parametrize("kept", ["none", "failed", "baselines", "one"])
def test_pages_with_little_to_show(
    browser: Any, data: dict[str, Any], run: Run, tmp_path: Path, kept: str
) -> None:
    import sqlite3

    folder = tmp_path / "t"
    shutil.copytree(run.path, folder)
    conditions = {
        "none": "1",
        "failed": "status != 'failed' OR baseline IS NOT NULL",
        "baselines": "baseline IS NULL",
        "one": f"id != {data['best']}",
    }
    with sqlite3.connect(folder / "journal.db") as db:
        db.execute("DELETE FROM recommendations")
        db.execute(f"DELETE FROM proposals WHERE trial IN (SELECT id FROM trials WHERE {conditions[kept]})")
        db.execute(f"DELETE FROM trials WHERE {conditions[kept]}")
    db.close()
    file = tmp_path / "report.html"
    file.write_text(report_page(report_data(Run(folder))), encoding="utf-8")
    page = Page(browser, file)
    page.tab.evaluate("document.getElementById('axis-colour').value = 'accuracy'")
    page.tab.dispatch_event("#axis-colour", "change")  # of one value, or of none
    assert page.tab.locator("#pareto").is_visible() == (kept in ("one", "baselines"))
    if kept == "one":
        assert page.text("#selected-name") == f"Candidate {data['best']}"
    else:
        assert "nothing to rank and no front" in page.text("#sentences")
        assert "no finished candidate" in page.text("#pareto-note")
    assert page.tab.locator("#ranking").is_visible() == (kept != "none")
    page.close()
