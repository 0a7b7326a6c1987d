"""A chip that fails in the middle of a run: nothing is lost, nothing is doubled, nothing differs.

The run that is compared with gathered its samples in the emulator all along.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rivc.cli.main import cli
from rivc.errors import BackendError, DivergedError
from rivc.neurochip import Inference, registry
from rivc.neurochip.emulator import Emulator
from rivc.train import Trainer, load_config
from rivc.train.record import read_metrics
from rivc.train.setup import make_training_tasks
from rivc.train.worlds import Worlds
from tests.train.runs import SMALL, digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from rivc.envs.factory import Task
    from rivc.snn_convert import SpikingProgram
    from rivc.train import Config

TINY = SMALL | {
    "train.env_steps": 440,
    "train.batch_size": 8,
    "eval.every_env_steps": 120,
    "eval.episodes": 1,
    "checkpoint.every_env_steps": 100,
}
# who asks the chip: the trainer's methods and the functions that it calls
PHASES = ("convert", "audit", "play", "measure", "gather")
TOTAL = 456  # 200 random env steps, then iterations of 32 until 440 are reached


class Plug:
    """What a test knows of the chip, and how it unplugs it."""

    calls: list[str]
    fail_at: int | None
    raises: Exception | None
    released: threading.Event


class Unreliable(Emulator):
    """Fails from one of its calls on, by raising or by hanging, until it is plugged in again."""

    name = "unreliable"

    def load(self, program: SpikingProgram) -> None:
        self._call()
        super().load(program)

    def infer(self, counts: NDArray[np.uint8]) -> Inference:
        self._call()
        return super().infer(counts)

    @staticmethod
    def _call() -> None:
        Plug.calls.append(phase())
        if Plug.fail_at is None or len(Plug.calls) <= Plug.fail_at:
            return
        if Plug.raises is not None:
            raise Plug.raises
        Plug.released.wait()


def phase() -> str:
    """The innermost of the phases that this call belongs to."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name in PHASES:
            return str(frame.f_code.co_name)
        frame = frame.f_back
    return ""


