"""The Bellman operators against tabular fixed points and against brute force over joint actions."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor

from rivc.train import operators

STATES, ACTIONS, DISCOUNT = 12, 3, 0.95


def ring_world() -> tuple[Tensor, Tensor]:
    """Rewards [S, A] and next states [S, A] of a ring on which one can stay or move."""
    generator = torch.Generator().manual_seed(0)
    rewards = torch.rand(STATES, generator=generator, dtype=torch.float64)
    here = torch.arange(STATES)
    following = torch.stack([(here + move) % STATES for move in (-1, 0, 1)], 1)
    return rewards.unsqueeze(1).expand(-1, ACTIONS), following


@functools.cache
def fixed_point(gap_coef: float, tau: float, clip: float = -math.inf) -> Tensor:
    """Iterate the target, [S, 1, A], until it stands still."""
    rewards, following = ring_world()
    q = torch.zeros(STATES, ACTIONS, dtype=torch.float64)
    for _ in range(1000):  # 0.95 to the power of 1,000 is nothing
        table = q.unsqueeze(1)
        value = operators.soft_value(table, tau)
        rows = []
        for action in range(ACTIONS):
            taken = torch.full((STATES, 1), action)
            gap = operators.gap_term(table, taken, tau, clip)
            bootstrap = torch.full((STATES,), DISCOUNT, dtype=torch.float64)
            rows.append(
                operators.bellman_target(
                    rewards[:, action], bootstrap, value[following[:, action]], gap, gap_coef
                )
            )
        q = torch.stack(rows, 1)
    return q.unsqueeze(1)


@pytest.mark.parametrize("gap_coef", [0.5, 0.9])
def test_the_fixed_points_gap_is_that_of_soft_value_iteration_over_one_minus_gap_coef(
    gap_coef: float,
) -> None:
    tau = 0.05
    widened = operators.action_gap(fixed_point(gap_coef, tau))
    plain = operators.action_gap(fixed_point(0.0, (1 - gap_coef) * tau))
    torch.testing.assert_close(
        widened / plain, torch.full_like(plain, 1 / (1 - gap_coef)), rtol=1e-4, atol=0
    )


def test_the_greedy_policy_is_that_of_soft_value_iteration() -> None:
    widened, plain = fixed_point(0.9, 0.05), fixed_point(0.0, 0.005)
    assert torch.equal(widened.argmax(-1), plain.argmax(-1))


def test_a_finite_clip_makes_the_gap_smaller() -> None:
    clipped = operators.action_gap(fixed_point(0.9, 0.05, clip=-0.01))
    assert (clipped < operators.action_gap(fixed_point(0.9, 0.05))).all()


def test_without_gap_and_temperature_the_target_is_dqn() -> None:
    rewards, following = ring_world()
    q = fixed_point(0.0, 0.0).squeeze(1)
    torch.testing.assert_close(q, rewards + DISCOUNT * q.amax(1)[following])


def random_heads(d: int, n: int) -> Tensor:
    return torch.randn(5, d, n, dtype=torch.float64, generator=torch.Generator().manual_seed(d * n))


def joint_values(q: Tensor) -> Tensor:
    """Q of all n^d joint actions, [B, n^d]."""
    d, n = q.shape[1:]
    joint = [
        q[:, range(d), list(choice)].mean(1) for choice in itertools.product(range(n), repeat=d)
    ]
    return torch.stack(joint, 1)


@pytest.mark.parametrize(("d", "n"), [(1, 4), (2, 3), (3, 3), (4, 2)])
@pytest.mark.parametrize("tau", [0.0, 0.03, 1.0])
def test_the_head_equals_the_operator_over_all_joint_actions(d: int, n: int, tau: float) -> None:
    q, joint = random_heads(d, n), joint_values(random_heads(d, n)).unsqueeze(1)
    torch.testing.assert_close(operators.soft_value(q, tau), operators.soft_value(joint, tau))


@pytest.mark.parametrize(("d", "n"), [(1, 4), (2, 3), (3, 3)])
def test_the_action_gap_is_that_of_the_joint_actions(d: int, n: int) -> None:
    q = random_heads(d, n)
    best = joint_values(q).topk(2, 1).values
    torch.testing.assert_close(operators.action_gap(q), best[:, 0] - best[:, 1])


@pytest.mark.parametrize("tau", [0.0, 0.2])
def test_double_value_over_groups_equals_double_value_over_joint_actions(tau: float) -> None:
    online, target = random_heads(2, 3), random_heads(3, 2).reshape(5, 2, 3)
    grouped = operators.double_value(online, target, tau, 0.7)
    joint = operators.double_value(
        joint_values(online).unsqueeze(1), joint_values(target).unsqueeze(1), tau, 0.7
    )
    torch.testing.assert_close(grouped, joint)


def test_double_value_with_one_network_is_the_soft_value() -> None:
    q = random_heads(2, 3)
    torch.testing.assert_close(operators.double_value(q, q, 0.3, 0.9), operators.soft_value(q, 0.3))


def test_double_value_undoes_the_widened_gap() -> None:
    q, tau, gap_coef = fixed_point(0.9, 0.05), 0.05, 0.9
    plain = fixed_point(0.0, (1 - gap_coef) * tau)
    other = plain.flip(-1)  # the values that another policy goes by
    widened_other = operators.soft_value(q, tau)[:, None, None] + (
        other - operators.soft_value(other, (1 - gap_coef) * tau)[:, None, None]
    ) / (1 - gap_coef)
    torch.testing.assert_close(
        operators.double_value(widened_other, q, tau, gap_coef),
        operators.double_value(other, plain, (1 - gap_coef) * tau, 0.0),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_soft_value_survives_a_small_temperature() -> None:
    q = torch.tensor([[[1000.0, 999.0]]])
    assert operators.soft_value(q, 1e-6).item() == 1000.0


def test_the_gap_term_is_never_positive_and_never_below_its_clip() -> None:
    q = random_heads(1, 4)
    gap = operators.gap_term(q, q.argmin(-1), 0.1, -0.5)
    assert gap.max() <= 0
    assert gap.min() == -0.5
