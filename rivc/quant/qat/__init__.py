"""Quantization-aware layers whose forward pass is the chip's integer arithmetic.

The torch half of `rivc.quant`; what a robot runs does not import it.
"""

from rivc.quant.qat.integers import LayerIntegers, LayerSpec
from rivc.quant.qat.layers import QuantConv2d, QuantDense, QuantLayer

__all__ = ["LayerIntegers", "LayerSpec", "QuantConv2d", "QuantDense", "QuantLayer"]
