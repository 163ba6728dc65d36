"""What a search leaves behind: journal, Pareto front, figures, TensorBoard, exports."""

from results.export import export, file_stem, write_whole
from results.figures import check_figure_path, pareto_figure, save_figure
from results.history import FILE as HISTORY
from results.journal import Journal
from results.pareto import hypervolume, pareto_front
from results.reading import JournalReader
from results.run import (
    RUNS,
    Front,
    Run,
    create_run,
    dominating,
    front_of,
    list_runs,
    open_run,
    run_path,
)
from results.schema import EvaluatorFacts, Event, NewTrial, ProposalRow, Recommendation, Session
from results.status import Status, status_of
from results.table import TrialTable, trial_table
from results.tensorboard import TensorBoardLog
from results.trial import STATUSES, Trial, ranked

__all__ = [
    "HISTORY",
    "RUNS",
    "STATUSES",
    "EvaluatorFacts",
    "Event",
    "Front",
    "Journal",
    "JournalReader",
    "NewTrial",
    "ProposalRow",
    "Recommendation",
    "Run",
    "Session",
    "Status",
    "TensorBoardLog",
    "Trial",
    "TrialTable",
    "check_figure_path",
    "create_run",
    "dominating",
    "export",
    "file_stem",
    "front_of",
    "hypervolume",
    "list_runs",
    "open_run",
    "pareto_figure",
    "pareto_front",
    "ranked",
    "run_path",
    "save_figure",
    "status_of",
    "trial_table",
    "write_whole",
]
