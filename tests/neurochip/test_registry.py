"""Backends by name: ours, everybody else's, and what is said when there is none."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from rivc.errors import ConfigError, MissingError
from rivc.neurochip import backend_infos, backend_names, load_backend, registry
from rivc.neurochip.emulator import Emulator


class TheirChip(Emulator):
    """What another package would bring."""

    name = "theirs"

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port


def register(monkeypatch: pytest.MonkeyPatch, **targets: str) -> None:
    entries = [EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in targets.items()]
    monkeypatch.setattr(registry, "entry_points", EntryPoints(entries).select)


def test_the_default_comes_first() -> None:
    assert backend_names()[0] == "emulator"


def test_an_unknown_name_names_the_nearest_and_all_known() -> None:
    with pytest.raises(
        ConfigError, match=r"known: emulator, spiking, snntorch.*did you mean 'emulator'"
    ):
        load_backend("emulater")


def test_a_missing_package_gives_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"snntorch: pip install 'rivc\[train\]'"):
        load_backend("snntorch")
    assert load_backend("emulator").name == "emulator"


def test_another_package_can_add_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, theirs=f"{__name__}:TheirChip")
    assert backend_names() == ["emulator", "spiking", "snntorch", "akida", "theirs"]
    chip = load_backend("theirs", port=7)
    assert isinstance(chip, TheirChip)
    assert chip.port == 7


def test_another_package_cannot_take_over_a_name_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, emulator=f"{__name__}:TheirChip")
    assert type(load_backend("emulator")) is Emulator
    assert backend_names().count("emulator") == 1


def test_options_that_a_backend_does_not_take_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"'emulator' does not take \['port'\]"):
        load_backend("emulator", port=7)
    with pytest.raises(ConfigError, match=r"'emulator' does not take \['name'\]"):
        load_backend("emulator", **{"name": "x"})


class Fragile:
    """A chip whose own code is wrong."""

    def __init__(self) -> None:
        len(3)  # type: ignore[arg-type]


def test_a_mistake_in_a_chip_s_own_code_is_not_taken_for_an_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, fragile=f"{__name__}:Fragile")
    with pytest.raises(TypeError, match="has no len"):
        load_backend("fragile")


def test_whatever_an_import_raises_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: EntryPoint) -> None:
        raise RuntimeError("no driver\nfor this kernel")

    register(monkeypatch, broken="theirs:Chip")
    monkeypatch.setattr(EntryPoint, "load", load)
    with pytest.raises(MissingError, match=r"loaded: RuntimeError: no driver for this kernel$"):
        load_backend("broken")


@pytest.mark.parametrize("target", ["no_such_package.chip:Chip", f"{__name__}:NoSuchChip"])
def test_a_backend_that_cannot_be_imported_is_missing(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    register(monkeypatch, broken=target)
    with pytest.raises(MissingError, match=r"backend 'broken'.*cannot be loaded"):
        load_backend("broken")


def test_every_backend_of_ours_has_a_summary_and_can_be_loaded() -> None:
    for info in backend_infos():
        assert info.summary
        if info.is_installed:
            assert load_backend(info.name).name == info.name
        else:
            assert info.extra == "akida"
