"""Architectures, the spaces they are searched in, what they cost, and the networks they build."""

from search_space.adaptation import Adapted, Frame, adapt, adapt_to_space, frame_of
from search_space.architecture import Architecture
from search_space.cost import Cost, cost, memory, thop_macs
from search_space.errors import FieldError, InputError
from search_space.latency_model import LatencyModel, LatencyQuality, load_latency_model
from search_space.limits import Limits
from search_space.loading import load_architecture, load_space, preset_names, resolve_space
from search_space.reference import EFFICIENTNET_FAMILY, REFERENCES
from search_space.scaling import round_channels, round_repeats, scale_architecture
from search_space.space import Decision, Indices, SearchSpace
from search_space.stage import Head, Stage, Stem
from search_space.stage_space import StageSpace, space_from_dict
from search_space.summary import StageRow, stage_table
from search_space.timm_strings import stages_from_timm, timm_arguments, to_timm
from search_space.yaml_io import Document, parse_yaml, read_yaml

__all__ = [
    "EFFICIENTNET_FAMILY",
    "REFERENCES",
    "Adapted",
    "Architecture",
    "Cost",
    "Decision",
    "Document",
    "FieldError",
    "Frame",
    "Head",
    "Indices",
    "InputError",
    "LatencyModel",
    "LatencyQuality",
    "Limits",
    "SearchSpace",
    "Stage",
    "StageRow",
    "StageSpace",
    "Stem",
    "adapt",
    "adapt_to_space",
    "cost",
    "frame_of",
    "load_architecture",
    "load_latency_model",
    "load_space",
    "memory",
    "parse_yaml",
    "preset_names",
    "read_yaml",
    "resolve_space",
    "round_channels",
    "round_repeats",
    "scale_architecture",
    "space_from_dict",
    "stage_table",
    "stages_from_timm",
    "thop_macs",
    "timm_arguments",
    "to_timm",
]
