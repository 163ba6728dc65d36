"""Data, proxy training, replay of tables, and the executors that run candidates."""

from trainers.cache import CacheFacts, load_test, open_cache, read_facts
from trainers.data import Dataset, ImageSet
from trainers.digits import DATASETS, load_dataset
from trainers.early_stopping import EarlyStopping
from trainers.executor import Candidate, Executor, InlineExecutor, Result, available_cpus
from trainers.factory import check_address, create_executor, joined
from trainers.latency_protocol import LatencyProtocol
from trainers.measurement import CallableEvaluator, Evaluator, Measurement, evaluate
from trainers.protocol import ProxyProtocol
from trainers.table import TableEvaluator, TableSource, load_table_evaluator
from trainers.worker_needs import WorkerNeeds

__all__ = [
    "DATASETS",
    "CacheFacts",
    "CallableEvaluator",
    "Candidate",
    "Dataset",
    "EarlyStopping",
    "Evaluator",
    "Executor",
    "ImageSet",
    "InlineExecutor",
    "LatencyProtocol",
    "Measurement",
    "ProxyProtocol",
    "Result",
    "TableEvaluator",
    "TableSource",
    "WorkerNeeds",
    "available_cpus",
    "check_address",
    "create_executor",
    "evaluate",
    "joined",
    "load_dataset",
    "load_table_evaluator",
    "load_test",
    "open_cache",
    "read_facts",
]
