"""Packages that rivc can use, and the command that installs each."""

from __future__ import annotations

from typing import Final

BASE: Final = ("click", "numpy", "pydantic", "PyYAML", "rich")
EXTRAS: Final = {
    "train": (
        "filelock",
        "gymnasium",
        "imageio",
        "jinja2",
        "mujoco",
        "numba",
        "packaging",
        "pillow",
        "safetensors",
        "snntorch",
        "tensorboardX",
        "threadpoolctl",
        "torch",
    ),
    "video": ("pygame",),
    "codec": ("zstandard",),
    "nir": ("nir", "h5py"),
    "onnx": ("onnx",),
    "akida": ("akida",),
    "zenoh": ("eclipse-zenoh",),
    "plots": ("matplotlib",),
    "sb3": ("stable-baselines3",),
    "tune": ("optuna",),
    "wandb": ("wandb",),
    "zoo": ("pandas", "rl-zoo3"),
}
"""Distributions by the first extra that brings them."""
MODULES: Final = {
    "PIL": "pillow",
    "rl_zoo3": "rl-zoo3",
    "stable_baselines3": "stable-baselines3",
    "yaml": "PyYAML",
    "zenoh": "eclipse-zenoh",
}
"""Distributions of modules with another name."""


def install(extra: str) -> str:
    """Return the command that brings an extra."""
    return f"pip install 'rivc[{extra}]'"


def remedy(module: str) -> str | None:
    """Return the command that brings a module; None if rivc does not use it.

    >>> remedy("torch.nn")
    "pip install 'rivc[train]'"
    """
    top = module.partition(".")[0]
    package = MODULES.get(top, top)
    if package in BASE:
        return "pip install rivc"
    return next((install(extra) for extra, names in EXTRAS.items() if package in names), None)
