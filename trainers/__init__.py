"""Data, proxy training, replay of tables, and the executors that run candidates."""

from trainers.cache import CacheFacts, load_test, open_cache, read_facts
from trainers.data import Dataset, ImageSet
from trainers.digits import DATASETS, load_dataset
from trainers.executor import Candidate, Executor, InlineExecutor, Result, available_cpus
from trainers.factory import create_executor
from trainers.measurement import CallableEvaluator, Evaluator, Measurement, evaluate
from trainers.protocol import ProxyProtocol
from trainers.table import TableEvaluator, TableSource, load_table_evaluator

__all__ = [
    "DATASETS",
    "CacheFacts",
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
    "TableEvaluator",
    "TableSource",
    "available_cpus",
    "create_executor",
    "evaluate",
    "load_dataset",
    "load_table_evaluator",
    "load_test",
    "open_cache",
    "read_facts",
]
