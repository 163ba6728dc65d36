"""`nas cam`: maps in which there is nothing to see, and arguments that are swapped."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from tests.bundles import TINY
from tests.checkpoint_files import checkpoint
from tests.colour_network import squares
from tests.test_cam_command import RED_THEN_GREEN, only
from tests.test_cli import nas


def test_a_map_of_one_cell_is_told_with_a_layer_that_has_more(in_tmp: Path, capsys) -> None:
    checkpoint(Path("one.safetensors"), image_size=TINY.total_stride)
    Image.fromarray(squares(RED_THEN_GREEN)).save("both.png")
    assert only("both.png", "one.safetensors").map.shape == (1, 1)
    code, out, err = nas(capsys, "cam", "one.safetensors", "both.png", "--json", "--device", "cpu")
    assert (code, len(json.loads(out)["images"])) == (0, 1)
    told = "the last maps of one.safetensors have one cell: nothing to localise; --method grad-cam --layer "
    assert err.startswith(told)
    layer = err.removeprefix(told).split()[0]
    assert err.strip() == f"{told}{layer} has finer ones"
    assert only("both.png", "one.safetensors", method="grad-cam", layer=layer).map.shape > (1, 1)


def test_the_checkpoint_comes_before_the_image(in_tmp: Path, capsys) -> None:
    code, out, err = nas(capsys, "cam", "both.png", "c.safetensors")
    assert (code, out) == (2, "")
    assert err.strip() == "nas: the checkpoint comes first: nas cam c.safetensors both.png"
