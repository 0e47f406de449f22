"""Hypothesis strategies: chains and targets, networks, recipes and schedules."""
