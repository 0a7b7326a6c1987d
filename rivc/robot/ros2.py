"""A robot on ROS 2 topics: `sensor_msgs/Image` in; `Twist` or `Float64MultiArray` out.

`rclpy` and the messages come with ROS 2 and are imported when a robot is opened. `open_robot` takes
what stands in the file of ``rivc drive --robot ros2 --options FILE.yaml``:

.. code-block:: yaml

    image_topic: /camera/image_raw
    command_topic: /cmd_vel
    size: 32                          # the middle of the picture, shrunk to 32 by 32
    fields: [linear.x, angular.z]     # m/s and rad/s
    actions: [[0, 0], [0.2, 0], [-0.2, 0], [0, 1], [0, -1], [0.1, 1], [0.1, -1]]
    rate: [1.0, 4.0]                  # at most so much change in a second

Commands are velocities: `stop` sends `rest`, zeros by default.
"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from threading import Condition, Thread
from time import monotonic_ns
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from rivc.errors import ConfigError, MissingError
from rivc.robot.clock import SECOND_NS
from rivc.robot.commands import ActionTable, CommandLimits
from rivc.robot.faults import parse
from rivc.robot.pictures import RawPicture, decode, shrink
from rivc.robot.protocol import Command, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TwistField = Literal["linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z"]
Rows = Annotated[tuple[tuple[float, ...], ...], Field(max_length=4096)]
ACK_S: Final = 0.2  # that the last stop may take to be acknowledged
_MODULES: Final = (
    "rclpy",
    "rclpy.duration",
    "rclpy.executors",
    "rclpy.qos",
    "rclpy.signals",
    "geometry_msgs.msg",
    "sensor_msgs.msg",
    "std_msgs.msg",
)


class Ros2Options(BaseModel):
    """Topics, messages, actions and limits of a robot."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image_topic: str = "/camera/image_raw"
    """Where pictures come from."""
    command_topic: str = "/cmd_vel"
    """Where commands go."""
    message: Literal["twist", "array"] = "twist"
    """Type of a command: geometry_msgs/Twist, or std_msgs/Float64MultiArray for arms."""
    fields: tuple[TwistField, ...] = ("linear.x", "angular.z")
    """What each number of a command is in a twist, each another one."""
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Side of the square picture that the program takes; null: pictures as they come."""
    actions: Rows = ()
    """A command for each action of a program with one group."""
    levels: Rows = ()
    """Values of each number of a command, one for each action of its group."""
    low: tuple[float, ...] = ()
    """Smallest values; default: the smallest that an action asks for."""
    high: tuple[float, ...] = ()
    """Largest values."""
    rate: tuple[float, ...] = ()
    """Largest changes in a second; default: any."""
    rest: tuple[float, ...] = ()
    """What `stop` sends; default: zeros."""

    def table(self) -> ActionTable:
        """Return what the actions stand for.

        Raises:
            ConfigError: unless either `actions` or `levels` says it.
        """
        if bool(self.actions) == bool(self.levels):
            raise ConfigError("a robot needs either `actions`, a command each, or `levels`")
        return ActionTable.rows(self.actions) if self.actions else ActionTable.levels(self.levels)

    def limits(self, table: ActionTable) -> CommandLimits:
        """Return the limits of commands.

        Raises:
            ConfigError: if they do not fit the table.
        """
        fitting = table.limits(self.rate, self.rest)
        limits = CommandLimits(
            self.low or fitting.low, self.high or fitting.high, self.rate, self.rest
        )
        if len(limits.low) != table.size:
            raise ConfigError(f"limits of {len(limits.low)} numbers, actions of {table.size}")
        return limits


def open_robot(**options: Any) -> Ros2Robot:
    """Open a robot from plain options.

    Raises:
        ConfigError: if an option is unknown or wrong.
        MissingError: if ROS 2 is not there.
    """
    return Ros2Robot(parse(Ros2Options, options, "ros2"))


class Ros2Robot:
    """See the module.

    Pictures and commands are queued one deep, the newest only, pictures best effort. Callbacks run
    in a thread of their own. A picture's age is taken on the clock of ROS, from its stamp; one
    without a stamp counts as captured when it came. The signal handlers of `rclpy` are left out,
    because they end the context before a last stop could be sent.

    Args:
        options: of the robot.

    Raises:
        ConfigError: if actions, limits and fields do not fit.
        MissingError: if ROS 2 is not there.
    """

    def __init__(self, options: Ros2Options) -> None:
        self.actions = options.table()
        self.limits = options.limits(self.actions)
        self._options = options
        if options.message == "twist":
            _check_fields(options.fields, self.actions.size)
        self._ros = _import_ros()
        self._arrived, self._count = Condition(), 0
        self._newest: tuple[Any, int, int] | None = None
        self._is_closed = False
        self._connect()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest picture that was not returned before, or None.

        Raises:
            RobotError: if a picture is not what it says, or of another encoding.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self._newest is not None, timeout_s)
            newest, self._newest = self._newest, None
        if newest is None:
            return None
        message, time_ns, sequence = newest
        return Frame(self._picture(message), time_ns, sequence)

    def send(self, command: Command) -> None:
        """Publish a command."""
        self._publish(command.values.tolist())

    def stop(self) -> None:
        """Publish the command of a robot at rest."""
        self._publish(self.limits.rest)

    def close(self) -> None:
        """Stop, wait a moment until that is acknowledged, and leave ROS."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.stop()
            duration = self._ros["rclpy.duration"].Duration(seconds=ACK_S)
            self._publisher.wait_for_all_acked(duration)
        finally:
            self._executor.shutdown()
            self._node.destroy_node()
            if self._is_ours:
                self._ros["rclpy"].shutdown()

    # -- ROS ------------------------------------------------------------------------------------

    def _connect(self) -> None:
        rclpy, options = self._ros["rclpy"], self._options
        self._is_ours = not rclpy.ok()
        if self._is_ours:
            rclpy.init(signal_handler_options=self._ros["rclpy.signals"].SignalHandlerOptions.NO)
        self._node = rclpy.create_node("rivc")
        self._publisher = self._node.create_publisher(
            self._message_type(), options.command_topic, self._newest_only("RELIABLE")
        )
        self._node.create_subscription(
            self._ros["sensor_msgs.msg"].Image,
            options.image_topic,
            self._receive,
            self._newest_only("BEST_EFFORT"),
        )
        self._executor = self._ros["rclpy.executors"].SingleThreadedExecutor()
        self._executor.add_node(self._node)
        Thread(target=self._executor.spin, name="rivc ros", daemon=True).start()

    def _newest_only(self, reliability: str) -> Any:
        qos = self._ros["rclpy.qos"]
        return qos.QoSProfile(
            depth=1,
            history=qos.HistoryPolicy.KEEP_LAST,
            reliability=getattr(qos.ReliabilityPolicy, reliability),
            durability=qos.DurabilityPolicy.VOLATILE,
        )

    def _receive(self, message: Any) -> None:
        """Keep a picture, undecoded: only those that are read cost anything."""
        stamp = message.header.stamp
        stamp_ns = stamp.sec * SECOND_NS + stamp.nanosec
        age_ns = max(0, self._node.get_clock().now().nanoseconds - stamp_ns) if stamp_ns else 0
        with self._arrived:
            self._newest = (message, monotonic_ns() - age_ns, self._count)
            self._count += 1
            self._arrived.notify()

    def _picture(self, message: Any) -> NDArray[Any]:
        m = message
        picture = decode(RawPicture(m.height, m.width, m.encoding, m.step, m.data))
        return picture if self._options.size is None else shrink(picture, self._options.size)

    def _message_type(self) -> Any:
        if self._options.message == "array":
            return self._ros["std_msgs.msg"].Float64MultiArray
        return self._ros["geometry_msgs.msg"].Twist

    def _publish(self, values: Sequence[float]) -> None:
        message = self._message_type()()
        if self._options.message == "array":
            message.data = list(values)
        else:
            for field, value in zip(self._options.fields, values, strict=True):
                _set(message, field, value)
        self._publisher.publish(message)


def _check_fields(fields: tuple[TwistField, ...], size: int) -> None:
    if len(fields) != size:
        raise ConfigError(f"commands have {size} numbers, fields are {list(fields)}")
    if len(set(fields)) != size:  # one number would be written over another
        raise ConfigError(f"a field comes twice in {list(fields)}")


def _set(message: Any, field: str, value: float) -> None:
    """Set a field below others: ``angular.z``."""
    *above, leaf = field.split(".")
    setattr(attrgetter(".".join(above))(message) if above else message, leaf, value)


def _import_ros() -> dict[str, Any]:
    try:
        return {name: import_module(name) for name in _MODULES}
    except ImportError as error:
        raise MissingError(
            f"ROS 2 is not there ({error}): install it and run `source /opt/ros/DISTRO/setup.bash` "
            "in this shell, with a Python that it was built for"
        ) from error
