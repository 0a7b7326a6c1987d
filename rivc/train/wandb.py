"""Records to Weights & Biases (extra ``wandb``), if the configuration names a project.

The JSON lines stay the record; this is a projection of them. The run there keeps its name and its
id over a resume; what a resumed run repeats, it has already. Whatever fails there is told once, and
the run here goes on without it.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Self

from rivc.errors import MissingError, in_one_line
from rivc.train.record import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rivc.train.run import RunFolder

NOTE: Final = "wandb_id"
_log = logging.getLogger(__name__)


def require_wandb() -> None:
    """Raise MissingError if wandb is not installed."""
    spec = find_spec("wandb")
    if spec is None or spec.origin is None:  # the folder that wandb leaves where it ran has none
        raise MissingError("log.wandb needs wandb: pip install 'rivc[wandb]'")


class WandbSink:
    """Sends the records of a run; an observer of `Trainer`, and a context that ends the run there.

    Args:
        project: on Weights & Biases.
        folder: of the run; its manifest keeps the id, its files stay here.
    """

    def __init__(self, project: str, folder: RunFolder) -> None:
        self._run: Any = None
        self._attempt(lambda: self._begin(project, folder))

    def _begin(self, project: str, folder: RunFolder) -> None:
        import wandb

        self._run = wandb.init(
            project=project,
            name=folder.path.name,
            id=folder.read_manifest().get(NOTE),
            resume="allow",
            dir=str(folder.path),
            config=folder.config().model_dump(mode="json"),
        )
        folder.note({NOTE: self._run.id})

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Send one record; it must hold `env_steps`."""
        if self._run is not None:
            self._attempt(lambda: self._run.log(dict(record), step=record["env_steps"]))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the run there: as failed, if an exception ends it here."""
        if self._run is not None:
            self._attempt(lambda: self._run.finish(exit_code=int(kind is not None)))

    def _attempt(self, call: Callable[[], None]) -> None:
        """Call it; whatever it raises ends the sending, and nothing else."""
        try:
            call()
        except Exception as error:
            self._run = None
            _log.warning(
                "Weights & Biases failed (%s); going on without it, the records are in %s",
                in_one_line(error),
                METRICS,
            )
