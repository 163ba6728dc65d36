"""Strict YAML: safe types only, no repeated keys, `1e-3` is a number, and every value knows its line.

PyYAML follows YAML 1.1: it reads `1e-3` as a string, `on` as a boolean, and silently keeps the last of
two equal keys. Each of these has cost somebody a run, so all three are handled here.
"""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search_space.errors import FieldError, InputError


class _StrictLoader(yaml.SafeLoader):
    """A safe loader with YAML 1.2's numbers and booleans, which refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


class _StrictDumper(yaml.SafeDumper):
    """Quotes what the strict loader would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_StrictDumper.yaml_implicit_resolvers = _StrictLoader.yaml_implicit_resolvers


def dump_yaml(value: Any, flow: bool = False) -> str:
    """Plain data as YAML that `parse_yaml` reads back to equal data.

    Args:
        value: dicts, lists and scalars.
        flow: on one line.
    """
    width = 10_000 if flow else 100
    text = yaml.dump(
        value, Dumper=_StrictDumper, default_flow_style=flow, sort_keys=False, width=width, allow_unicode=True
    )
    return text.removesuffix("\n...\n").removesuffix("\n") if flow else text


@dataclass(frozen=True, slots=True)
class Document:
    """The contents of a YAML file and the line of each field.

    Attributes:
        data: plain dicts, lists and scalars.
        lines: field path (``stages[2].stride``) to its line, counted from 1.
        source: the file's name, for messages.
    """

    data: Any
    lines: dict[str, int]
    source: str

    def error(self, error: FieldError) -> InputError:
        """The error with file and line in front: ``FILE:LINE: FIELD RULE``."""
        path = error.path
        while path and path not in self.lines:
            path = re.sub(r"(?:\.?[^.\[\]]+|\[\d+\])$", "", path)
        line = f":{self.lines[path]}" if path else ""
        return InputError(f"{self.source}{line}: {error}")


def parse_yaml(text: str, source: str) -> Document:
    """Parse one YAML document.

    Args:
        text: the document.
        source: what to call it in messages.

    Raises:
        InputError: one line with source, line and what is wrong.
    """
    try:
        data, lines = _parsed(text)
        data = copy.deepcopy(data)  # the caller may change it
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{source}: is nested too deeply, or refers to itself") from None
    return Document(data, dict(lines), source)


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[Any, dict[str, int]]:
    """The data and the lines of a document; a run's configuration is asked for again and again."""
    lines: dict[str, int] = {}
    loader = _StrictLoader(text)
    node = loader.get_single_node()
    if node is None:
        return None, lines
    data = loader.construct_document(node)
    _collect_lines(node, "", lines)
    return data, lines


def read_yaml(path: Path | str) -> Document:
    """Read and parse a YAML file.

    Raises:
        InputError: the file is missing, unreadable, not text, or not valid YAML.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    return parse_yaml(text, str(path))


def parse_override(text: str, example: str) -> tuple[str, Any]:
    """The key and value of ``--set key=value``; the value is YAML.

    Args:
        text: what was typed.
        example: how it could look, for the message.

    Raises:
        InputError: it is no ``key=value``, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set {text}: must be key=value, such as {example}")
    data = parse_yaml(value, f"--set {key}").data
    joined = [name for name in data if ":" in str(name)] if isinstance(data, dict) else []
    if joined and data[joined[0]] is None:
        name, _, rest = str(joined[0]).partition(":")
        raise InputError(f"--set {text}: YAML wants a space after a colon: {{{name}: {rest}}}")
    return key, data


def put(data: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key, in place; mappings on the way are made where they are missing or null.

    Raises:
        InputError: something on the way is no mapping.
    """
    *parents, last = key.split(".")
    for parent in parents:
        if data.get(parent) is None:  # a section that a run's own file says is not there
            data[parent] = {}
        data = data[parent]
        if not isinstance(data, dict):
            raise InputError(f"--set {key}: {parent} holds no keys")
    data[last] = value


def _collect_lines(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    if path:
        lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            child = f"{path}.{key_node.value}" if path else str(key_node.value)
            lines[child] = key_node.start_mark.line + 1
            _collect_lines(value_node, child, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value_node in enumerate(node.value):
            _collect_lines(value_node, f"{path}[{index}]", lines)
