"""Rate against return: students of a run at several prices, measured with the real coders.

Beside them stand the teacher's own counts, coded as they are, and the teacher acting on pictures
that went through a lossy image file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rivc.codec import FeatureCodec
from rivc.codec.baseline import through_picture
from rivc.errors import ConfigError
from rivc.neurochip.export.compressed import compress
from rivc.snn_convert.storage import read_json, write_atomically
from rivc.train.appraise import appraisal_seeds
from rivc.train.config import parse_config
from rivc.train.evaluate import emulated, play
from rivc.train.features import play_recorded, record_features
from rivc.train.policy import load_program
from rivc.train.sections import DistillConfig
from rivc.train.setup import make_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.codec import Recording
    from rivc.train.config import Config
    from rivc.train.evaluate import Score
    from rivc.train.run import RunFolder

FIT_EPISODES: Final = 8
FIT_SEED: Final = 1  # of episodes other than those that are measured
EPSILON: Final = 0.05  # share of random actions
ENV_STEPS_PER_UPDATE: Final = 4  # an env step costs little, and states near a fall are rare
EVALUATIONS: Final = 12  # of a student; the last ones choose the program that is kept
FEWEST_EPISODES: Final = 20  # of each, so that luck does not choose
FLOAT_BYTES: Final = 4
PICTURES: Final = (
    *(("webp", quality) for quality in (1, 10, 30, 60)),
    *(("jpeg", quality) for quality in (10, 50)),
)
# as small as they get
_BEST: Final[dict[str, dict[str, Any]]] = {"webp": {"method": 6}, "jpeg": {"optimize": True}}
LEARNING_RATE: Final = 1e-3
BATCH_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Point:
    """What is sent, and what it returns.

    Attributes:
        name: of the way to send.
        return_mean: of greedy episodes on the emulator.
        return_std: over the episodes.
        episodes: how many.
        intra_bytes: mean packet without a frame before, header and checksum included; the file of
            a picture.
        inter_bytes: mean packet with the frame before; that of an episode's first frame is intra.
        fp32_bytes: of the same counts as 32-bit floats.
        bits_per_weight: of the compressed program.
    """

    name: str
    return_mean: float
    return_std: float
    episodes: int
    intra_bytes: float | None = None
    inter_bytes: float | None = None
    fp32_bytes: int | None = None
    bits_per_weight: float | None = None


def student_config(
    parent: RunFolder,
    prices: Mapping[str, Any],
    steps: int,
    *,
    learning_rate: float = LEARNING_RATE,
    batch_size: int = BATCH_SIZE,
) -> Config:
    """Return the configuration of a student.

    Args:
        parent: the teacher's run.
        prices: settings of the section `distill`.
        steps: updates, each after a few more env steps.
        learning_rate: of Adam.
        batch_size: states of an update.

    Raises:
        ConfigError: if nothing is priced, a rate has no layer, or a price is none.
    """
    tree = parent.config().model_dump(mode="json")
    warm_up = 25 * tree["env"]["count"]
    changes: dict[str, dict[str, Any]] = {
        "distill": {**DistillConfig().model_dump(), "parent": str(parent.path.resolve()), **prices},
        "quant": {"enabled": True},
        "train": {
            "objective": "value",  # the teacher's own values, whatever made them
            "warmup_env_steps": warm_up,
            "env_steps": warm_up + ENV_STEPS_PER_UPDATE * steps,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "updates_per_env_step": 1 / ENV_STEPS_PER_UPDATE,
        },
        "explore": {
            "kind": "epsilon",
            "epsilon_start": EPSILON,
            "epsilon_end": EPSILON,
            "expert_start": 0.0,
        },
        "eval": {
            "every_env_steps": max(1, ENV_STEPS_PER_UPDATE * steps // EVALUATIONS),
            "episodes": max(FEWEST_EPISODES, tree["eval"]["episodes"]),
        },
        "checkpoint": {"every_env_steps": 500 * ENV_STEPS_PER_UPDATE},
        "log": {"every_env_steps": 200},
    }
    for section, values in changes.items():
        tree[section] = tree.get(section, {}) | values
    config = parse_config(tree, str(parent.path))
    if not (config.distill.rate or config.distill.weight_rate):
        raise ConfigError("nothing is priced; give a rate above 0")
    if config.distill.rate and config.distill.layer is None:
        raise ConfigError("distill.rate prices the counts of a layer; name it by distill.layer")
    return config


@dataclass(frozen=True)
class Ledger:
    """Measures, and keeps what was measured in a file, so that nothing is measured twice.

    Attributes:
        path: of the file, JSON.
        episodes: greedy ones of each point.
    """

    path: Path
    episodes: int

    def run(self, name: str, folder: RunFolder, layer: int | None) -> Point:
        """Return `measure_run`."""
        point = self._kept(
            f"{_sha256(folder)} layer {layer}", lambda: measure_run(folder, layer, self.episodes)
        )
        return replace(point, name=name)

    def picture(self, folder: RunFolder, kind: str, quality: int) -> Point:
        """Return `measure_picture`."""
        return self._kept(
            f"{_sha256(folder)} {kind} {quality}",
            lambda: measure_picture(folder, kind, quality, self.episodes),
        )

    def _kept(self, key: str, measure: Callable[[], Point]) -> Point:
        key = f"{key} episodes {self.episodes}"
        known = read_json(self.path) if self.path.exists() else {}
        if key not in known:
            known[key] = asdict(measure())
            write_atomically(self.path, json.dumps(known, indent=1).encode())
        return Point(**known[key])


def _sha256(folder: RunFolder) -> str:
    _, program = load_program(folder)
    return program.sha256


def measure_run(folder: RunFolder, layer: int | None, episodes: int) -> Point:
    """Play episodes of a run's policy, code what a layer emits, and compress its program.

    Args:
        folder: of the run.
        layer: of its program, 1 for the first; None: code no counts.
        episodes: those of ``rivc eval --seed 0``.

    Raises:
        UsageError: if the layer emits no counts.
    """
    _, program = load_program(folder)
    _, compression = compress(program)
    if layer is None:
        return _point(
            folder.path.name, _play(folder, episodes), bits_per_weight=compression.bits_per_weight
        )
    fitted = record_features(folder, layer, episodes=FIT_EPISODES, seed=FIT_SEED)
    codec = FeatureCodec.fit(fitted.codes, fitted.bit_width, starts=fitted.starts)
    recording, score = play_recorded(folder, layer, episodes=episodes)
    intra, inter = packet_bytes(codec, recording)
    return _point(
        folder.path.name,
        score,
        intra_bytes=intra,
        inter_bytes=inter,
        fp32_bytes=FLOAT_BYTES * recording.codes[0].size,
        bits_per_weight=compression.bits_per_weight,
    )


def packet_bytes(codec: FeatureCodec, recording: Recording) -> tuple[float, float]:
    """Return the mean bytes of a packet, each frame alone and each after the one before."""
    frames = recording.codes
    intra = [len(codec.encode(frame)) for frame in frames]
    inter = [len(codec.encode(frame, recording.previous(i))) for i, frame in enumerate(frames)]
    return float(np.mean(intra)), float(np.mean(inter))


def measure_picture(folder: RunFolder, kind: str, quality: int, episodes: int) -> Point:
    """Let a run's policy act on pictures that went through a lossy file.

    With a history of pictures only the newest is sent; the others are at the server already.

    Args:
        folder: of the run, whose task observes pictures.
        kind: "webp" or "jpeg".
        quality: of Pillow's encoder, 1..100.
        episodes: as for `measure_run`.

    Raises:
        MissingError: if Pillow is not installed.
    """
    has_history = bool(folder.config().env.history)
    lens = _Lens(kind, {"quality": quality, **_BEST[kind]}, has_history)
    score = _play(folder, episodes, lens)
    mean = float(np.mean(lens.sizes))
    return _point(f"{kind} q{quality}", score, intra_bytes=mean)


def observes_pictures(folder: RunFolder) -> bool:
    """Tell whether the task of a run shows pictures."""
    _, program = load_program(folder)
    return program.encoding.kind == "image"


def _point(name: str, score: Score, **sizes: Any) -> Point:
    return Point(name, score.return_mean, score.return_std, len(score.episodes), **sizes)


@dataclass
class _Lens:
    """Pictures as they come out of a file, and the bytes of the newest of each observation."""

    kind: str
    options: dict[str, Any]
    has_history: bool
    sizes: list[int] = field(default_factory=list)

    def __call__(self, observation: NDArray[Any]) -> NDArray[Any]:
        return np.stack([self._through(one) for one in observation])

    def _through(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        channels = np.split(picture, picture.shape[-1], -1) if self.has_history else [picture]
        seen = [
            through_picture(one[..., 0] if one.shape[-1] == 1 else one, self.kind, **self.options)
            for one in channels
        ]
        self.sizes.append(seen[-1][1])
        return np.concatenate([out.reshape(*picture.shape[:2], -1) for out, _ in seen], -1)


def _play(folder: RunFolder, episodes: int, lens: _Lens | None = None) -> Score:
    """Greedy episodes of a run's policy on the emulator."""
    config, (_, program) = folder.config(), load_program(folder)
    policy = emulated(program)

    def act(observation: NDArray[Any]) -> NDArray[np.int64]:
        return policy(observation if lens is None else lens(observation))

    tasks = make_tasks(config, min(config.env.count, episodes))
    try:
        return play(tasks, act, appraisal_seeds(0, episodes))
    finally:
        for task in tasks:
            task.env.close()
