"""Networks that carry the chip's integers: a dense or convolutional torso, one (d, n) head."""

from rivc.nets.build import build_network
from rivc.nets.network import QNetwork

__all__ = ["QNetwork", "build_network"]
