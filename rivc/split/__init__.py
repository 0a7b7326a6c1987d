"""A policy in two halves: the first layers on the robot's chip, the rest on a server.

`cut` makes the halves, `SplitPolicy` is the robot's side, `Server` the other; in between is a link
that may be slow, lossy or gone. Nothing here needs torch or a simulator.
"""

from rivc.split.folder import SplitFolder
from rivc.split.halves import Split, cut, cuts
from rivc.split.ladder import Ladder, Point, Row, fit_ladder, importance
from rivc.split.link import LinkModel, LinkTrace, Phase, load_trace, parse_trace
from rivc.split.policy import Link, LinkTimes, SafeAction, SplitPolicy
from rivc.split.proxy import Proxy
from rivc.split.rate import RateLimits, RateState
from rivc.split.serve import Host
from rivc.split.server import Server, ServerLimits
from rivc.split.session import Session
from rivc.split.simulated import SimulatedTransport
from rivc.split.transport import Address, InProcess, Transport, connect, parse_address

__all__ = [
    "Address",
    "Host",
    "InProcess",
    "Ladder",
    "Link",
    "LinkModel",
    "LinkTimes",
    "LinkTrace",
    "Phase",
    "Point",
    "Proxy",
    "RateLimits",
    "RateState",
    "Row",
    "SafeAction",
    "Server",
    "ServerLimits",
    "Session",
    "SimulatedTransport",
    "Split",
    "SplitFolder",
    "SplitPolicy",
    "Transport",
    "connect",
    "cut",
    "cuts",
    "fit_ladder",
    "importance",
    "load_trace",
    "parse_address",
    "parse_trace",
]
