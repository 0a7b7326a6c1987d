r"""From weighted sums to counts and back, for torch tensors.

Forward, with :math:`a = (2^F z + B + \lfloor th/2 \rfloor) / th`, a count is
:math:`\lfloor clip(a, 0, L) \rfloor`. Backward, a gradient passes where 0 < a < L + 1.

On the CPU, where numba works, either is one compiled loop; else it is torch's operations.
Counts are equal, gradients equal up to the rounding of sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from rivc.compiled import why_not

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from rivc.quant.qat.integers import LayerIntegers, LayerSpec


def fire(z: Tensor, q: LayerIntegers, spec: LayerSpec) -> tuple[Tensor, Tensor]:
    """Return counts, and `a` for the way back, both in the type of `z`.

    Args:
        z: weighted sums, [B, C] or [B, C, H, W]; overwritten.
        q: the layer's integers.
        spec: its levels and fraction bits.
    """
    gain, levels = 2.0**spec.frac_bits, float(spec.levels)
    if _is_compiled(z):
        from rivc.quant.qat import loops

        z = _rows_inside(z)
        a = torch.empty_like(z)
        limits = gain, levels
        loops.fire(_rows(z), q.threshold.numpy(), q.offset.numpy(), limits, _rows(a))
        return z, a
    v_mem = z.to(q.offset.dtype).mul_(gain).add_(per_channel(q.offset, z))
    exact = v_mem.div_(per_channel(q.threshold, z))
    return exact.clamp(0, levels).floor_().to(z.dtype), exact.to(z.dtype)


def unfire(
    grad: Tensor, a: Tensor, q: LayerIntegers, spec: LayerSpec
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of the weighted sums, and two sums over all but the channels, [C].

    Args:
        grad: of the counts, shaped as they are.
        a: as `fire` returned it.
        q: the layer's integers.
        spec: its levels and fraction bits.

    Returns:
        Gradient; sum of the gradients that passed; sum of them times `a`.
    """
    factor, top = (2.0**spec.frac_bits / q.threshold).to(grad.dtype), spec.levels + 1.0
    if _is_compiled(grad):
        from rivc.quant.qat import loops

        grad = _rows_inside(grad)
        out = torch.empty_like(grad)
        totals = loops.unfire(_rows(grad), _rows(a), factor.numpy(), top, _rows(out))
        passed, slope = torch.from_numpy(totals).to(grad.dtype)
        return out, passed, slope
    gated = torch.ops.aten.hardtanh_backward(grad, a, 0.0, top)
    return gated * per_channel(factor, grad), channel_sum(gated), channel_sum(gated * a)


def squared_errors(h: Tensor, steps: Tensor, levels: int) -> Tensor:
    """Return the mean squared error of values rounded to counts of each step, float64, [T].

    Args:
        h: non-negative values, [N].
        steps: values of one count, [T].
        levels: the largest count.
    """
    if _is_compiled(h):
        from rivc.quant.qat import loops

        errors = torch.empty(len(steps), dtype=torch.float64)
        loops.squared_errors(h.detach().contiguous().numpy(), steps.numpy(), levels, errors.numpy())
        return errors
    return torch.stack([_squared_error(h, step, levels) for step in steps])


def _squared_error(h: Tensor, step: Tensor, levels: int) -> Tensor:
    counts = (h / step).add_(0.5).floor_().clamp_(max=levels)
    return counts.mul_(step).sub_(h).square_().double().mean()


def per_channel(v: Tensor, x: Tensor) -> Tensor:
    """Shape a vector over channels, [C], to broadcast against `x`."""
    return v if x.dim() == 2 else v.view(-1, 1, 1)


def channel_sum(x: Tensor) -> Tensor:
    """Sum over batch and space, [C]."""
    return x.sum(0) if x.dim() == 2 else x.sum((0, 2, 3))


def _is_compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and not why_not()


def _rows_inside(x: Tensor) -> Tensor:
    """Lay a tensor out with its channels innermost, as pictures come and convolutions leave it."""
    is_picture = x.dim() == 4
    return x.contiguous(
        memory_format=torch.channels_last if is_picture else torch.contiguous_format
    )


def _rows(x: Tensor) -> NDArray[Any]:
    """View such a tensor as an array, [R, C]."""
    x = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) if x.dim() == 4 else x
    return x.detach().numpy()
