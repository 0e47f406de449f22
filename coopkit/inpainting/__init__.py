"""Filling holes in signals without a network: the baselines of the paper's Table 1."""

from coopkit.inpainting.markov import AbsoluteMean
from coopkit.inpainting.methods import METHODS, Method

__all__ = ["METHODS", "AbsoluteMean", "Method"]
