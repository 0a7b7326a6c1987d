"""Records to Weights & Biases (extra ``wandb``), if the configuration names a project.

The JSON lines stay the record; this is a projection of them. The run there keeps its name and its
id over a resume; what a resumed run repeats, it has already.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from rivc.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivc.train.run import RunFolder

NOTE: Final = "wandb_id"


def require_wandb() -> None:
    """Raise MissingError if wandb is not installed."""
    if find_spec("wandb") is None:
        raise MissingError("log.wandb needs wandb: pip install 'rivc[wandb]'")


class WandbSink:
    """Sends the records of a run; an observer of `Trainer`.

    Args:
        project: on Weights & Biases.
        folder: of the run; its manifest keeps the id, its files stay here.

    Raises:
        MissingError: if wandb is not installed.
    """

    def __init__(self, project: str, folder: RunFolder) -> None:
        require_wandb()
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
        self._run.log(dict(record), step=record["env_steps"])

    def close(self) -> None:
        """Finish the run there."""
        self._run.finish()
