"""The losses on literal numbers."""

from __future__ import annotations

import math

import pytest
import torch

from rivc.train.losses import imitation_loss, margin_loss, td_loss

UNIT = torch.tensor(0.5)


def test_td_loss_looks_at_the_taken_action_only() -> None:
    q = torch.tensor([[[1.0, 100.0]]], requires_grad=True)
    loss = td_loss(q, torch.tensor([[0]]), torch.tensor([0.5]), 1.0)
    loss.backward()
    assert loss.item() == 0.125
    assert q.grad is not None
    assert q.grad.flatten().tolist() == [0.5, 0.0]


def test_td_loss_of_groups_is_that_of_their_mean() -> None:
    q = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    assert td_loss(q, torch.tensor([[0, 0]]), torch.tensor([2.0]), 1.0).item() == 0.0


def test_a_lead_beyond_the_margin_costs_nothing() -> None:
    q = torch.tensor([[[9.0, 0.0]]])
    assert margin_loss(q, q, UNIT, margin=16.0).item() == 0.0


def test_the_margin_is_counted_in_readout_steps() -> None:
    q = torch.tensor([[[2.0, 1.0]]])  # two readout steps apart
    torch.testing.assert_close(margin_loss(q, q, UNIT, margin=3.0), UNIT)


def test_the_margin_pushes_the_target_networks_greedy_action_up() -> None:
    q = torch.tensor([[[0.0, 1.0, -1.0]]], requires_grad=True)
    q_target = torch.tensor([[[1.0, 0.0, 0.0]]])
    margin_loss(q, q_target, UNIT, margin=4.0).backward()
    assert q.grad is not None
    up, down, untouched = q.grad.flatten().tolist()
    assert up < 0 < down
    assert untouched == 0


@pytest.mark.parametrize("delta", [0.01, 1.0])
def test_the_gradient_of_a_large_error_is_one(delta: float) -> None:
    q = torch.tensor([[[9.0, 0.0]]], requires_grad=True)
    td_loss(q, torch.tensor([[0]]), torch.tensor([0.0]), delta).backward()
    assert q.grad is not None
    assert q.grad.flatten().tolist() == [1.0, 0.0]


def test_a_drop_adds_to_the_margin_over_its_own_rival() -> None:
    q = torch.tensor([[[5.0, 1.0, 2.0]]])  # leads by 8 and 6 readout steps
    drop = torch.tensor([[[0.0, 9.0, 1.0]]])
    loss = margin_loss(q, q, UNIT, margin=1.0, drop=drop)
    torch.testing.assert_close(loss, UNIT * (1 + 9 - 8))


def test_no_drop_is_the_plain_margin() -> None:
    q = torch.randn(9, 2, 4, generator=torch.Generator().manual_seed(0))
    plain = margin_loss(q, q, UNIT, margin=4.0)
    assert margin_loss(q, q, UNIT, margin=4.0, drop=torch.zeros_like(q)).item() == plain.item()


def test_imitation_is_the_cross_entropy_of_the_choices_in_every_group() -> None:
    q = torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])  # d tau = 2
    loss = imitation_loss(q, torch.tensor([[0, 0]]), tau=1.0)
    wanted = [math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(2.0))]
    assert loss.item() == pytest.approx(sum(wanted) / 2)
