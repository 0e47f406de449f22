"""Checks of a sampler's structure, on small scenes that Hypothesis draws."""
