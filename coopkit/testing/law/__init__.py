"""Checks of a sampler's law, and the targets of closed form that they use."""
