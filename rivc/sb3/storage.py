"""Models on disk: the folder of a run in a zip, without pickle.

Unpacked it is a run like any other: `rivc export`, `rivc verify` and `rivc cost` take it. It holds
the network, the optimizer and the counters, but neither replay nor environments. A folder that
`rivc train` wrote is read as well, with its replay.
"""

from __future__ import annotations

import io
import re
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from rivc.errors import ConfigError, DamagedFileError, MissingError, UsageError
from rivc.sb3.normalize import Statistics
from rivc.snn_convert.storage import UNREADABLE, reason, write_atomically
from rivc.train.checkpoint import load_checkpoint, require_checkpoint, save_checkpoint
from rivc.train.learners import make_learner
from rivc.train.loop import updates_due
from rivc.train.policy import load_program
from rivc.train.replay import Replay
from rivc.train.run import RunFolder
from rivc.train.session import Progress, generators
from rivc.train.setup import make_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from rivc.quant.encoding import InputEncoding
    from rivc.snn_convert import SpikingProgram
    from rivc.train.config import Config
    from rivc.train.learners import AnyLearner

MAX_BYTES: Final = 1 << 32
RANGES: Final = ("low", "step")
_MEMBERS: Final = re.compile(
    r"config\.yaml|manifest\.json|program\.npz|checkpoints/[0-9]{9,12}/state\.(json|safetensors)"
)


