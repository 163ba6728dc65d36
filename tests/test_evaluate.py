"""`nas eval`: what a checkpoint gets right."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from scipy.stats import binomtest
from sklearn import metrics

import nas as public
from nas import late_progress
from results import save_figure
from results.figures.confusion_figure import confusion_figure, confusion_page_figure, confusions, row_shares
from search_space import FieldError, InputError
from tests.checkpoint_files import FACTS, cache, checkpoint, network, training
from tests.test_cli import nas
from trainers.digits import load_digits_test
from trainers.evaluation import central, wilson_interval


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that goes on from something too."""
    return checkpoint(tmp_path_factory.mktemp("made") / "c.safetensors", state=True)


def logits_of(images: np.ndarray) -> np.ndarray:
    """Of the checkpoint's network on raw images (N, H, W, C), by its mean and deviation."""
    x = (torch.from_numpy(images.astype(np.float32)) / 255.0 - FACTS.mean[0]) / FACTS.std[0]
    with torch.no_grad():
        return network()(x.permute(0, 3, 1, 2)).numpy()


def part_of(folder: Path, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"{part}-images.npy"), np.load(folder / f"{part}-labels.npy")


# --- the figures -------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_scikit_learn(made: Path) -> None:
    digits = load_digits_test(16)
    logits, labels = logits_of(digits.images), digits.labels
    found = public.evaluate_checkpoint(made, "digits", device="cpu")
    said = logits.argmax(1)
    assert len(set(said)) > 3, "the network must tell something apart, or nothing is tested"
    measured = found.evaluation
    assert measured.accuracy == pytest.approx(metrics.accuracy_score(labels, said))
    top5 = metrics.top_k_accuracy_score(labels, logits, k=5, labels=range(10))
    assert measured.top5_accuracy == pytest.approx(top5)
    assert (measured.confusion == metrics.confusion_matrix(labels, said, labels=range(10))).all()
    recalls = metrics.recall_score(labels, said, average=None, labels=range(10))
    assert measured.per_class == pytest.approx(tuple(recalls))
    shares = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    assert measured.loss == pytest.approx(metrics.log_loss(labels, shares, labels=range(10)), rel=1e-5)
    assert (found.part, found.data, measured.images) == ("test", "digits", 297)


def test_the_size_of_batches_changes_nothing(made: Path) -> None:
    one, other = (
        public.evaluate_checkpoint(made, "digits", batch=batch, device="cpu").evaluation
        for batch in (297, 41)
    )
    assert (one.confusion == other.confusion).all()
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_the_checkpoints_own_mean_and_deviation_normalise(made: Path, tmp_path: Path) -> None:
    folder = cache(tmp_path / "noise", counts=(5, 5, 200))
    images, labels = part_of(folder)
    found = public.evaluate_checkpoint(made, folder, device="cpu")
    said = logits_of(images).argmax(1)
    assert (found.evaluation.confusion == metrics.confusion_matrix(labels, said, labels=range(10))).all()


@given(right=st.integers(0, 60), more=st.integers(0, 60))
def test_the_interval_is_scipys(right: int, more: int) -> None:
    images = right + more + 1
    theirs = binomtest(right, images).proportion_ci(0.95, "wilson")
    assert wilson_interval(right, images) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


# --- sizes and crops ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    side=st.integers(1, 40), size=st.integers(1, 40), crop=st.floats(0.05, 1.0), seed=st.integers(0, 2**16)
)
def test_a_crop_is_central_whatever_the_sizes(side: int, size: int, crop: float, seed: int) -> None:
    x = torch.rand((1, 2, side, side), generator=torch.Generator().manual_seed(seed))
    part = central(x, size, crop)
    assert part.shape == (1, 2, size, size)
    for axes in ((2,), (3,), (2, 3)):
        assert torch.allclose(central(x.flip(axes), size, crop), part.flip(axes), atol=1e-5)
    assert x.min() - 1e-5 <= part.min()
    assert part.max() <= x.max() + 1e-5


