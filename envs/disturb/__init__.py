"""Disturbances: what a robot meets outside its training scene, by name, extent and difficulty."""

from rivc.envs.disturb.extents import (
    FAMILIES,
    FULL,
    Disturbances,
    read_difficulty,
    read_disturbances,
)

__all__ = ["FAMILIES", "FULL", "Disturbances", "read_difficulty", "read_disturbances"]
