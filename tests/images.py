"""Made-up image data sets on disk, whole ones and ones that cannot be used."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def image_bytes(seed: int, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def class_folders(root: Path, classes: dict[str, int], start: int = 0) -> Path:
    """Images of distinct contents, so many a class."""
    for label, (name, number) in enumerate(classes.items()):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(number):
            (folder / f"{i:03d}.png").write_bytes(image_bytes(1000 * label + i + start))
    return root


def archive_of(folder: Path, path: Path, prefix: str = "") -> Path:
    """A tar archive, its files in reverse order."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.add(file, f"{prefix}{file.relative_to(folder)}", recursive=False)
    return path


def cifar(root: Path, kind: str = "cifar10") -> Path:
    """A small CIFAR in the published binary format; the red plane tells the label, the rest is random."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    names = ["cat", "dog", "ant"]

    def records(number: int) -> bytes:
        labels = np.arange(number) % 3
        rows = rng.integers(0, 256, (number, 3072), dtype=np.uint8)
        rows[:, :1024] = 50 * labels[:, None] + 7
        heads = [labels] if kind == "cifar10" else [np.full(number, 19), labels]
        return np.concatenate([np.stack(heads, 1).astype(np.uint8), rows], axis=1).tobytes()

    if kind == "cifar10":
        for i in range(1, 6):
            (root / f"data_batch_{i}.bin").write_bytes(records(9))
        (root / "test_batch.bin").write_bytes(records(6))
        (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (root / "train.bin").write_bytes(records(30))
        (root / "test.bin").write_bytes(records(6))
        (root / "fine_label_names.txt").write_text("\n".join(names) + "\n")
        (root / "coarse_label_names.txt").write_text("animals\n")
    return root


def no_source(root: Path) -> Path:
    return root / "nowhere"


def no_images(root: Path) -> Path:
    (root / "s" / "a").mkdir(parents=True)
    (root / "s" / "a" / "x.txt").write_text("")
    return root / "s"


def only_loose(root: Path) -> Path:
    (root / "s").mkdir()
    (root / "s" / "x.png").write_bytes(image_bytes(1))
    return root / "s"


def one_class(root: Path) -> Path:
    return class_folders(root / "s", {"a": 3})


def empty_class(root: Path) -> Path:
    class_folders(root / "s", {"a": 3, "b": 3, "c": 0})
    return root / "s"


def empty_class_in_an_archive(root: Path) -> Path:
    return archive_of(
        class_folders(root / "t" / "train", {"a": 3, "b": 3, "c": 0}).parent, root / "s.tar", "top/"
    )


def only_in_test(root: Path) -> Path:
    class_folders(root / "s" / "train", {"a": 2, "b": 2})
    class_folders(root / "s" / "test", {"a": 2, "b": 2, "c": 1})
    return root / "s"


def only_in_train(root: Path) -> Path:
    class_folders(root / "s" / "train", {"a": 2, "b": 2, "c": 2})
    class_folders(root / "s" / "validation", {"a": 2, "b": 2})
    return root / "s"


def no_train(root: Path) -> Path:
    class_folders(root / "s" / "test", {"a": 2, "b": 2})
    return root / "s"


def too_few(root: Path) -> Path:
    return class_folders(root / "s", {"a": 3, "b": 1})


def no_archive(root: Path) -> Path:
    (root / "s.zip").write_bytes(b"PK\x03\x04 and so on")
    return root / "s.zip"


def cut_archive(root: Path) -> Path:
    path = archive_of(class_folders(root / "t", {"a": 30, "b": 30}), root / "s.tar.gz")
    path.write_bytes(path.read_bytes()[:3000])
    return path


def archive_of_archives(root: Path) -> Path:
    inner = archive_of(class_folders(root / "t", {"a": 1}), root / "n01440764.tar")
    with tarfile.open(root / "s.tar", "w") as archive:
        archive.add(inner, "n01440764.tar")
    return root / "s.tar"


def cifar_without_a_file(root: Path) -> Path:
    (cifar(root / "s") / "data_batch_3.bin").unlink()
    return root / "s"


def cifar_cut(root: Path) -> Path:
    file = cifar(root / "s") / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-1])
    return root / "s"


def cifar_label(root: Path) -> Path:
    file = cifar(root / "s") / "data_batch_2.bin"
    content = bytearray(file.read_bytes())
    content[2 * 3073] = 200
    file.write_bytes(content)
    return root / "s"


def cifar_python(root: Path) -> Path:
    (root / "s").mkdir()
    (root / "s" / "data_batch_1").write_bytes(b"pickle")
    return root / "s"


def two_cifars(root: Path) -> Path:
    cifar(root / "s" / "a")
    cifar(root / "s" / "b", "cifar100")
    return root / "s"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
