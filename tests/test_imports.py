"""The directions of imports, and what importing may not do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).parent.parent
PACKAGES = ("search_space", "controller", "trainers", "results", "nas")
MAY_IMPORT = {
    "search_space": set(),
    "controller": {"search_space", "results.pareto"},
    "trainers": {"search_space"},
    "results": {"search_space"},
    "nas": {"search_space", "controller", "trainers", "results"},
}


def imports_of(path: Path) -> set[str]:
    """Modules of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_the_design_allows(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imports_of(path):
            top = name.split(".")[0]
            allowed = top == package or top in MAY_IMPORT[package] or name in MAY_IMPORT[package]
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("search_space", {"torch", "ray", "pandas", "matplotlib"}),
        ("nas", {"torch", "ray", "matplotlib", "sklearn"}),
        ("nas.cli", {"torch", "ray", "matplotlib", "sklearn", "tensorboard"}),
        ("results", {"torch", "ray", "matplotlib", "tensorboard"}),
        ("trainers", {"ray", "sklearn", "tensorboard"}),
        ("controller", {"ray", "sklearn", "tensorboard"}),
    ],
)
def test_importing_is_light(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not absent & set(done.stdout.split())


def test_every_public_name_can_be_imported() -> None:
    assert sorted(nas.__all__) == sorted(nas._HOME_OF)
    for name in nas.__all__:
        assert getattr(nas, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        nas.serch  # noqa: B018
