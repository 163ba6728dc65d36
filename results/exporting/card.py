"""The model card: what a network is, what is known of its weights, and how to use the files beside it.

Its head is YAML as model hubs read it. Names that users gave stand in code spans, where nothing is markup.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from results.exporting.agreement import BATCHES, SEED, TOLERANCE, Agreement
from results.exporting.card_use import USES
from results.exporting.markdown import bullets, code, table
from results.exporting.provenance import DataFacts, Provenance
from results.wording import count, count_of, percent
from search_space import Architecture, cost, stage_table

MARK = "<!-- model card of a bundle by nas export; its files may be written over by the next one -->"
BN_MOMENTUM = 0.01  # in model.py, as in `Architecture.build`
_MOST_CLASSES = 100  # names that a card lists


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        architecture, num_classes, in_channels: the network.
        provenance: what else is known.
        opset: of the ONNX file.
        agreements: of the files that were written.
        absent: files that were not written, and why.
        versions: of what wrote them, by name.
    """

    architecture: Architecture
    num_classes: int
    in_channels: int
    provenance: Provenance
    opset: int
    agreements: Sequence[Agreement]
    absent: Mapping[str, str]
    versions: Mapping[str, str | None]


def card_text(facts: CardFacts) -> str:
    """The ``README.md`` of a bundle."""
    parts = [
        _front_matter(facts),
        MARK,
        f"# {code(facts.architecture.name)}",
        _summary(facts),
        _network(facts),
        _cost(facts),
        "## Accuracy\n\n" + accuracy_words(facts.provenance),
        "## Inputs\n\n" + _inputs(facts),
        "## Data\n\n" + _data(facts.provenance.data),
        "## Protocol\n\n" + _protocol(facts.provenance),
        "## Search\n\n" + _search(facts.provenance),
        "## Files and how to use them\n\n" + _files(facts),
        "## Agreement\n\n" + _agreement(facts),
        "## Limits\n\n" + _limits(facts.provenance),
        "## Licence\n\n" + _licence(facts.provenance),
        "## Versions\n\n"
        + bullets((name, code(version or "not installed")) for name, version in facts.versions.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: CardFacts) -> str:
    head = {
        "license": "other",
        "license_name": "not-stated",  # whoever publishes the weights says it
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "neural-architecture-search", "pytorch", "onnx"],
        "model_name": "".join(c if c.isprintable() else " " for c in facts.architecture.name),
    }
    if "model.onnx" in facts.absent:
        head["tags"] = [tag for tag in head["tags"] if tag != "onnx"]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=10_000)}---"


def _summary(facts: CardFacts) -> str:
    network, known = facts.architecture, facts.provenance
    lines = [
        f"A convolutional network for images of {network.image_size}x{network.image_size} pixels and "
        f"{count_of(facts.in_channels, 'channel')}, with {count_of(facts.num_classes, 'output')}."
    ]
    if known.origin:
        lines.append(f"It is {code(known.origin)}.")
        if known.weights != "trained":
            lines.append("What the run measured was of other weights than these.")
    if known.weights == "untrained":
        lines.append(
            f"**The weights are untrained**: they were initialised with seed {known.seed}. The files show "
            "the network and what it costs; their outputs mean nothing before it is trained."
        )
    elif known.weights == "given" and known.weights_file is not None:
        name, digest = known.weights_file
        lines.append(
            f"The weights were given by the user as the file {code(name)} (SHA-256 {code(digest)}). How they "
            "were trained is not known here."
        )
        if known.weights_origin:
            lines.append(f"The file says that they are {code(known.weights_origin)}.")
    return "\n".join(lines)


def _network(facts: CardFacts) -> str:
    network = facts.architecture
    rows = [row.cells() for row in stage_table(network, facts.num_classes, facts.in_channels)]
    head = ("stage", "operator", "resolution", "channels", "layers", "receptive field", "MACs", "parameters")
    words = (
        f"Activation {network.activation}, padding {network.padding}, batch norm's epsilon "
        f"{network.bn_eps:g}. In training: dropout {network.dropout:g}, drop path {network.drop_path:g}."
    )
    return f"## Network\n\n{table(head, rows)}\n\n{words}\n\nKey of the architecture: {code(network.key)}"


def _cost(facts: CardFacts) -> str:
    macs, params = cost(facts.architecture, facts.num_classes, facts.in_channels)
    return (
        "## Cost\n\n"
        f"{macs:,} MACs ({count(macs)}, which papers call FLOPS) and {params:,} parameters ({count(params)}) "
        f"at {facts.architecture.image_size} pixels, {count_of(facts.num_classes, 'class', 'classes')} and "
        f"{count_of(facts.in_channels, 'channel')}. One multiply-add is one MAC; "
        "convolutions and linear layers are counted."
    )


