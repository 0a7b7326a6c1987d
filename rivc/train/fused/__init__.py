"""A learner for small networks that leaves torch's overhead behind.

`rivc.train.learner.Learner` is the definition. `FusedLearner` computes the same update on the same
parameters, in compiled loops: equal integers forward, gradients equal up to the rounding of sums.
"""

from rivc.train.fused.learner import FusedLearner

__all__ = ["FusedLearner"]
