"""The ROS 2 adapter on an `rclpy` of plain objects."""

from __future__ import annotations

import sys
import threading
from array import array
from time import monotonic_ns
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rivc.errors import ConfigError, MissingError, RobotError
from rivc.robot import Command, check_robot, load_robot
from rivc.robot.clock import SECOND_NS
from rivc.robot.ros2 import open_robot

ROWS = [[0.0, 0.0], [0.2, 0.0], [0.0, 1.0]]
NOW_NS = 5_000 * SECOND_NS


class Publisher:
    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.acked: list[float] = []

    def publish(self, message: Any) -> None:
        self.sent.append(message)

    def wait_for_all_acked(self, duration: Any) -> bool:
        self.acked.append(duration.seconds)
        return True


class Node:
    def __init__(self) -> None:
        self.publishers: dict[str, tuple[Any, Any, Publisher]] = {}
        self.subscriptions: dict[str, tuple[Any, Any, Any]] = {}
        self.destroyed = 0

    def create_publisher(self, kind: Any, topic: str, qos: Any) -> Publisher:
        self.publishers[topic] = (kind, qos, Publisher())
        return self.publishers[topic][2]

    def create_subscription(self, kind: Any, topic: str, callback: Any, qos: Any) -> None:
        self.subscriptions[topic] = (kind, qos, callback)

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=NOW_NS))

    def destroy_node(self) -> None:
        self.destroyed += 1


class Executor:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.end = threading.Event()

    def add_node(self, node: Node) -> None:
        self.nodes.append(node)

    def spin(self) -> None:
        self.end.wait(30)

    def shutdown(self) -> None:
        self.end.set()


