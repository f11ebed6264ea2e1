"""What a release is made of: the wheel's contents, the citation, the licences of what comes along."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from qtool import __version__

if TYPE_CHECKING:
    from conftest import Source

DISTRIBUTIONS = {"PIL": "pillow", "google": "onnx", "vl_convert": "vl-convert-python"}
"""Packages that are called otherwise than what they install; protobuf comes with onnx."""
BUILD = (
    "import sys; from scikit_build_core.build import build_sdist, build_wheel; "
    "print(build_wheel(sys.argv[1])); print(build_sdist(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel without kernels, and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    environment = os.environ | {"QTOOL_NATIVE": "0"}
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=repository, env=environment, capture_output=True, check=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel_holds_the_packages_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
    top = {name.partition("/")[0] for name in names}
    assert top == {"hwmodels", "passes", "qtool", f"qtool-{__version__}.dist-info"}
    needed = {"hwmodels/py.typed", "passes/py.typed", "qtool/py.typed", "qtool/__init__.pyi"}
    assert needed <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".so", ".onnx", ".cpp"))]


def test_the_wheel_says_what_it_is(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        metadata = wheel.read(f"qtool-{__version__}.dist-info/METADATA").decode()
        entries = wheel.read(f"qtool-{__version__}.dist-info/entry_points.txt").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "qtool = qtool.__main__:main" in entries.replace("=", " = ").replace("  ", " ")


def test_the_archive_can_be_built_and_tested(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "CMakeLists.txt", "native/dispatch.cpp", "action.yml", "CITATION.cff"} <= names
    assert not [name for name in names if name.startswith((".", "benchmarks", "shared", "dist"))]


def test_the_citation_is_valid_and_of_this_version(repository: Path) -> None:
    citation: dict[str, Any] = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    stored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "citation-file-format.json"
    jsonschema.validate(citation, json.loads(stored.read_text(encoding="utf-8")))
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")


def test_every_package_that_is_imported_is_declared(sources: list[Source], pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    extras = {name: wanted for name, wanted in project["optional-dependencies"].items() if name != "test"}
    declared = [item for group in (project["dependencies"], *extras.values()) for item in group]
    names = {re.split("[>=[]", item)[0] for item in declared} - {"qtool"}
    imported = {name for source in sources for name in outside(source.tree)}
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in imported} - names == set()


def outside(tree: ast.Module) -> set[str]:
    """The top-level names that a module imports from other packages."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"hwmodels", "passes", "qtool"}


@pytest.fixture(scope="module")
def licences(repository: Path) -> ModuleType:
    """The script that writes docs/licences.md."""
    spec = importlib.util.spec_from_file_location("licences", repository / "docs" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed_as_tested(name: str, tested: str) -> bool:
    """Whether a package is here, in the version of constraints.txt."""
    try:
        return version(name) == tested
    except PackageNotFoundError:
        return False


def test_every_licence_is_on_the_page(repository: Path, licences: ModuleType) -> None:
    stored = licences.known()
    text = (repository / "docs" / "licences.md").read_text(encoding="utf-8")
    packages = {name: tested for part in licences.sections().values() for name, tested in part.items()}
    assert [name for name, tested in packages.items() if f"| {name} | {tested} |" not in text] == []
    here = [name for name, tested in packages.items() if installed_as_tested(name, tested)]
    assert len(here) > 20
    assert [name for name in here if stored[name] != licences.licence_of(name)] == []
    assert "not installed" not in text
