"""Architectures, the spaces they are searched in, what they cost, and the networks they build."""

from search_space.architecture import Architecture, Head, Stage, Stem
from search_space.cost import Cost, cost
from search_space.errors import FieldError, InputError
from search_space.loading import load_architecture, load_space, preset_names
from search_space.reference import EFFICIENTNET_FAMILY, REFERENCES
from search_space.scaling import round_channels, round_repeats, scale_architecture
from search_space.space import Decision, Indices, SearchSpace
from search_space.yaml_io import Document, parse_yaml, read_yaml

__all__ = [
    "EFFICIENTNET_FAMILY",
    "REFERENCES",
    "Architecture",
    "Cost",
    "Decision",
    "Document",
    "FieldError",
    "Head",
    "Indices",
    "InputError",
    "SearchSpace",
    "Stage",
    "Stem",
    "cost",
    "load_architecture",
    "load_space",
    "parse_yaml",
    "preset_names",
    "read_yaml",
    "round_channels",
    "round_repeats",
    "scale_architecture",
]
