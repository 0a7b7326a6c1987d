"""Which of MuJoCo's six geom groups a picture shows."""

from typing import Final

ROBOT_GROUPS: Final = (1, 0, 1, 0, 0, 0)
FILM_GROUPS: Final = (1, 1, 0, 0, 0, 0)
