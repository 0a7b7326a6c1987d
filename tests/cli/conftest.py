"""One tiny run for all verbs, and a way to call them as a shell would."""

from __future__ import annotations

import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from rivc.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TINY = """\
env: {id: CartPole-v1, count: 4}
net: {hidden: [16]}
train: {env_steps: 232, warmup_env_steps: 40, batch_size: 16}
eval: {every_env_steps: 100, episodes: 2}
checkpoint: {every_env_steps: 100}
log: {every_env_steps: 50}
"""


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """A process that a shell put into the background ignores Ctrl-C, and so do its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rivc() -> Callable[..., Result]:
    """Call the command line with some words."""

    def call(*words: object) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return call


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is told on a terminal while a verb is at work."""
    told: list[str] = []

    @contextmanager
    def tell(what: str, *_: object) -> Iterator[Callable[[str], None]]:
        told.append(what)
        yield told.append

    for verb, name in (("certify", "working"), ("cost", "working"), ("backends", "counted")):
        monkeypatch.setattr(f"rivc.cli.{verb}.{name}", tell)
    return told


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of about 200 env steps."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def trained(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for reading only."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    result = CliRunner().invoke(cli, ["train", str(tiny_config), "--run", str(run)])
    assert result.exit_code == 0, result.stderr
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to do anything with."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the finished run, for reading only."""
    folder = tmp_path_factory.mktemp("exports") / "export"
    result = CliRunner().invoke(cli, ["export", str(trained), "--out", str(folder)])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    """A copy of the export, to do anything with."""
    return Path(shutil.copytree(exported, tmp_path / "export"))
