"""`nas cam`: from image files to a figure, a table and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import nas as public
from nas import maps_views
from results.figures.maps_figure import PIXELS, MapCell, MapRow, maps_figure, overlay
from search_space import FieldError, InputError
from search_space.network import Network
from tests.checkpoint_files import checkpoint
from tests.colour_network import colour_checkpoint, squares
from tests.images import class_folders
from tests.test_cli import nas
from trainers.cache import FACTS_FILE
from trainers.prepare import PrepareOptions, prepare

RED_THEN_GREEN = {"red": (2, 4), "green": (20, 22)}


@pytest.fixture
def there(in_tmp: Path) -> Path:
    """A checkpoint and an image with a red and a green square."""
    colour_checkpoint(Path("c.safetensors"))
    Image.fromarray(squares(RED_THEN_GREEN)).save("both.png")
    return in_tmp


def only(image: str | Path, checkpoint: str = "c.safetensors", **options: Any) -> Any:
    """The one map of one network on one image."""
    found = public.activation_maps(checkpoint, [image], device="cpu", **options)
    return found.images[0].maps[0]


# --- the same as nas eval ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prepared", "facts"),
    [(16, {}), (24, {"measured_crop": 0.875}), (16, {"image_size": 21, "in_channels": 3})],
)
def test_predictions_are_those_of_nas_eval_on_prepared_data(
    in_tmp: Path, prepared: int, facts: dict[str, Any]
) -> None:
    channels = facts.get("in_channels", 1)
    its = {"class_names": tuple("abcdefghij"), "mean": (0.4,) * channels, "std": (0.3,) * channels} | facts
    checkpoint(Path("c.safetensors"), **its)
    sizes = dict.fromkeys("abcdefghij", 3)
    class_folders(Path("photos/train"), sizes)
    class_folders(Path("photos/test"), sizes, start=500)
    prepare("photos", Path("data"), PrepareOptions(image_size=prepared, channels=channels, validation=10))
    expected = public.evaluate_checkpoint("c.safetensors", "data", device="cpu").evaluation
    confusion, loss = np.zeros((10, 10), np.int64), 0.0
    for label, name in enumerate(sizes):
        files = sorted(Path("photos/test", name).iterdir())
        found = public.activation_maps("c.safetensors", files, target=name, prepared=prepared, device="cpu")
        for image in found.images:
            confusion[label, its["class_names"].index(image.maps[0].predicted)] += 1
            loss -= math.log(image.maps[0].target_probability)
    assert (confusion == expected.confusion).all()
    assert (confusion.sum(0) > 0).sum() > 2, "a network that always says one class tells nothing apart"
    assert loss / confusion.sum() == pytest.approx(expected.loss, rel=1e-4)


def test_images_are_prepared_as_the_trainings_data_were_while_these_are_there(there: Path) -> None:
    class_folders(Path("photos"), {"red": 4, "green": 4, "blue": 4})
    prepare("photos", Path("data"), PrepareOptions(image_size=48))
    fingerprint = json.loads(Path("data", FACTS_FILE).read_text())["fingerprint"]
    Path("runs/tr/checkpoints").mkdir(parents=True)
    config = "name: tr\ndata: {cache: data}\nrecipe: {base: cifar}\n"
    Path("runs/tr/config.yaml").write_text(config)
    path = Path("runs/tr/checkpoints/best.safetensors")
    assert only("both.png").prepared_size == 32
    colour_checkpoint(path, data_fingerprint=fingerprint)
    assert only("both.png", "tr@best").prepared_size == 48
    assert only("both.png", "tr@best", prepared=40).prepared_size == 40
    colour_checkpoint(path, data_fingerprint="of other data")
    assert only("both.png", "tr@best").prepared_size == 32
    Path("runs/tr/config.yaml").write_text(config.replace("cache: data", "cache: gone"))
    assert only("both.png", "tr@best").prepared_size == 32
    colour_checkpoint(path, measured_crop=0.8)  # what is measured of 40 pixels is as large as the network's
    assert only("both.png", "tr@best").prepared_size == 40
    assert only("both.png", "tr@best").margin == 0.1


# --- which images ------------------------------------------------------------------------------------------


def saved(kind: str) -> Path:
    """The red square on black, in some other form."""
    pixels = squares({"red": (0, 4)})
    colour, path = Image.fromarray(pixels), Path(f"{kind}.png")
    grey = Image.fromarray(pixels[..., 0])
    if kind in ("RGBA", "LA", "CMYK", "1", "L", "P"):
        image = (grey if kind in ("LA", "1", "L") else colour).convert(kind)
    elif kind == "P with transparency":
        image = colour.convert("P")
        image.info["transparency"] = 0
    elif kind == "16 bits":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        assert image.mode == "I;16"
    elif kind == "turned by EXIF":
        image, exif = colour.transpose(Image.Transpose.ROTATE_90), Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
        image.save(path, exif=exif)
        return path
    elif kind == "animated":
        path = path.with_suffix(".gif")
        colour.save(path, save_all=True, append_images=[Image.new("RGB", (32, 32), "blue")])
        return path
    else:
        assert kind == "not square"
        wide = np.zeros((32, 96, 3), np.uint8)
        wide[:, 32:64] = pixels
        image = Image.fromarray(wide)
    image.save(path if kind != "CMYK" else path.with_suffix(".tif"))
    return path if kind != "CMYK" else path.with_suffix(".tif")


COLOURED = ("RGBA", "P", "P with transparency", "CMYK", "turned by EXIF", "animated", "not square")


@pytest.mark.parametrize("kind", [*COLOURED, "L", "LA", "1", "16 bits"])
def test_every_kind_of_image_is_read_as_what_it_shows(there: Path, kind: str) -> None:
    found = only(saved(kind), target="red")
    assert found.centre == pytest.approx((8 / 32, 4 / 32), abs=0.04)
    assert found.concentration > 0.9
    if kind in COLOURED:
        assert found.predicted == "red"
    else:  # as much green and blue; blue has the largest bias
        assert found.predicted == "blue"


def test_one_pixel_is_an_image_too(there: Path) -> None:
    Image.new("RGB", (1, 1), "lime").save("pixel.png")
    found = only("pixel.png")
    assert (found.predicted, found.map.shape) == ("green", (16, 16))


def test_a_grey_network_is_given_grey(in_tmp: Path) -> None:
    checkpoint(Path("c.safetensors"))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("colour.png")
    Image.fromarray(pixels).convert("L").save("grey.png")
    assert (only("colour.png").map == only("grey.png").map).all()


def test_the_crop_moves_the_map_and_the_map_knows(there: Path) -> None:
    colour_checkpoint(Path("cropped.safetensors"), measured_crop=0.5)
    Image.fromarray(squares({"red": (8, 8)})).save("inner.png")
    found = only("inner.png", "cropped.safetensors")
    assert (found.margin, found.image_size) == (0.25, 32)
    assert found.centre == pytest.approx((0.25, 0.25), abs=0.03)  # of the crop: the upper left quarter
    assert only("inner.png").centre == pytest.approx((12 / 32, 12 / 32), abs=0.03)


def test_the_enlarged_map_has_the_images_pixels_and_the_maps_places(there: Path) -> None:
    found = only("both.png", target="green")
    large = found.enlarged()
    assert (large.shape, found.enlarged(80).shape) == ((32, 32), (80, 80))
    row, column = np.unravel_index(large.argmax(), large.shape)
    assert 20 <= row < 28
    assert 22 <= column < 30
    assert large.max() == pytest.approx(found.maximum)


# --- several networks --------------------------------------------------------------------------------------


def test_networks_of_other_sizes_and_orders_of_classes_stand_side_by_side(there: Path, capsys) -> None:
    colour_checkpoint(Path("large.safetensors"), image_size=48, order=(2, 0, 1))
    Image.fromarray(squares({"green": (4, 4)}, side=64, of=16)).save("green.png")
    arguments = ["both.png", "green.png", "--compare", "large.safetensors", "--class", "green", "--json"]
    code, out, err = nas(capsys, "cam", "c.safetensors", *arguments, "--device", "cpu")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert (document["method"], document["layer"]) == ("cam", "head")
    assert [each["image"] for each in document["images"]] == ["both.png", "green.png"]
    for image, (x, y) in zip(document["images"], ((26, 24), (6, 6)), strict=True):
        small, large = image["networks"]
        assert (small["checkpoint"], large["checkpoint"]) == ("c.safetensors", "large.safetensors")
        assert (small["network"], large["network"]) == ("colours-32", "colours-48")
        assert (small["image_size"], large["image_size"]) == (32, 48)
        for each, cells in ((small, 16), (large, 24)):
            assert each["class"] == "green"
            assert np.array(each["map"]).shape == (cells, cells)
            assert each["cells"] == cells
            assert each["centre"] == pytest.approx([x / 32, y / 32], abs=0.03)
            assert each["maximum"] == pytest.approx(np.max(each["map"]))
    assert document["images"][1]["networks"][0]["predicted"] == "green"
    alone = document["images"][1]["networks"][0]
    assert alone["class_probability"] == alone["probability"]


def test_grad_cam_of_an_earlier_layer_is_an_option(there: Path, capsys) -> None:
    arguments = ["--method", "grad-cam", "--layer", "stage1", "--json", "--device", "cpu"]
    code, out, _ = nas(capsys, "cam", "c.safetensors", "both.png", *arguments)
    document = json.loads(out)
    assert (code, document["method"], document["layer"]) == (0, "grad-cam", "stage1")
    values = np.array(document["images"][0]["networks"][0]["map"])
    plain = only("both.png").map
    assert values.min() == 0
    assert np.allclose(values * plain.size, np.maximum(plain, 0), atol=1e-4)


def passes(monkeypatch: pytest.MonkeyPatch, images: int, **options: Any) -> list[int]:
    """Images of every pass through the first layer, of so many of 32 pixels."""
    seen: list[int] = []
    whole = Network.forward_features

    def counted(self: Network, x: Any) -> Any:
        seen.append(len(x))
        return whole(self, x)

    monkeypatch.setattr(Network, "forward_features", counted)
    public.activation_maps("c.safetensors", ["both.png"] * images, device="cpu", **options)
    return seen


def test_a_class_activation_map_takes_one_pass(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes(monkeypatch, 3) == [3]


def test_images_are_taken_by_their_pixels_where_the_gradient_needs_memory(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passes(monkeypatch, 3, method="grad-cam", layer="stem") == [3]
    colour_checkpoint(Path("c.safetensors"), image_size=160)
    assert passes(monkeypatch, 3, method="grad-cam", layer="stem")[:2] == [2, 1]
    colour_checkpoint(Path("c.safetensors"), image_size=182)
    assert passes(monkeypatch, 3, method="grad-cam", layer="stem") == [1, 1, 1]
    assert passes(monkeypatch, 3, method="grad-cam") == [3]


def test_the_table_has_a_row_an_image_and_a_network(there: Path, capsys) -> None:
    code, out, err = nas(capsys, "cam", "c.safetensors", "both.png", "--class", "red", "--device", "cpu")
    assert (code, err) == (0, "")
    head, row, *_ = out.splitlines()
    assert head.split()[:3] == ["image", "checkpoint", "pixels"]
    assert "of red" in head
    assert row.split()[:3] == ["both.png", "c.safetensors", "32"]
    assert "100.00 %" in row
    assert "of an even map 20 %" in " ".join(out.split())


# --- the figure --------------------------------------------------------------------------------------------


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_figure_is_written_whole_and_alone(there: Path, capsys, ending: str) -> None:
    path = Path("new") / f"maps.{ending}"
    code, out, err = nas(capsys, "cam", "c.safetensors", "both.png", "-o", str(path), "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.endswith(f"wrote {path}\n")
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_figure_says_what_is_predicted_by_whom(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour_checkpoint(Path("large.safetensors"), image_size=48)
    colour_checkpoint(Path("again.safetensors"))
    kept: list[Figure] = []
    monkeypatch.setattr(maps_views, "save_figure", lambda figure, path: kept.append(figure))
    found = public.activation_maps(
        "c.safetensors",
        ["both.png"],
        compare=["large.safetensors", "again.safetensors"],
        target="blue",
        device="cpu",
    )
    maps_views.save_maps_figure(found, Path("x.png"))
    written = texts(kept[0])
    assert {"both.png", "colours-48", "48 px", "c.safetensors", "again.safetensors"} <= {*written}
    assert "colours-32" not in written, "two networks of one name are told apart by their checkpoints"
    its = found.images[0].maps[0]
    lines = (
        f"{its.predicted} {100 * its.probability:.0f} %",
        f"blue {100 * its.target_probability:.0f} %",
        "nothing above 0",
    )
    assert "\n".join(lines) in written
    assert any("Each cell has its own scale" in " ".join(text.split()) for text in written)


def test_heat_lies_over_the_crop_and_the_rest_is_dark() -> None:
    picture = np.full((PIXELS, PIXELS, 3), 200, np.uint8)
    heat = np.full((64, 64), -1.0, np.float32)
    heat[10, 50] = 3.0
    drawn = overlay(picture, heat)
    bright = drawn.sum(2)
    assert np.unravel_index(bright.argmax(), bright.shape) == (96 + 10, 96 + 50)
    assert np.ptp(drawn[:90], axis=2).max() < 1e-6, "grey outside"
    assert (drawn >= 0).all()
    assert (drawn <= 1).all()
    assert np.isfinite(overlay(picture, -np.ones((64, 64), np.float32))).all()


@pytest.mark.parametrize(("images", "networks"), [(1, 1), (6, 5), (2, 8)])
def test_no_text_of_a_figure_runs_into_another_cell_or_out(images: int, networks: int) -> None:
    name = "$x$ soft-coated wheaten terrier, a dog of a very long name"
    cell = MapCell(words=(f"{name} 100 %", f"{name} 3 %"), heat=np.eye(8, dtype=np.float32))
    row = MapRow(
        name=f"{name}.jpg", picture=np.zeros((PIXELS,) * 2 + (3,), np.uint8), cells=(cell,) * networks
    )
    figure = maps_figure([row] * images, [(f"{name}-d2-w2-r2", "224 px")] * networks, "A caption. " * 30)
    figure.draw_without_rendering()
    boxes = [
        text.get_window_extent() for text in figure.findobj(Text) if text.get_text() and text.get_visible()
    ]
    assert len(boxes) >= images * (networks + 1) + 2 * networks + 1
    whole = figure.bbox
    for box in boxes:
        assert whole.x0 - 1 <= box.x0
        assert box.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= box.y0
        assert box.y1 <= whole.y1 + 1
    corners = np.array([box.extents for box in boxes])
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    np.fill_diagonal(common, 0)
    assert common.max() < 1


# --- mistakes ----------------------------------------------------------------------------------------------

MISTAKES = [
    (["c.safetensors", "none.png"], "none.png: no such image"),
    (["c.safetensors", "photos"], "photos: is a folder; name the images in it"),
    (["c.safetensors", "both.png", "text.png"], "text.png: is no image, or is empty"),
    (["c.safetensors", "empty.png"], "empty.png: is no image, or is empty"),
    (["c.safetensors", "cut.png"], "cut.png: cannot be read as an image: "),
    (["c.safetensors", "bits.tif"], "bits.tif: cannot be read as an image: has pixels of 32 bits (mode F)"),
    (["c.safetensors", "both.png", "--class", "gren"], "does not know the class 'gren'; did you mean green?"),
    (["c.safetensors", "both.png", "--class", "x"], "class 'x'; it knows 'red', 'green', 'blue'"),
    (["c.safetensors", "both.png", "--method", "gradcam"], "--method must be cam or grad-cam, got 'gradcam'"),
    (["c.safetensors", "both.png", "--layer", "stage1"], "--layer needs the method grad-cam"),
    (
        ["c.safetensors", "both.png", "--method", "grad-cam", "--layer", "stage7"],
        "c.safetensors has no layer 'stage7'; did you mean stage1?",
    ),
    (["c.safetensors", "both.png", "--prepared", "7"], "--prepared must be between 8 and 1024, got 7"),
    (["c.safetensors", "both.png", "--device", "tpu"], "device must be cpu, cuda, or cuda:1"),
    (["c.safetensors", "both.png", "-o", "x.gif"], "x.gif: must end in .png, .svg, .pdf"),
    (["c.safetensors", "both.png", "-o", "./both.png"], "both.png: is one of the images"),
    (["c.safetensors", "both.png", "-o", "photos/x/y.png"], "photos/x/y.png: cannot be written"),
    (["c.safetensors", *["both.png"] * 25, "-o", "x.png"], "a figure has room for 24 images, got 25"),
    (["c.safetensors", *["both.png"] * 1001], "maps are of a list of 1 to 1,000 images, got 1,001"),
    (
        ["c.safetensors", "both.png", "--compare", "efficientnet_b0"],
        "efficientnet_b0: is no checkpoint of nas",
    ),
    (["both.png", "both.png"], "both.png: is no checkpoint; those of nas train are .safetensors files"),
    (["nan.safetensors", "both.png"], "nan.safetensors: its outputs on these images are no finite numbers"),
    (
        ["c.safetensors", "both.png", "--compare", "c.safetensors", "mine@best"],
        "mine@best: is no image; each further network has a --compare of its own: --compare mine@best",
    ),
    (["c.safetensors"], "Missing argument 'IMAGE"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that is wrong."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        colour_checkpoint(Path("c.safetensors"))
        colour_checkpoint(Path("nan.safetensors"), std=(1e-300,) * 3, mean=(1e300,) * 3)
        Image.fromarray(squares(RED_THEN_GREEN)).save("both.png")
        Path("photos").mkdir()
        Path("photos/x").write_text("")
        Path("text.png").write_text("hello")
        Path("empty.png").write_bytes(b"")
        noise = np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)
        Image.fromarray(noise).save("cut.png")
        Path("cut.png").write_bytes(Path("cut.png").read_bytes()[:5000])
        Image.fromarray(np.ones((9, 9), np.float32)).save("bits.tif")
    return folder


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line_and_write_nothing(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(places)
    before = {path: path.read_bytes() for path in places.rglob("*") if path.is_file()}
    code, out, err = nas(capsys, "cam", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err
    assert len(err) < 300
    assert {path: path.read_bytes() for path in places.rglob("*") if path.is_file()} == before


def test_an_image_that_would_fill_the_memory_is_refused(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 500
    )  # Pillow warns from here, and refuses at twice as many
    with pytest.raises(InputError, match=r"both.png: has more than 1,000 pixels; scale it down first"):
        only("both.png")


def test_all_images_are_read_before_anything_is_computed(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    monkeypatch.setattr("nas.maps._maps_of", lambda *given: computed.append(given))
    with pytest.raises(InputError, match="gone.png"):
        public.activation_maps("c.safetensors", ["both.png", "gone.png"], device="cpu")
    assert computed == []


def test_a_class_of_a_thousand_that_is_not_there_is_still_one_short_line(in_tmp: Path) -> None:
    names = tuple(f"class {number}" for number in range(1000))
    checkpoint(Path("c.safetensors"), num_classes=1000, class_names=names)
    Image.new("RGB", (9, 9)).save("x.png")
    with pytest.raises(InputError) as caught:
        only("x.png", target="zebra")
    assert str(caught.value).endswith("it knows 'class 0', 'class 1', 'class 2' and 997 more")
    with pytest.raises(FieldError, match="prepared must be"):
        only("x.png", prepared=5000)


def test_progress_counts_images_and_maps(there: Path) -> None:
    told: list[int] = []

    def begin(total: int) -> Any:
        told.append(total)
        return told.append

    images = ["both.png"] * 20
    public.activation_maps("c.safetensors", images, compare=["c.safetensors"], device="cpu", begin=begin)
    assert told[0] == 60
    assert sum(told[1:]) == 60
