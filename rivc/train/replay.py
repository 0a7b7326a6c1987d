"""The replay: every observation once, transitions as pointers between them.

A slot holds one observation and, as soon as the robot has acted on it, what it did, what it got and
the slot of the observation that followed. The last observation of an episode has a slot without an
action: it can be bootstrapped from but never sampled, so that no transition crosses an episode's
end. Slots are numbered for ever; the memory is a ring over the newest `capacity` of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rivc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Slots = NDArray[np.int64]

_STEPS_HELD: Final = 4  # of every copy, at least


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions over n steps.

    Attributes:
        observation: counts, uint8, [B, *shape].
        next_observation: counts where the return is bootstrapped, uint8, [B, *shape].
        action: joint actions, int64, [B, d].
        reward: discounted sum over the steps, float32, [B].
        discount: of the bootstrap, float32, [B]; 0 where the episode terminated.
    """

    observation: NDArray[Any]
    next_observation: NDArray[Any]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]


class Columns(NamedTuple):
    """The arrays of a replay, slot by slot, as compiled loops take them.

    Attributes:
        observation: counts, [capacity, *shape].
        action: [capacity, d].
        reward: [capacity].
        terminated: [capacity].
        following: slot that followed, -1 where nothing was done yet, [capacity].
    """

    observation: NDArray[Any]
    action: NDArray[np.int16]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    following: NDArray[np.int64]


def require_room(capacity: int, copies: int) -> None:
    """Raise a `ConfigError` unless a ring holds four observations of each copy of a task.

    The slots that are acted on stay open until the next step; in a ring that holds hardly more,
    they would be written over before they are closed, and none could be drawn.
    """
    if capacity < _STEPS_HELD * copies:
        raise ConfigError(
            f"train.replay_capacity is {capacity}: it must hold {_STEPS_HELD} observations of each "
            f"of the {copies} copies (env.count), so {_STEPS_HELD * copies} or more"
        )


class Replay:
    """A ring of observation slots; see the module.

    Attributes:
        head: number of the next slot, so how many there ever were.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: Any, groups: int) -> None:
        self.capacity, self.head = capacity, 0
        self._arrays: dict[str, NDArray[Any]] = {
            "observation": np.zeros((capacity, *shape), dtype),
            "action": np.zeros((capacity, groups), np.int16),
            "reward": np.zeros(capacity, np.float32),
            "terminated": np.zeros(capacity, np.bool_),
            "next": np.full(capacity, -1, np.int64),
        }

    @property
    def columns(self) -> Columns:
        """The arrays themselves, in the order of `Columns`."""
        return Columns(*self._arrays.values())

    @property
    def tail(self) -> int:
        """Number of the oldest slot still there."""
        return max(0, self.head - self.capacity)

    def open(self, observation: NDArray[Any]) -> Slots:
        """Store observations, [N, *shape], and return their slots."""
        slots = np.arange(self.head, self.head + len(observation))
        self.head += len(observation)
        at = self._places(slots)
        self._arrays["observation"][at] = observation
        self._arrays["next"][at] = -1
        return slots

    def close(
        self,
        slots: Slots,
        action: NDArray[Any],
        reward: NDArray[Any],
        terminated: NDArray[np.bool_],
        following: Slots,
    ) -> None:
        """Say what was done in each slot, what it brought and which slot followed."""
        at = self._places(slots)
        for name, value in (
            ("action", action),
            ("reward", reward),
            ("terminated", terminated),
            ("next", following),
        ):
            self._arrays[name][at] = value

    def observations(self, slots: Slots) -> NDArray[Any]:
        """Return the observations of some slots."""
        return np.asarray(self._arrays["observation"][self._places(slots)])

    def draw(self, rng: np.random.Generator, count: int) -> Slots:
        """Draw slots with a transition, uniformly and with replacement."""
        slots = rng.integers(self.tail, self.head, count)
        empty = self._empty(slots).nonzero()[0]
        while empty.size:
            slots[empty] = rng.integers(self.tail, self.head, len(empty))
            empty = empty[self._empty(slots[empty])]
        return slots

    def _empty(self, slots: Slots) -> NDArray[np.bool_]:
        """Whether nothing was done yet in some slots."""
        return np.asarray(self._arrays["next"][self._places(slots)] < 0)

    def _places(self, slots: Slots) -> Slots:
        """Where slots lie in the ring; in the first round, which may be all, there is no other."""
        return slots if self.head <= self.capacity else slots % self.capacity

    def sample(
        self, rng: np.random.Generator, count: int, *, discount: float, n_step: int
    ) -> Batch:
        """Draw transitions and look `n_step` steps ahead, or as far as the episode goes.

        A truncated episode is bootstrapped from its last observation, a terminated one is not.
        """
        slots = self.draw(rng, count)
        start = at = slots % self.capacity
        reward, factor = np.zeros(count, np.float32), np.ones(count, np.float32)
        going = np.ones(count, np.bool_)
        for _ in range(n_step):
            reward += np.where(going, factor * self._arrays["reward"][at], 0).astype(np.float32)
            ended = going & self._arrays["terminated"][at]
            factor = np.where(going, factor * np.float32(discount), factor)
            factor[ended] = 0.0
            at = np.where(going, self._arrays["next"][at] % self.capacity, at)
            going = going & ~ended & (self._arrays["next"][at] >= 0)
        observation = self._arrays["observation"]
        action = self._arrays["action"][start].astype(np.int64)
        return Batch(observation[start], observation[at], action, reward, factor.astype(np.float32))

    def encoded(self, encode: Callable[[NDArray[Any]], NDArray[np.uint8]], capacity: int) -> Replay:
        """Return a replay of another capacity with the newest slots, their observations encoded."""
        slots = np.arange(max(self.tail, self.head - capacity), self.head)
        held, at = slots % self.capacity, slots % capacity
        counts = encode(self._arrays["observation"][held])
        other = Replay(capacity, counts.shape[1:], np.uint8, self._arrays["action"].shape[1])
        other.head = self.head
        for name, array in self._arrays.items():
            other._arrays[name][at] = counts if name == "observation" else array[held]
        return other

    def rows(self, first: int, last: int) -> dict[str, NDArray[Any]]:
        """Return the slots from `first` to `last`, array by array."""
        at = np.arange(first, last) % self.capacity
        return {name: array[at] for name, array in self._arrays.items()}

    def restore(self, first: int, rows: dict[str, NDArray[Any]]) -> None:
        """Put back what `rows` returned; `head` moves behind it."""
        count = len(rows["next"])
        at = np.arange(first, first + count) % self.capacity
        for name, array in rows.items():
            self._arrays[name][at] = array
        self.head = max(self.head, first + count)
