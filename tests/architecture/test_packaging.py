"""What pyproject.toml and constraints.txt say about the wheel and its dependencies."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ["hwmodels", "passes", "qtool"]


def normalized(requirement: str) -> str:
    """The name of a requirement such as ``Foo_bar[x]>=1``, spelled as package indexes do."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name.group() if name else requirement).lower()


def constrained(repository: Path) -> dict[str, str]:
    """Package name to the one version in constraints.txt."""
    text = (repository / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def declared(pyproject: dict[str, Any]) -> list[str]:
    """Every requirement of the project and its extras."""
    project = pyproject["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [item for group in groups for item in group if normalized(item) != "qtool"]


def test_the_wheel_holds_the_three_packages(pyproject: dict[str, Any]) -> None:
    assert sorted(pyproject["tool"]["scikit-build"]["wheel"]["packages"]) == PACKAGES


def test_the_tool_installs_without_a_compiler(pyproject: dict[str, Any]) -> None:
    overrides = pyproject["tool"]["scikit-build"]["overrides"]
    without_kernels = [entry["if"] for entry in overrides if entry["wheel"]["cmake"] is False]
    assert {"failed": True} in without_kernels
    assert {"env": {"QTOOL_NATIVE": "^0$"}} in without_kernels


def test_the_build_has_tested_versions(repository: Path, pyproject: dict[str, Any]) -> None:
    needed = {normalized(item) for item in pyproject["build-system"]["requires"]}
    assert not needed - set(constrained(repository))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_typed(repository: Path, package: str) -> None:
    assert (repository / package / "__init__.py").is_file()
    assert (repository / package / "py.typed").is_file()


def test_dependencies_have_lower_bounds_only(pyproject: dict[str, Any]) -> None:
    strange = [item for item in declared(pyproject) if not re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", item)]
    assert not strange


def test_every_dependency_has_a_tested_version(repository: Path, pyproject: dict[str, Any]) -> None:
    missing = {normalized(item) for item in declared(pyproject)} - set(constrained(repository))
    assert not missing


def test_indirect_dependencies_have_tested_versions_too(repository: Path, pyproject: dict[str, Any]) -> None:
    versions = constrained(repository)
    direct = {normalized(item) for item in pyproject["project"]["dependencies"]}
    missing = {
        f"{name} needs {normalized(item)}"
        for name in direct
        for item in importlib.metadata.requires(name) or []
        if ";" not in item and normalized(item) not in versions
    }
    assert not missing


def test_the_command_line_prints_the_declared_version(repository: Path) -> None:
    text = (repository / "qtool" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, flags=re.MULTILINE)
    assert version is not None
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version.group(1)}" in changelog
