"""A bundle: a folder with everything that a network needs to be used without this library, and the proof.

A broken-off bundle proves nothing: what an earlier one left of its proof (``verify.json``, then the card,
which holds the same table) is removed before the first file is written, and is written again after the last
check.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.export import FILES, description, write_whole
from results.exporting import graphs
from results.exporting.agreement import TOLERANCE, Agreement, Probe, checked, probe, sha256_of
from results.exporting.card import MARK, CardFacts, card_text, platform_words
from results.exporting.provenance import Provenance
from search_space import Architecture, FieldError, InputError

if TYPE_CHECKING:
    from torch import nn

CARD, PROOF = "README.md", "verify.json"
FORMAT = 1  # of verify.json
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "safetensors", "timm", "numpy", "nas-road")
_OURS = {
    CARD: MARK,
    "model.py": "def load_weights(",
    PROOF: '"artefacts": [',
}  # what tells a file of a bundle from one of the user

WRITTEN: Mapping[str, str] = FILES  # a format's file, in the order of writing

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is exported.

    Attributes:
        architecture: the network.
        num_classes, in_channels: as it was built.
        model: with its weights, on the CPU, float32, in eval mode.
        provenance: what else is known.
    """

    architecture: Architecture
    num_classes: int
    in_channels: int
    model: nn.Module
    provenance: Provenance

    @property
    def metadata(self) -> dict[str, str]:
        """What goes into files that have room for it."""
        facts = {
            "architecture": json.dumps(self.architecture.to_dict()),
            "architecture_key": self.architecture.key,
            "weights": self.provenance.weights_words,
        }
        data = self.provenance.data
        if data is not None and data.mean is not None and data.std is not None:
            facts["input_mean"] = json.dumps(list(data.mean))  # of pixels divided by 255
            facts["input_std"] = json.dumps(list(data.std))
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was written.

    Attributes:
        folder: that holds it.
        files: all that were written, by name.
        absent: files that were not, and why.
        agreements: what was found of each that can be run.
        proof: what ``verify.json`` holds.
    """

    folder: Path
    files: tuple[Path, ...]
    absent: Mapping[str, str]
    agreements: tuple[Agreement, ...]
    proof: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether files agree with the network, and none disagrees."""
        return bool(self.proof["ok"])


def write_bundle(
    subject: Subject, folder: Path, *, opset: int = graphs.OPSET, tell: Tell = lambda text: None
) -> Bundle:
    """Write all files of a network into a folder, load each back, and say whether it agrees.

    A file that disagrees is no exception: see `Bundle.ok`.

    Args:
        subject: the network.
        folder: made where it is not there. Files of an earlier bundle are replaced, each whole.
        opset: version of ONNX's operators.
        tell: told what is done next, in words.

    Raises:
        InputError: the folder is a file, cannot be written, or holds a ``README.md`` or ``model.py`` of
            something else; or the opset cannot be written.
    """
    graphs.check_opset(opset)
    _make_room(folder, subject)
    written, absent = write_files(subject, folder, opset=opset, tell=tell)
    tell("running the network")
    given = probe(subject.model, subject.architecture, subject.num_classes, subject.in_channels)
    agreements = verify_files(folder, written, given, tell)
    tell("writing the card and the proof")
    facts = CardFacts(
        architecture=subject.architecture,
        num_classes=subject.num_classes,
        in_channels=subject.in_channels,
        provenance=subject.provenance,
        opset=opset,
        agreements=agreements,
        absent=absent,
        versions=versions(),
    )
    write_whole(folder / CARD, lambda path: path.write_text(card_text(facts), encoding="utf-8"))
    proof = proof_of(subject, given, agreements, absent, opset, sha256_of(folder / CARD))
    text = json.dumps(proof, indent=2, allow_nan=False) + "\n"
    write_whole(folder / PROOF, lambda path: path.write_text(text, encoding="utf-8"))
    return Bundle(
        folder=folder,
        files=tuple(folder / name for name in (*written, CARD, PROOF)),
        absent=absent,
        agreements=tuple(agreements),
        proof=proof,
    )


def files_in(folder: Path) -> list[Path]:
    """All that a bundle's folder may get."""
    return [folder / name for name in (*FILES.values(), CARD, PROOF)]


