"""What reaches the robot and the policy, and when."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from rivc.envs.disturb.channel import Channel

PICTURES = spaces.Box(0, 255, (8, 8, 3), np.uint8)
NUMBERS = spaces.Box(np.float32([-2, 0]), np.float32([2, 10]), dtype=np.float32)


def picture(level: int) -> np.ndarray:
    return np.full(PICTURES.shape, level, np.uint8)


def levels(channel: Channel, count: int) -> list[int]:
    """Send pictures of level 0, 1, ... and return the levels that arrive."""
    return [int(channel.receive(lambda t=t: picture(t), PICTURES)[0, 0, 0]) for t in range(count)]


@given(st.integers(0, 6))
def test_actions_arrive_in_order_after_the_delay(steps: int) -> None:
    channel = Channel(action_delay_steps=steps)
    arrived = [channel.send(np.int64(action)) for action in range(12)]
    assert arrived == [[]] * steps + [[action] for action in range(12 - steps)]


@given(st.integers(0, 6))
def test_observations_arrive_in_order_after_the_delay_the_first_at_once(steps: int) -> None:
    channel = Channel(observation_delay_steps=steps)
    assert levels(channel, 12) == [max(t - steps, 0) for t in range(12)]


@given(st.integers(0, 3), st.integers(0, 9))
def test_a_lost_frame_leaves_the_last_one(delay: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channel = Channel(rng, observation_delay_steps=delay, dropped_frames_share=0.5)
    arrived = levels(channel, 60)
    newest = np.maximum(np.arange(60) - delay, 0)
    fresh = arrived == newest
    assert (fresh[1:] | (np.diff(arrived) == 0)).all()
    assert fresh[0]
    assert 10 < fresh.sum() < 50


def test_noise_on_pictures_is_rounded_clipped_and_as_wide_as_it_says() -> None:
    space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    channel = Channel(picture_noise_levels=10)
    noisy = channel.receive(lambda: np.full(space.shape, 100, np.uint8), space)
    assert noisy.dtype == np.uint8
    assert noisy.std() == pytest.approx(10, rel=0.05)
    assert noisy.mean() == pytest.approx(100, abs=0.5)
    dark = channel.receive(lambda: np.zeros(space.shape, np.uint8), space)
    assert dark.max() < 100  # it does not wrap


def test_noise_on_numbers_scales_with_their_ranges_and_stays_in_them() -> None:
    channel = Channel(state_noise_share=0.05)
    centre = np.array([0, 5], np.float32)
    noisy = np.array([channel.receive(lambda: centre, NUMBERS) for _ in range(2000)])
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy.std(0), [0.2, 0.5], rtol=0.1)
    edge = np.array([2, 10], np.float32)
    assert all(NUMBERS.contains(channel.receive(lambda: edge, NUMBERS)) for _ in range(50))


def test_pictures_take_no_noise_of_numbers_nor_the_other_way_round() -> None:
    seen = picture(7)
    assert Channel(state_noise_share=0.5).receive(lambda: seen, PICTURES) is seen
    numbers = np.float32([1, 1])
    assert (Channel(picture_noise_levels=9).receive(lambda: numbers, NUMBERS) == numbers).all()


def test_noise_on_controls_scales_with_their_reach() -> None:
    channel = Channel(actuator_noise_share=0.5)
    noise = np.array([channel.jitter(np.array([1.0, 10.0])) for _ in range(2000)])
    np.testing.assert_allclose(noise.std(0), [0.5, 5.0], rtol=0.1)


def test_changing_what_arrived_does_not_change_what_is_on_its_way() -> None:
    channel = Channel(dropped_frames_share=0.95)
    channel.receive(lambda: picture(1), PICTURES)[:] = 99
    assert set(levels(channel, 5)) <= {0, 1, 2, 3, 4}
