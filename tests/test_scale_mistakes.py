"""What ``nas scale`` refuses: one line that says the place and the rule; nothing is trained or written."""

from pathlib import Path

import pytest

from nas import run_search
from tests.searching import Scripted
from tests.searching import config as search_config
from tests.test_cli import everything, nas
from tests.test_scale_commands import BASELINE, DIMENSIONS, QUICK, SCALING

B0, MINE = "efficientnet_b0", ["mine.yaml", "--search", "grid.yaml"]
MISTAKES: list[tuple[list[str], str]] = [
    (["eficientnet_b0"], "did you mean efficientnet_b0?"),
    ([B0, "--famly", "efficientnet"], "--famly"),
    ([B0, "--family", "resnet"], "--family must be efficientnet, got 'resnet'"),
    ([B0, "--phi", "x"], "--phi"),
    ([B0, "--phi", "-1"], "phi must be between 0 and 100, got -1"),
    ([B0, "--phi", "nan"], "phi must be between 0 and 100, got nan"),
    ([B0, "--phi", "1", "--phi", "1"], "phi of 1 is given twice"),
    ([B0, "--phi", "40"], "the largest phi that can be built is "),
    ([B0, "--alpha", "0.5"], "alpha must be between 1 and 10, got 0.5"),
    ([B0, "--alpha", "1", "--beta", "1", "--gamma", "1"], "are all 1, so that no phi makes a larger network"),
    ([B0, "--width", "0"], "width must be between 0.001 and 1000, got 0"),
    ([B0, "--resolution", "90"], "the largest resolution that can be built is "),
    ([B0, "--classes", "0"], "--classes"),
    ([B0, "--edition", "v9"], "'v9' is no edition whose tables are known; known: "),
    (
        [B0, "--phi", "1", "--family", "efficientnet"],
        "--family and the formula (--phi, --alpha, --beta, --gamma) are different ways to scale; give one",
    ),
    ([B0, "--depth", "2", "--phi", "1"], "are different ways to scale; give one"),
    ([B0, "--depth", "2", "--family", "efficientnet"], "are different ways to scale; give one"),
    ([*MINE, "--dimensions", "ways.yaml"], "--search and --dimensions are different ways to scale; give one"),
    ([*MINE, "--alpha", "1.2"], "--gamma) and --search are different ways"),
    ([*MINE, "--width", "2"], "--resolution) and --search are different ways"),
    ([*MINE, "--phi", "1", "--phi", "1"], "phi of 1 is given twice"),
    ([*MINE, "--limit", "params<=10"], "no phi fits: the baseline mine itself takes "),
    ([*MINE, "--classes", "7"], "--classes goes with a family that is not searched for"),
    ([*MINE, "--accuracy", "mine=0.5", "--plot", "x.png"], "--accuracy goes with a family that is not"),
    ([*MINE, "--weights"], "--weights goes with -o"),
    ([*MINE, "--plot", "x.gif"], "x.gif: must end in .png, .svg, .pdf"),
    (["mine.yaml", "--dimensions", "ways.yaml", "--phi", "1"], "are different ways to scale"),
    (["mine.yaml", "--dimensions", "ways.yaml", "-o", "x"], "-o goes with a family, which --dimens"),
    (["mine.yaml", "--dimensions", "ways.yaml", "--limit", "macs<=1"], "--limit goes with a family"),
    (["mine.yaml", "--dimensions", "ways.yaml", "--channels", "3"], "--channels goes with a family"),
    ([B0, "--run", "x"], "--run goes with --search or --dimensions"),
    ([B0, "--set", "seed=1"], "--set goes with --search or --dimensions"),
    ([B0, "--reuse", "t"], "--reuse goes with --search or --dimensions"),
    ([B0, "--address", "auto"], "--address goes with --search or --dimensions"),
    ([B0, "--limit", "macs"], "'macs' is no limit"),
    ([B0, "--limit", "flops<=3"], "--limit 'flops<=3': must bound macs, params, memory, got 'flops'"),
    ([B0, "--limit", "macs>=3"], "must be an upper bound, such as macs<=3"),
    ([B0, "--limit", "macs<=3e9", "--limit", "macs<4e9"], "--limit bounds macs twice"),
    ([B0, "--limit", "macs<=1e6"], "no phi fits: the baseline efficientnet_b0 itself takes 386 M MACs"),
    ([B0, "--family", "efficientnet", "--limit", "macs<=1e6"], "no member of the family fits: the smallest"),
    ([B0, "--depth", "2", "--limit", "macs<=4e8"], "over the limit of 400 M; take smaller factors"),
    ([B0, "--phi", "5", "--limit", "macs<=2e9"], "the largest phi that fits is 2.223"),
    ([B0, "-o", "file"], "cannot be written"),
    ([B0, "--plot", "file/x.png"], "cannot be written"),
    (["mine.yaml", "--search", "nosuch.yaml"], "nosuch.yaml: no such file"),
    (["mine.yaml", "--dimensions", "nosuch.yaml"], "nosuch.yaml: no such file"),
    (["mine.yaml", "--search", "typo.yaml"], "typo.yaml:3: scaling.alpa is an unknown key; did you mean"),
    (["mine.yaml", "--search", "section.yaml"], "section.yaml:3: scalling is an unknown key; did you mean"),
    (["mine.yaml", "--search", "range.yaml"], "range.yaml:3: scaling.seeds must be between 1 and 1000"),
    (["mine.yaml", "--search", "below.yaml"], "below.yaml:3: scaling.beta[0] must be between 1 and 100"),
    (["mine.yaml", "--search", "table.yaml"], "table: its evaluator replays a table, and scaled"),
    (["mine.yaml", "--search", "binary.yaml"], "binary.yaml: not a text file"),
    (["mine.yaml", "--search", "list.yaml"], "list.yaml: must hold keys and values"),
    ([*MINE, "--set", "scaling.alfa=[1.0]"], "--set scaling.alfa is an unknown key; did you mean alpha?"),
    ([*MINE, "--set", "data.name=digts"], "--set data.name must be one of digits, got 'digts'"),
    ([*MINE, "--set", "nonsense"], "must be key=value"),
    ([*MINE, "--set", "scaling.alpha=[1.0]", "--set", "scaling.beta=[1.0]", "--set", "scaling.gamma=[1.0]"],
     "scaling: none of the 1 networks with alpha * beta^2 * gamma^2 within 1 of 2 can be had: they round to"),
    ([*MINE, "--set", "scaling.tolerance=0", "--set", "scaling.factor=2.7"],
     "which scaling.tolerance=0.123 takes in"),
    ([*MINE, "--set", "protocol.image_size=16"], "protocol.image_size must be null, got 16: each network is"),
    ([*MINE, "--set", "executor.cpus=999", "--set", "executor.kind=ray"], "executor.cpus must be at most"),
    ([*MINE, "--address", "auto"], "--address is for the executor ray, and executor.kind is inline"),
    ([*MINE, "--run", "../x"], "'../x' is no name for a run"),
    ([*MINE, "--run", "t"], "runs/t: holds a search, and no scaling; choose another name"),
    ([*MINE, "--reuse", "nosuch"], "no run 'nosuch' under runs/"),
    (["mine.yaml", "--search", "cache.yaml"], "nosuch"),
    (["mine.yaml", "--dimensions", "far.yaml"], "dimensions.factors: "),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing may change."""
    folder = tmp_path_factory.mktemp("mistaken")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        BASELINE.save("mine.yaml")
        for name, text in {
            "grid": SCALING,
            "ways": DIMENSIONS,
            "typo": QUICK + "scaling: {alpa: [1.0]}\n",
            "section": QUICK + "scalling: {alpha: [1.0]}\n",
            "range": QUICK + "scaling: {seeds: 0}\n",
            "below": QUICK + "scaling: {beta: [0.9]}\n",
            "table": "space: digits\nobjective: {target: 1e6}\nevaluator: {kind: table, path: t.csv}\n",
            "list": "- 1\n",
            "cache": QUICK + "data: {cache: nosuch}\n",
            "far": QUICK + "dimensions: {alpha: 1.0, beta: 1.0001, gamma: 1.0}\n",
        }.items():
            Path(f"{name}.yaml").write_text(text)
        Path("binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
        Path("file").touch()
        run_search(search_config(search={"candidates": 1}), evaluator=Scripted(folder / "diary"))
    return folder


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(
    mistaken: Path, monkeypatch, capsys, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(mistaken)
    before = everything()
    code, out, err = nas(capsys, "scale", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.splitlines()[-1].startswith("nas: ")
    assert len(err.splitlines()) == 1, err
    assert everything() == before
