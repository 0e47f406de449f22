"""``python -m coopkit``, which ``accelerate launch -m coopkit run ...`` starts in each process."""

from coopkit.cli import main

main()
