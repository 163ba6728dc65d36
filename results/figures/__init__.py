"""Figures: data in, a matplotlib figure out, one function each; and one as an interactive page."""

from results.figures.architecture_figure import architecture_figure
from results.figures.audit import AuditPanel, audit_figure
from results.figures.choices_figure import choices_figure
from results.figures.confusion_figure import confusion_figure, confusions, save_confusion_page
from results.figures.dimensions_figure import ScaledLine, ScaledPoint, WidthLine, dimensions_figure
from results.figures.family_figure import FamilyPoint, family_figure
from results.figures.finalists_figure import FinalPoint, finalists_figure
from results.figures.finalists_page import save_finalists_page
from results.figures.latency_figure import LatencyPoint, latency_figure
from results.figures.latency_model_figure import latency_model_figure
from results.figures.maps_figure import MapCell, MapRow, maps_figure
from results.figures.objective_figure import RewardCurve, objective_figure
from results.figures.own_transfer import OwnTransfer, own_transfer_figure
from results.figures.pareto import pareto_figure
from results.figures.pareto_page import save_pareto_page
from results.figures.policy_figure import policy_figure
from results.figures.scaling_figure import FamilyStep, GridPoint, scaling_figure
from results.figures.search_figures import hypervolume_figure, search_figure
from results.figures.style import FORMATS, check_figure_path, save_figure
from results.figures.transfer_figure import TransferPoint, transfer_figure

__all__ = [
    "FORMATS",
    "AuditPanel",
    "FamilyPoint",
    "FamilyStep",
    "FinalPoint",
    "GridPoint",
    "LatencyPoint",
    "MapCell",
    "MapRow",
    "OwnTransfer",
    "RewardCurve",
    "ScaledLine",
    "ScaledPoint",
    "TransferPoint",
    "WidthLine",
    "architecture_figure",
    "audit_figure",
    "check_figure_path",
    "choices_figure",
    "confusion_figure",
    "confusions",
    "dimensions_figure",
    "family_figure",
    "finalists_figure",
    "hypervolume_figure",
    "latency_figure",
    "latency_model_figure",
    "maps_figure",
    "objective_figure",
    "own_transfer_figure",
    "pareto_figure",
    "policy_figure",
    "save_confusion_page",
    "save_figure",
    "save_finalists_page",
    "save_pareto_page",
    "scaling_figure",
    "search_figure",
    "transfer_figure",
]