@pytest.mark.parametrize(
    ("side", "crop", "kept"), [(32, 0.875, 28), (33, 0.875, 29), (32, 0.9, 28), (8, 0.05, 2)]
)
def test_a_crop_keeps_as_much_as_is_asked(side: int, crop: float, kept: int) -> None:
    x = torch.zeros(1, 1, side, side)
    margin = (side - kept) // 2
    x[..., margin : side - margin, margin : side - margin] = 1.0
    assert central(x, kept, crop).min() == 1.0  # nothing of the edge
    assert central(x, side, crop).shape[-1] == side


def test_smaller_images_are_antialiased() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(16).expand(1, 1, 32, 32)
    small = central(stripes, 8)
    assert small[..., 1:-1, 1:-1].sub(0.5).abs().max() < 0.06  # without it, one of the two stripes alone


def test_other_sizes_and_crops_are_given_to_the_network(made: Path) -> None:
    asked = public.evaluate_checkpoint(made, "digits", image_size=21, crop=0.875, device="cpu")
    plain = public.evaluate_checkpoint(made, "digits", device="cpu")
    assert (asked.image_size, asked.crop, plain.image_size, plain.crop) == (21, 0.875, 16, 1.0)
    assert (asked.evaluation.confusion != plain.evaluation.confusion).any()
    raw = torch.from_numpy(load_digits_test(16).images).float().permute(0, 3, 1, 2)
    x = (raw / 255.0 - FACTS.mean[0]) / FACTS.std[0]
    x = torch.nn.functional.interpolate(x[..., 1:15, 1:15], (21, 21), mode="bilinear")
    with torch.no_grad():
        said = network()(x).argmax(1).numpy()
    expected = metrics.confusion_matrix(load_digits_test(16).labels, said, labels=range(10))
    assert (asked.evaluation.confusion == expected).all()


