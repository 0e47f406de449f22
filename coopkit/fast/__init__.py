"""Evaluating a network many times for the same weights, fast.

`Preparation()` is called in the place of `coopkit.targets.frozen`: Preparation()(network) is the
network as a function of its input alone.
"""

from coopkit.fast.choices import Choices, cached_choices, read_choices
from coopkit.fast.memory import keep_memory
from coopkit.fast.prepared import Preparation, Prepared
from coopkit.fast.weights import order_weights

__all__ = [
    "Choices",
    "Preparation",
    "Prepared",
    "cached_choices",
    "keep_memory",
    "order_weights",
    "read_choices",
]
