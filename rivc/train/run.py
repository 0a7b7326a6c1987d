"""The folder of a run: what lies where, who may write, and nothing overwritten."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from safetensors.torch import save as save_tensors

from rivc import __version__
from rivc.errors import BackendError, DamagedFileError, MissingError, UsageError
from rivc.snn_convert.storage import read_json, write_atomically
from rivc.train.config import Config, load_config
from rivc.train.lock import alone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rivc.snn_convert import SpikingProgram

END_OF_YAML: Final = "..."
PROGRAM_SHA256, BEST_SHA256 = "program_sha256", "best_program_sha256"
FAILURES: Final = "failures"  # of training, in the manifest
_RECORDED: Final = ("numpy", "torch", "gymnasium", "mujoco", "snntorch")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run.

    ::

        config.yaml      every setting, resolved
        manifest.json    versions, seed, state of the repository, SHA-256 of the programs
        metrics.jsonl    one object a record
        tensorboard/     the same for TensorBoard
        checkpoints/     the last two
        program.npz      the newest program
        best/            program.npz and network.safetensors of the best evaluation
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.path / "checkpoints"

    @property
    def program(self) -> Path:
        """The newest program."""
        return self.path / "program.npz"

    @property
    def best(self) -> Path:
        """The best evaluation's program and network."""
        return self.path / "best"

    @property
    def manifest(self) -> Path:
        """What the run was made with."""
        return self.path / "manifest.json"

    def config(self) -> Config:
        """Read the resolved configuration.

        Raises:
            DamagedFileError: if the file was cut off.
            ConfigError: if it is wrong.
        """
        path = self.path / "config.yaml"
        config = load_config(path)
        if not path.read_text().rstrip().endswith(END_OF_YAML):
            raise DamagedFileError(f"{path} is cut off: its last line is not {END_OF_YAML}")
        return config

    @classmethod
    def create(cls, path: Path, config: Config) -> RunFolder:
        """Make a folder for a new run.

        Raises:
            UsageError: if there is a run already, or the folder cannot be written.
        """
        folder = cls(path)
        if (path / "config.yaml").exists():
            raise UsageError(
                f"{path} already holds a run; continue it with `rivc resume {path}` "
                "or choose another --run"
            )
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the run folder {path}: {error.strerror}") from error
        write_atomically(path / "config.yaml", config.to_yaml().encode())
        folder.note({"seed": config.seed, "versions": versions(), "git": git_state()})
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of a run that was made before.

        Raises:
            MissingError: if there is no run.
        """
        folder = cls(Path(path))
        if not (folder.path / "config.yaml").is_file():
            raise MissingError(f"no run at {path}: there is no config.yaml")
        return folder

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder, so that one process writes a run.

        Raises:
            UsageError: if another process holds it, or it cannot be written.
        """
        return alone(self.path, "writing")

    def note(self, facts: dict[str, Any]) -> None:
        """Add facts to the manifest."""
        text = json.dumps({**self.read_manifest(), **facts}, indent=1, sort_keys=True)
        write_atomically(self.manifest, text.encode())

    def note_failure(self, env_steps: int, error: Exception) -> None:
        """Add to the manifest that the chip failed, or the training, when and how."""
        key = "backend_failures" if isinstance(error, BackendError) else FAILURES
        known = self.read_manifest().get(key, [])
        self.note({key: [*known, {"env_steps": env_steps, "error": str(error)}]})

    def noted_sha256(self, which: Literal["best", "latest"]) -> str | None:
        """Return the hash of a program as the manifest has it: noted when all else is written."""
        return self.read_manifest().get({"best": BEST_SHA256, "latest": PROGRAM_SHA256}[which])

    @property
    def failures(self) -> int:
        """How often training failed and was gone on with: what came of it is no undisturbed run."""
        return len(self.read_manifest().get(FAILURES, []))

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest, empty if there is none yet.

        Raises:
            DamagedFileError: if it is not a JSON object.
        """
        if not self.manifest.exists():
            return {}
        return read_json(self.manifest)

    def save_program(self, program: SpikingProgram) -> None:
        """Write the newest program."""
        program.save(self.program)
        self.note({PROGRAM_SHA256: program.sha256})

    def save_best(self, program: SpikingProgram, network: dict[str, Any]) -> None:
        """Write the program and the network of the best evaluation so far."""
        self.best.mkdir(exist_ok=True)
        plain = {name: tensor.contiguous() for name, tensor in network.items()}
        names = {PROGRAM_SHA256: program.sha256}  # files are not written at one moment
        write_atomically(self.best / "network.safetensors", save_tensors(plain, names))
        program.save(self.best / "program.npz")
        self.note({BEST_SHA256: program.sha256})


def new_run_path(config: Config, root: Path = Path("runs")) -> Path:
    """Return a path that no run has taken: ``runs/NAME-seedN``, then ``-2`` and so on."""
    base = root / f"{config.name}-seed{config.seed}"
    path, count = base, 1
    while path.exists():
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    found = {"rivc": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the repository that rivc runs from; None outside of one."""
    here = Path(__file__).resolve().parent

    def ask(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
