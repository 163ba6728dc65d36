"""A search with everything that a report shows, and names that would like to be markup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas import load_architecture, parse_config, run_search
from results import Run
from search_space import Architecture
from tests.searching import config
from trainers import Measurement

SCRIPT = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
BOLD = (
    "<b onmouseover=alert(1)>bold</b> \"quoted\" 'single' &amp; "
    '<a href="javascript:alert(1)">x</a> \U0001f984'
)
BASELINE = f"{BOLD}{SCRIPT}"


@dataclass(frozen=True)
class Curved:
    """Three epochs, of which the accuracy is made from the key; every ninth network or so fails."""

    fingerprint: str = "report <i>tests</i>"
    num_classes: int = 10
    in_channels: int = 1

    def epochs(
        self, architecture: Architecture, seed: int, weights_path: Path | None = None
    ) -> Iterator[Measurement]:
        luck = int(architecture.key[:6], 16)
        if luck % 9 == 0:
            raise RuntimeError(f"out of memory at {luck} bytes {SCRIPT} {'long ' * 1000}")
        accuracy = 0.5 + luck / 2**25
        for epoch in (1, 2, 3):
            share = accuracy * epoch / 3
            yield Measurement(accuracy=share, metrics={"loss": 1.0 - share, "<b>": share}, final=epoch == 3)


def searched(folder: Path, candidates: int = 60) -> Run:
    """Such a search, in ``runs/`` of a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        b0 = load_architecture("efficientnet_b0").renamed(BASELINE)
        quick = config("t", search={"candidates": candidates}, controller={"name": "random", "options": {}})
        settings = {**quick.model_dump(mode="json"), "baselines": ["mobilenet_v2", b0.to_dict()]}
        run = run_search(parse_config(settings), evaluator=Curved()).run
        return Run(run.path.absolute())
    finally:
        os.chdir(before)