def twist() -> Any:
    return SimpleNamespace(
        linear=SimpleNamespace(x=0.0, y=0.0, z=0.0), angular=SimpleNamespace(x=0.0, y=0.0, z=0.0)
    )


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything of ROS 2 that the adapter touches."""
    node, state = Node(), SimpleNamespace(ok=False, init=[], shutdowns=0)

    def init(**options: Any) -> None:
        state.ok = True
        state.init.append(options)

    def shutdown() -> None:
        state.ok = False
        state.shutdowns += 1

    qos = {
        "QoSProfile": SimpleNamespace,
        "HistoryPolicy": SimpleNamespace(KEEP_LAST="keep last"),
        "ReliabilityPolicy": SimpleNamespace(RELIABLE="reliable", BEST_EFFORT="best effort"),
        "DurabilityPolicy": SimpleNamespace(VOLATILE="volatile"),
    }
    modules: dict[str, dict[str, Any]] = {
        "rclpy": {
            "init": init,
            "ok": lambda: state.ok,
            "shutdown": shutdown,
            "create_node": lambda _: node,
        },
        "rclpy.duration": {"Duration": SimpleNamespace},
        "rclpy.executors": {"SingleThreadedExecutor": Executor},
        "rclpy.qos": qos,
        "rclpy.signals": {"SignalHandlerOptions": SimpleNamespace(NO="no")},
        "geometry_msgs": {},
        "geometry_msgs.msg": {"Twist": twist},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": "Image"},
        "std_msgs": {},
        "std_msgs.msg": {"Float64MultiArray": SimpleNamespace},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return SimpleNamespace(node=node, state=state)


def image(
    picture: Any, encoding: str = "rgb8", padding: int = 0, stamp_ns: int = NOW_NS
) -> SimpleNamespace:
    """A message with a picture, its rows padded."""
    height, width, _ = picture.shape
    rows = np.pad(picture.reshape(height, -1), ((0, 0), (0, padding)))
    stamp = SimpleNamespace(sec=stamp_ns // SECOND_NS, nanosec=stamp_ns % SECOND_NS)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array("B", rows.tobytes()),
    )


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def receive(ros: Any, message: Any, topic: str = "/camera/image_raw") -> None:
    ros.node.subscriptions[topic][2](message)


def sent(ros: Any) -> list[Any]:
    return ros.node.publishers["/cmd_vel"][2].sent  # type: ignore[no-any-return]


@pytest.mark.parametrize(("encoding", "channels"), [("rgb8", 3), ("bgr8", 3), ("mono8", 1)])
def test_pictures_of_every_encoding_come_in_red_first(
    ros: Any, encoding: str, channels: int
) -> None:
    robot, seen = open_robot(actions=ROWS), picture(4, 5, channels)
    receive(ros, image(seen, encoding, padding=3))
    frame = robot.read(0.0)
    assert frame is not None
    wanted = seen[:, :, ::-1] if encoding == "bgr8" else seen
    assert np.array_equal(frame.observation, wanted)
    assert robot.read(0.0) is None
    robot.close()


def test_only_the_newest_picture_is_read_and_decoded(ros: Any) -> None:
    robot = open_robot(actions=ROWS)
    receive(ros, image(picture(2, 2), "bayer_rggb8"))  # never looked at
    receive(ros, image(picture(2, 2, seed=1)))
    receive(ros, image(picture(2, 2, seed=2)))
    frame = robot.read(0.0)
    assert frame is not None
    assert frame.sequence == 2
    assert np.array_equal(frame.observation, picture(2, 2, seed=2))
    robot.close()


def test_queues_are_one_deep_and_hold_the_newest(ros: Any) -> None:
    robot = open_robot(actions=ROWS)
    _, images, _ = ros.node.subscriptions["/camera/image_raw"]
    _, commands, _ = ros.node.publishers["/cmd_vel"]
    assert (images.depth, images.history, images.reliability) == (1, "keep last", "best effort")
    assert (commands.depth, commands.history, commands.reliability) == (1, "keep last", "reliable")
    robot.close()


def test_a_big_picture_is_shrunk_to_what_the_program_takes(ros: Any) -> None:
    robot = open_robot(actions=ROWS, size=32)
    receive(ros, image(np.full((1080, 1920, 3), 77, np.uint8)))
    frame = robot.read(0.0)
    assert frame is not None
    assert frame.observation.shape == (32, 32, 3)
    assert (frame.observation == 77).all()
    robot.close()


def test_another_encoding_is_an_error_when_it_is_read(ros: Any) -> None:
    robot = open_robot(actions=ROWS)
    receive(ros, image(picture(2, 2, 1), "16UC1"))
    with pytest.raises(RobotError, match="'16UC1'; known: rgb8, bgr8, mono8"):
        robot.read(0.0)
    robot.close()


@pytest.mark.parametrize(("age_ms", "counted_ms"), [(250, 250), (0, 0), (-50, 0)])
def test_the_age_of_a_picture_is_taken_from_its_stamp(
    ros: Any, age_ms: int, counted_ms: int
) -> None:
    robot = open_robot(actions=ROWS)
    before_ns = monotonic_ns()
    receive(ros, image(picture(2, 2), stamp_ns=NOW_NS - age_ms * 1_000_000))
    after_ns = monotonic_ns()
    frame = robot.read(0.0)
    assert frame is not None
    assert before_ns <= frame.time_ns + counted_ms * 1_000_000 <= after_ns
    robot.close()


def test_a_picture_without_a_stamp_counts_from_its_arrival(ros: Any) -> None:
    robot, before_ns = open_robot(actions=ROWS), monotonic_ns()
    receive(ros, image(picture(2, 2), stamp_ns=0))
    frame = robot.read(0.0)
    assert frame is not None
    assert frame.time_ns >= before_ns
    robot.close()


def test_a_command_fills_the_fields_of_a_twist_and_a_stop_zeroes_them(ros: Any) -> None:
    robot = open_robot(actions=ROWS, fields=["linear.x", "angular.z"])
    robot.send(Command(np.array([0.2, -1.0]), 0, 0))
    robot.stop()
    first, second = sent(ros)
    assert (first.linear.x, first.linear.y, first.angular.z) == (0.2, 0.0, -1.0)
    assert (second.linear.x, second.angular.z) == (0.0, 0.0)
    assert type(first.linear.x) is float
    robot.close()


def test_an_arm_gets_an_array(ros: Any) -> None:
    levels = [[-1.0, 0.0, 1.0]] * 3
    robot = open_robot(levels=levels, message="array", command_topic="/cmd_vel")
    robot.send(Command(np.array([1.0, 0.0, -1.0]), 0, 0))
    assert sent(ros)[0].data == [1.0, 0.0, -1.0]
    assert robot.actions.layout == (3, 3)
    robot.close()


def test_closing_stops_waits_for_the_answer_and_leaves(ros: Any) -> None:
    robot = open_robot(actions=ROWS)
    robot.close()
    robot.close()
    assert len(sent(ros)) == 1
    assert ros.node.publishers["/cmd_vel"][2].acked == [0.2]
    assert (ros.node.destroyed, ros.state.shutdowns) == (1, 1)


def test_ctrl_c_is_left_to_the_loop_and_a_running_ros_is_left_alone(ros: Any) -> None:
    open_robot(actions=ROWS).close()
    assert ros.state.init == [{"signal_handler_options": "no"}]
    ros.state.ok = True
    open_robot(actions=ROWS).close()
    assert len(ros.state.init) == 1
    assert ros.state.ok


def test_it_keeps_the_rules_of_a_robot(ros: Any) -> None:
    robot, end = load_robot("ros2", actions=ROWS), threading.Event()

    def film() -> None:
        for seed in range(10_000):
            receive(ros, image(picture(2, 2, seed=seed)))
            if end.wait(0.005):
                return

    thread = threading.Thread(target=film)
    thread.start()
    found = check_robot(robot, timeout_s=10.0, slack_s=20.0)
    end.set()
    thread.join()
    assert found.ok, str(found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "either `actions`"),
        ({"actions": ROWS, "levels": ROWS}, "either `actions`"),
        ({"actions": ROWS, "topic": "/x"}, "unknown key 'topic'"),
        ({"actions": ROWS, "fields": ["linear.x"]}, "2 numbers, fields"),
        ({"actions": ROWS, "fields": ["linear.x", "angular.w"]}, r"fields\.1"),
        ({"actions": ROWS, "fields": ["linear.x", "linear.x"]}, "a field comes twice"),
        ({"actions": ROWS, "low": [-1.0], "high": [1.0], "rate": []}, "limits of 1 numbers"),
        ({"actions": "fast"}, "actions"),
        ({"actions": ROWS, "size": 0}, "size"),
        ({"actions": ROWS, "message": "pose"}, "message"),
        ({"actions": ROWS, "rest": [5.0, 0.0], "low": [0.0, -1.0], "high": [1.0, 1.0]}, "rest"),
    ],
)
def test_wrong_options_are_told_before_ros_is_touched(
    ros: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        open_robot(**options)
    assert ros.state.init == []


def test_without_ros_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)
    with pytest.raises(MissingError, match=r"source /opt/ros/DISTRO/setup\.bash"):
        open_robot(actions=ROWS)
