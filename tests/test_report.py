"""The report of a run: its data, names that stay names, the command. `test_report_browser.py` looks at it."""

import dataclasses
import html.parser
import json
import math
import os
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import parse_config, run_search
from results import Run, create_run, ranked
from results.drawing import DrawnStage, drawn_stages
from results.report.columns import Stages, choice_text, measures_of
from results.report.data import report_data
from results.report.page import report_page, script_json
from results.trial import Trial
from search_space import load_architecture, load_space
from tests.reporting import BASELINE, BOLD, SCRIPT, Curved, searched
from tests.searching import config
from tests.test_cli import nas
from trainers import Measurement

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def data(run: Run) -> dict[str, Any]:
    return report_data(run, now=NOW)


def embedded(page: str) -> Any:
    """The data in a page, found as a browser finds them."""
    found = Elements()
    found.feed(page)
    return json.loads(found.data)


class Elements(html.parser.HTMLParser):
    """Tags of a page, attributes that could run or fetch something, and the text of the data's element."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.data, self._in_data = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in_data = ("id", "data") in attrs
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "action") or name[:2] == "on"
        ]

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False


# --- the data ----------------------------------------------------------------------------------------


def test_the_columns_are_the_trials(run: Run, data: dict[str, Any]) -> None:
    columns = data["trials"]["columns"]
    trials = {trial.id: trial for trial in [*run.trials(), *run.baselines()]}
    assert sorted(columns["id"]) == sorted(trials)
    assert {len(column) for column in columns.values()} == {len(trials)}
    for row, number in enumerate(columns["id"]):
        trial = trials[number]
        for name in ("status", "accuracy", "reward", "macs", "params", "arrival", "baseline", "proposed"):
            assert columns[name][row] == getattr(trial, name)
        error = columns["error"][row]
        assert (error is None) == (trial.status != "failed")
        assert columns["epochs"][row] == len(trial.curve)
        assert columns["curve"][row] == [pytest.approx(e["accuracy"], rel=1e-5) for e in trial.curve]
        for name in ("loss", "<b>"):
            there = data["trials"]["metrics"][name][row]
            assert there == (pytest.approx(trial.curve[-1][name], rel=1e-5) if trial.curve else None)


def test_choices_and_stages_are_those_of_each_network(run: Run, data: dict[str, Any]) -> None:
    columns, stages = data["trials"]["columns"], data["trials"]["stages"]
    assert len({json.dumps(stage) for stage in stages}) == len(stages)
    for trial in run.trials():
        row = columns["id"].index(trial.id)
        chosen = [
            decision["choices"][index]
            for decision, index in zip(data["decisions"], columns["choices"][row], strict=True)
        ]
        assert chosen == [choice_text(trial.choices[decision["name"]]) for decision in data["decisions"]]
        drawn = [DrawnStage(*stages[number][:-1]) for number in columns["stages"][row]]
        assert drawn == drawn_stages(trial.network(), 10, 1)
        assert sum(stage.macs for stage in drawn) == trial.macs
        short = [stages[number][-1] for number in columns["stages"][row]]
        assert " | ".join(short[1:-1]) == trial.network().summary()


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=8), st.sampled_from(["mnasnet", "efficientnet"]))
def test_stages_seen_before_are_those_of_a_new_drawing(seeds: list[int], preset: str) -> None:
    space, table = load_space(preset), Stages(1000, 3)
    import numpy as np

    for seed in seeds:
        network = space.decode([int(i) for i in space.random(np.random.default_rng(seed % 50))])
        trial = Trial(
            id=1, key="", protocol="", seed=0, choices={}, architecture=network.to_dict(), macs=0, params=0
        )
        assert [table.rows[number][:-1] for number in table.numbers(trial)] == [
            list(stage) for stage in drawn_stages(network)
        ]


def test_front_best_and_recommended_are_the_runs(run: Run, data: dict[str, Any]) -> None:
    done = [trial for trial in run.trials() if trial.accuracy is not None]
    front = [
        trial.id
        for trial in done
        if not any(
            (other.accuracy, -other.macs) != (trial.accuracy, -trial.macs)
            and other.accuracy >= trial.accuracy
            and other.macs <= trial.macs
            for other in done
        )
    ]
    assert sorted(data["front"]) == sorted(front)
    assert data["best"] == run.best().id
    assert data["recommended"] == run.recommended().id
    assert (data["cost"], data["reference_cost"]) == ("macs", 2e6)


def test_curves_end_with_the_best_and_the_whole_hypervolume(run: Run, data: dict[str, Any]) -> None:
    curves = data["curves"]
    arrived = sorted((t for t in run.trials() if t.status == "done"), key=lambda trial: trial.arrival or 0)
    assert curves["ids"] == [trial.id for trial in arrived]
    assert curves["best"][-1] == ranked(arrived)[0].id
    assert curves["hypervolume"][-1][0] == len(arrived)
    assert curves["hypervolume"][-1][2] == pytest.approx(data["hypervolume"], rel=1e-5)
    heights = [point[2] for point in curves["hypervolume"]]
    assert heights == sorted(heights)


def test_the_policy_ends_with_the_shares_of_the_last_proposals(run: Run, data: dict[str, Any]) -> None:
    with run.journal() as journal:
        proposals = [row.indices for row in journal.proposals()]
    policy = data["policy"]
    assert policy["ends"][-1] == len(proposals)
    last = proposals[-policy["window"] :]
    for place, (decision, shares) in enumerate(zip(data["decisions"], policy["last"], strict=True)):
        assert sum(shares) == pytest.approx(1, abs=0.01)
        for choice in range(len(decision["choices"])):
            expected = sum(point[place] == choice for point in last) / len(last)
            assert shares[choice] == pytest.approx(expected, abs=0.001)


def test_a_run_that_is_going_says_so(run: Run) -> None:
    with run.lock():
        data = report_data(run)
    assert data["state"] == "running"
    assert "The search t is running; this page shows what is known so far." in data["summary"][0]


def test_failures_are_grouped_with_their_networks(run: Run, data: dict[str, Any]) -> None:
    failed = [trial.id for trial in [*run.trials(), *run.baselines()] if trial.status == "failed"]
    assert failed
    (group,) = data["failures"]  # one reason, with other numbers in it
    assert sorted(group["trials"]) == sorted(failed)


def test_the_summary_names_what_was_found(run: Run, data: dict[str, Any]) -> None:
    text = " ".join(data["summary"])
    best = run.best()
    for part in (
        "The search t has finished. It looked at 60 networks of the space digits (20 decisions, ",
        " points), out of a budget of 60, proposed by the controller random.",
        f"candidate {best.id}: {100 * best.accuracy:.2f} % accuracy",
        f"{len(data['front'])} of ",
        "The reward is accuracy · (MACs / T)^w with T = 1 M and w = -0.07.",
        "given by a function outside this project",
    ):
        assert part in text
    assert re.search(r"\d+ finished and \d+ failed", text)


def test_an_evaluation_by_a_table_and_by_training_are_told_apart(in_tmp: Path) -> None:
    run = run_search(config(search={"candidates": 2}), evaluator=Curved(fingerprint="ab" * 32)).run
    assert "Every network was trained for 3 epochs on digits" in report_data(run)["summary"][-1]
    text = run.config_path.read_text().replace("kind: proxy", "kind: table")
    run.config_path.write_text(text)
    assert "Nothing was trained: accuracies were looked up" in report_data(run)["summary"][-1]


def test_metrics_say_by_their_names_what_is_better() -> None:
    measures = {m["key"]: m["better"] for m in measures_of(["validation_loss", "top5", "latency_ms"])}
    assert measures == {
        **{"accuracy": "more", "reward": "more", "macs": "less", "params": "less", "seconds": "less"},
        **{"metric:validation_loss": "less", "metric:top5": "more", "metric:latency_ms": "less"},
    }


def test_the_same_run_gives_the_same_page_but_for_the_date(run: Run, data: dict[str, Any]) -> None:
    assert data["made_at"] == "2026-01-02 03:04 UTC"
    assert report_page(report_data(run, now=NOW)) == report_page(data)
    other = report_data(run)
    assert {**other, "made_at": data["made_at"]} == data


# --- names stay names --------------------------------------------------------------------------------


def test_hostile_names_stay_data(data: dict[str, Any]) -> None:
    hostile = {**data, "run": SCRIPT + BOLD, "comparison": {"words": [SCRIPT, "\u2028\u2029\ud800"]}}
    page = report_page(hostile)
    elements = Elements()
    elements.feed(page)
    assert elements.tags.count("script") == 3
    assert not {"img", "b", "i"} & set(elements.tags)
    assert elements.fetched == ["data:,", "#main"]
    assert json.loads(elements.data)["run"] == SCRIPT + BOLD
    assert BASELINE in json.loads(elements.data)["trials"]["columns"]["baseline"]
    page.encode("utf-8")


def test_the_page_forbids_to_fetch_anything(data: dict[str, Any]) -> None:
    page = report_page(data)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy[1]
    assert "http" not in policy[1]


def test_scripts_of_the_page_make_no_html_from_texts() -> None:
    import results.report

    (folder,) = results.report.__path__
    scripts = sorted(Path(folder).glob("*.js"))
    assert len(scripts) >= 5
    for path in scripts:
        text = path.read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "fetch(",
        ):
            assert word not in text, f"{path.name} uses {word}"


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists, max_leaves=5))
def test_json_in_a_script_reads_back_and_holds_no_markup(value: Any) -> None:
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json({"accuracy": math.nan})


def test_errors_are_whole_where_there_are_few(run: Run, data: dict[str, Any]) -> None:
    errors = data["trials"]["errors"]
    whole = {trial.error for trial in [*run.trials(), *run.baselines()] if trial.error is not None}
    assert len(errors) == len(whole)
    assert all(SCRIPT in error for error in errors)
    assert max(map(len, errors)) < 5100


# --- other states of a run ---------------------------------------------------------------------------


def test_a_run_before_its_first_result(in_tmp: Path) -> None:
    run = create_run("new", json.dumps(config("new").model_dump(mode="json")))
    data = report_data(run)
    assert data["state"] == "new"
    assert data["summary"][1] == "No candidate has finished yet, so there is nothing to rank and no front."
    assert (data["front"], data["best"], data["trials"]["columns"]["id"]) == ([], None, [])
    assert embedded(report_page(data)) == data


def test_a_run_with_failures_only(in_tmp: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Failing(Curved):
        def epochs(self, *arguments: Any) -> Any:
            raise RuntimeError("no luck")

    run = run_search(config(search={"candidates": 3, "max_failures": 3}), evaluator=Failing()).run
    data = report_data(run)
    assert [group["trials"] for group in data["failures"]] == [[trial.id for trial in run.trials()]]
    assert "0 finished and 3 failed" in data["summary"][0]
    assert embedded(report_page(data)) == data


def test_a_run_with_one_network(in_tmp: Path) -> None:
    run = run_search(config(search={"candidates": 1}), evaluator=Curved(fingerprint="one")).run
    data = report_data(run)
    assert data["front"] == [run.best().id]
    assert "One network alone is on the Pareto front" in data["summary"][1]


def test_many_long_errors_and_curves_stay_within_bounds() -> None:
    from results.report.columns import trial_columns

    network = load_architecture("mobilenet_v2").to_dict()
    common: dict[str, Any] = {"key": "k", "protocol": "p", "seed": 0, "choices": {}, "architecture": network}
    failed = [
        Trial(**common, id=n, macs=1, params=1, status="failed", error=f"{n} {'x' * 4000}", arrival=n)
        for n in range(1, 1001)
    ]
    curve = [{"accuracy": epoch / 1000} for epoch in range(1, 1001)]
    long = [Trial(**common, id=n, macs=1, params=1, status="done", curve=curve) for n in range(2000, 2900)]
    found = trial_columns([*failed, *long], (), 1000, 3, "macs")
    assert sum(map(len, found["errors"])) < 1_100_000
    assert "characters in the journal" in found["errors"][0]
    assert found["curve_stride"] == 3
    assert found["columns"]["curve"][-1][-1] == 1.0
    assert len(found["columns"]["curve"][-1]) == 334


@dataclasses.dataclass(frozen=True)
class Evenly(Curved):
    """Every network is as good as any other."""

    def epochs(self, *arguments: Any) -> Any:
        yield Measurement(accuracy=0.5, final=True)


# --- the command -------------------------------------------------------------------------------------


def test_the_command_writes_one_file(run: Run, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = nas(capsys, "report", str(run.path), "-o", "a/page.html", "--json")
    assert (code, err) == (0, "")
    page = (in_tmp / "a" / "page.html").read_bytes()
    assert json.loads(out) == {"file": "a/page.html", "bytes": len(page), "candidates": 60}
    assert 4_000_000 < len(page) < 6_000_000
    assert [path.name for path in (in_tmp / "a").iterdir()] == ["page.html"]
    code, out, err = nas(capsys, "report", str(run.path))
    assert (code, (run.path / "report.html").stat().st_size) == (0, len(page))
    assert re.fullmatch(r"wrote .*report\.html: 60 candidates, 4\.\d+ MB, \d+\.\d s\n", out)


def test_a_comparison_is_with_a_baseline_where_the_space_holds_no_b0(
    run: Run, in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nas(capsys, "report", str(run.path), "-o", "page.html")[0] == 0
    found = embedded((in_tmp / "page.html").read_text())["comparison"]
    assert found is None or found["reference_name"] in ("mobilenet_v2", BASELINE)


@pytest.mark.parametrize("compare", [[], ["--compare", "NETWORK"]])
def test_a_baseline_of_the_space_is_compared_with(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], compare: list[str]
) -> None:
    space = load_space("digits")
    network = space.decode([0] * len(space.decisions)).renamed("smallest <i>")
    settings = {**config(search={"candidates": 4}).model_dump(mode="json"), "baselines": [network.to_dict()]}
    run_search(parse_config(settings), evaluator=Evenly())
    network.save(in_tmp / "n.yaml")
    words = [str(in_tmp / "n.yaml") if word == "NETWORK" else word for word in compare]
    code, _, err = nas(capsys, "report", "t", "-o", "page.html", *words)
    assert (code, err) == (0, "")
    found = embedded((in_tmp / "page.html").read_text())["comparison"]
    assert found["reference_name"] == (words[1] if words else "smallest <i>")
    assert [row["name"] for row in found["networks"]][1] == found["reference_name"]
    assert found["words"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing"], "no run 'nothing' under runs/"),
        (["RUN", "--compare", "efficientnet_b00"], "efficientnet_b0"),
        (["RUN", "-o", "."], ".: is a folder; -o takes a file, such as report.html"),
        (["RUN", "-o", "pipe"], "pipe: cannot be written: it is a device or a pipe, and not a file"),
        (["RUN", "--random", "RUN"], "cannot stand beside"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, in_tmp: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    os.mkfifo("pipe")
    words = [str(run.path) if word == "RUN" else word for word in arguments]
    code, out, err = nas(capsys, "report", *words)
    assert Path("pipe").is_fifo()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert list(in_tmp.glob("*.html")) == []


def test_random_search_beside_no_network_is_refused(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_search(config("mine", search={"candidates": 2}), evaluator=Evenly())
    code, out, err = nas(capsys, "report", "mine", "--random", "mine", "-o", "page.html")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "mine has no network to compare with, which --random needs" in err
    assert not Path("page.html").exists()


def test_a_link_to_a_file_stays_one(run: Run, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("page.html").symlink_to("shared/other.html")
    assert nas(capsys, "report", str(run.path), "-o", "page.html")[0] == 0
    assert Path("page.html").is_symlink()
    assert "<!doctype html>" in Path("shared/other.html").read_text()[:20]


def test_a_folder_that_may_not_be_written_asks_for_a_file(
    run: Run, in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.path, in_tmp / "runs" / "closed", ignore=shutil.ignore_patterns("report.html"))
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    code, _, err = nas(capsys, "report", "closed")
    assert code == 2
    assert "runs/closed: cannot be written; say where the report goes with -o FILE" in err
    assert nas(capsys, "report", "closed", "-o", "page.html")[0] == 0


@pytest.mark.parametrize("change", ["reward = NULL", "status = 'pending', arrival = NULL, accuracy = NULL"])
def test_an_audit_has_no_report(in_tmp: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    run = run_search(config(search={"candidates": 2}), evaluator=Curved()).run
    import sqlite3

    with sqlite3.connect(run.journal_path) as db:
        db.execute("DELETE FROM proposals")  # an audit has none, also before its first result
        db.execute(f"UPDATE trials SET {change}")
    db.close()
    code, out, err = nas(capsys, "report", "t")
    assert (code, out) == (2, "")
    assert "t is an audit and ranks nothing" in err
    assert not (run.path / "report.html").exists()
