"""Data, proxy training, and the executors that run candidates."""

from trainers.data import DATASETS, Dataset, ImageSet, load_dataset
from trainers.executor import Candidate, Executor, InlineExecutor, Result, available_cpus
from trainers.factory import create_executor
from trainers.measurement import CallableEvaluator, Evaluator, Measurement, evaluate
from trainers.protocol import ProxyProtocol

__all__ = [
    "DATASETS",
    "CallableEvaluator",
    "Candidate",
    "Dataset",
    "Evaluator",
    "Executor",
    "ImageSet",
    "InlineExecutor",
    "Measurement",
    "ProxyProtocol",
    "Result",
    "available_cpus",
    "create_executor",
    "evaluate",
    "load_dataset",
]