def accuracy_words(known: Provenance) -> str:
    """What may be said of the accuracy of these weights, and on which images."""
    if known.accuracy is None:
        return {
            "untrained": "None: the weights are untrained.",
            "given": "Not known: the weights came from a file, and were not measured here.",
            "trained": "Not known: the weights are of the middle of an epoch, which is not measured."
            if known.training
            else "Not known: the run kept none.",
        }[known.weights]
    if known.training:
        return _full_accuracy(known, known.accuracy)
    images = known.data.counts.get("validation") if known.data is not None else None
    of = f" of {images:,} images" if images else ""
    text = (
        f"**{percent(known.accuracy)}** on the validation part{of}, which was held out of the training "
        "data. Networks were compared by it, which flatters the best of them a little. The test part was "
        "never seen."
    )
    if known.trainings > 1:
        text += f" It is the mean of {known.trainings} trainings; the weights are of the last."
    if known.trained_at is not None:
        text += f" Training and measurement were at {known.trained_at} pixels."
    return f"{text} It comes from a proxy training (see Protocol) and is not the network's final accuracy."


def _full_accuracy(known: Provenance, accuracy: float) -> str:
    """Of a full training, whose test part may have been measured."""

    def of(part: str) -> str:
        images = known.data.counts.get(part) if known.data is not None else None
        return f"the {part} part{f' of {images:,} images' if images else ''}"

    text = (
        f"**{percent(accuracy)}** on {of('validation')}, which was held out of the training data. The best "
        "epoch of a training is told by it, which flatters that epoch a little."
    )
    if known.test_accuracy is None:
        return f"{text} The test part was not measured with these weights; `nas eval` measures it."
    return (
        f"**{percent(known.test_accuracy)}** on {of('test')}, measured once after the last epoch; nothing "
        f"was chosen by it. {text}"
    )


def _inputs(facts: CardFacts) -> str:
    side, channels = facts.architecture.image_size, facts.in_channels
    order = {1: "grey", 3: "red, green, blue, as in everything this library prepares"}.get(channels, "")
    lines = [
        f"float32, (batch, {channels}, {side}, {side}): channels before height and width"
        f"{f'; {order}' if order else ''}. The batch is free, from 1.",
        "",
    ]
    data = facts.provenance.data
    if data is None or data.mean is None or data.std is None:
        why = f" ({data.why_unknown})" if data is not None and data.why_unknown else ""
        what = "none is needed before training, and training decides"
        if facts.provenance.weights != "untrained":
            what = f"not known here{why}. Use what the weights were trained with, or the outputs are wrong"
        return "\n".join([*lines, f"Normalisation: {what}."])
    whose = "the training images" if facts.provenance.weights == "trained" else "the weights' source"
    mean, std = (", ".join(f"{value:.8g}" for value in values) for values in (data.mean, data.std))
    lines.append(
        "Normalisation: pixels of 0 to 255 are divided by 255, then the mean is taken off and the rest is "
        "divided by the deviation, channel by channel. No file does this by itself. The constants are those "
        f"of {whose}:"
    )
    lines += ["", f"- mean: {mean}", f"- deviation: {std}"]
    return "\n".join(lines if data.confirmed else [*lines, "", UNCONFIRMED])


UNCONFIRMED = (
    "**Not confirmed:** these are the data of that name as they are now. What the run noted of its data and "
    "protocol does not lead to them: they, or this library, changed since."
)


def _data(data: DataFacts | None) -> str:
    if data is None:
        return "Not known here."
    counts = ", ".join(f"{number:,} {part}" for part, number in data.counts.items())
    classes = ""
    if 0 < len(data.class_names) <= _MOST_CLASSES:
        classes = ", ".join(code(name) for name in data.class_names)
    listed = bullets(
        [
            ("name", code(data.name)),
            ("images", counts),
            ("fingerprint", code(data.fingerprint) if data.fingerprint else data.why_unknown),
            *(("prepared", code(words)) for words in data.prepared),
            ("outputs in order", classes),
            ("licence", data.licence),
        ]
    )
    return listed if data.confirmed or data.fingerprint is None else f"{listed}\n\n{UNCONFIRMED}"