@dataclass
class Kept:
    """What of a model is kept: everything but its environments.

    Attributes:
        config: every setting.
        learner: networks and optimizer.
        progress: counters.
        rng: one generator a purpose.
        replay: what was gathered; None if it was not kept.
        statistics: what its environment made of observations when it was saved.
        is_multi: whether an action is an array, not one integer.
        is_given: whether the network was given; then the warm-up of a new model leaves it as it is.
    """

    config: Config
    learner: AnyLearner
    progress: Progress
    rng: dict[str, np.random.Generator]
    replay: Replay | None = None
    statistics: Statistics | None = None
    is_multi: bool = False
    is_given: bool = False

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors of the network, and the ranges of its inputs."""
        net = self.learner.net
        ranges = {k: torch.tensor(getattr(net.encoding, k), dtype=torch.float64) for k in RANGES}
        return {"policy": dict(net.state_dict()), "encoding": ranges}

    def take(self, given: Mapping[str, Mapping[str, Tensor]], *, is_strict: bool) -> None:
        """Take what `parameters` returned, also for the target network.

        A replay that counted by other ranges is dropped.

        Raises:
            UsageError: if the input ranges are missing, or of other inputs.
        """
        net = self.learner.net
        low, step = _ranges(given.get("encoding", {}), net.encoding)
        encoding = replace(net.encoding, low=low, step=step)
        net.load_state_dict(dict(given["policy"]), strict=is_strict)
        self.learner.sync_target(blend=1.0)
        if encoding != net.encoding:
            net.encoding, self.replay = encoding, None
        self.is_given = True


def _ranges(given: Mapping[str, Tensor], present: InputEncoding) -> list[tuple[float, ...]]:
    found = [tuple(given[name].tolist()) for name in RANGES if name in given]
    if list(map(len, found)) != [len(getattr(present, name)) for name in RANGES]:
        raise UsageError(
            f"parameters need 'encoding', the ranges of the policy's {present.shape} inputs: "
            "take them from get_parameters"
        )
    return found


def save(kept: Kept, program: SpikingProgram, path: Path) -> Path:
    """Write a model, and return its path, which ends in ``.zip`` if it had no ending."""
    path = path if path.suffix else path.with_suffix(".zip")
    with TemporaryDirectory() as scratch:
        folder = RunFolder.create(Path(scratch) / "run", kept.config)
        folder.save_program(program)
        empty = Replay(1, program.encoding.shape, np.uint8, program.action_layout[0])
        save_checkpoint(folder.checkpoints, _state(kept), empty, first_open=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _packed(folder.path))
    return path


def load(path: Path) -> Kept:
    """Read a model, or the newest checkpoint of a run.

    Raises:
        MissingError: if there is neither.
        DamagedFileError: if any part is missing or altered.
    """
    places = path, path.with_name(f"{path.name}.zip")
    if not path.suffix:  # what `save` wrote by this name, rather than what it was unpacked to
        places = places[::-1]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise MissingError(f"no model at {path}")
    if found.is_dir():
        return _kept(RunFolder.open(found), has_replay=True)
    with _unpacked(found) as folder:
        return _kept(RunFolder.open(folder), has_replay=False)


def reconfigure(kept: Kept, config: Config) -> None:
    """Give a model another configuration, which holds from here on.

    Raises:
        ConfigError: if it describes another network.
    """
    _require_same_network(kept.config, config)
    more = updates_due(config, kept.progress) - updates_due(kept.config, kept.progress)
    kept.progress.updates_before -= more  # what is owed stays, whatever the new pace
    capacity = config.train.replay_capacity
    if kept.replay is not None and kept.replay.capacity != capacity:
        kept.replay = kept.replay.encoded(np.asarray, capacity)
    kept.config = config


def _require_same_network(saved: Config, wanted: Config) -> None:
    """Raise unless a saved network is what a configuration describes."""
    for section in ("net", "quant"):
        before, after = (getattr(config, section).model_dump() for config in (saved, wanted))
        for key in before:
            if before[key] != after[key]:
                raise ConfigError(
                    f"the saved network has {section}.{key}={before[key]}, not {after[key]}; leave "
                    "it out, or train a new model"
                )


def _state(kept: Kept) -> dict[str, Any]:
    statistics = kept.statistics
    return {
        "env_steps": kept.progress.env_steps,
        "progress": kept.progress.capture(),
        "learner": kept.learner.state(),
        "rng": {name: rng.bit_generator.state for name, rng in kept.rng.items()},
        "statistics": None if statistics is None else asdict(statistics),
        "is_multi": kept.is_multi,
        "is_given": kept.is_given,
    }


def _kept(folder: RunFolder, *, has_replay: bool) -> Kept:
    """Read a run; a model has no replay, and no room is made for what its settings name."""
    config = folder.config()
    _, program = load_program(folder, "latest")
    groups = program.action_layout[0]
    capacity = config.train.replay_capacity if has_replay else 1
    replay = Replay(capacity, program.encoding.shape, np.uint8, groups)
    state = load_checkpoint(require_checkpoint(folder.path), replay)
    learner = make_learner(
        config, make_network(config, program.encoding, program.action_layout, program.profile)
    )
    rng = generators(config.seed)
    try:
        learner.restore(state["learner"])
        progress = Progress.restored(state["progress"])
        for name, generator in rng.items():
            generator.bit_generator.state = state["rng"][name]
        statistics = _statistics(state.get("statistics"), program.encoding.shape)
    except UNREADABLE as error:
        raise DamagedFileError(
            f"the checkpoint of {folder.path} is not its program's: {reason(error)}"
        ) from error
    progress.gather_until = progress.env_steps
    return Kept(
        config,
        learner,
        progress,
        rng,
        replay if has_replay and replay.head else None,
        statistics,
        is_multi=bool(state.get("is_multi", groups > 1)),
        is_given=bool(state.get("is_given", False)),
    )


def _statistics(saved: Any, shape: tuple[int, ...]) -> Statistics | None:
    """Those of a saved model; the run of `rivc train` has none."""
    if saved is None:
        return None
    return Statistics(saved["mean"].reshape(shape), saved["std"].reshape(shape))


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if _MEMBERS.fullmatch(name):
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return buffer.getvalue()


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Give the folder that a model holds; nothing is written outside of it."""
    with TemporaryDirectory() as scratch:
        try:
            with zipfile.ZipFile(path) as archive:
                _write(archive, Path(scratch))
        except UNREADABLE as error:
            raise DamagedFileError(f"{path} is not a model of rivc: {reason(error)}") from error
        yield Path(scratch)


def _write(archive: zipfile.ZipFile, folder: Path) -> None:
    infos = archive.infolist()
    if len(infos) > 5 or sum(info.file_size for info in infos) > MAX_BYTES:
        raise DamagedFileError("it holds more than a model")
    for info in infos:
        if not _MEMBERS.fullmatch(info.filename) or info.compress_type != zipfile.ZIP_STORED:
            raise DamagedFileError(f"it holds {info.filename!r}, which no model has")
        to = folder / info.filename
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(archive.read(info))
