"""Files of weights as other libraries leave them, seeded: names and shapes are those of the fixtures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.pretrained_fixtures import load_fixtures, seeded_state, shapes_of

FIXTURES = load_fixtures()
TOLERANCE = 1e-5


def state_of(source: str, member: str = "b0") -> dict[str, torch.Tensor]:
    """Seeded weights as the source names them."""
    return seeded_state(shapes_of(FIXTURES, source, member))


def timm_file(folder: Path) -> Path:
    """B0 as timm names it, in a file that says nothing more."""
    path = folder / "model.safetensors"
    save_file(state_of("timm"), path)
    return path


def linked(path: Path, to: Path) -> Path:
    """The same file under another name."""
    to.parent.mkdir(exist_ok=True)
    os.link(path, to)
    return to


def config(folder: Path, architecture: str = "tf_efficientnet_b0", **changes: Any) -> None:
    """The hub's file."""
    images = {"input_size": [3, 192, 192], "crop_pct": 0.9, "mean": [0.4] * 3, "std": [0.3] * 3, **changes}
    (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": images}))
