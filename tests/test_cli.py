"""The command line as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nas import cli, load_architecture, run_search
from search_space import cost
from tests.searching import Scripted, config

NAS = [sys.executable, "-m", "nas.cli"]


def nas(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, in this process."""
    argv, sys.argv = sys.argv, ["nas", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        sys.argv = argv
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def run(in_tmp: Path):
    """A finished search of 8 candidates, two of which failed."""
    return run_search(
        config(search={"candidates": 8}), evaluator=Scripted(in_tmp / "diary", acts={2: "raise", 3: "nan"})
    ).run


def test_json_of_every_command_that_prints_facts(run, capsys) -> None:
    def document(*arguments: str):
        code, out, err = nas(capsys, *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    (listed,) = document("ls")
    status = document("status", "t")
    assert listed == status
    assert (status["run"], status["state"], status["counts"]) == ("t", "finished", {"done": 6, "failed": 2})
    assert (status["workers"], status["kind"], status["running"]) == (1, "search", [])
    assert status["candidates_per_hour"] > 0
    top = document("top", "t", "-n", "3")
    assert [t["reward"] for t in top] == sorted((t["reward"] for t in top), reverse=True)
    assert len(top) == 3
    assert top[0] == status["best"] == status["recommended"]
    assert [t["recommended"] for t in top] == [True, False, False]
    assert {"id", "status", "key", "accuracy", "macs", "params", "reward", "choices"} <= set(top[0])
    pareto = document("pareto", "t")
    keys = {"front", "hypervolume", "reference", "baselines", "objectives", "limits", "feasible"}
    assert set(pareto) == keys
    assert pareto["baselines"] == status["baselines"] == []
    assert pareto["reference"] == {"accuracy": 0.0, "macs": 2e6}
    costs = [t["macs"] for t in pareto["front"]]
    assert costs == sorted(costs)
    show = document("show", "t@best")
    assert show["key"] == top[0]["key"]
    assert (show["macs"], show["params"]) == (top[0]["macs"], top[0]["params"])  # at the run's 10 classes
    assert {"name", "key", "macs", "params", "image_size", "stages"} <= set(show)
    b0 = document("show", "efficientnet_b0")
    assert (b0["macs"], b0["params"], len(b0["stages"])) == (385_814_752, 5_288_548, 7)
    family = document("scale", "t@best")
    assert family[0]["macs"] == top[0]["macs"]
    assert len(family) == 8
    assert {"name", "phi", "depth", "width", "image_size", "dropout", "macs", "params"} <= set(family[0])
    (third,) = document("scale", "efficientnet_b0", "--phi", "3", "--alpha", "1.2")
    assert third["phi"] == 3


def test_the_recommended_and_the_best_observed_are_told_apart(in_tmp: Path, capsys, contrary) -> None:
    run_search(config(controller=contrary, search={"candidates": 5}), evaluator=Scripted(in_tmp / "diary"))
    top = json.loads(nas(capsys, "top", "t", "--json")[1])
    assert [trial["recommended"] for trial in top] == [False] * 4 + [True]
    status = json.loads(nas(capsys, "status", "t", "--json")[1])
    assert (status["best"], status["recommended"]) == (top[0], top[-1])
    best, bet = top[0]["id"], top[-1]["id"]
    words = (
        f"candidate {bet} is recommended (t@best); candidate {best} has the best observed reward (t@observed)"
    )
    for arguments, rows in ((["top", "t"], 5), (["top", "t", "-n", "2"], 2), (["status", "t"], 2)):
        code, out, _ = nas(capsys, *arguments)
        assert (code, out.splitlines()[-1]) == (0, words)
        table = [line.split()[:2] for line in out.splitlines()[:-1]]
        assert (["*", str(bet)] in table) == (arguments != ["top", "t", "-n", "2"])
        assert sum("mb" in line for line in out.splitlines()) == rows
    assert f"candidate {bet} of the search t (recommended): " in nas(capsys, "show", "t@best")[1]
    assert f"candidate {best} of the search t: " in nas(capsys, "show", "t@observed")[1]
    assert json.loads(nas(capsys, "show", "t@observed", "--json")[1])["key"] == top[0]["key"]
    assert nas(capsys, "export", "t@best", "-o", "net")[0] == 0
    assert load_architecture("net/architecture.yaml").key == top[-1]["key"]
    assert "(recommended)" in Path("net/architecture.yaml").read_text().splitlines()[0]


def test_text_of_every_command(run, capsys) -> None:
    for arguments, words in [
        (["ls"], ["t ", "finished", "8/8"]),
        (
            ["status", "t"],
            ["6 done, 2 failed", "candidate 2 failed: RuntimeError: CUDA out of memory (as if) ("],
        ),
        (["pareto", "t"], ["hypervolume 0.", "reference point accuracy 0 and 2 M macs"]),
        (["top", "t"], ["reward", "mb", "is recommended and has the best observed reward (t@best)"]),
        (["show", "efficientnet_b0"], ["MBConv6, k5x5, SE 0.25", "112x112", "385,814,752 MACs", "5,288,548"]),
        (["show", "t@1"], ["candidate 1 of the search t", "10 classes, 1 input channel"]),
        (["scale", "efficientnet_b0"], ["efficientnet_b7", "published factors", "66.3 M"]),
        (
            ["scale", "efficientnet_b0", "--phi", "1"],
            ["formula: alpha 1.2, beta 1.1, gamma 1.15; MACs x 1.920"],
        ),
        (["--help"], ["search", "pareto", "export", "scale"]),
    ]:
        code, out, err = nas(capsys, *arguments)
        assert (code, err) == (0, "")
        for word in words:
            assert word in out, f"{arguments}: {out}"


def test_export_writes_what_loads_back(run, capsys, in_tmp: Path) -> None:
    best = run.best()
    code, _, _ = nas(capsys, "export", "t@best", "-o", "net")
    assert code == 0
    assert sorted(path.name for path in Path("net").iterdir()) == [
        "architecture.json", "architecture.yaml", "weights.safetensors",
    ]  # fmt: skip
    assert Path("net/weights.safetensors").read_text() == best.key
    for ending in ("yaml", "json"):
        assert load_architecture(f"net/architecture.{ending}").key == best.key
        assert cost(load_architecture(f"net/architecture.{ending}"), 10, 1).macs == best.macs
    assert "candidate" in Path("net/architecture.yaml").read_text().splitlines()[0]
    assert nas(capsys, "export", "efficientnet_b0", "-o", "b0.json")[0] == 0
    assert load_architecture("b0.json") == load_architecture("efficientnet_b0")
    assert nas(capsys, "export", "t@best", "-o", "one", "--format", "json")[0] == 0
    assert [path.name for path in Path("one").iterdir()] == ["architecture.json"]


def test_scale_writes_members_that_load_back(run, capsys) -> None:
    assert nas(capsys, "scale", "t@best", "-o", "family")[0] == 0
    members = [load_architecture(path) for path in sorted(Path("family").iterdir())]
    assert [m.image_size for m in members] == [32, 34, 37, 43, 54, 65, 75, 86]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_pareto_figure_is_an_image(run, capsys, ending: str) -> None:
    assert nas(capsys, "pareto", "t", "--plot", f"figures/front.{ending}")[0] == 0
    content = Path(f"figures/front.{ending}").read_bytes()
    assert content.startswith(b"\x89PNG") if ending == "png" else b"<svg" in content


def test_a_run_without_results_is_no_error(in_tmp: Path, capsys) -> None:
    run_search(config(search={"candidates": 1}), evaluator=Scripted(in_tmp / "d", acts={1: "raise"}))
    assert nas(capsys, "pareto", "t", "--plot", "p.png")[0] == 0
    assert json.loads(nas(capsys, "pareto", "t", "--json")[1])["front"] == []
    assert json.loads(nas(capsys, "top", "t", "--json")[1]) == []
    assert nas(capsys, "status", "t")[0] == 0
    assert "no candidate has finished yet" in nas(capsys, "top", "t")[1]
    assert nas(capsys, "show", "t@best")[2] == "nas: t: no candidate has finished yet\n"


MISTAKES = [
    (["serch"], "No such command 'serch'"),
    (["top"], "Missing argument"),
    (["top", "t", "-n", "0"], "-n"),
    (["status", "nosuch"], "no run 'nosuch' under runs/"),
    (["status", "tt"], "did you mean t?"),
    (["show", "eficientnet_b0"], "did you mean efficientnet_b0?"),
    (["show", "nosuch.yaml"], "nosuch.yaml: no such file"),
    (["show", "t@99"], "t: has no candidate 99"),
    (["show", "t@worst"], "after @ comes best"),
    (["show", "broken.yaml"], "broken.yaml:3: "),
    (["show", "tiny.yaml"], "tiny.yaml:1: image_size must be at least the total stride, 32, got 16"),
    (["show", "newer.yaml"], "newer.yaml:1: format must be 1, got 9: a file of another version"),
    (["show", "binary.yaml"], "binary.yaml: not a text file"),
    (
        ["pareto", "t", "--x", "flops"],
        "t: no finished network has a number called 'flops'; there are accuracy, ",
    ),
    (["pareto", "t", "--plot", "p.bmp"], "p.bmp: must end in .png, .svg, .pdf, .html"),
    (["pareto", "t", "--x", "mcas"], "did you mean macs?"),
    (["pareto", "t", "--x", "stage1.kernel"], "no finished network has a number called 'stage1.kernel'"),
    (["pareto", "t", "--z", "macs"], "--x, --y and --z must differ, got macs, accuracy, macs"),
    (["pareto", "t", "--limit", "macs=3"], "'macs=3' is no limit: a column, one of <= < >= >, and a number"),
    (["pareto", "t", "--limit", "nosuch<=3"], "t: no finished network has a number called 'nosuch'"),
    (["pareto", "t", "--where", "nosuch < 3"], "'nosuch' in the condition 'nosuch < 3' is no column"),
    (["pareto", "t", "runs/t"], "a run is given twice"),
    (["pareto", "t", "tt"], "did you mean t?"),
    (["pareto", "t", "--plot", "broken.yaml/p.html"], "cannot be written"),
    (["pareto", "t", "--plot", "broken.yaml/p.png"], "cannot be written"),
    (["export", "t@best", "-o", "x.pt"], "x.pt: must be a folder, or end in"),
    (["export", "t@best", "-o", "x", "--format", "jsn"], "did you mean json?"),
    (
        ["export", "efficientnet_b0", "-o", "w.safetensors"],
        "efficientnet_b0 has no trained weights to export",
    ),
    (["export", "t@best", "-o", "broken.yaml/x.json"], "cannot be written"),
    (["scale", "efficientnet_b0", "--phi", "x"], "--phi"),
    (["search", "--run", "t"], "nas search needs a configuration, or --resume --run NAME"),
    (["search", "--run", "v", "--resume"], "no run 'v' under runs/"),
    (["search", "good.yaml", "--set", "executor.cpus=999", "--run", "u"], "executor.cpus must be at most"),
    (["show", "t"], "'t' is a run; its best network is t@best"),
    (["search", "good.yaml", "--run", ""], "'' is no name for a run"),
    (
        ["search", "good.yaml", "--set", "protocol.shift=16", "--run", "u"],
        "protocol.shift must be less than half",
    ),
    (["search", "nosuch.yaml"], "nosuch.yaml: no such file"),
    (["search", "typo.yaml"], "typo.yaml:2: controler is an unknown key; did you mean controller?"),
    (["search", "preset.yaml"], "preset.yaml:1: space: 'digts' is no known search space; did you mean"),
    (["search", "good.yaml", "--run", "t"], "runs/t: exists already"),
    (["search", "good.yaml", "--run", "../t"], "is no name for a run"),
    (["search", "good.yaml", "--run", "u", "--resume"], "there is no run to resume"),
    (
        ["search", "good.yaml", "--set", "protocol.batch=5000", "--run", "u"],
        "protocol.batch must be at most 1200",
    ),
    (["search", "good.yaml", "--set", "nonsense"], "must be key=value"),
    (
        ["search", "good.yaml", "--set", "executor={kind: inline, time_limit: 5}", "--run", "u"],
        "executor.time_limit is for the executor ray",
    ),
]


def everything() -> dict[Path, bytes]:
    """Every file here, but for those that SQLite's readers make beside a journal."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(run, capsys, arguments, message: str) -> None:
    b0 = load_architecture("efficientnet_b0").to_yaml()
    Path("broken.yaml").write_text("image_size: 32\nstem: [\n")
    Path("tiny.yaml").write_text(
        b0.replace("format: 1\n", "").replace("name: efficientnet_b0\n", "").replace("224", "16")
    )
    Path("newer.yaml").write_text(b0.replace("format: 1", "format: 9"))
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    Path("good.yaml").write_text("space: digits\nobjective: {target: 1e6}\n")
    Path("typo.yaml").write_text("space: digits\ncontroler: {name: ppo}\nobjective: {target: 1e6}\n")
    Path("preset.yaml").write_text("space: digts\nobjective: {target: 1e6}\n")
    before = everything()
    code, out, err = nas(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert everything() == before  # nothing lost, nothing half-written


def test_a_newer_journal_is_refused_by_every_command(run, capsys) -> None:
    import sqlite3

    with sqlite3.connect(run.journal_path) as raw:
        raw.execute("PRAGMA user_version = 9")
    for command in (["status", "t"], ["top", "t"], ["pareto", "t"], ["show", "t@best"]):
        code, out, err = nas(capsys, *command)
        assert (code, out) == (2, "")
        assert "has schema 9, written by a newer version; this one reads up to" in err


def test_text_of_users_is_never_markup(in_tmp: Path, capsys) -> None:
    class Fails(Scripted):
        def epochs(self, architecture, seed, weights_path=None):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:114] cannot open [/data/x] :smile:")

    run_search(config(search={"candidates": 2}), evaluator=Fails(in_tmp / "d"))
    code, out, _ = nas(capsys, "status", "t")
    assert code == 0
    assert "[enforce fail at alloc_cpu.cpp:114] cannot open [/data/x] :smile:" in out
    load_architecture("efficientnet_b0").renamed("n [/x] [red]").save("n.yaml")
    code, out, _ = nas(capsys, "show", "n.yaml")
    assert (code, "n [/x] [red]" in out) == (0, True)
    code, out, _ = nas(capsys, "scale", "n.yaml", "--phi", "1")
    assert (code, "n [/x] [red]-phi1" in out) == (0, True)


def test_a_run_that_cannot_be_read_does_not_hide_the_others(run, capsys) -> None:
    Path("runs/broken").mkdir()
    Path("runs/broken/journal.db").write_text("no database at all, but long enough to be looked at " * 9)
    Path("runs/.left.behind").mkdir()
    Path("runs/.left.behind/journal.db").touch()
    code, out, _ = nas(capsys, "ls")
    assert code == 0
    assert "unreadable: runs/broken/journal.db: cannot be read as a journal" in out
    assert max(len(line) for line in out.splitlines()[:3]) < 90  # an error widens no column
    assert "6 done" not in out
    assert "8/8" in out
    listed = json.loads(nas(capsys, "ls", "--json")[1])
    assert [(r["run"], r["state"]) for r in listed] == [("broken", "unreadable"), ("t", "finished")]


def test_members_are_written_inside_the_folder_whatever_their_name(in_tmp: Path, capsys) -> None:
    load_architecture("efficientnet_b0").renamed("../../evil").save("n.yaml")
    assert nas(capsys, "scale", "n.yaml", "--phi", "1", "-o", "family")[0] == 0
    assert [path.name for path in Path("family").iterdir()] == ["_.._evil-phi1.yaml"]


def test_an_export_without_weights_never_stands_beside_weights_of_another(run, capsys) -> None:
    assert nas(capsys, "export", "t@best", "-o", "net")[0] == 0
    code, _, err = nas(capsys, "export", "efficientnet_b0", "-o", "net")
    assert (code, "is of another export, and efficientnet_b0 has no weights" in err) == (2, True)
    assert load_architecture("net/architecture.yaml").key == run.best().key


def test_a_run_may_be_called_by_a_number(in_tmp: Path, capsys) -> None:
    Path("good.yaml").write_text(
        "space: digits\nobjective: {target: 1e6}\nprotocol: {epochs: 1, batch: 600}\n"
        "search: {candidates: 1}\nexecutor: {kind: inline}\n"
    )
    assert nas(capsys, "search", "good.yaml", "--run", "2024")[0] == 0
    assert nas(capsys, "search", "runs/2024/config.yaml", "--resume")[0] == 0
    assert nas(capsys, "search", "--run", "2024", "--resume")[0] == 0
    assert nas(capsys, "export", "2024@best", "-o", "net.timm.json")[0] == 0
    arguments = json.loads(Path("net.timm.json").read_text())
    assert (arguments["num_classes"], arguments["in_chans"], len(arguments["arch_def"])) == (10, 1, 4)


def test_space_commands(in_tmp: Path, capsys) -> None:
    shown = json.loads(nas(capsys, "space", "show", "accel-nasbench", "--json")[1])
    assert (shown["size"], shown["networks"], shown["networks_exact"]) == (104485552128, 104485552128, True)
    assert shown["macs"] == {"smallest": 51594768, "largest": 884060256}
    code, out, _ = nas(capsys, "space", "show", "efficientnet", "--set", "choices.kernel=[3,5,7]")
    assert (code, "3/5/7" in out, "578,415,690,713,088 points" in out) == (0, True, True)
    drawn = json.loads(nas(capsys, "space", "sample", "digits", "-n", "3", "-o", "nets", "--json")[1])
    assert len(drawn) == 3
    assert {load_architecture(path).key for path in Path("nets").iterdir()} == {d["key"] for d in drawn}
    assert json.loads(nas(capsys, "space", "sample", "digits", "-n", "3", "--json")[1]) == drawn
    Path("s.yaml").write_text("extends: digits\nname: s\nchoices: {kernal: [3]}\n")
    code, _, err = nas(capsys, "space", "show", "s.yaml")
    assert (code, err) == (2, "nas: s.yaml:3: choices.kernal is an unknown key; did you mean kernel?\n")


def test_debug_gives_the_traceback(in_tmp: Path) -> None:
    done = subprocess.run(
        [*NAS, "--debug", "show", "nosuch"], capture_output=True, text=True, cwd=in_tmp, check=False
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "is no known architecture" in done.stderr
