"""Which way each convolution is computed: measured at its first use, and remembered."""

import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from coopkit.fast.convolutions import (
    CHANNELS_LAST,
    Direct,
    DirectSpreading,
    Layer,
    Phases,
    Way,
    phase_layer,
)
from coopkit.fast.polyphase import Polyphase

Kind = Literal["correlation", "spreading"]

WORTH_MEASURING = 1e6
"""Multiplications of a layer, for one chain, below which torch's own way is taken."""

MEASURED = 32
"""Chains with which ways are compared, at most."""

ROUNDS = 5
"""How often each way is timed, in turn with the others; the least time counts."""

GAIN = 0.95
"""The share of the first way's time that another way may take to be chosen."""

ROUNDING = 2e-5
"""The relative difference from torch's own way, ‖·‖ over ‖·‖, that another way may have.

In half precision it is a few units of the last place.
"""


def ways(kind: Kind, layer: Layer, like: Tensor) -> dict[str, Way]:
    """Return all ways that can be tried, by name, torch's own first.

    Args:
        kind: what to compute.
        layer: of which layer.
        like: a tensor on the device and of the type of the input.
    """
    direct = Direct(layer) if kind == "correlation" else DirectSpreading(layer)
    found: dict[str, Way] = {"direct": direct}
    if kind == "correlation":
        return found | polyphase_ways(layer, like)
    phases = phase_layer(layer)
    if phases is not None:
        inner = {"phases": Direct(phases), **polyphase_ways(phases, like)}
        found |= {name: Phases(layer, way) for name, way in inner.items()}
    return found


def polyphase_ways(layer: Layer, like: Tensor) -> dict[str, Way]:
    """Return the ways that need fewer multiplications, where oneDNN can do them."""
    packs = torch._C._has_mkldnn
    small = min(layer.kernel) < 3 or layer.stride != (1, 1)
    if small or not packs or like.device.type != "cpu" or like.dtype != torch.float32:
        return {}
    return {f"toom-cook {m}": Polyphase(layer, m) for m in (2, 3)}


@attrs.define(eq=False)
class Choices:
    """The name of the way for each layer, by a text that describes the layer and the machine.

    Attributes:
        known: from earlier measurements.
        used: those that were asked for.
        cache: a file that outlives the process, or None.
        measures: whether ways that are not known are measured; torch's own are taken otherwise.
    """

    known: dict[str, str] = attrs.field(factory=dict)
    used: dict[str, str] = attrs.field(factory=dict)
    cache: Path | None = None
    measures: bool = True

    def choose(self, kind: Kind, layer: Layer, like: Tensor) -> Way:
        """Return the fastest way, measured where that is not known yet.

        Args:
            kind: what to compute.
            layer: of which layer.
            like: an input of it, of which only shape, type and device are read.
        """
        possible = ways(kind, layer, like)
        if len(possible) == 1 or layer.multiplications < WORTH_MEASURING:
            return possible["direct"]
        key = describe(kind, layer, like)
        return possible[self.settle(key, list(possible), lambda: measure(possible, layer, like))]

    def settle(self, key: str, names: Sequence[str], measured: Callable[[], str]) -> str:
        """Return the name that is known for a key, or the measured one; the first if unmeasured."""
        if self.known.get(key) not in names:
            if not self.measures:
                return names[0]
            self.known[key] = measured()
            self.remember(key)
        self.used[key] = self.known[key]
        return self.used[key]

    def remember(self, key: str) -> None:
        """Add one choice to the cache; a folder that cannot be written to is no error."""
        if self.cache is None:
            return
        kept = read_choices(self.cache) | {key: self.known[key]}
        try:
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.cache.parent, delete=False, encoding="utf-8"
            ) as file:
                json.dump(kept, file, indent=1, ensure_ascii=False, sort_keys=True)
            try:
                os.replace(file.name, self.cache)
            except OSError:
                Path(file.name).unlink()
                raise
        except OSError:
            self.cache = None


def cached_choices() -> Choices:
    """Return what this user's earlier runs have measured."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home, as in some containers
        return Choices()
    cache = Path(home) / "coopkit" / "choices.json"
    return Choices(known=read_choices(cache), cache=cache)


def read_choices(path: Path) -> dict[str, str]:
    """Return the choices in a file, the cache's or a run's; none where there are no choices."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    read = read.get("choices", read) if isinstance(read, dict) else {}
    texts = isinstance(read, dict) and all(isinstance(value, str) for value in read.values())
    return read if texts else {}


def describe(kind: Kind, layer: Layer, like: Tensor) -> str:
    """Return a text that is the same wherever the same way should be taken.

    The number of chains is not in it: whatever it is, the numbers of a chain stay the same.
    """
    shape = "x".join(map(str, (layer.channels, *layer.size)))
    geometry = " ".join(
        f"{name} {down}x{right}"
        for name, (down, right) in (
            ("kernel", layer.kernel),
            ("stride", layer.stride),
            ("padding", layer.padding),
        )
    )
    kind_of_number = str(like.dtype).removeprefix("torch.")
    return f"{kind} {shape} to {layer.filters}, {geometry}, {kind_of_number}, {where(like)}"


def where(like: Tensor) -> str:
    """Return what computes with a tensor, and by which torch."""
    return f"{processor(like.device)}, torch {torch.__version__}"


def processor(device: torch.device) -> str:
    """Return the name of what computes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    table = Path("/proc/cpuinfo")
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def measure(possible: dict[str, Way], layer: Layer, like: Tensor) -> str:
    """Return the name of the fastest way that agrees with torch's own, the first of them."""
    rng = torch.Generator(like.device).manual_seed(0)
    new: dict[str, Any] = {"device": like.device, "dtype": like.dtype, "generator": rng}
    x = torch.randn((min(len(like), MEASURED), *like.shape[1:]), **new).contiguous(
        memory_format=CHANNELS_LAST
    )
    weight = torch.randn((layer.filters, layer.channels, *layer.kernel), **new)
    ready = {name: (way, way.derive(weight, None)) for name, way in possible.items()}
    results = {name: way.apply(x, derived) for name, (way, derived) in ready.items()}
    own = results[next(iter(possible))].float()
    allowed = max(ROUNDING, 4 * torch.finfo(like.dtype).eps)
    return fastest(
        {
            name: partial(way.apply, x, derived)
            for name, (way, derived) in ready.items()
            if torch.dist(results[name].float(), own) <= allowed * own.norm()
        },
        x.device,
    )


def fastest(candidates: dict[str, Callable[[], Any]], device: torch.device) -> str:
    """Return the name of the fastest function; the first unless another gains enough."""
    seconds = dict.fromkeys(candidates, float("inf"))
    for _ in range(ROUNDS):
        for name, function in candidates.items():
            wait(device)
            begin = time.perf_counter()
            function()
            wait(device)
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    seconds[next(iter(candidates))] *= GAIN
    return min(seconds, key=seconds.__getitem__)


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
