"""What a record says about the policy, measured on replayed states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rivc.neurochip import count_synops
from rivc.snn_convert.certify import Disturbance, certify
from rivc.snn_convert.program import greedy
from rivc.train.operators import action_gap, group_gaps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from rivc.nets import QNetwork
    from rivc.neurochip import Backend
    from rivc.snn_convert import SpikingProgram


@torch.no_grad()
def measure(
    net: QNetwork,
    program: SpikingProgram,
    chip: Backend,
    counts: NDArray[np.uint8],
    reward_scale: float,
    certify_noise: float = 0.0,
) -> dict[str, float]:
    """Return metrics of the loaded program on some states.

    - `action_gap`: mean lead of the greedy joint action, in unscaled return;
    - `action_gap_steps`: the same in readout steps, the unit in which a chip errs;
    - `action_gap_group_0` and so on, with more than one group: the mean lead within each group, in
      unscaled return; the joint gap is the smallest of them over d, state by state;
    - `action_agreement`: share of states in which network and chip choose the same joint action;
    - `conversion_mismatches`: states in which their readouts differ in any integer;
    - `spikes_per_decision`, `synops_per_decision`: means;
    - with `certify_noise`, `certified_share`: states whose joint action no such noise can change,
      and `certified_gap_steps`: mean of the least lead that is certain, in readout steps.

    Args:
        net: the network, whose own forward pass (integers or not) is compared.
        program: its program, loaded on `chip`.
        chip: the sampler.
        counts: states, uint8, [B, *shape].
        reward_scale: the factor that was put on rewards.
        certify_noise: bound on the error of each membrane, in thresholds; 0: do not certify.
    """
    integers = net.integers()
    q = net(torch.from_numpy(counts), integers)
    result = chip.infer(counts)
    nearest = (q.double() / float(net.readout_scale(integers))).round().long().numpy()
    chosen = greedy(q.numpy()) == greedy(result.readout)
    gap = float(action_gap(q).mean())
    return {
        "action_gap": gap / reward_scale,
        "action_gap_steps": gap / program.readout_scale,
        **_by_group(group_gaps(q).mean(0) / reward_scale),
        "action_agreement": float(chosen.all(1).mean()),
        "conversion_mismatches": int(
            (nearest != result.readout).reshape(len(counts), -1).any(1).sum()
        ),
        "spikes_per_decision": float(result.spike_counts.sum(0).mean()),
        "synops_per_decision": float(count_synops(program, counts).mean()),
        **(_certified(program, counts, certify_noise) if certify_noise else {}),
    }


def _by_group(gaps: Tensor) -> dict[str, float]:
    """One metric a group, where there are several."""
    return {f"action_gap_group_{j}": float(gap) for j, gap in enumerate(gaps) if len(gaps) > 1}


def _certified(
    program: SpikingProgram, counts: NDArray[np.uint8], noise: float
) -> dict[str, float]:
    found = certify(program, counts, Disturbance(noise))
    return {
        "certified_share": float(found.certified.mean()),
        "certified_gap_steps": float(found.least_lead.mean()),
    }
