"""A Python that has torch and nothing else."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path


def requirements(package: str) -> set[str]:
    """A package and all that it needs, by the names of those that are installed."""
    found: set[str] = set()
    waiting = [package]
    while waiting:
        name = waiting.pop()
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system or Python
            continue
        found.add(name)
        names = {re.match(r"[\w.-]+", line)[0] for line in needed if "extra ==" not in line}  # type: ignore[index]
        waiting += names - found
    return found


def site_of_torch(folder: Path) -> Path:
    """Fill a folder with links to torch and what it needs, and to nothing else that is installed."""
    folder.mkdir()
    for package in requirements("torch"):
        distribution = importlib.metadata.distribution(package)
        tops = {file.parts[0] for file in distribution.files or []}
        for top in tops - {"..", "__pycache__"}:
            source, link = Path(str(distribution.locate_file(top))), folder / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
    return folder


def bare_python(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that finds the standard library and `site`."""
    start = f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    command = [sys.executable, "-I", "-S", "-c", start, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=site, timeout=120)
