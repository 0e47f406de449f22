"""Filling holes in signals without a network: the baselines of the paper's Table 1."""
