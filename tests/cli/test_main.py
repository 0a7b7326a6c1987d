"""The frame around the verbs: help, loading, and the one place where errors end."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rivc import __version__
from rivc.cli.main import INTERRUPTED, VERBS, exit_code
from rivc.errors import ConfigError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

HEAVY = ("torch", "mujoco", "gymnasium", "snntorch", "numpy", "pydantic", "rich")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_lists_every_verb_and_loads_nothing_heavy() -> None:
    code = f"""
import sys
from rivc.cli.main import cli
try:
    cli(["--help"])
except SystemExit as left:
    print([name for name in {HEAVY} if name in sys.modules], left.code)
"""
    lines = python(code).stdout.splitlines()
    assert lines[-1] == "[] 0"
    for name in VERBS:
        assert any(line.split()[:1] == [name] for line in lines)


def test_an_export_is_verified_without_torch_where_there_is_none(exported: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = sys.modules["snntorch"] = None
import rivc.neurochip.registry as registry
registry.find_spec = lambda _: None
from rivc.cli.main import cli
cli(["verify", {str(exported)!r}, "--states", "8"])
"""
    result = python(code)
    assert result.returncode == 0, result.stderr
    assert "program (emulator)" in result.stdout


@pytest.mark.parametrize("name", VERBS)
def test_a_verbs_help_starts_with_its_summary_and_ends_with_an_example(
    name: str, rivc: Call
) -> None:
    text = rivc(name, "--help").stdout
    assert VERBS[name] in text
    assert text.rstrip().splitlines()[-1].strip().startswith("rivc ")


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_offers_json(name: str, rivc: Call) -> None:
    assert "--json" in rivc(name, "--help").stdout


def test_no_verb_at_all_shows_the_help(rivc: Call) -> None:
    result = rivc()
    assert result.exit_code == 0
    assert result.stdout == rivc("--help").stdout


def test_version(rivc: Call) -> None:
    assert rivc("--version").stdout == f"rivc {__version__}\n"


def test_deliberate_errors_keep_their_exit_code_and_fit_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(error: Exception) -> Callable[[], None]:
        def work() -> None:
            raise error

        return work

    assert exit_code(fail(ConfigError("two\nlines"))) == 2
    assert exit_code(fail(MismatchError("differs"))) == 1
    assert capsys.readouterr().err == "rivc: two lines\nrivc: differs\n"


def test_a_defect_is_one_line_that_names_the_debug_switch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RIVC_DEBUG", raising=False)
    assert exit_code(lambda: 1 // 0) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("rivc: unexpected ZeroDivisionError")
    assert "RIVC_DEBUG=1" in line


def test_the_debug_switch_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIVC_DEBUG", "1")
    assert exit_code(lambda: 1 // 0) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("rivc: unexpected ZeroDivisionError")


def test_an_interrupt_leaves_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    assert exit_code(work) == INTERRUPTED == 130
    assert capsys.readouterr().err == "rivc: interrupted\n"


def test_a_reader_that_left_is_not_an_error() -> None:
    command = f"{sys.executable} -m rivc.cli.main backends | true"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.stderr == ""
