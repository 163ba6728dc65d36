"""The model card: names are no markup, and nothing is claimed that is not known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from PIL import Image

import nas as public
from nas.bundle import subject_of
from nas.checkpoint_lookup import NOT_KNOWN
from nas.lookup import Found, find_architecture
from nas.provenance import provenance_of
from results.exporting.agreement import Agreement
from results.exporting.bundle import Subject
from results.exporting.card import BN_MOMENTUM, CardFacts, card_text
from results.exporting.markdown import code
from results.exporting.provenance import DataFacts, Provenance
from results.exporting.source import model_source
from tests.bundles import TINY
from tests.checkpoint_files import checkpoint
from tests.searching import Scripted, config
from trainers.checkpoints import IMPORTED
from trainers.decoding import decode


@pytest.fixture(scope="module")
def tiny() -> Subject:
    """An untrained network of 16-pixel images, 1 channel, 4 classes."""
    return subject_of(Found(architecture=TINY), num_classes=4, in_channels=1)


def test_code_spans_hold_what_they_hold() -> None:
    assert code("plain") == "`plain`"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("two\nlines\x1b[0m") == "`two lines [0m`"
    assert code("") == ""


HOSTILE = "`<script>alert(1)</script>` | [x](http://e) $x^2$ --- \"'{{}}: &amp; # **b**"


def card_of(subject: Subject, **more: Any) -> str:
    facts: dict[str, Any] = {"opset": 18, "agreements": [], "absent": {}, "versions": {}}
    return card_text(
        CardFacts(
            architecture=subject.architecture,
            num_classes=subject.num_classes,
            in_channels=subject.in_channels,
            provenance=subject.provenance,
            **{**facts, **more},
        )
    )


def test_names_on_a_card_are_no_markup(tiny: Subject) -> None:
    data = DataFacts(name=HOSTILE, class_names=(HOSTILE, "```\n# b"), prepared=(HOSTILE,))
    known = Provenance(
        origin=HOSTILE,
        weights="given",
        weights_file=(HOSTILE, "0"),
        data=data,
        protocol={"epochs": HOSTILE},
        search={"run": HOSTILE, "controller": HOSTILE},
    )
    subject = replace(tiny, architecture=TINY.renamed(HOSTILE), provenance=known)
    text = card_of(subject, absent={"model.onnx": HOSTILE})
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head)["model_name"] == HOSTILE
    without = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", body)  # as CommonMark finds code spans
    assert "script" not in without
    assert "http" not in without
    rows = [line for line in body.splitlines() if line.startswith("| `epochs`")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 3  # two cells


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Provenance(seed=7), ["**The weights are untrained**", "seed 7", "None: the weights are untrained."]),
        (
            Provenance(weights="given", weights_file=("w.safetensors", "ab" * 32)),
            ["`w.safetensors`", "ab" * 32, "Not known: the weights came from a file"],
        ),
        (
            Provenance(weights="trained", accuracy=0.9, trainings=3, trained_at=8),
            ["**90.00 %** on the validation part", "never seen", "mean of 3 trainings", "at 8 pixels"],
        ),
    ],
)
def test_a_card_claims_no_more_than_is_known(tiny: Subject, known: Provenance, words: list[str]) -> None:
    text = card_of(replace(tiny, provenance=known))
    for word in words:
        assert word in text
    assert ("%" in text) == (known.accuracy is not None)
    assert "not known here" in text or known.weights == "untrained"  # how inputs are normalised


def pixels_of(subject: Subject) -> np.ndarray:
    """What the card's first block makes of ``image.png``, (1, channels, side, side)."""
    text = card_of(subject, agreements=[Agreement(file="model.py", sha256="", size=0, loaded="")])
    block = text.split("### An image file as `pixels`\n\n```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(block, names)
    return names["pixels"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", [None, "centre square"])
def test_the_block_that_reads_an_image_gives_what_training_saw(
    in_tmp: Path, channels: int, crop: Literal["centre square"] | None
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (25, 40, 3), np.uint8)
    Image.fromarray(noise).save("image.png")
    subject = subject_of(Found(architecture=TINY), num_classes=4, in_channels=channels)
    data = DataFacts(name="x", crop=crop)
    subject = replace(subject, provenance=Provenance(weights="trained", data=data))
    pixels = pixels_of(subject)
    assert (pixels.shape, pixels.dtype) == ((1, channels, 16, 16), np.float32)
    expected = Image.fromarray(noise).convert({1: "L", 3: "RGB"}[channels])
    expected = expected.resize((16, 16), Image.Resampling.BILINEAR)
    if crop:
        ours = decode(Path("image.png").read_bytes(), 16, channels)
        assert np.array_equal(pixels[0], ours.transpose(2, 0, 1))
    else:
        assert np.array_equal(pixels[0], np.asarray(expected).reshape(16, 16, channels).transpose(2, 0, 1))


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("facts", [{}, {"data": NOT_KNOWN, "trainer_version": IMPORTED, "recipe": {}}])
def test_the_block_that_reads_an_image_takes_the_part_that_was_measured(
    in_tmp: Path, share: float, facts: dict[str, Any]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(noise).save("image.png")
    subject = subject_of(find_architecture(checkpoint(Path("c.safetensors"), measured_crop=share, **facts)))
    whole = {0.5: 32, 0.9: 18, 1.0: 16}[share]
    near = (whole - 16) // 2
    if facts:  # as nas cam and nas eval see it
        expected = decode(Path("image.png").read_bytes(), whole, 1)
    else:  # the data of that training are not there, and how they were made is not known
        grey = Image.fromarray(noise).convert("L")
        expected = np.asarray(grey.resize((whole, whole), Image.Resampling.BILINEAR))[..., None]
    expected = expected[near : near + 16, near : near + 16]
    assert np.array_equal(pixels_of(subject)[0], expected.transpose(2, 0, 1))


def test_a_card_has_no_block_for_images_of_other_channels() -> None:
    subject = subject_of(Found(architecture=TINY), num_classes=4, in_channels=2)
    text = card_of(subject, agreements=[Agreement(file="model.py", sha256="", size=0, loaded="")])
    assert "An image file" not in text
    assert "With torch alone" in text


def test_a_protocol_is_said_in_words(tiny: Subject) -> None:
    protocol = {"image_size": None, "width": 1.0, "flip": False, "bn_momentum": 0.1}
    text = card_of(replace(tiny, provenance=Provenance(weights="trained", protocol=protocol)))
    assert "None" not in text.split("## Protocol")[1]
    assert "image_size" not in text
    assert "| `flip` | `no` |" in text
    assert "`bn_momentum` is of this short training; `model.py` has the 0.01" in text
    assert f"BN_MOMENTUM = {BN_MOMENTUM} " in model_source(TINY, 4, 1)


@pytest.fixture
def trained(in_tmp: Path) -> Path:
    """A search of one candidate, really trained for an epoch on a part of the digits."""
    settings_ = config(
        search={"candidates": 1, "keep_weights": 1},
        protocol={"epochs": 1, "subset": 64},
        space={"extends": "digits", "image_size": 16},
    )
    public.run_search(settings_)
    return in_tmp


def test_a_run_tells_what_its_weights_are_and_how_inputs_are_made(trained: Path, monkeypatch) -> None:
    from trainers import load_dataset

    found = find_architecture("t@best")
    known = provenance_of(found)
    data = load_dataset("digits", 16)
    assert known.data is not None
    assert known.data.confirmed
    assert (known.data.mean, known.data.std) == (data.mean, data.std)
    assert known.data.fingerprint == data.fingerprint
    assert (known.weights, known.accuracy) == ("trained", found.trial.accuracy)
    assert known.protocol["epochs"] == 1
    assert known.search["run"] == "t"
    assert known.search["place"] == "recommended, best observed"
    text = card_of(replace(subject_of(found), provenance=known))
    assert f"- mean: {data.mean[0]:.8g}" in text
    assert "one grey channel, bright strokes on dark" in text
    assert "None" not in text
    assert "of 300 images" in text
    assert "Not confirmed" not in text
    text = card_of(subject_of(found, weights=found.weights))  # as if of somebody else: nothing holds of them
    assert "%" not in text
    assert "What the run measured was of other weights than these." in text
    # data that are others now
    monkeypatch.setattr(
        "nas.provenance.load_dataset",
        lambda name, size: replace(load_dataset(name, size), fingerprint="1" * 64),
    )
    assert "Not confirmed" in card_of(subject_of(found))


def test_data_of_a_run_that_measured_latency_are_confirmed_too(in_tmp: Path) -> None:
    settings_ = config(
        search={"candidates": 1, "keep_weights": 1},
        protocol={"epochs": 1, "subset": 64},
        space={"extends": "digits", "image_size": 16},
        objective={"target": 1.0, "cost": "latency_ms"},
        latency={"measured": {"warmup": 1, "repeats": 2}, "reference_ms": 50.0},
    )
    public.run_search(settings_)
    known = provenance_of(find_architecture("t@best"))
    assert known.data is not None
    assert known.data.confirmed


def test_a_run_without_weights_claims_no_accuracy(in_tmp: Path) -> None:
    public.run_search(config(search={"candidates": 2}), evaluator=Scripted(in_tmp / "diary"))
    for file in Path("runs/t/weights").glob("*"):
        file.unlink()
    subject = subject_of(find_architecture("t@best"))
    assert (subject.provenance.weights, subject.provenance.accuracy) == ("untrained", None)
    assert "validation part" not in card_of(subject)
