"""The conformance kit: prove that a chip computes the very integers of the definition.

::

    from rivc.neurochip.testing import check_backend

    check_backend(MyChip()).raise_if_failed()

or, for a chip that is registered, ``rivc backends --check NAME``.
"""

from rivc.neurochip.testing.battery import check_backend
from rivc.neurochip.testing.generate import make_program, make_states
from rivc.neurochip.testing.report import Breach, Cause, Conformance, Mismatch
from rivc.neurochip.testing.variants import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "Breach",
    "Cause",
    "Conformance",
    "Mismatch",
    "Variant",
    "check_backend",
    "make_program",
    "make_states",
]