def _make_room(folder: Path, subject: Subject) -> None:
    """Make the folder, and take an earlier bundle's proof out of it.

    Other files stay until they are replaced: the weights that are exported may be among them.

    Raises:
        InputError: it is no folder, is not to be written to, or holds files that are no bundle's, or trained
            weights that untrained ones would replace.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, mark in _OURS.items():
            path = folder / name
            if path.exists() and (not path.is_file() or mark not in path.read_text("utf-8", "replace")):
                raise InputError(f"{path}: is of no bundle, and would be written over; choose another folder")
    except FileExistsError:
        raise InputError(f"{folder}: is a file; a bundle is a folder") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{folder}: cannot be written: {reason}") from None
    weights = folder / FILES["safetensors"]
    if subject.provenance.weights == "untrained" and weights.exists() and not _is_untrained(weights):
        name = subject.architecture.name
        raise InputError(f"{weights}: is of another export, and {name} has no weights")
    for name in (PROOF, CARD):
        _remove(folder / name)


def retract_proof(folder: Path) -> bool:
    """Take a bundle's proof and card out of a folder, of which a file is about to be replaced by itself.

    Returns:
        Whether there was a proof.

    Raises:
        InputError: they cannot be removed.
    """
    proof = folder / PROOF
    try:
        ours = proof.is_file() and _OURS[PROOF] in proof.read_text("utf-8", "replace")
    except OSError:  # not to be read, hence none to hold on to
        ours = False
    if ours:
        for name in (PROOF, CARD):
            _remove(folder / name)
    return ours


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be removed: {error.strerror or error}") from None


def _is_untrained(path: Path) -> bool:
    """Whether a bundle of an untrained network left these weights."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("weights", "")).startswith("untrained")
    except (SafetensorError, OSError):
        return False


def write_files(
    subject: Subject, folder: Path, *, opset: int = graphs.OPSET, tell: Tell = lambda text: None
) -> tuple[dict[str, float], dict[str, str]]:
    """Write what can be loaded back.

    Returns:
        Seconds that each file took, by name in the order of writing, and why others were not written.

    Raises:
        InputError: a file cannot be written.
    """
    seconds: dict[str, float] = {}
    absent: dict[str, str] = {}
    shared: dict[str, Any] = {}  # the graph is captured once
    for kind, name in WRITTEN.items():
        tell(f"writing {name}")
        began = time.perf_counter()
        try:
            content = content_of(kind, subject, opset=opset, shared=shared)
        except (graphs.NotExportableError, FieldError) as error:
            absent[name] = str(error)
            _remove(folder / name)  # an earlier bundle's would stand among the files of this one
            continue
        write_whole(folder / name, lambda path, content=content: path.write_bytes(content))  # type: ignore[misc]
        seconds[name] = time.perf_counter() - began
    return seconds, absent


def content_of(
    kind: str, subject: Subject, *, opset: int = graphs.OPSET, shared: dict[str, Any] | None = None
) -> bytes:
    """What the file of a format holds.

    Args:
        kind: of `results.export.FORMATS`.
        subject: the network.
        opset: version of ONNX's operators.
        shared: keeps the graph, which ONNX and ``torch.export`` have in common, from one call to the next.

    Raises:
        FieldError: timm's strings cannot say the network.
        NotExportableError: a library is missing, or torch cannot export the network.
    """
    network = subject.architecture
    if kind in ("onnx", "pt2"):
        if kind == "onnx" and (why := graphs.why_no_onnx()):
            raise graphs.NotExportableError(why)
        shared = {} if shared is None else shared
        if "graph" not in shared:
            shared["graph"] = graphs.captured(subject.model, subject.in_channels, network.image_size)
        if kind == "pt2":
            return graphs.pt2_bytes(shared["graph"])
        metadata = {"licence of the network's code": "Apache-2.0", **subject.metadata}
        return graphs.onnx_bytes(shared["graph"], opset=opset, metadata=metadata)
    if kind == "safetensors":
        from safetensors.torch import save

        tensors = {name: value.detach().contiguous() for name, value in subject.model.state_dict().items()}
        return save(tensors, metadata=subject.metadata)
    note = subject.provenance.origin
    return description(kind, network, subject.num_classes, subject.in_channels, note)


def verify_files(
    folder: Path, written: Mapping[str, float], given: Probe, tell: Tell = lambda text: None
) -> list[Agreement]:
    """Load each file back from the disk, and compare; `written` has the seconds that each took to write."""
    found = []
    for name, seconds in written.items():
        tell(f"checking {name}")
        found.append(checked(folder / name, given, seconds))
    return found


def proof_of(
    subject: Subject,
    given: Probe,
    agreements: list[Agreement],
    absent: Mapping[str, str],
    opset: int,
    card_digest: str,
) -> dict[str, Any]:
    """What ``verify.json`` holds."""
    network = subject.architecture
    return {
        "format": FORMAT,
        # of a network whose logits are zero or not finite no file can be checked, and nothing is proved
        "ok": all(row.ok is not False for row in agreements) and any(row.ok for row in agreements),
        "tolerance": TOLERANCE,
        "relative_difference": "max |a - b| / max |b| over the logits of a batch; b is eager, float32, CPU",
        "network": {
            "name": network.name,
            "key": network.key,
            "num_classes": subject.num_classes,
            "in_channels": subject.in_channels,
            "image_size": network.image_size,
            "weights": subject.provenance.weights_words,
        },
        "inputs": given.to_json(),
        "artefacts": [row.to_json() for row in agreements],
        "unverified": [row.file for row in agreements if row.ok is None],
        "not_written": [{"file": name, "why": why} for name, why in absent.items()],
        "card": {"file": CARD, "sha256": card_digest},
        "onnx_opset": None if FILES["onnx"] in absent else opset,
        "versions": versions(),
    }


def versions() -> dict[str, str | None]:
    """Of what writes and checks; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _LIBRARIES:
        found[name] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return {**found, "platform": platform_words()}
