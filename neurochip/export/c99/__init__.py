"""C99 that runs a program anywhere: no heap, no floats, no state, weights at their bit width.

``policy.h`` declares one function, ``policy.c`` defines it, ``test_policy.c`` replays the golden
vectors. Reading them back is compiling and running them.
"""

from rivc.neurochip.export.c99.build import (
    CompiledPolicy,
    compile_c,
    compiler_version,
    load_policy,
    read_c99,
)
from rivc.neurochip.export.c99.source import c99_sources, write_c99

__all__ = [
    "CompiledPolicy",
    "c99_sources",
    "compile_c",
    "compiler_version",
    "load_policy",
    "read_c99",
    "write_c99",
]
