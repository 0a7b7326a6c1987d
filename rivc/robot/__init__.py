"""A program in closed loop with a robot: at a fixed rate, within bounds, under a watchdog.

A robot is one small class with the methods of `RobotEnv`; `check_robot` proves it, `drive` drives
it, and a `MockRobot` stands in for it, faults included, on a real or a simulated clock. Nothing
here needs torch or a simulator.
"""

from rivc.robot.clock import Alarm, Clock, MonotonicClock, SimulatedClock
from rivc.robot.commands import ActionTable, CommandLimits
from rivc.robot.drive import DriveReport, DriveSettings, drive
from rivc.robot.faults import FAULTS, Fault, Faults, load_faults
from rivc.robot.load import load_robot
from rivc.robot.mock import MockParts, MockRobot, NoiseWorld
from rivc.robot.policy import FramePolicy, Policy, ProgramPolicy
from rivc.robot.protocol import Command, Frame, RobotEnv, World
from rivc.robot.rate import FixedRate, Percentiles
from rivc.robot.testing import RobotConformance, check_robot
from rivc.robot.watchdog import Stop, Watchdog, WatchdogLimits

__all__ = [
    "FAULTS",
    "ActionTable",
    "Alarm",
    "Clock",
    "Command",
    "CommandLimits",
    "DriveReport",
    "DriveSettings",
    "Fault",
    "Faults",
    "FixedRate",
    "Frame",
    "FramePolicy",
    "MockParts",
    "MockRobot",
    "MonotonicClock",
    "NoiseWorld",
    "Percentiles",
    "Policy",
    "ProgramPolicy",
    "RobotConformance",
    "RobotEnv",
    "SimulatedClock",
    "Stop",
    "Watchdog",
    "WatchdogLimits",
    "World",
    "check_robot",
    "drive",
    "load_faults",
    "load_robot",
]
