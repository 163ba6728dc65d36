"""Figures: data in, a matplotlib figure out, one function each; and one as an interactive page."""

from results.figures.audit import AuditPanel, audit_figure
from results.figures.pareto import pareto_figure
from results.figures.pareto_page import save_pareto_page
from results.figures.style import FORMATS, check_figure_path, save_figure

__all__ = [
    "FORMATS",
    "AuditPanel",
    "audit_figure",
    "check_figure_path",
    "pareto_figure",
    "save_figure",
    "save_pareto_page",
]
