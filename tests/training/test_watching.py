"""What a run tells its watchers, and when."""

from pathlib import Path

import attrs
import pytest
from training.runs import NETWORKS, StopAt, newest, tiny

from coopkit import hookimpl
from coopkit.errors import PluginError
from coopkit.iterations import Iteration
from coopkit.training import Run, run
from coopkit.watchers.files import read_metrics


@attrs.define
class Diary:
    """Notes the hooks that are called."""

    calls: list[object] = attrs.field(factory=list)

    @hookimpl
    def run_started(self, run: Run) -> None:
        self.calls.append(("started", run.iteration))

    @hookimpl
    def iteration_finished(self, run: Run, iteration: Iteration) -> None:
        self.calls.append(run.iteration)

    @hookimpl
    def run_finished(self, run: Run) -> None:
        self.calls.append(("finished", run.failed))


def test_watchers_are_called_in_order(tmp_path: Path):
    diary = Diary()
    run(tiny(), tmp_path, watchers=[diary])
    assert diary.calls == [("started", 0), 1, 2, 3, 4, ("finished", False)]
    again = Diary()
    run(tiny("cooperative", "run.iterations=5"), tmp_path, resume=True, watchers=[again])
    assert again.calls == [("started", 4), 5, ("finished", False)]


def test_watchers_are_told_of_a_failure(tmp_path: Path):
    @attrs.define
    class Fails:
        @hookimpl
        def run_started(self, run: Run) -> None:
            raise OSError("no disk")

    diary = Diary()
    with pytest.raises(OSError, match="no disk"):
        run(tiny(), tmp_path, watchers=[diary, Fails()])
    assert diary.calls[-1] == ("finished", True)


def test_files_are_written_before_watchers_are_called(tmp_path: Path):
    @attrs.define
    class Reads:
        lines: list[int] = attrs.field(factory=list)

        @hookimpl
        def run_started(self, run: Run) -> None:
            assert (run.folder / "recipe.toml").is_file()

        @hookimpl
        def iteration_finished(self, run: Run, iteration: Iteration) -> None:
            self.lines.append(len(read_metrics(run.folder)))

    reads = Reads()
    run(tiny(), tmp_path, watchers=[reads])
    assert reads.lines == [1, 2, 3, 4]


def test_a_watcher_that_fails_costs_no_checkpoint(tmp_path: Path):
    @attrs.define
    class Fails:
        @hookimpl
        def run_finished(self, run: Run) -> None:
            raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        run(tiny(), tmp_path, watchers=[Fails(), StopAt(2)])
    assert newest(tmp_path).iteration == 2


def test_watcher_with_a_misspelt_hook_is_refused(tmp_path: Path):
    class Watcher:
        @hookimpl
        def iteration_finish(self, run: Run) -> None: ...

    with pytest.raises(PluginError, match=r"Watcher.*is not usable.*iteration_finish"):
        run(tiny(), tmp_path, watchers=[Watcher()])


def test_a_watcher_that_asks_for_what_there_is_not_is_named(tmp_path: Path):
    class Watcher:
        @hookimpl
        def iteration_finished(self, run: Run, iterations: int) -> None: ...

    said = r"Watcher object .* has a hook .*: iteration_finished\(run: .*asks for 'iterations', "
    with pytest.raises(PluginError, match=said + ".*may ask for run and iteration") as caught:
        run(tiny(), tmp_path, watchers=[Watcher()])
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_told_of_the_hook_that_it_is_of(tmp_path: Path):
    """Hooks under another name, those that need not be there, and defaults are pluggy's ways."""

    class Watcher:
        @hookimpl(optionalhook=True)
        def iteration_skipped(self, run: Run) -> None: ...

        @hookimpl
        def run_finished(self, run: Run, again: bool = False) -> None: ...

        @hookimpl(specname="iteration_finished")
        def told(self, run: Run, loss: float) -> None: ...

    with pytest.raises(PluginError, match=r": iteration_finished\(run: .*asks for 'loss', "):
        run(tiny(), tmp_path, watchers=[Watcher()])


def test_the_hooks_that_there_are_are_listed(tmp_path: Path):
    class Watcher:
        @hookimpl
        def qqq(self, run: Run) -> None: ...

    with pytest.raises(PluginError, match="'qqq': known: descriptors, generators"):
        run(tiny(), tmp_path, watchers=[Watcher()])


@pytest.mark.parametrize(
    ("watchers", "says"),
    [
        ([Diary], r"the watcher Diary is a class; it must be an instance, Diary\("),
        (Diary(), r"watchers is a Diary; it must be a list, such as watchers=\[watcher\]"),
        (iter([Diary()]), "watchers is a list_iterator; it must be a list"),
    ],
)
def test_watchers_that_are_no_list_of_instances_are_refused(watchers, says, tmp_path: Path):
    with pytest.raises(PluginError, match=says):
        run(tiny(), tmp_path, watchers=watchers)
    assert list(tmp_path.iterdir()) == []


def test_watchers_that_are_equal_are_refused(tmp_path: Path):
    @attrs.define
    class Watcher:
        @hookimpl
        def iteration_finished(self, run: Run) -> None: ...

    with pytest.raises(PluginError, match=r"Watcher\(\) equals one that watches already"):
        run(tiny(), tmp_path, watchers=[Watcher(), Watcher()])


def test_watcher_without_a_hook_is_refused(tmp_path: Path):
    with pytest.raises(PluginError, match="has no hook; mark one"):
        run(tiny(), tmp_path, watchers=[object()])


def test_all_four_kinds_of_signals_reach_the_watchers(tmp_path: Path):
    seen: list[Iteration] = []

    class Keep:
        @hookimpl
        def iteration_finished(self, run: Run, iteration: Iteration) -> None:
            seen.append(iteration)

    for name in NETWORKS:
        run(tiny(name, "run.iterations=1"), tmp_path / name, watchers=[Keep()])
    one, two, three = seen
    assert (one.reconstructed, two.initial, two.revised) == (None, None, None)
    shapes = {
        three.observed.shape,
        three.initial.shape,
        three.revised.shape,
        three.reconstructed.shape,
    }
    assert shapes == {(4, 1, 8, 8)}
