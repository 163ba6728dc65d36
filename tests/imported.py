"""What `tests.processes` imports once for all processes that it forks."""

# ruff: noqa: F401

from pathlib import Path

import matplotlib.figure
import pytest
import sklearn.datasets
import torch._dynamo  # by the first optimiser of a process
import torch.utils.tensorboard

import nas.cli
import nas.launch
import tests.searching
import trainers.proxy
from trainers import create_executor

create_executor("ray", scratch=Path("unused"))  # Ray, after the settings that it reads when imported
