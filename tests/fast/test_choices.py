"""Which way is taken: the fastest one that agrees, measured once and remembered in a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn

from coopkit.derivatives import gradient, pull
from coopkit.fast import Choices, Preparation, cached_choices, prepared, read_choices
from coopkit.fast import choices as module
from coopkit.fast.choices import GAIN, Kind, describe, fastest, ways
from coopkit.fast.convolutions import Direct, DirectSpreading, Layer, Phases, Way
from coopkit.fast.polyphase import Polyphase
from coopkit.targets import frozen

pytestmark = pytest.mark.skipif(not torch._C._has_mkldnn, reason="there is nothing to choose")

LAYER = Layer(8, 8, (48, 40), (5, 5), (1, 1), (2, 2))
NAMES = {"correlation": ["direct", "toom-cook 2", "toom-cook 3"]}
NAMES["spreading"] = ["direct", "phases", *NAMES["correlation"][1:]]
KINDS: list[Kind] = ["correlation", "spreading"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let no test read or write the cache of who runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "cache" / "coopkit" / "choices.json"


def like(kind: Kind, chains: int = 2) -> Tensor:
    """Return an input of the layer."""
    assert LAYER.channels == LAYER.filters
    return torch.zeros(chains, LAYER.channels, *(LAYER.out if kind == "spreading" else LAYER.size))


@attrs.define(eq=False)
class Clock:
    """A clock that only the ways move on, and what is wrong with them.

    Attributes:
        now: seconds.
        seconds: how long each way takes.
        wrong: what is done to the results of a way.
        chains: of how many chains something was computed.
    """

    now: float = 0.0
    seconds: dict[str, float] = attrs.field(factory=lambda: dict.fromkeys(NAMES["spreading"], 1.0))
    wrong: dict[str, Callable[[Tensor], Tensor]] = attrs.field(factory=dict)
    chains: list[int] = attrs.field(factory=list)

    def perf_counter(self) -> float:
        """Return the time."""
        return self.now


@attrs.frozen(eq=False)
class Timed:
    """A way that takes as long as the clock says."""

    name: str
    way: Way
    clock: Clock

    def derive(self, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
        """Derive what the way derives."""
        self.clock.now += 1000
        return self.way.derive(weight, bias)

    def apply(self, x: Tensor, derived: tuple[Any, ...]) -> Tensor:
        """Return what the way returns, unless it is to be wrong."""
        self.clock.now += self.clock.seconds[self.name]
        self.clock.chains.append(len(x))
        return self.clock.wrong.get(self.name, lambda x: x)(self.way.apply(x, derived))


def name_of(way: Way) -> str:
    """Return the name under which a way is tried."""
    if isinstance(way, Timed):
        return way.name
    if isinstance(way, Direct | DirectSpreading):
        return "direct"
    inner = way.correlation if isinstance(way, Phases) else way
    return f"toom-cook {inner.m}" if isinstance(inner, Polyphase) else "phases"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let measurements see a clock of their own."""
    clock = Clock()

    def timed(*given: Any) -> dict[str, Way]:
        return {name: Timed(name, way, clock) for name, way in ways(*given).items()}

    monkeypatch.setattr(module, "ways", timed)
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any measurement fail."""

    def measure(*_: object) -> str:
        raise AssertionError("something was measured")

    monkeypatch.setattr(module, "measure", measure)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fastest_way_is_taken(kind, clock):
    for quickest in NAMES[kind]:
        clock.seconds = dict.fromkeys(clock.seconds, 1.0) | {quickest: 0.5}
        chosen = Choices()
        assert name_of(chosen.choose(kind, LAYER, like(kind))) == quickest
        assert list(chosen.known.values()) == [quickest]
        assert chosen.used == chosen.known


@pytest.mark.parametrize("kind", KINDS)
def test_a_way_that_is_hardly_faster_is_not_taken(kind, clock):
    clock.seconds["toom-cook 3"] = GAIN + 0.01
    assert name_of(Choices().choose(kind, LAYER, like(kind))) == "direct"
    clock.seconds["toom-cook 3"] = GAIN - 0.01
    assert name_of(Choices().choose(kind, LAYER, like(kind))) == "toom-cook 3"


def test_the_least_time_counts(clock):
    """A function that is once held up is still the fastest."""
    times = {"slow": [3.0] * 9, "held up": [9.0, 9.0, 1.0, 9.0, 9.0, 9.0], "steady": [2.0] * 9}

    def taking(name: str) -> Callable[[], None]:
        return lambda: setattr(clock, "now", clock.now + times[name].pop(0))

    functions = {name: taking(name) for name in times}
    assert fastest(functions, torch.device("cpu")) == "held up"


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": lambda result: 1.001 * result,
    "none": lambda result: 0 * result,
    "no number": lambda result: result * float("nan"),
    "a single entry": lambda result: result.index_fill(0, torch.tensor(0), 0.0),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_a_way_that_disagrees_is_never_taken(kind, wrong, clock):
    clock.wrong = {name: WRONG[wrong] for name in ("toom-cook 2", "toom-cook 3")}
    clock.seconds |= {"toom-cook 2": 1e-6, "toom-cook 3": 1e-6, "phases": 0.5}
    expected = "direct" if kind == "correlation" else "phases"
    assert name_of(Choices().choose(kind, LAYER, like(kind))) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_really_measured_is_a_way(kind):
    assert name_of(Choices().choose(kind, LAYER, like(kind))) in NAMES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_choice_is_taken_without_measuring(kind, unmeasured):
    for name in NAMES[kind]:
        chosen = Choices(known={describe(kind, LAYER, like(kind)): name})
        assert name_of(chosen.choose(kind, LAYER, like(kind, 7))) == name
        assert chosen.used == chosen.known


@pytest.mark.parametrize("name", ["", "toom-cook 4", "phases"])
def test_a_recorded_name_that_is_no_way_is_measured_anew(name, clock):
    clock.seconds["toom-cook 2"] = 0.5
    key = describe("correlation", LAYER, like("correlation"))
    chosen = Choices(known={key: name})
    assert name_of(chosen.choose("correlation", LAYER, like("correlation"))) == "toom-cook 2"
    assert chosen.known == {key: "toom-cook 2"}


def test_each_layer_is_measured_once(clock, monkeypatch):
    clock.seconds["toom-cook 2"] = 0.5
    chosen = Choices()
    chosen.choose("correlation", LAYER, like("correlation"))
    monkeypatch.delattr(module, "measure")
    assert name_of(chosen.choose("correlation", LAYER, like("correlation", 9))) == "toom-cook 2"


def test_torch_has_its_way_where_nothing_may_be_measured(unmeasured):
    chosen = Choices(measures=False)
    assert name_of(chosen.choose("spreading", LAYER, like("spreading"))) == "direct"
    assert chosen.known == {}


def test_torch_has_its_way_in_small_layers(unmeasured):
    small = attrs.evolve(LAYER, size=(8, 8))
    assert small.multiplications < module.WORTH_MEASURING < LAYER.multiplications
    chosen = Choices()
    assert name_of(chosen.choose("spreading", small, torch.zeros(2, 8, 8, 8))) == "direct"
    assert chosen.used == {}


def test_torch_has_its_way_where_there_is_no_other(unmeasured):
    strided = attrs.evolve(LAYER, stride=(2, 1))
    assert list(ways("correlation", strided, like("correlation"))) == ["direct"]
    assert name_of(Choices().choose("correlation", strided, like("correlation"))) == "direct"


def test_measuring_leaves_the_random_numbers_alone(seed):
    before = torch.get_rng_state()
    Choices().choose("spreading", LAYER, like("spreading"))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_more_chains_are_measured_than_needed(clock, monkeypatch):
    monkeypatch.setattr(module, "MEASURED", 3)
    Choices().choose("spreading", LAYER, like("spreading", 500))
    assert set(clock.chains) == {3}


def test_the_file_outlives_the_process(clock, cache, monkeypatch):
    clock.seconds["toom-cook 3"] = 0.5
    chosen = cached_choices()
    assert chosen.cache == cache
    for kind in KINDS:
        chosen.choose(kind, LAYER, like(kind))
    assert read_choices(cache) == chosen.known
    assert set(chosen.known.values()) == {"toom-cook 3"}
    monkeypatch.delattr(module, "measure")
    later = cached_choices()
    for kind in KINDS:
        assert name_of(later.choose(kind, LAYER, like(kind))) == "toom-cook 3"
    assert later.used == chosen.known
    assert list(cache.parent.iterdir()) == [cache]


def test_what_another_process_has_added_is_kept(clock, cache):
    one, other = cached_choices(), cached_choices()
    one.choose("correlation", LAYER, like("correlation"))
    other.choose("spreading", LAYER, like("spreading"))
    assert read_choices(cache) == one.known | other.known
    assert len(read_choices(cache)) == 2


def test_what_the_file_has_of_other_machines_is_kept(clock, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({"Größe einer anderen Maschine": "phases"}), encoding="utf-8")
    chosen = cached_choices()
    chosen.choose("correlation", LAYER, like("correlation"))
    assert read_choices(cache) == {"Größe einer anderen Maschine": "phases"} | chosen.known


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"a": "dir',
    "no text": b"\xff\xfe\x00",
    "a list": b'["direct"]',
    "a number": b"3",
    "null": b"null",
    "numbers": b'{"a": 1}',
    "tables": b'{"a": {"b": "direct"}}',
    "choices that are none": b'{"choices": ["direct"]}',
    "choices that are numbers": b'{"choices": {"a": 1}}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_holds_no_choices_and_is_written_anew(damage, clock, cache):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(DAMAGED[damage])
    assert read_choices(cache) == {}
    chosen = cached_choices()
    assert chosen.known == {}
    chosen.choose("correlation", LAYER, like("correlation"))
    assert read_choices(cache) == chosen.known
    assert len(chosen.known) == 1


def test_a_file_of_a_run_is_read_too(tmp_path):
    path = tmp_path / "fast.json"
    run = {"networks": {"descriptor": "prepared"}, "choices": {"a layer": "phases"}}
    path.write_text(json.dumps(run), encoding="utf-8")
    assert read_choices(path) == {"a layer": "phases"}


def test_there_are_no_choices_in_a_file_that_is_not_there(tmp_path):
    assert read_choices(tmp_path / "none.json") == {}
    assert read_choices(tmp_path) == {}
    assert cached_choices().known == {}


def test_a_folder_that_cannot_be_written_to_is_no_error(clock, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    chosen = Choices(cache=tmp_path / "file" / "coopkit" / "choices.json")
    clock.seconds["toom-cook 2"] = 0.5
    for kind in KINDS:
        assert name_of(chosen.choose(kind, LAYER, like(kind))) == "toom-cook 2"
    assert chosen.cache is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(clock, tmp_path):
    (tmp_path / "choices.json").mkdir()
    chosen = Choices(cache=tmp_path / "choices.json")
    chosen.choose("correlation", LAYER, like("correlation"))
    assert [path.name for path in tmp_path.iterdir()] == ["choices.json"]


@pytest.mark.parametrize("unset", [True, False])
def test_the_cache_is_in_the_home_where_nothing_else_is_said(unset, tmp_path, monkeypatch):
    if unset:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cached_choices().cache == tmp_path / "home" / ".cache" / "coopkit" / "choices.json"


def test_choices_without_a_file_write_none(clock, tmp_path):
    Choices().choose("correlation", LAYER, like("correlation"))
    assert list(tmp_path.iterdir()) == []
    assert Preparation().choices.cache is None


CHANGES: dict[str, Any] = {
    "channels": 9,
    "filters": 9,
    "size": (40, 48),
    "kernel": (5, 4),
    "stride": (1, 2),
    "padding": (2, 1),
}


def test_a_description_is_of_everything_but_the_number_of_chains(monkeypatch):
    x = like("correlation")
    texts = [describe("correlation", LAYER, x), describe("spreading", LAYER, x)]
    texts += [
        describe("correlation", attrs.evolve(LAYER, **{name: value}), x)
        for name, value in CHANGES.items()
    ]
    assert set(CHANGES) == {field.name for field in attrs.fields(Layer)}
    texts.append(describe("correlation", LAYER, x.double()))
    with monkeypatch.context() as other:
        other.setattr(torch, "get_num_threads", lambda: 7)
        texts.append(describe("correlation", LAYER, x))
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "9.9")
        texts.append(describe("correlation", LAYER, x))
    with monkeypatch.context() as other:
        other.setattr(module, "processor", lambda device: "another one")
        texts.append(describe("correlation", LAYER, x))
    assert len(set(texts)) == len(texts)
    for chains in (1, 5, 300):
        assert describe("correlation", LAYER, like("correlation", chains)) == texts[0]


def test_a_description_says_what_is_measured():
    text = describe("spreading", attrs.evolve(LAYER, padding=(2, 1)), like("spreading"))
    for word in ("spreading", "8x48x40 to 8", "kernel 5x5", "padding 2x1", "float32", "threads"):
        assert word in text
    assert torch.__version__ in text


def heavy() -> nn.Module:
    """Return a network with a layer that is worth measuring."""
    return nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.Tanh())


def results_of(network: nn.Module, preparation: Preparation, x: Tensor) -> list[Tensor]:
    fast = preparation(network)
    return [fast(x), fast.gradient(x), fast.pull(x, torch.sin)]


def test_a_network_that_is_faster_as_it_is_is_run_as_it_is(seed, monkeypatch):
    monkeypatch.setattr(prepared, "fastest", lambda functions, device: "as it is")
    network, x, preparation = heavy(), like("correlation").normal_(), Preparation()
    plain = frozen(network)
    expected = [plain(x).detach(), gradient(plain, x), pull(plain, x, torch.sin)]
    for _ in range(2):
        for result, right in zip(results_of(network, preparation, x), expected, strict=True):
            assert torch.equal(result, right)
    assert preparation.reason(network) == "it is faster as it is"
    assert list(preparation.choices.known.values()).count("as it is") == 3


@pytest.mark.parametrize("taken", ["prepared", "as it is"])
def test_whether_a_network_is_faster_prepared_is_measured_once(taken, seed, monkeypatch):
    monkeypatch.setattr(prepared, "fastest", lambda functions, device: taken)
    first, x = Preparation(), like("correlation").normal_()
    results_of(heavy(), first, x)
    monkeypatch.delattr(prepared, "fastest")
    monkeypatch.delattr(module, "measure")
    network, later = heavy(), Preparation(Choices(known=first.choices.known))
    results_of(network, later, x)
    assert later.choices.used == first.choices.used
    assert (later.reason(network) == "") == (taken == "prepared")


def test_where_nothing_may_be_measured_a_network_is_prepared(seed, unmeasured, monkeypatch):
    monkeypatch.delattr(prepared, "fastest")
    network, preparation = heavy(), Preparation(Choices(measures=False))
    results_of(network, preparation, like("correlation").normal_())
    assert preparation.reason(network) == ""
    assert preparation.choices.used == {}


def test_a_user_without_a_home_measures_anew(monkeypatch: pytest.MonkeyPatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert cached_choices().cache is None
