"""What is public changes only together with the changelog."""

import difflib

import pytest
from public import CHANGELOG, fingerprint, listing, recorded, stored

from coopkit import hookspecs, interfaces


def test_the_page_lists_what_is_public():
    changes = "\n".join(difflib.unified_diff(stored().splitlines(), listing().splitlines(), n=0))
    assert not changes, f"say in CHANGELOG.md what has changed, then run make public:\n{changes}"


def test_the_changelog_knows_of_it():
    told = recorded(CHANGELOG.read_text(encoding="utf-8"))
    assert told == fingerprint(listing()), "CHANGELOG.md does not tell of the public interface"


@pytest.mark.parametrize(
    "line",
    [
        "coopkit.interfaces.INTERFACE_VERSION = 1",
        "coopkit.interfaces.Target.score(self, x: Tensor) -> Tensor",
        "coopkit.interfaces.Descriptor.reference_std -> float",
        "coopkit.hookspecs.samplers() -> Iterable[type[Sampler]]",
        "coopkit.builtin.Langevin.temperature: float = attrs.field(default=1.0, validator=ge(0))",
    ],
)
def test_signatures_defaults_and_fields_are_in_the_list(line):
    assert line in listing().splitlines()


def test_every_interface_and_hook_is_in_the_list():
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "coopkit_spec")]
    assert "samplers" in hooks
    assert "run_started" in hooks
    names = [f"coopkit.interfaces.{name}" for name in interfaces.__all__]
    lines = listing()
    assert all(name in lines for name in [*names, *(f"coopkit.hookspecs.{n}(" for n in hooks)])


def test_a_fingerprint_stands_in_the_newest_section_only():
    text = "# Changelog\n\n## [2]\n\nnothing\n\n## [1]\n\nPublic interface: `0123456789ab`\n"
    assert recorded(text) == ""
    assert recorded(text.replace("nothing", "Public interface: `ffffffffffff`")) == "f" * 12
    assert len(fingerprint("a")) == 12
    assert fingerprint("a") != fingerprint("b")
