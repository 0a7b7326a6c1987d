"""A learner for small dense networks that leaves torch's overhead behind.

`rivc.train.learner.Learner` is the definition. `FusedLearner` computes the same update on the same
parameters: equal integers forward, gradients equal up to the rounding of sums. Its matrix products
are numpy's, everything between them is a few compiled loops.
"""

from rivc.train.fused.learner import FusedLearner

__all__ = ["FusedLearner"]
