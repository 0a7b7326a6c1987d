"""What can be promised of a policy on a chip that errs.

- `certify`: decisions that no error within the bounds of a `Disturbance` can change;
- `conformal`: decisions that noise drawn as in a calibration leaves alone, but for a share;
- `attack`: an erring chip, drawn at random or directed against a policy;
- `guarantees`: all of these for some states, side by side.
"""

from rivc.snn_convert.certify.bounds import Certificate, certify
from rivc.snn_convert.certify.conformal import calibrate
from rivc.snn_convert.certify.guarantees import Guarantees, assess
from rivc.snn_convert.certify.lattice import Disturbance, Lattice

__all__ = [
    "Certificate",
    "Disturbance",
    "Guarantees",
    "Lattice",
    "assess",
    "calibrate",
    "certify",
]
