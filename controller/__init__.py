"""Objectives, and the controllers that propose what to train next."""

from controller.base import Controller, Outcome, Proposal
from controller.factory import CONTROLLERS, create_controller
from controller.objective import Objective

__all__ = ["CONTROLLERS", "Controller", "Objective", "Outcome", "Proposal", "create_controller"]
