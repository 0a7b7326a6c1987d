"""rivc as an algorithm of Stable-Baselines3 (extra ``sb3``)."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rivc.errors import MissingError

if TYPE_CHECKING:
    from rivc.sb3.algorithm import RIVC

__all__ = ["RIVC"]


def __getattr__(name: str) -> Any:
    if name != "RIVC":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    if find_spec("stable_baselines3") is None:
        raise MissingError("rivc.sb3 needs stable-baselines3: pip install 'rivc[sb3]'")
    from rivc.sb3.algorithm import RIVC

    return RIVC