@pytest.fixture(autouse=True)
def _plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entry = EntryPoint("unreliable", f"{__name__}:Unreliable", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", EntryPoints([entry]).select)
    plug_in()
    Plug.released = threading.Event()
    yield
    Plug.released.set()


def plug_in() -> None:
    Plug.calls, Plug.fail_at, Plug.raises = [], None, BackendError("the chip does not answer")


def config(**overrides: Any) -> Config:
    return load_config("quickstart", {**TINY, "backend.name": "unreliable", **overrides})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in the emulator."""
    run = tmp_path_factory.mktemp("failing") / "whole"
    Trainer(load_config("quickstart", TINY), run).run()
    return run


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The phase of every call that a whole run makes."""
    with pytest.MonkeyPatch.context() as patch:
        entry = EntryPoint("unreliable", f"{__name__}:Unreliable", registry.ENTRY_POINTS)
        patch.setattr(registry, "entry_points", EntryPoints([entry]).select)
        plug_in()
        Trainer(config(), tmp_path_factory.mktemp("failing") / "asked").run()
    return Plug.calls


def outcome(run: Path) -> dict[str, str]:
    """Digests of the last checkpoint with weights, optimizer and replay, and of the programs."""
    newest = max((run / "checkpoints").glob("0*"))
    return {
        **{f"last/{name}": value for name, value in digest(newest).items()},
        **digest(run / "checkpoints" / "replay"),
        **digest(run / "best"),
        **{"program": digest(run)["program.npz"]},
    }


def progress(run: Path) -> dict[str, Any]:
    newest = max((run / "checkpoints").glob("0*"))
    state: dict[str, Any] = json.loads((newest / "state.json").read_bytes())["state"]
    return state["progress"]


def run_despite_failures(run: Path, fail_at: list[int]) -> None:
    """Start a run, let the chip fail at each of some calls, plug it in again and resume."""
    for i, at in enumerate(fail_at):
        plug_in()
        Plug.fail_at = at
        trainer = Trainer.resume(run) if i else Trainer(config(), run)
        with pytest.raises(BackendError, match=f"rivc resume {run} goes on"):
            trainer.run()
    plug_in()
    Trainer.resume(run).run()


def index_of(asked: list[str], phase: str, share: float) -> int:
    """The call of a phase that lies at a share of all its calls."""
    calls = [i for i, name in enumerate(asked) if name == phase]
    return calls[round(share * (len(calls) - 1))]


@pytest.mark.parametrize(
    ("phase", "share"),
    [*((phase, 0.4) for phase in PHASES), ("measure", 1.0)],
)
def test_a_stopped_run_resumes_to_the_bytes_of_one_that_never_failed(
    whole: Path, asked: list[str], tmp_path: Path, phase: str, share: float
) -> None:
    run = tmp_path / "run"
    run_despite_failures(run, [index_of(asked, phase, share)])
    assert outcome(run) == outcome(whole)
    for name in ("env_steps", "updates", "episodes", "episode_return", "action_gap"):
        ours, theirs = ([r.get(name) for r in read_metrics(path)] for path in (run, whole))
        assert ours == theirs, name


def test_a_run_that_fails_again_and_again_loses_and_doubles_nothing(
    whole: Path, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    original = Worlds.step

    def counted(self: Worlds, action: np.ndarray) -> Any:
        nonlocal made
        made += len(self.copies)
        return original(self, action)

    monkeypatch.setattr(Worlds, "step", counted)
    run = tmp_path / "run"
    run_despite_failures(run, [index_of(asked, "gather", 0.2), 0, 1, 3, 30, 2])
    assert outcome(run) == outcome(whole)
    assert made == progress(run)["env_steps"] == TOTAL
    manifest = json.loads((run / "manifest.json").read_bytes())
    assert len(manifest["backend_failures"]) == 6
    assert manifest["backend_failures"][0].keys() == {"env_steps", "error"}


@pytest.mark.parametrize("phase", ["audit", "play", "gather"])
def test_the_emulator_goes_on_to_the_same_bytes(
    whole: Path, asked: list[str], tmp_path: Path, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    Plug.fail_at = index_of(asked, phase, 0.4)
    with caplog.at_level(logging.WARNING):
        Trainer(config(**{"backend.on_failure": "emulator"}), run).run()
    assert [r.getMessage() for r in caplog.records] == [
        "the chip does not answer; going on in the emulator, in the same integers"
    ]
    ours, theirs = outcome(run), outcome(whole)
    assert ours.pop("last/state.json") != theirs.pop("last/state.json")
    assert ours == theirs
    mine, other = progress(run), progress(whole)
    assert (mine.pop("backend_failures"), other.pop("backend_failures")) == (1, 0)
    assert mine.pop("emulated_env_steps") > other.pop("emulated_env_steps") == 0
    assert mine == other


def test_what_the_emulator_did_is_counted(asked: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    Plug.fail_at = index_of(asked, "gather", 0.5)
    Trainer(config(**{"backend.on_failure": "emulator"}), run).run()
    records = read_metrics(run)
    assert records[0]["emulated_env_steps"] == records[0]["backend_failures"] == 0
    [failure] = json.loads((run / "manifest.json").read_bytes())["backend_failures"]
    assert failure["error"] == "the chip does not answer"
    assert records[-1]["backend_failures"] == 1
    assert records[-1]["emulated_env_steps"] == TOTAL - failure["env_steps"]


def test_a_resumed_run_asks_the_chip_again(
    whole: Path, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    trainer = Trainer(config(**{"backend.on_failure": "emulator"}), run)
    trainer.observers.append(
        lambda record: setattr(trainer, "stop_requested", record["env_steps"] > 250)
    )
    Plug.fail_at = index_of(asked, "gather", 0.1)
    assert trainer.run() is None
    emulated = progress(run)["emulated_env_steps"]
    plug_in()
    Trainer.resume(run).run()
    assert Plug.calls
    assert progress(run)["emulated_env_steps"] == emulated > 0
    assert (run / "program.npz").read_bytes() == (whole / "program.npz").read_bytes()


@pytest.mark.parametrize("on_failure", ["stop", "emulator"])
def test_a_chip_that_hangs_fails_in_time(
    whole: Path, asked: list[str], tmp_path: Path, on_failure: str
) -> None:
    run = tmp_path / "run"
    settings = config(**{"backend.on_failure": on_failure, "backend.timeout_s": 1.0})
    Plug.fail_at, Plug.raises = index_of(asked, "gather", 0.6), None
    if on_failure == "stop":
        with pytest.raises(BackendError, match=r"unreliable did not answer within 1 s; .*resume"):
            Trainer(settings, run).run()
        plug_in()
        Trainer.resume(run).run()
        assert outcome(run) == outcome(whole)
    else:
        Trainer(settings, run).run()
        ours, theirs = outcome(run), outcome(whole)
        del ours["last/state.json"], theirs["last/state.json"]
        assert ours == theirs


def test_a_driver_that_raises_anything_stops_the_run_like_a_chip_that_fails(
    tmp_path: Path,
) -> None:
    Plug.fail_at, Plug.raises = 6, OSError("bus error")
    with pytest.raises(BackendError, match="unreliable failed: OSError: bus error; saved at"):
        Trainer(config(), tmp_path / "run").run()


def test_the_command_line_stops_with_one_line_and_exit_code_one(
    asked: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    Plug.fail_at = index_of(asked, "gather", 0.5)
    words = [f"--{key}={json.dumps(value)}" for key, value in TINY.items()]
    result = CliRunner().invoke(
        cli, ["train", "quickstart", "--run", str(run), "--backend", "unreliable", *words]
    )
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("rivc: ")]
    assert line.startswith("rivc: the chip does not answer; saved at ")
    assert line.endswith(f" env steps; rivc resume {run} goes on")
    plug_in()
    assert CliRunner().invoke(cli, ["resume", str(run)]).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("share", [i / 40 for i in range(41)])
def test_a_run_that_fails_anywhere_resumes_to_the_same_bytes(
    whole: Path, asked: list[str], tmp_path: Path, share: float
) -> None:
    run = tmp_path / "run"
    run_despite_failures(run, [round(share * (len(asked) - 1))])
    assert outcome(run) == outcome(whole)


@pytest.mark.slow
@pytest.mark.parametrize("fail_at", [0, 1, 2, 5, 30, 60])
def test_float_training_resumes_to_the_same_bytes(tmp_path: Path, fail_at: int) -> None:
    floats = {"quant.enabled": False, "train.margin_coef": 0}
    Trainer(load_config("quickstart", {**TINY, **floats}), tmp_path / "whole").run()
    Plug.fail_at = fail_at
    with pytest.raises(BackendError):
        Trainer(config(**floats), tmp_path / "run").run()
    plug_in()
    Trainer.resume(tmp_path / "run").run()
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("what", ["session.make_learner", "trainer.Recorder"])
def test_chip_and_environments_are_closed_where_a_run_cannot_begin(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(Unreliable, "close", lambda _: closed.append("chip"))

    def tasks_that_tell(config: Config) -> list[Task]:
        tasks = make_training_tasks(config)
        for task in tasks:
            monkeypatch.setattr(task.env, "close", lambda: closed.append("env"))
        return tasks

    def broken(*_: object, **__: object) -> None:
        raise DivergedError("nothing can begin")

    trainer = Trainer(config(), tmp_path / "run")
    monkeypatch.setattr("rivc.train.session.make_training_tasks", tasks_that_tell)
    monkeypatch.setattr(f"rivc.train.{what}", broken)
    with pytest.raises(DivergedError, match="nothing can begin"):
        trainer.run()
    assert set(closed) == {"chip", "env"}
