"""Networks that carry the chip's integers: one (d, n) action head on a dense or convolutional torso."""

from rivc.nets.build import build_network
from rivc.nets.network import QNetwork

__all__ = ["QNetwork", "build_network"]
