from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from hwmodels import HardwareError, UnknownTargetError, load_target, target_names
from hwmodels.registry import BUILTIN

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that pretends that packages offer machines, as pairs of name and object reference."""

    def pretend(*offers: tuple[str, str]) -> None:
        points = [EntryPoint(name, value, "qtool.hwmodels") for name, value in offers]
        monkeypatch.setattr("hwmodels.registry.entry_points", lambda group: points if group else [])

    return pretend


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package that offers a machine and some things that are none."""
    module = ModuleType("acme")
    module.machine = lambda: load_target("generic")  # type: ignore[attr-defined]
    module.nothing = lambda: 42  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", module)
    return module


def test_built_in_machines_answer_to_their_names(install: Install) -> None:
    install()
    assert target_names() == BUILTIN
    assert {"bitfusion", "bitfusion-sim", "generic", "silago", "x86-avx2"} <= set(BUILTIN)
    assert [load_target(name).name for name in target_names()] == list(target_names())


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(UnknownTargetError, match=r"unknown target 'bitfushion'; did you mean bitfusion"):
        load_target("bitfushion")
    with pytest.raises(UnknownTargetError, match=r"known: .*bitfusion, .* path of a \.toml file"):
        load_target("zzzz")


def test_names_are_listed_without_loading_anything(install: Install) -> None:
    install(("absent", "no_such_module:machine"))
    assert "absent" in target_names()
    with pytest.raises(HardwareError, match=r"'absent': no_such_module:machine of .* cannot be imported"):
        load_target("absent")


@pytest.mark.usefixtures("acme")
def test_an_installed_machine_is_loaded_when_named(install: Install) -> None:
    install(("acme", "acme:machine"))
    assert load_target("acme").name == "generic"


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("value", ["acme:nothing", "acme:absent"])
def test_what_is_no_machine_is_refused(install: Install, value: str) -> None:
    install(("acme", value))
    with pytest.raises(HardwareError, match="acme"):
        load_target("acme")


@pytest.mark.parametrize(
    ("offers", "parts"),
    [
        ([("twice", "first:machine"), ("twice", "second:machine")], ("first:machine", "second:machine")),
        ([("generic", "acme:machine")], ("built-in", "acme:machine")),
    ],
)
def test_a_clash_names_both(install: Install, offers: list[tuple[str, str]], parts: tuple[str, ...]) -> None:
    install(*offers)
    with pytest.raises(HardwareError) as caught:
        target_names()
    assert all(part in str(caught.value) for part in parts)
