"""A network's source in plain torch: one file that needs nothing of this project.

The text is a template, `model.py.template`, that reads as the file which it gives. Lines of it depend on what
the architecture has:

- from ``#: if NAME`` to ``#: end``, with an ``#: else`` between or without, where the network has NAME;
- one line with ``#: if NAME`` at its end, likewise; ``not`` turns both round;
- ``$name`` stands for a value.

The classes keep the names of `search_space.layers` for what has weights, in the same order: a state dict of
one loads into the other.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import resources
from string import Template

from search_space import Architecture, Stage, cost
from search_space.fields import check_int
from search_space.stage import Block

TEMPLATE = "model.py.template"
_ACTIVATIONS = {"swish": "nn.SiLU()", "relu": "nn.ReLU(inplace=True)", "relu6": "nn.ReLU6(inplace=True)"}
_CLASSES = {"conv": "Conv", "mbconv": "MBConv", "dsconv_act": "DSConvAct", "bottleneck": "Bottleneck"}
_CONDITION = re.compile(r"(?P<code>.*?) *#: if (?P<negation>not )?(?P<name>\w+)")
_LONGEST_TITLE = 120  # characters
_WIDTH = 80  # of text in the docstring


def model_source(
    architecture: Architecture, num_classes: int = 1000, in_channels: int = 3, *, note: str = ""
) -> str:
    """The text of a `model.py` that builds the architecture with torch alone.

    Its `build_model()` gives the module that ``architecture.build(num_classes, in_channels)`` gives: the same
    state dict, the same outputs up to rounding, and the same training.

    Args:
        architecture: the network.
        num_classes, in_channels: what the file builds unless told otherwise.
        note: where the network comes from, in any words; part of the docstring.

    Raises:
        FieldError: no class, or no channel.
    """
    check_int("num_classes", num_classes, 1)
    check_int("in_channels", in_channels, 1)
    template = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    shown = skip_words(architecture)
    features = features_of(architecture, shown)
    text = "\n".join(selected(template.splitlines(), features)) + "\n"
    values = values_of(architecture, num_classes, in_channels, features)
    values["title"] = quoted(shortened(architecture.name))
    values["facts"] = facts_of(architecture, num_classes, in_channels, note)
    values["table"] = "\n".join(table_of(architecture, shown, features))
    values["skips"] = ", ".join(f'"{word}"' for word in sorted(set(shown)))
    return Template(text).substitute(values)


def skip_words(architecture: Architecture) -> list[str]:
    """A word for each stage's skip: one and the same if the network can be said so.

    A stage whose blocks are the same without a skip, such as a single strided layer, takes any word.
    """
    stages, inputs = architecture.stages, [architecture.stem.channels]
    inputs += [stage.channels for stage in stages]

    def same(stage: Stage, channels: int, word: str) -> bool:
        return replace(stage, skip=word).blocks(channels) == stage.blocks(channels)  # type: ignore[arg-type]

    for word in ("none", "identity", "pool"):
        if all(same(stage, channels, word) for stage, channels in zip(stages, inputs, strict=False)):
            return [word] * len(stages)
    return [
        "none" if same(stage, channels, "none") else stage.skip
        for stage, channels in zip(stages, inputs, strict=False)
    ]


def features_of(architecture: Architecture, shown: list[str]) -> dict[str, bool]:
    """What the template asks about a network, by name."""
    blocks, stem = architecture.blocks(), architecture.stem
    ops, skips = {block.op for block in blocks}, {block.skip for block in blocks}
    squeezing = {block.op for block in blocks if block.se_channels}
    same = architecture.padding == "same"
    strided = [(stem.kernel, stem.stride), *((block.kernel, block.stride) for block in blocks)]
    has = {op: op in ops for op in _CLASSES}
    has |= {skip: skip in skips for skip in ("identity", "project", "pool")}
    has["residual"] = skips != {"none"}
    has["skip_column"] = len(set(shown)) > 1
    # the first block's rate is 0
    has["drop_path"] = architecture.drop_path > 0 and any(block.skip != "none" for block in blocks[1:])
    has["expansion"] = any(expansion_of(block) > 1 for block in blocks)
    has["se"] = bool(squeezing)
    has |= {f"{op}_se": op in squeezing for op in ("mbconv", "dsconv_act")}
    has["same_conv"] = same and any(kernel > 1 and stride > 1 for kernel, stride in strided)
    has["same_pool"] = same and stem.pool == "max"
    has["symmetric_pool"] = not same and stem.pool == "max"
    has["same"] = has["same_conv"] or has["same_pool"]
    has["functional"] = has["same"] or has["pool"]
    has["head"] = architecture.head.channels > 0
    return has


def expansion_of(block: Block) -> int:
    """Depthwise channels over input channels; 1 for a block that does not expand."""
    return block.inner_channels // block.in_channels if block.op == "mbconv" else 1


def selected(lines: Iterable[str], features: dict[str, bool]) -> Iterator[str]:
    """The template's lines that a network with these features needs."""
    open_conditions: list[bool] = []
    for line in lines:
        condition = _CONDITION.fullmatch(line)
        if condition:
            holds = features[condition["name"]] is not bool(condition["negation"])
            if not condition["code"]:
                open_conditions.append(holds)
            elif holds and all(open_conditions):
                yield condition["code"]
        elif line == "#: else":
            open_conditions[-1] = not open_conditions[-1]
        elif line == "#: end":
            open_conditions.pop()
        elif all(open_conditions):
            yield line
    assert not open_conditions, "the template leaves a condition open"


