"""Stopping a run between two iterations, and a command so that it can clear away."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


AT_ONCE = 5.0
"""Seconds within which another SIGTERM is the same one.

A scheduler sends it to a launcher and to its processes, and the launcher passes it on to them.
"""


@contextmanager
def stopping_signals() -> Iterator[list[signal.Signals]]:
    """Note Ctrl-C and SIGTERM instead of dying from them; a second one has its usual effect."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    noted: dict[signal.Signals, float] = {}

    def note(number: int, frame: FrameType | None) -> None:
        sent = signal.Signals(number)
        if sent not in noted:
            noted[sent] = time.monotonic()
            received.append(sent)
        elif sent == signal.SIGINT or time.monotonic() > noted[sent] + AT_ONCE:
            signal.signal(sent, before[sent])
            signal.raise_signal(sent)

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unwinding_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process as Ctrl-C does, through what clears away; a second one kills."""
    usual = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if threading.current_thread() is not threading.main_thread() or not usual:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def asked_to_stop(
    accelerator: "Accelerator", received: list[signal.Signals]
) -> signal.Signals | None:
    """Return the signal that any process was sent, so that all stop after the same iteration."""
    asked = bool(received)
    if accelerator.num_processes > 1:
        import torch

        flag = torch.tensor(float(asked), device=accelerator.device)
        asked = bool(accelerator.reduce(flag).item())
    if not asked:
        return None
    return received[0] if received else signal.SIGTERM
