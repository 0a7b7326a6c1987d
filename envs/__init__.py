"""Gymnasium robot tasks on MuJoCo, and any other Gymnasium environment in the same form.

Importing this package registers the tasks and settles which OpenGL library MuJoCo may use. It does
not import MuJoCo.
"""

from rivc.envs.factory import Task, make
from rivc.envs.gl import GlStatus, choose_backend, gl_status
from rivc.envs.registry import TaskSpec, Variant, register_tasks, task_specs
from rivc.envs.state import state_methods
from rivc.envs.wrappers import BinnedAction, GreyHistory

__all__ = [
    "BinnedAction",
    "GlStatus",
    "GreyHistory",
    "Task",
    "TaskSpec",
    "Variant",
    "gl_status",
    "make",
    "state_methods",
    "task_specs",
]

choose_backend()
register_tasks()
