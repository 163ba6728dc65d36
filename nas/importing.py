"""Pretrained weights of other libraries, written as a checkpoint that every command takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.checkpoint_lookup import NOT_KNOWN
from nas.lookup import find_architecture
from results.exporting.agreement import sha256_of
from search_space import InputError
from trainers.checkpoints import IMPORTED, CheckpointFacts, write_checkpoint
from trainers.pretrained import Pretrained, read_pretrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What `import_weights` wrote.

    Attributes:
        path: of the checkpoint.
        pretrained: the network and how it was recognised.
        facts: what the checkpoint says.
        sha256: of the file that the weights came from.
    """

    path: Path
    pretrained: Pretrained
    facts: CheckpointFacts
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found, network = self.pretrained, self.pretrained.architecture
        return {
            "file": str(self.path),
            "source": found.source.name,
            "recognised": found.recognised,
            "network": found.network,
            "architecture": network.name,
            "key": network.key,
            "bn_eps": network.bn_eps,
            "padding": network.padding,
            "image_size": found.preparation.image_size,
            "crop": found.preparation.crop,
            "prepared_size": self.facts.prepared_size,
            "mean": list(found.preparation.mean),
            "std": list(found.preparation.std),
            "prepared_as": found.preparation.by,
            "num_classes": found.num_classes,
            "in_channels": found.in_channels,
            "taken": found.taken,
            "unused": list(found.unused),
            "fresh": list(found.fresh),
            "notes": list(found.notes),
            "sha256": self.sha256,
        }


def import_weights(
    weights: str | Path,
    output: str | Path,
    *,
    source: str | None = None,
    architecture: str | Path | None = None,
    image_size: int | None = None,
    normalisation: str | None = None,
    classes: str | Path | None = None,
    num_classes: int | None = None,
    force: bool = False,
) -> Imported:
    """Write pretrained weights of another library as a checkpoint of ours.

    Batch norm's epsilon, the padding and how images are prepared are taken from the source, since the same
    weights are another function with others.

    Args:
        weights: a ``.safetensors`` file, or a ``.pth``, ``.pt``, ``.bin``, ``.tar`` or ``.ckpt`` of
            ``torch.save``; of the latter nothing is run.
        output: the ``.safetensors`` file to write.
        source: ``torchvision``, ``timm``, ``timm_tf`` (timm's ``tf_efficientnet_b*``) or
            ``efficientnet_pytorch``; None recognises it.
        architecture: what `nas.load_architecture` takes, for a network that is none of B0 to B7.
        image_size: pixels; None is the source's.
        normalisation: ``imagenet`` or ``inception`` (0.5 and 0.5); None is the source's.
        classes: a file with the names of the classes, one a line; None calls them ``0``, ``1`` and so on.
        num_classes: of a new classifier, all zeros, where the file has none.
        force: replace an output that is there.

    Raises:
        InputError: a file is missing, damaged, holds code or another network; it may be of two sources, which
            are named; or the output is no ``.safetensors`` file, is there already, or is the input.
        FieldError: an option is out of range.
        OSError: the output cannot be written; what was there before is still there.
    """
    weights, output = Path(weights), Path(output)
    _check_output(output, weights, force)
    network = None if architecture is None else find_architecture(architecture).architecture
    found = read_pretrained(
        weights,
        source=source,
        architecture=network,
        image_size=image_size,
        normalisation=normalisation,
        num_classes=num_classes,
    )
    names = _class_names(classes, found.num_classes)
    digest = sha256_of(weights)
    facts = _facts(found, names, f"from {weights.name} (sha256 {digest})")
    write_checkpoint(output, found.model, found.architecture, facts)
    return Imported(path=output, pretrained=found, facts=facts, sha256=digest)


def _check_output(output: Path, weights: Path, force: bool) -> None:
    """Refuse what cannot be the checkpoint before anything is read.

    Raises:
        InputError: another ending, a folder, the file that is read, or one that is there.
    """
    if output.suffix != ".safetensors":
        raise InputError(f"{output}: a checkpoint's name ends in .safetensors")
    if output.is_dir():
        raise InputError(f"{output}: is a folder")
    if output.exists() and weights.exists() and output.samefile(weights):
        raise InputError(f"{output}: holds the weights to import, and cannot be written over")
    if output.exists() and not force:
        raise InputError(f"{output}: exists; --force replaces it")


def _facts(found: Pretrained, names: tuple[str, ...], where: str) -> CheckpointFacts:
    """What the checkpoint says: nothing of a training, which is not known here."""
    images = found.preparation
    return CheckpointFacts(
        num_classes=found.num_classes,
        in_channels=found.in_channels,
        class_names=names,
        mean=images.mean,
        std=images.std,
        image_size=images.image_size,
        measured_crop=images.crop,
        data=NOT_KNOWN,
        data_fingerprint="",
        recipe={},
        trainer_version=IMPORTED,
        seed=0,
        epoch=1,
        step=0,
        epochs=1,
        accuracy=None,
        best_accuracy=None,
        best_epoch=None,
        curve=(),
        seconds=0.0,
        origin=f"weights of {found.title}, {where}",
    )


def _class_names(path: str | Path | None, number: int) -> tuple[str, ...]:
    """Names of the classes from a file, one a line.

    Raises:
        InputError: it cannot be read, has another number of lines, or a name twice.
    """
    if path is None:
        return tuple(map(str, range(number)))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "is no text in UTF-8"
        raise InputError(f"{path}: cannot be read: {why}") from None
    names = tuple(line.strip() for line in text.splitlines())
    if len(names) != number or not all(names):
        empty = f", {names.count('')} of them empty" if "" in names else ""
        raise InputError(f"{path}: must name {number:,} classes, one a line, got {len(names):,}{empty}")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{path}: line {names.index(name) + 1}, {name!r}, stands {times} times; names differ"
        )
    return names
