"""One job of a suite: what is trained, and how it is judged; the whole of it in one small file."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from rivc.compare.table import is_row
from rivc.errors import DamagedFileError
from rivc.report.comparison import CHIP
from rivc.snn_convert.storage import read_json, write_atomically
from rivc.train.config import Config
from rivc.train.sections import Positive, Section

if TYPE_CHECKING:
    from pathlib import Path

JOB_FILE, RESULT_FILE, LOG_FILE, RUN_FOLDER = "job.json", "result.json", "log.txt", "run"


class Form(Section):
    """A chip that a policy is put on."""

    backend: str = "emulator"
    """As in `rivc backends`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the back end."""


class Evaluation(Section):
    """How a policy is judged, the same for every job."""

    episodes: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Greedy episodes of each form; the same ones for every policy of a task."""
    states: Annotated[int, Field(ge=2, le=1_000_000)] = 1_000
    """Visited states on which gap, conversion error and flips are counted."""
    policy: Literal["best", "latest"] = "best"
    """Of the best evaluation while training, or what training ended with."""
    forms: dict[str, Form] = Field(default_factory=lambda: {CHIP: Form()})
    """Chips by name; the FPNN is always judged too."""


class Width(Section):
    """Widths that a float network is quantized to."""

    weights: Positive
    activations: Positive

    def overrides(self) -> dict[str, int]:
        """Return them as settings by dotted key."""
        return {"quant.weight_bits": self.weights, "quant.activation_bits": self.activations}


class Job(Section):
    """One training run and its evaluation.

    Attributes:
        name: path of its folder below those of all jobs.
        task: of the suite.
        variant: of the suite.
        bit_width: of the program; `FLOAT_BITS` for a peer.
        config: every setting; a peer takes from it what it knows.
        peer: another library that trains, if not rivc.
        widths: that a peer's network is quantized to.
        evaluation: of what was trained.
    """

    name: str
    task: str
    variant: str
    bit_width: int
    config: Config
    peer: Literal["sb3"] | None = None
    widths: tuple[Width, ...] = ()
    evaluation: Evaluation = Evaluation()

    @cached_property
    def training_hash(self) -> str:
        """Identifies what is trained: equal hashes end in equal programs."""
        return _digest([self.config.model_dump(mode="json"), self.peer])

    @cached_property
    def hash(self) -> str:
        """Identifies the whole job: training and evaluation."""
        rest = self.evaluation.model_dump(mode="json"), [w.model_dump() for w in self.widths]
        return _digest([self.training_hash, *rest])

    def folder(self, jobs: Path) -> Path:
        """Return where it is trained; another training of the same name has another folder."""
        return jobs / f"{self.name}-{self.training_hash[:8]}"

    def save(self, folder: Path) -> None:
        """Write the job into its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.model_dump(mode="json"), indent=1)
        write_atomically(folder / JOB_FILE, text.encode())

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Read the job of a folder.

        Raises:
            DamagedFileError: if the file is not a job.
        """
        try:
            return cls.model_validate(read_json(folder / JOB_FILE))
        except ValidationError as error:
            raise DamagedFileError(f"{folder / JOB_FILE} is not a job") from error

    def identity(self) -> dict[str, Any]:
        """Return what a row of the table says of the job itself."""
        return {
            "job": self.name,
            "hash": self.hash,
            "task": self.task,
            "variant": self.variant,
            "bit_width": self.bit_width,
            "seed": self.config.seed,
            "config_hash": self.training_hash,
        }


def read_result(folder: Path, job: Job) -> dict[str, Any] | None:
    """Return the row that a finished job left; None if it left none, or another job's, or ruins."""
    path = folder / RESULT_FILE
    if not path.exists():
        return None
    try:
        row = read_json(path)
        return row if row.get("hash") == job.hash and is_row(row) else None
    except (DamagedFileError, LookupError, TypeError, ValueError):
        return None


def _digest(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
