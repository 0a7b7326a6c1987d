"""The feature codec: counts of a layer to packets and back, exactly.

`FeatureCodec` is fitted to recorded frames; what it needs to decode is one descriptor, which both
ends of a link share. docs/bitstream.md gives every byte of a packet.
"""

from rivc.codec.bitstream import Header, Stamp, datagrams, packets, read_slice
from rivc.codec.descriptor import Descriptor
from rivc.codec.feature_codec import FeatureCodec
from rivc.codec.gradients import GradientCodec
from rivc.codec.profiles import PROFILES, Profile
from rivc.codec.recording import Recording
from rivc.codec.sgq import GroupPlan, GroupQuantizer
from rivc.errors import DecodeError

__all__ = [
    "PROFILES",
    "DecodeError",
    "Descriptor",
    "FeatureCodec",
    "GradientCodec",
    "GroupPlan",
    "GroupQuantizer",
    "Header",
    "Profile",
    "Recording",
    "Stamp",
    "datagrams",
    "packets",
    "read_slice",
]
