"""How much memory an evaluation takes, counted by hand, and that it is kept between steps."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from coopkit.fast import Choices, Preparation, memory
from coopkit.fast.memory import bytes_of, keep_memory, keeps_memory, peak_bytes
from coopkit.fast.rewriting import rewrite
from coopkit.fast.tracing import trace

CHAINS, SHAPE = 2, (4, 6, 5)
IMAGE = 4 * CHAINS * 4 * 6 * 5
"""Bytes of a batch of images in float32."""


def peak(function: Callable[..., Any], rewritten: bool = False) -> int:
    """Return the most memory that a function of images takes besides its input."""
    x = torch.zeros(CHAINS, *SHAPE)
    graph: fx.Graph = trace(lambda constants, x: function(x), {}, x)
    if rewritten:
        rewrite(graph, 0, Choices())
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    (output,) = (node for node in graph.nodes if node.op == "output")
    return peak_bytes(nodes, output.all_input_nodes)


def test_a_chain_of_operations_takes_an_argument_and_a_result():
    assert peak(lambda x: x.sin()) == IMAGE
    assert peak(lambda x: x.sin().cos()) == 2 * IMAGE
    assert peak(lambda x: x.sin().cos().sin().cos()) == 2 * IMAGE


def test_a_value_lives_until_it_is_last_read():
    def skipping(x: Tensor) -> Tensor:
        a = x.sin()
        return a.cos().sin() + a

    def late(x: Tensor) -> Tensor:
        a = x.sin()
        b = (a + 1).cos().sin().cos()
        return (b * a).sum()

    assert peak(skipping) == 3 * IMAGE
    assert peak(late) == 3 * IMAGE


def test_results_live_to_the_end():
    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sin(), x.cos().sin()

    def last(x: Tensor) -> Tensor:
        x.sin()
        return x.cos().sin()

    assert peak(both) == 3 * IMAGE
    assert peak(last) == 2 * IMAGE


def test_a_view_takes_no_memory_and_keeps_what_it_shows():
    def seen(x: Tensor) -> Tensor:
        return x.sin().flatten(1).mT.cos()

    def kept(x: Tensor) -> Tensor:
        part = x.sin()[:, :1]
        return x.cos().sin().sum() + part.sum()

    def forgotten(x: Tensor) -> Tensor:
        part = x.sin()[:, :1] + 1
        return x.cos().sin().sum() + part.sum()

    assert peak(seen) == 2 * IMAGE
    assert peak(kept) == 3 * IMAGE
    assert peak(forgotten) == IMAGE * 2 + IMAGE // 4


def test_small_values_count_little():
    assert peak(lambda x: x.sin().sum((1, 2, 3)).cos()) == IMAGE + 4 * CHAINS
    assert peak(lambda x: x.double().sin()) == 4 * IMAGE
    assert peak(lambda x: x.sin() > 0) == IMAGE + IMAGE // 4


def test_an_operation_with_many_results_takes_all_their_memory():
    statistics = 2 * 4 * CHAINS * 2
    assert peak(lambda x: F.group_norm(x.sin(), 2)) == 2 * IMAGE + statistics


def test_nothing_takes_nothing():
    assert peak(lambda x: x) == 0
    assert peak_bytes([], []) == 0


def test_what_is_written_over_is_counted_once():
    assert peak(lambda x: x.sin().tanh()) == 2 * IMAGE
    assert peak(lambda x: x.sin().tanh(), rewritten=True) == IMAGE
    assert peak(lambda x: F.leaky_relu(x.sin(), 0.1), rewritten=True) == IMAGE


def test_what_is_read_again_is_not_written_over():
    def again(x: Tensor) -> Tensor:
        a = x.sin()
        return a.tanh() + a

    assert peak(again, rewritten=True) == 3 * IMAGE


def test_bytes_of_what_is_no_tensor():
    graph = fx.Graph()
    node = graph.placeholder("x")
    assert bytes_of(node) == 0
    node.meta["val"] = 3
    assert bytes_of(node) == 0
    node.meta["val"] = (torch.zeros(3), None, torch.zeros(2, dtype=torch.float64))
    assert bytes_of(node) == 28


def taken(network: nn.Module, purpose: str, chains: int = CHAINS) -> int:
    """Return how much memory the plan of a network takes."""
    fast, x = Preparation()(network), torch.randn(chains, *SHAPE)
    plan = fast.plan(purpose, x)
    assert plan is not None
    return plan.bytes


def test_the_memory_of_a_network_is_counted_without_its_weights(seed):
    assert taken(nn.Tanh(), "value") == IMAGE
    assert taken(nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU()), "value") == pytest.approx(
        3 * IMAGE, abs=IMAGE
    )
    wide = nn.Sequential(nn.Flatten(), nn.Linear(120, 1000), nn.ReLU(), nn.Linear(1000, 1))
    assert taken(wide, "value") == 4 * CHAINS * (1000 + 1)
    assert taken(wide, "value", 3 * CHAINS) == 3 * taken(wide, "value")


@pytest.mark.parametrize("purpose", ["value", "gradient", "pull"])
@pytest.mark.parametrize(
    ("nonlinearity", "operation"),
    [(nn.ReLU(), "relu_"), (nn.LeakyReLU(0.2), "leaky_relu_"), (nn.Tanh(), "tanh_")],
)
def test_non_linearities_write_over_their_argument(nonlinearity, operation, purpose, seed):
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nonlinearity, nn.Conv2d(8, 1, 1), nn.Sigmoid())
    plan = Preparation()(network).plan(purpose, torch.randn(CHAINS, *SHAPE))
    assert plan is not None
    assert f"aten.{operation}.default" in plan.text


def test_what_an_operation_needs_while_it_runs_is_counted_there():
    x = torch.zeros(CHAINS, *SHAPE)
    graph = trace(lambda constants, x: x.sin().cos().sum(), {}, x)
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    for place, expected in enumerate((2 * IMAGE, 2 * IMAGE + 9, IMAGE + 4 + 9)):
        needing = nodes[place]
        most = peak_bytes(nodes, nodes[-1:], lambda node, n=needing: 9 if node is n else 0)
        assert most == max(2 * IMAGE, expected)


def test_elsewhere_than_with_glibc_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    keep_memory.__wrapped__()
    assert not keeps_memory()


FAULTS = """
import resource

