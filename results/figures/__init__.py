"""Figures: data in, a matplotlib figure out, one function each."""

from results.figures.audit import AuditPanel, audit_figure
from results.figures.pareto import pareto_figure
from results.figures.style import FORMATS, check_figure_path, save_figure

__all__ = ["FORMATS", "AuditPanel", "audit_figure", "check_figure_path", "pareto_figure", "save_figure"]
