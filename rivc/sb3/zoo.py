"""`RIVC` as rl-zoo3 drives it; `rivc.zoo` registers it."""

from __future__ import annotations

from typing import Any, Self

from rivc.errors import DivergedError
from rivc.sb3.algorithm import RIVC


class ZooRIVC(RIVC):
    """`RIVC` in a search of rl-zoo3, which prunes a trial on ValueError and ends on any other."""

    def learn(self, *args: Any, **kwargs: Any) -> Self:
        """Train as `RIVC.learn` does.

        Raises:
            ValueError: if the loss is no longer finite.
        """
        try:
            return super().learn(*args, **kwargs)
        except DivergedError as error:
            raise ValueError(str(error)) from error
