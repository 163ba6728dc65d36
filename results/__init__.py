"""What a search leaves behind: journal, Pareto front, figures, TensorBoard, exports."""

from results.export import export, file_stem, write_whole
from results.figures import check_figure_path, pareto_figure, save_figure, save_pareto_page
from results.fronts import (
    Front,
    Limit,
    RunFront,
    check_objectives,
    cost_of,
    dominating,
    front_by,
    front_of,
    is_raised,
    objective_values,
    reference_point,
    targets_of,
    violation_of,
)
from results.history import FILE as HISTORY
from results.journal import Journal
from results.pareto import dominated_volume, hypervolume, hypervolume_curve, non_dominated, pareto_front
from results.reading import JournalReader
from results.run import (
    RUNS,
    Run,
    check_new,
    create_run,
    list_runs,
    open_run,
    run_path,
)
from results.scaled import ScaledTrials, by_network, chosen_of, words_of
from results.schema import EvaluatorFacts, Event, NewTrial, ProposalRow, Recommendation, Session
from results.status import Status, status_of
from results.table import TrialTable, selected, trial_table
from results.target import Drift, drift_of
from results.tensorboard import TensorBoardLog
from results.trial import STATUSES, Trial, ranked

__all__ = [
    "HISTORY",
    "RUNS",
    "STATUSES",
    "Drift",
    "EvaluatorFacts",
    "Event",
    "Front",
    "Journal",
    "JournalReader",
    "Limit",
    "NewTrial",
    "ProposalRow",
    "Recommendation",
    "Run",
    "RunFront",
    "ScaledTrials",
    "Session",
    "Status",
    "TensorBoardLog",
    "Trial",
    "TrialTable",
    "by_network",
    "check_figure_path",
    "check_new",
    "check_objectives",
    "chosen_of",
    "cost_of",
    "create_run",
    "dominated_volume",
    "dominating",
    "drift_of",
    "export",
    "file_stem",
    "front_by",
    "front_of",
    "hypervolume",
    "hypervolume_curve",
    "is_raised",
    "list_runs",
    "non_dominated",
    "objective_values",
    "open_run",
    "pareto_figure",
    "pareto_front",
    "ranked",
    "reference_point",
    "run_path",
    "save_figure",
    "save_pareto_page",
    "selected",
    "status_of",
    "targets_of",
    "trial_table",
    "violation_of",
    "words_of",
    "write_whole",
]
