"""What every folder under ``runs/`` has: a name, and the configuration that it was made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_space import InputError, read_yaml


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk, to read.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The configuration as resolved when the run began."""
        return self.path / "config.yaml"

    def config(self) -> dict[str, Any]:
        """The configuration as plain data.

        Raises:
            InputError: the file is missing or broken.
        """
        data = read_yaml(self.config_path).data
        if not isinstance(data, dict):
            raise InputError(f"{self.config_path}: must hold keys and values")
        return data