def _protocol(known: Provenance) -> str:
    if known.protocol is None:
        return "Not known here." if known.weights != "untrained" else "None: the weights are untrained."
    words = "A full training by a recipe.\n\n" + bullets((n, code(v)) for n, v in known.training.items())
    if not known.training:
        words = _PROXY
    rows = [
        (code(name), code(_setting(value))) for name, value in known.protocol.items() if value is not None
    ]
    text = f"{words}\n\n{table(('setting', 'value'), rows)}"
    if known.protocol.get("bn_momentum") not in (None, BN_MOMENTUM):
        which, usual = ("short", "in long ones") if not known.training else ("", "otherwise")
        text += (
            f"\n\n`bn_momentum` is of this{f' {which}' if which else ''} training; `model.py` has the "
            f"{BN_MOMENTUM:g} that is usual {usual}."
        )
    return text


_PROXY = (
    "A proxy: short training that is to rank networks, and not to finish one. Train the network with a full "
    "recipe for its final accuracy."
)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _search(known: Provenance) -> str:
    if not known.search:
        return "The network comes from no search that is known here."
    return bullets((name, code(value)) for name, value in known.search.items())


def _files(facts: CardFacts) -> str:
    present = [agreement.file for agreement in facts.agreements]
    lines = [
        f"- {code(name)}: {_ABOUT[name].format(opset=facts.opset)}" for name in _ABOUT if name in present
    ]
    lines += [f"- {code(name)} is not here: {code(why)}" for name, why in facts.absent.items()]
    blocks = [
        f"### {use.title}\n\n```python\n{block}\n```"
        for use in USES
        if use.file in present and (block := use.code(facts.provenance.data, facts))
    ]
    return "\n\n".join(["\n".join(lines), *blocks])


_ABOUT = {
    "architecture.yaml": "the architecture, for people; `nas show` and `nas.load_architecture` read it",
    "architecture.json": "the same for programs",
    "architecture.timm.json": "the arguments of timm's `EfficientNet`, with its block strings",
    "model.py": "the network in plain torch, which needs nothing else",
    "weights.safetensors": "the weights",
    "model.onnx": "network and weights as ONNX, opset {opset}; input `images`, output `logits`, axis `batch`",
    "model.pt2": "network and weights by `torch.export`, with a free batch",
}


def _agreement(facts: CardFacts) -> str:
    batches = " and ".join(map(str, BATCHES))
    words = (
        f"Each file was loaded back from the disk and run on batches of {batches} (standard normal, seed "
        f"{SEED}), beside the network in eager mode in float32 on a CPU. The relative difference is the "
        f"largest difference of a logit over the largest logit; at most {TOLERANCE:.0e} is wanted. "
        "`verify.json` has the details and the SHA-256 of each file."
    )
    return f"{words}\n\n{table(AGREEMENT_COLUMNS, agreement_rows(facts.agreements, quote=True))}"


AGREEMENT_COLUMNS = ("file", "loaded by", "absolute", "relative", "agrees")


def agreement_rows(agreements: Sequence[Agreement], *, quote: bool) -> list[list[str]]:
    """The table of agreement, a row a file.

    Args:
        agreements: to show.
        quote: as code spans, for Markdown.
    """
    shown = code if quote else str
    return [
        [
            shown(row.file),
            row.loaded,
            "-" if row.absolute is None else f"{row.absolute:.1e}",
            "-" if row.relative is None else f"{row.relative:.1e}",
            {True: "yes", False: "no", None: "not checked"}[row.ok]
            + (f": {shown(row.why)}" if row.why else ""),
        ]
        for row in agreements
    ]


def _limits(known: Provenance) -> str:
    lines = [
        "- ONNX and `torch.export` have the image size built in; `model.py` and this library take others.",
        "- The agreement is of float32 on a CPU. Other devices, precisions and compilers differ by more.",
    ]
    if known.weights == "trained":
        lines.append(
            "- The network was chosen and measured on one data set; nothing is known of other images."
        )
    if known.weights == "untrained":
        lines.append("- The outputs mean nothing before the network is trained.")
    return "\n".join(lines)


def _licence(known: Provenance) -> str:
    lines = [
        "`model.py` is generated text of nas-road, which is under the Apache License 2.0.",
        "The architecture is a list of numbers.",
    ]
    if known.weights == "untrained":
        lines.append("The weights are random numbers.")
    else:
        lines.append(
            "The licence of the weights is for whoever trained them to state; this file states none. Their "
            "data may bind them."
        )
    if known.data is not None and known.data.licence:
        lines.append(f"Data: {known.data.licence}.")
    return "\n".join(lines)


def platform_words() -> str:
    """The machine that writes, such as ``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}"
