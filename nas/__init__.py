"""Search for a network, scale it, and take it away: the public interface.

    import nas

    config = nas.load_config("configs/quickstart.yaml")
    run = nas.run_search(config).run
    network = nas.load_architecture("quickstart@best").build(num_classes=10, in_channels=1)

Names are imported when they are first used, so that a command that needs no torch does not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller import Objective, create_controller
    from nas.bundle import export_bundle
    from nas.config import SearchConfig, load_config, parse_config
    from nas.efficientnet import (
        EfficientNetB0,
        EfficientNetB1,
        EfficientNetB2,
        EfficientNetB3,
        EfficientNetB4,
        EfficientNetB5,
        EfficientNetB6,
        EfficientNetB7,
    )
    from nas.evaluate import CheckpointEvaluation, evaluate_checkpoint
    from nas.finalists_config import FinalistsConfig, load_finalists_config
    from nas.finalists_run import FinalistsEnd, run_finalists
    from nas.finetuning import finetune_config
    from nas.importing import Imported, import_weights
    from nas.launch import SearchEnd, run_search
    from nas.lookup import load_architecture
    from nas.map_facts import ActivationMaps
    from nas.maps import activation_maps
    from nas.scaling import ScaledNetwork, compound_scale, efficientnet_family, scale_dimensions
    from nas.scaling_limits import family_under, largest_phi
    from nas.train_config import TrainConfig, load_train_config
    from nas.train_run import TrainEnd, train_network
    from nas.transfer_run import TransferEnd, transfer, transfer_table
    from nas.tune_searcher import ControllerSearcher, architecture_of
    from nas.weights import Transferred, load_weights, transfer_weights, write_transferred
    from results import Run, Trial, front_of, hypervolume, list_runs, open_run, pareto_front
    from search_space import (
        Architecture,
        Cost,
        Decision,
        FieldError,
        InputError,
        LatencyModel,
        Limits,
        SearchSpace,
        cost,
        load_latency_model,
        load_space,
    )
    from trainers import CallableEvaluator, Measurement, ProxyProtocol

_HOMES = {
    "controller": ("Objective", "create_controller"),
    "nas.bundle": ("export_bundle",),
    "nas.config": ("SearchConfig", "load_config", "parse_config"),
    "nas.efficientnet": tuple(f"EfficientNetB{number}" for number in range(8)),
    "nas.evaluate": ("CheckpointEvaluation", "evaluate_checkpoint"),
    "nas.finalists_config": ("FinalistsConfig", "load_finalists_config"),
    "nas.finalists_run": ("FinalistsEnd", "run_finalists"),
    "nas.importing": ("Imported", "import_weights"),
    "nas.finetuning": ("finetune_config",),
    "nas.launch": ("SearchEnd", "run_search"),
    "nas.lookup": ("load_architecture",),
    "nas.map_facts": ("ActivationMaps",),
    "nas.maps": ("activation_maps",),
    "nas.scaling": ("ScaledNetwork", "compound_scale", "efficientnet_family", "scale_dimensions"),
    "nas.scaling_limits": ("family_under", "largest_phi"),
    "nas.train_config": ("TrainConfig", "load_train_config"),
    "nas.train_run": ("TrainEnd", "train_network"),
    "nas.transfer_run": ("TransferEnd", "transfer", "transfer_table"),
    "nas.tune_searcher": ("ControllerSearcher", "architecture_of"),
    "nas.weights": ("Transferred", "load_weights", "transfer_weights", "write_transferred"),
    "results": ("Run", "Trial", "front_of", "hypervolume", "list_runs", "open_run", "pareto_front"),
    "search_space": (
        "Architecture",
        "Cost",
        "Decision",
        "FieldError",
        "InputError",
        "LatencyModel",
        "Limits",
        "SearchSpace",
        "cost",
        "load_latency_model",
        "load_space",
    ),
    "trainers": ("CallableEvaluator", "Measurement", "ProxyProtocol"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "ActivationMaps",
    "Architecture",
    "CallableEvaluator",
    "CheckpointEvaluation",
    "ControllerSearcher",
    "Cost",
    "Decision",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "FieldError",
    "FinalistsConfig",
    "FinalistsEnd",
    "Imported",
    "InputError",
    "LatencyModel",
    "Limits",
    "Measurement",
    "Objective",
    "ProxyProtocol",
    "Run",
    "ScaledNetwork",
    "SearchConfig",
    "SearchEnd",
    "SearchSpace",
    "TrainConfig",
    "TrainEnd",
    "TransferEnd",
    "Transferred",
    "Trial",
    "activation_maps",
    "architecture_of",
    "compound_scale",
    "cost",
    "create_controller",
    "efficientnet_family",
    "evaluate_checkpoint",
    "export_bundle",
    "family_under",
    "finetune_config",
    "front_of",
    "hypervolume",
    "import_weights",
    "largest_phi",
    "list_runs",
    "load_architecture",
    "load_config",
    "load_finalists_config",
    "load_latency_model",
    "load_space",
    "load_train_config",
    "load_weights",
    "open_run",
    "pareto_front",
    "parse_config",
    "run_finalists",
    "run_search",
    "scale_dimensions",
    "train_network",
    "transfer",
    "transfer_table",
    "transfer_weights",
    "write_transferred",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
