"""Passes are found by name: built-in ones, installed ones and those of plugin modules."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from passes import registry
from passes.errors import UsageError
from passes.registry import analysis_names, find_analysis, find_pass, load_plugin, pass_names

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from passes.api import Aspect, Pass, PassResult
from passes.transform.equalize import Equalize

@dataclass(frozen=True)
class Nothing(Pass):
    name: ClassVar[str] = "{name}"
    times: int = 1

    def run(self, model, ctx):
        return PassResult(Aspect.NONE, "nothing")
"""
Write = Callable[..., str]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module onto the search path, and forget its passes afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_plugins", {})

    def write(module: str, text: str) -> str:
        (tmp_path / f"{module}.py").write_text(text)
        return module

    return write


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.ENTRY_POINTS)


@pytest.mark.parametrize("name", [name for name, _ in registry.BUILTIN])
def test_builtin_passes_go_by_their_own_names(name: str) -> None:
    assert find_pass(name).name == name


@pytest.mark.parametrize("name", analysis_names())
def test_analyses_go_by_their_own_names(name: str) -> None:
    assert find_analysis(name).name == name


def test_names_are_sorted_and_complete() -> None:
    assert list(pass_names()) == sorted(pass_names())
    assert {name for name, _ in registry.BUILTIN} <= set(pass_names())


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(UsageError, match="unknown pass 'equalise'; did you mean equalize"):
        find_pass("equalise")
    with pytest.raises(UsageError, match="unknown analysis"):
        find_analysis("nothing")


def test_an_installed_pass_is_listed_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, point("broken", "no_such_module:Pass"))
    assert "broken" in pass_names()
    with pytest.raises(UsageError, match="no_such_module:Pass of an unknown package cannot be imported"):
        find_pass("broken")


def test_an_installed_pass_is_loaded(monkeypatch: pytest.MonkeyPatch, write_module: Write) -> None:
    module = write_module("qtool_test_installed", PLUGIN.format(name="far"))
    install(monkeypatch, point("far", f"{module}:Nothing"))
    assert find_pass("far").name == "far"


@pytest.mark.parametrize(
    ("value", "message"),
    [("passes.errors:UsageError", "expected a subclass"), ("{module}:Nothing", "calls itself otherwise")],
)
def test_an_installed_class_must_be_a_pass_of_that_name(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch, write_module: Write
) -> None:
    module = write_module("qtool_test_other_name", PLUGIN.format(name="far"))
    install(monkeypatch, point("near", value.format(module=module)))
    with pytest.raises(UsageError, match=message):
        find_pass("near")


def test_a_clash_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, point("twice", "a:One"), point("twice", "b:Two"))
    with pytest.raises(UsageError, match=r"a:One .*b:Two"):
        pass_names()
    install(monkeypatch, point("lower", "a:One"))
    with pytest.raises(UsageError, match="the built-in pass and a:One"):
        find_pass("canonicalize")


def test_a_plugin_offers_what_it_defines_and_not_what_it_imports(write_module: Write) -> None:
    module = write_module("qtool_test_plugin", PLUGIN.format(name="nothing"))
    assert load_plugin(module) == ("nothing",)
    assert load_plugin(module) == ("nothing",)
    assert find_pass("nothing")().times == 1


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("qtool_test_import", "import no_such_module", "cannot be imported: No module named"),
        ("qtool_test_syntax", "def broken(:", "cannot be imported"),
        ("qtool_test_empty", "x = 1", "defines no pass"),
        ("qtool_test_taken", PLUGIN.format(name="lower"), "offered by the built-in pass and by plugin"),
    ],
)
def test_a_useless_plugin_is_refused(module: str, text: str, message: str, write_module: Write) -> None:
    with pytest.raises(UsageError, match=message):
        load_plugin(write_module(module, text))


def test_two_plugins_with_one_name_are_refused(write_module: Write) -> None:
    load_plugin(write_module("qtool_test_first", PLUGIN.format(name="same")))
    second = write_module("qtool_test_second", PLUGIN.format(name="same"))
    with pytest.raises(UsageError, match="plugin qtool_test_first and by plugin qtool_test_second"):
        load_plugin(second)
