"""A split on disk: both halves, the ladder with its codecs, and what names them all.

``split.json`` · ``edge.npz`` · ``server.npz`` · ``codec0.npz`` ... · ``config.yaml`` of the run ·
``groups0.npz`` ... of the rows that send maps of groups
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from rivc.codec import FeatureCodec, GroupQuantizer
from rivc.errors import ConfigError, DamagedFileError, MissingError, UsageError
from rivc.robot.faults import parse
from rivc.snn_convert import SpikingProgram
from rivc.snn_convert.storage import read_json, read_plain, reason, write_atomically
from rivc.split.halves import Split, readout_bound
from rivc.split.ladder import MAX_ROWS, Ladder, Point, Row

if TYPE_CHECKING:
    from pathlib import Path

SPLIT_FILE: Final = "split.json"
CONFIG_FILE: Final = "config.yaml"
FORMAT: Final = "rivc split 1"
MAX_CONFIG: Final = 1 << 20
ANSWER_BITS: Final = 31  # of a magnitude
_PARTS: Final = re.compile(r"(codec|groups)\d+\.npz|config\.yaml")
_OWN: Final = re.compile(rf"{_PARTS.pattern}|(edge|server)\.npz|{re.escape(SPLIT_FILE)}")
_Count = Annotated[int, Field(ge=0, le=1 << 24)]


class _RowFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    bit_width: _Count
    channels: _Count
    skip: _Count
    codec: _Count
    mean_bytes: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    p95_bytes: _Count
    episode_return: float | None
    groups: bool = False


class _SplitFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    layer: _Count
    identity: str
    order: Annotated[tuple[_Count, ...], Field(max_length=1 << 16)]
    rows: Annotated[tuple[_RowFile, ...], Field(max_length=MAX_ROWS)]


@dataclass(frozen=True, eq=False)
class SplitFolder:
    """What both ends of a link need.

    Attributes:
        split: the halves.
        ladder: its rows have a `FeatureCodec` each.
        config: text of the run's configuration; empty if there was no run.

    Raises:
        ConfigError: if an answer cannot hold every readout.
    """

    split: Split
    ladder: Ladder
    config: str = ""

    def __post_init__(self) -> None:
        bits = readout_bound(self.split.server).bit_length()
        if bits > ANSWER_BITS:
            raise ConfigError(
                f"the readout may take {bits + 1} bits, of which an answer has {ANSWER_BITS + 1}"
            )

    @cached_property
    def identity(self) -> bytes:
        """Sixteen bytes that name halves, rows and codecs; both ends have to have the same."""
        points = [list(row.point) for row in self.ladder.rows]
        told = [
            [self.split.edge.sha256, self.split.server.sha256],
            [list(self.ladder.order), points],
            [_feature_codec(row).descriptor.sha256 for row in self.ladder.rows],
            *[row.groups.sha256 for row in self.ladder.rows if row.groups],
        ]
        return hashlib.sha256(json.dumps(told).encode()).digest()[:16]

    def save(self, folder: Path) -> None:
        """Write the folder; of a split that was there before, nothing is left.

        Raises:
            ConfigError: if it cannot be made, or what is there not be taken away.
            UsageError: if it cannot be written, or holds anything but a split.
        """
        require_own(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _clear(folder)
        except OSError as error:
            raise ConfigError(f"cannot make {folder}: {error.strerror}") from error
        self.split.edge.save(folder / "edge.npz")
        self.split.server.save(folder / "server.npz")
        codecs: list[FeatureCodec] = []
        rows = []
        for i, row in enumerate(self.ladder.rows):
            if row.groups:
                row.groups.save(folder / f"groups{i}.npz")
            codec = _feature_codec(row)
            if codec not in codecs:
                codec.save(folder / f"codec{len(codecs)}.npz")
                codecs.append(codec)
            rows.append(_row_facts(row, codecs.index(codec)))
        facts = {
            "format": FORMAT,
            "layer": self.split.layer,
            "identity": self.identity.hex(),
            "order": list(self.ladder.order),
            "rows": rows,
        }
        if self.config:
            write_atomically(folder / CONFIG_FILE, self.config.encode())
        write_atomically(folder / SPLIT_FILE, json.dumps(facts, indent=1).encode())

    @staticmethod
    def load(folder: Path) -> SplitFolder:
        """Read a folder.

        Raises:
            MissingError: if it holds no split.
            ConfigError, DamagedFileError: if its parts do not go together.
        """
        path = folder / SPLIT_FILE
        if not path.is_file():
            raise MissingError(
                f"no split at {folder}; `rivc split fit RUN --out {folder}` makes one"
            )
        told = parse(_SplitFile, read_json(path), str(path))
        if told.format != FORMAT:
            raise DamagedFileError(f"{path}: format {told.format!r}, this rivc reads {FORMAT!r}")
        edge, server = (SpikingProgram.load(folder / f"{half}.npz") for half in ("edge", "server"))
        names = sorted({row.codec for row in told.rows})
        codecs = {name: FeatureCodec.load(folder / f"codec{name}.npz") for name in names}
        groups = [
            GroupQuantizer.load(folder / f"groups{i}.npz") if row.groups else None
            for i, row in enumerate(told.rows)
        ]
        rows = tuple(
            _row(row, codecs[row.codec], one) for row, one in zip(told.rows, groups, strict=True)
        )
        shape, bits = server.encoding.shape, server.encoding.bit_width
        ladder = Ladder(shape, bits, told.order, rows)
        whole = SplitFolder(Split(edge, server, told.layer), ladder, _text(folder / CONFIG_FILE))
        if whole.identity.hex() != told.identity:
            raise DamagedFileError(f"{folder} was altered: its parts are not those it was made of")
        return whole


def require_own(folder: Path) -> None:
    """Raise a `UsageError` if what is no split holds a file that one would write over, as a run."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    theirs = [name for name in names if _OWN.fullmatch(name)]
    if theirs and SPLIT_FILE not in names:
        raise UsageError(
            f"{folder} is no split, and its {theirs[0]!r} would be lost; choose another --out"
        )


def _clear(folder: Path) -> None:
    """Take away what makes a folder a split, if it is one, and what not every split has."""
    if (folder / SPLIT_FILE).exists():
        (folder / SPLIT_FILE).unlink()
        for part in [part for part in folder.iterdir() if _PARTS.fullmatch(part.name)]:
            part.unlink()


def _text(path: Path) -> str:
    """What a file holds; nothing if there is none."""
    try:
        return read_plain(path, MAX_CONFIG).decode() if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is no text: {reason(error)}") from error


def _feature_codec(row: Row) -> FeatureCodec:
    if not isinstance(row.codec, FeatureCodec):
        raise ConfigError(f"a {type(row.codec).__name__} has no file; use a FeatureCodec")
    return row.codec


def _row_facts(row: Row, codec: int) -> dict[str, Any]:
    worth = None if math.isnan(row.episode_return) else row.episode_return
    sizes = {"mean_bytes": row.mean_bytes, "p95_bytes": row.p95_bytes}
    facts = {**row.point._asdict(), "codec": codec, **sizes, "episode_return": worth}
    return {**facts, "groups": True} if row.groups else facts


def _row(told: _RowFile, codec: FeatureCodec, groups: GroupQuantizer | None) -> Row:
    worth = math.nan if told.episode_return is None else told.episode_return
    point = Point(told.bit_width, told.channels, told.skip)
    return Row(point, codec, told.mean_bytes, told.p95_bytes, worth, groups)