def values_of(
    architecture: Architecture, num_classes: int, in_channels: int, features: dict[str, bool]
) -> dict[str, str]:
    """The template's values that are code: numbers, and names of its own."""
    stem, size = architecture.stem, architecture.image_size
    residual, drop_path = features["residual"], features["drop_path"]
    rate = ", rate: float" if drop_path else ""
    return {
        "image_size": str(size),
        "in_channels": str(in_channels),
        "num_classes": str(num_classes),
        "example": f"(N, {in_channels}, {size}, {size}) to (N, {num_classes})",
        "bn_eps": repr(architecture.bn_eps),
        "activation": _ACTIVATIONS[architecture.activation],
        "block": "Block" if residual else "nn.Module",
        "method": "branch" if residual else "forward",
        "parameters": f"self, inputs: int, stage: Stage, stride: int{rate}",
        "forwarded": f"inputs, stage, stride{', rate' if drop_path else ''}" if residual else "",
        "stem": f"{stem.channels}, kernel={stem.kernel}, stride={stem.stride}",
        "stem_channels": str(stem.channels),
        "head_channels": str(architecture.head.channels),
        "features": str(architecture.features),
        "dropout": repr(architecture.dropout),
        "drop_path": repr(architecture.drop_path),
    }


def table_of(architecture: Architecture, shown: list[str], features: dict[str, bool]) -> Iterator[str]:
    """The stages, one a line, under a line with the names of the columns."""
    columns: dict[str, list[str]] = {"block": []}
    inputs = architecture.stem.channels
    for stage, skip in zip(architecture.stages, shown, strict=True):
        first = stage.blocks(inputs)[0]
        row = {
            "block": _CLASSES[first.op],
            "expansion": str(expansion_of(first)),
            "kernel": str(stage.kernel),
            "stride": str(stage.stride),
            "channels": str(stage.channels),
            "repeats": str(stage.repeats),
            "se_ratio": repr(stage.se_ratio if first.se_channels else 0.0),
            "skip": f'"{skip}"',
        }
        left_out = {"expansion": "expansion", "se_ratio": "se", "skip": "skip_column"}
        for name, value in row.items():
            if features.get(left_out.get(name, ""), True):
                columns.setdefault(name, []).append(value)
        inputs = stage.channels
    widths = {name: max(map(len, [name, *values])) for name, values in columns.items()}
    block = widths.pop("block")
    header = "  ".join(name.rjust(width) for name, width in widths.items())
    yield f"    #     {'block'.ljust(block)}  {header}"
    for number, name in enumerate(columns.pop("block")):
        cells = ", ".join(columns[key][number].rjust(width) for key, width in widths.items())
        yield f"    Stage({(name + ',').ljust(block + 1)} {cells}),"


def facts_of(architecture: Architecture, num_classes: int, in_channels: int, note: str) -> str:
    """The docstring's second part: the note, and what the network costs."""
    macs, params = cost(architecture, num_classes, in_channels)
    size = architecture.image_size
    channels = "1 channel" if in_channels == 1 else f"{in_channels:,} channels"
    classes = "1 class" if num_classes == 1 else f"{num_classes:,} classes"
    lines = [line for paragraph in note.splitlines() for line in textwrap.wrap(paragraph, _WIDTH)]
    paragraphs = ["\n".join(quoted(line) for line in lines)] if lines else []
    table = [
        f"    image size     {size} x {size} pixels, {channels}",
        f"    multiply-adds  {macs:,} for one image (printed as FLOPS in papers)",
        f"    parameters     {params:,} with {classes}",
    ]
    return "\n\n".join([*paragraphs, "\n".join(table)])


def shortened(name: str) -> str:
    """A name in one line of a docstring."""
    words = " ".join(name.split()) or "unnamed"
    return words if len(words) <= _LONGEST_TITLE else f"{words[: _LONGEST_TITLE - 3].rstrip()}..."


def quoted(text: str) -> str:
    """Somebody's text within a docstring's quotation marks: as it was when read back, and never code.

    Quotation marks, backslashes and what cannot be printed (so also what turns the direction of writing)
    become escapes; letters of any script stay.
    """
    return "".join(
        character if character.isprintable() and character not in '"\\' else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