def test_the_recipes_crop_is_the_default(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.safetensors", measured_crop=0.75)
    assert public.evaluate_checkpoint(path, "digits", device="cpu").crop == 0.75


# --- which images ------------------------------------------------------------------------------------------


def test_the_test_part_is_taken_where_there_is_one(made: Path, tmp_path: Path) -> None:
    both, without = cache(tmp_path / "both"), cache(tmp_path / "without", counts=(20, 12, 0))
    assert public.evaluate_checkpoint(made, both, device="cpu").part == "test"
    found = public.evaluate_checkpoint(made, without, device="cpu")
    assert (found.part, found.evaluation.images) == ("validation", 12)
    assert "noise has no test part, so the validation part was taken" in found.notes
    with pytest.raises(InputError, match="no image in its test part; there is train, validation"):
        public.evaluate_checkpoint(made, without, part="test")


def test_classes_in_another_order_are_matched_by_name(made: Path, tmp_path: Path) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]  # where a class is now
    names = [""] * 10
    for place, name in zip(order, FACTS.class_names, strict=True):
        names[place] = name
    plain = public.evaluate_checkpoint(made, cache(tmp_path / "plain"), device="cpu")
    other = cache(tmp_path / "other", names=names, order=order)
    found = public.evaluate_checkpoint(made, other, device="cpu")
    assert (found.evaluation.confusion == plain.evaluation.confusion).all()
    assert plain.notes == ()
    assert found.notes == ("noise has the same classes in another order; they were matched by name",)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            [*"012345678", "$x$"],
            "noise has '$x$', which the checkpoint does not know; the checkpoint knows '9'",
        ),
        ([*"0123456789", "a"], "its 10 classes are not the 11 of noise: noise has 'a'"),
        ([*"01234"], "the checkpoint knows '5', '6', '7' and 2 more, which noise does not have"),
        ([*"0123456789", "9"], "a name stands for two classes"),
        (["cat" * 30, *"123456789"], "noise has 'catcat"),
    ],
)
def test_other_classes_are_one_clear_error(made: Path, tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        public.evaluate_checkpoint(made, cache(tmp_path / "noise", names=names))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_images_it_was_trained_on_are_said(made: Path, in_tmp: Path, capsys) -> None:
    own = cache(Path("own"), fingerprint=FACTS.data_fingerprint)
    found = public.evaluate_checkpoint(made, own, part="train", device="cpu")
    assert found.trained_on
    assert "was trained on these very images" in found.notes[0]
    code, _, err = nas(capsys, "eval", str(made), "own", "--part", "train", "--device", "cpu")
    assert (code, err.count("\n")) == (0, 1)
    assert not public.evaluate_checkpoint(made, own, device="cpu").trained_on
    other = public.evaluate_checkpoint(made, "digits", part="train", device="cpu")
    assert "data called digits too" in other.notes[0]
    assert not other.trained_on
    judged = public.evaluate_checkpoint(made, own, part="validation", device="cpu")
    assert "told by these images" in judged.notes[0]


def test_data_that_come_along_cannot_be_prepared_with_other_channels(in_tmp: Path, capsys) -> None:
    checkpoint(Path("rgb.safetensors"), in_channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)
    code, out, err = nas(capsys, "eval", "rgb.safetensors", "digits", "--device", "cpu")
    assert (code, out) == (2, "")
    assert err.strip() == (
        "nas: rgb.safetensors takes images of 3 channels, and digits has 1 channel; digits is built in and "
        "grey; nas finetune rgb.safetensors digits --config FILE makes a network for it"
    )


MISTAKES = [
    (
        ["{c}", "photos"],
        "photos: is no prepared data; nas data prepare photos --image-size 16 --channels 1 -o",
    ),
    (
        ["{c}", "photos.tar.gz"],
        "nas data prepare photos.tar.gz --image-size 16 --channels 1 -o data/photos-16",
    ),
    (
        ["{c}", "digit"],
        "'digit' is no folder of nas data prepare and no known data set; did you mean digits?",
    ),
    (["{c}", "colour"], "takes images of 1 channel, and noise has 3 channels; prepare it with"),
    (["{c}", "labels"], "noise: its test part has the label 10, which no class has"),
    (["{c}", "digits", "--crop", "1.5"], "--crop must be between 0.05 and 1, got 1.5"),
    (["{c}", "digits", "--image-size", "3"], "--image-size must be at least the total stride, 8, got 3"),
    (["{c}", "digits", "--batch", "0"], "--batch must be"),
    (["{c}", "digits", "--part", "tset"], "--part must be train or validation or test, got 'tset'"),
    (["{c}", "digits", "--precision", "float16"], "--precision must be float32 or bfloat16"),
    (["{c}", "digits", "--device", "tpu"], "device must be cpu, cuda, or cuda:1 and the like, got 'tpu'"),
    (["{c}", "digits", "--device", "cuda:4000"], "device is cuda:4000, and torch sees"),
    (["{c}", "digits", "--plot", "x.gif"], "x.gif: must end in .png, .svg, .pdf, .html"),
    (["none.safetensors", "digits"], "none.safetensors: no such file of weights"),
    (["efficientnet_b0", "digits"], "efficientnet_b0: is no checkpoint of nas train"),
    (["text.safetensors", "digits"], "text.safetensors: cannot be read as safetensors"),
    (["cut.safetensors", "digits"], "cut.safetensors: cannot be read as safetensors"),
    (["newer.safetensors", "digits"], "is a checkpoint of version 2, this program reads 1"),
    (["wrong.safetensors", "digits"], "its metadata are damaged: ValueError num_classes: 'ten'"),
    (["infinite.safetensors", "digits"], "its metadata are damaged: ValueError NaN is no number"),
    (["classes.safetensors", "digits"], "its metadata are damaged: ValueError class_names: must be 9"),
    (["crop.safetensors", "digits"], "its metadata are damaged: ValueError measured_crop: 0.0"),
    (["nan.safetensors", "digits"], "nan.safetensors: its outputs on digits are no finite numbers"),
]


def changed(source: Path, target: str, old: str, new: str) -> None:
    """A copy of a checkpoint with other metadata."""
    raw = source.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    facts = header["__metadata__"]["checkpoint"]
    assert old in facts
    header["__metadata__"]["checkpoint"] = facts.replace(old, new)
    text = json.dumps(header).encode()
    Path(target).write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    """A folder with all that is wrong."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "photos" / "cat").mkdir(parents=True)
        Path("photos.tar.gz").write_bytes(b"")
        cache(Path("colour"), channels=3)
        np.save(cache(Path("labels")) / "test-labels.npy", np.full(30, 10))
        Path("text.safetensors").write_text("hello")
        Path("cut.safetensors").write_bytes(made.read_bytes()[:-100])
        changed(made, "newer.safetensors", '"version": 1', '"version": 2')
        changed(made, "wrong.safetensors", '"num_classes": 10', '"num_classes": "ten"')
        changed(made, "infinite.safetensors", '"accuracy": 0.9,', '"accuracy": NaN,')
        changed(made, "classes.safetensors", '"num_classes": 10', '"num_classes": 9')
        changed(made, "crop.safetensors", '"measured_crop": 1.0', '"measured_crop": 0.0')
        changed(made, "nan.safetensors", '"mean": [0.3]', '"mean": [1e300]')
    return folder


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_mistakes_are_one_line(
    places: Path, made: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(places)
    code, out, err = nas(capsys, "eval", *(text.format(c=made) for text in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err


def test_weights_that_are_no_checkpoint_are_refused(in_tmp: Path, made: Path, capsys) -> None:
    assert nas(capsys, "export", str(made), "-o", "w.safetensors")[0] == 0
    with pytest.raises(InputError, match="is no checkpoint of nas train, which says how images are to be"):
        public.evaluate_checkpoint("w.safetensors", "digits")
    with pytest.raises(InputError, match="; nas train w.safetensors --config FILE leaves one"):
        public.evaluate_checkpoint("w.safetensors", "digits")
    Path("metrics.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="metrics.jsonl: is no checkpoint; those of nas train are .safetens"):
        public.evaluate_checkpoint("metrics.jsonl", "digits")
    with pytest.raises(FieldError, match="crop"):
        public.evaluate_checkpoint(made, "digits", crop=0.0)


# --- what is shown -----------------------------------------------------------------------------------------


def test_json_is_one_document(made: Path, in_tmp: Path, capsys) -> None:
    training()
    code, out, err = nas(capsys, "eval", "tr@best", "digits", "--json", "--device", "cpu")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["checkpoint"] == "tr@best"
    assert (document["data"], document["part"], document["images"]) == ("digits", "test", 297)
    assert (document["image_size"], document["crop"]) == (16, 1.0)
    confusion = np.array(document["confusion"])
    assert confusion.shape == (10, 10)
    assert document["top1"] == pytest.approx(np.trace(confusion) / 297)
    assert document["interval"][0] < document["top1"] < document["interval"][1]
    assert [row["class"] for row in document["per_class"]] == list("0123456789")
    assert [row["images"] for row in document["per_class"]] == confusion.sum(1).tolist()
    assert document["per_class"][3]["accuracy"] == pytest.approx(confusion[3, 3] / confusion[3].sum())
    assert document["loss"] > 0
    assert 0 <= document["top5"] <= 1


def test_text_lists_the_worst_classes_first(made: Path, tmp_path: Path, capsys) -> None:
    folder = cache(tmp_path / "noise", counts=(5, 5, 60))
    np.save(folder / "test-labels.npy", np.repeat(np.arange(9), 7)[:60])  # none of the last class
    code, out, err = nas(capsys, "eval", str(made), str(folder), "--top", "4", "--device", "cpu")
    assert (code, err) == (0, "")
    for words in (
        "checkpoint of a training, epoch 3 of 3",
        "noise, test part",
        "60 at 16 pixels",
        "95 % interval",
    ):
        assert words in out
    rows = out.split("most often taken for\n")[1].splitlines()[:4]
    accuracies = [float(row.split()[2]) for row in rows]
    assert accuracies == sorted(accuracies)
    assert "5 classes are better; --top 9 lists all" in out
    assert "1 class has no image here" in out
    assert "worst first" not in nas(capsys, "eval", str(made), str(folder), "--top", "0")[1]


def test_a_bar_comes_where_it_takes_long(made: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("eval", str(made), "digits", "--batch", "50", "--json", "--device", "cpu")
    assert nas(capsys, *arguments)[2] == ""
    monkeypatch.setattr(late_progress, "_PATIENCE", -1.0)
    code, out, err = nas(capsys, *arguments)
    assert code == 0
    assert json.loads(out)["images"] == 297
    assert err.splitlines()[-1].endswith("297/297")


def confusion_of(number: int) -> tuple[np.ndarray, list[str]]:
    generator = np.random.default_rng(number)
    confusion = generator.integers(0, 3, (number, number)) + 40 * np.eye(number, dtype=np.int64)
    confusion[1] = 0
    confusion[0, 1] = 30
    return confusion, [f"$x_{place}$ <b>{'n' * 30}</b>" for place in range(number)]


@pytest.mark.parametrize("number", [2, 40, 200])
def test_the_matrix_is_drawn_with_what_fits(number: int, tmp_path: Path) -> None:
    confusion, names = confusion_of(number)
    figure = confusion_figure(confusion, names, "a $title$ of <b>words</b>")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that has no room
        save_figure(figure, tmp_path / "c.svg")
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert (len(labels) == number) == (number <= 64)
    cells = [text.get_text() for text in axes.texts]
    assert len(cells) == (np.count_nonzero(confusion) if number <= 20 else 0)
    users = [text for text in figure.findobj(Text) if "x_" in text.get_text() or "title" in text.get_text()]
    assert users
    assert not any(text.get_parse_math() for text in users)
    for text in users:
        extent = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= extent.x0, text.get_text()
        assert extent.x1 <= figure.bbox.x1 + 1, text.get_text()


def test_shares_are_of_the_row_and_mistakes_in_order() -> None:
    confusion = np.array([[8, 2, 0], [0, 0, 0], [5, 1, 4]])
    assert row_shares(confusion)[0].tolist() == [0.8, 0.2, 0.0]
    assert np.isnan(row_shares(confusion)[1]).all()
    assert confusions(confusion, 5) == [(2, 0, 5), (0, 1, 2), (2, 1, 1)]
    assert confusions(confusion, 1) == [(2, 0, 5)]


def test_the_page_takes_names_for_no_markup(made: Path, tmp_path: Path) -> None:
    confusion, names = confusion_of(10)
    figure = confusion_page_figure(confusion, ["<script>alert(1)</script>", *names[1:]], "<i>title</i> $x$")
    heat = figure.data[0]
    assert "<script>" not in str(figure.to_dict())
    assert "&lt;script&gt;" in heat.hovertext[0][0]
    assert "$" not in figure.layout.title.text
    assert heat.hovertext[1][0] == ""  # of a class without images
    assert heat.z[1][0] is None
    assert "said rightly" in heat.hovertext[2][2]


@pytest.mark.parametrize("ending", ["png", "html"])
def test_the_command_writes_the_figure(made: Path, in_tmp: Path, capsys, ending: str) -> None:
    file = f"c.{ending}"
    code, out, err = nas(capsys, "eval", str(made), "digits", "--plot", file, "--device", "cpu")
    assert (code, err) == (0, "")
    assert f"wrote {file}" in out
    assert Path(file).stat().st_size > 5000