import torch
from torch import nn

from coopkit.fast import Choices, Preparation, keep_memory
from coopkit.targets import RevisionTarget


def faults_of_a_step():
    x = torch.randn(4, 1, 256, 256)
    preparation = Preparation(Choices(measures=False))
    target = RevisionTarget(preparation(network), 1.0)
    faults = []
    for step in range(8):
        x = x + 1e-3 * target.score(x)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    assert preparation.reason(network) == ""
    return sorted(after - before for before, after in zip(faults, faults[1:]))[3]


torch.set_num_threads(1)
network = nn.Sequential(
    nn.Conv2d(1, 40, 3, padding=1), nn.ELU(), nn.Conv2d(40, 1, 1), nn.Flatten(), nn.Tanh()
)
print(faults_of_a_step())
keep_memory()
print(faults_of_a_step())
"""
"""Activations of 42 MB; prints the page faults of most steps, without and with memory kept."""


def has_small_pages() -> bool:
    """Whether memory comes in pages of 4 KiB, unless a process asks for larger ones."""
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return not path.exists() or "[always]" not in path.read_text(encoding="utf-8")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the memory of glibc")
def test_after_the_first_steps_no_memory_is_asked_for():
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert kept < 100
    assert plain > 1000 or not has_small_pages()


def test_what_is_done_once_for_the_weights_is_not_counted(seed):
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(5, 7))
    assert taken(normed, "value") == taken(nn.Linear(5, 7), "value")
