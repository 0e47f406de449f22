"""The pytest plugin: checks of every installed sampler, and the seed of all checks.

It is loaded at every start of pytest where coopkit is installed, so nothing heavy is imported
before checks are collected.
"""

import argparse
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coopkit.errors import CoopkitError
from coopkit.testing.defaults import (
    PROFILE,
    PROFILES,
    SEED,
    chosen_profile,
    chosen_seed,
    whole_seed,
)
from coopkit.testing.needs import needed_extra

if TYPE_CHECKING:
    from coopkit.testing.conformance import SamplerCheck

ENVIRONMENT = pytest.StashKey[dict[str, str | None]]()
"""What the environment variables were before the session."""


def seed_option(text: str) -> int:
    """Return the seed that the option says."""
    try:
        return whole_seed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of coopkit."""
    group = parser.getgroup("coopkit", "conformance of samplers")
    group.addoption(
        "--coopkit-checks",
        action="store_true",
        help="collect every check that applies, of every installed sampler",
    )
    group.addoption(
        "--coopkit-profile",
        choices=PROFILES,
        help="how many chains and examples checks have that say nothing else (default: full)",
    )
    group.addoption(
        "--coopkit-seed",
        type=seed_option,
        metavar="N",
        help="seed of the checks that have none of their own (default: a new one)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Settle seed and profile for the whole session, its workers included."""
    options = config.option
    try:
        options.coopkit_seed = chosen_seed(options.coopkit_seed)
        options.coopkit_profile = chosen_profile(options.coopkit_profile)
    except CoopkitError as error:
        raise pytest.UsageError(str(error)) from error
    chosen = {SEED: str(options.coopkit_seed), PROFILE: options.coopkit_profile}
    config.stash[ENVIRONMENT] = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    for name, value in config.stash.get(ENVIRONMENT, {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed."""
    options = config.option
    return f"coopkit: profile {options.coopkit_profile}, --coopkit-seed {options.coopkit_seed}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Collect the checks after all else, before anything is deselected."""
    if config.option.coopkit_checks:
        checks = InstalledSamplers.from_parent(session, name="coopkit", nodeid="coopkit")
        items.extend(session.genitems(checks))


class InstalledSamplers(pytest.Collector):
    """The samplers that plugins supply, coopkit's own among them."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield a collector for each sampler, and an item that fails where a plugin is broken."""
        try:
            with needed_extra():
                import coopkit.testing.conformance  # noqa: F401
        except CoopkitError as error:
            raise self.CollectError(str(error)) from error
        from coopkit.plugins import registry

        found = registry()
        if found.problems:
            yield BrokenPlugins.from_parent(self, name="plugins", problems=found.problems)
        classes = {entry.name: entry.cls for entry in found.entries if entry.kind == "sampler"}
        for name in sorted(classes):
            yield InstalledSampler.from_parent(self, name=name, kind=classes[name])


class BrokenPlugins(pytest.Item):
    """Fails, because there are plugins whose samplers cannot be checked."""

    def __init__(self, *, problems: tuple[str, ...], **rest: Any) -> None:
        super().__init__(**rest)
        self.problems = problems

    def runtest(self) -> None:
        """Say what is wrong with the plugins."""
        pytest.fail("\n".join(self.problems), pytrace=False)


class InstalledSampler(pytest.Collector):
    """The checks of one sampler with its defaults."""

    def __init__(self, *, kind: type[Any], **rest: Any) -> None:
        super().__init__(**rest)
        self.kind = kind

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each check that applies; one that is skipped if fields are needed."""
        from coopkit.testing.conformance import applies, checks_of
        from coopkit.testing.instances import fields_without_default

        if needed := fields_without_default(self.kind):
            yield NeedsFields.from_parent(self, name="defaults", kind=self.kind, needed=needed)
            return
        profile = self.config.option.coopkit_profile
        seed = self.config.option.coopkit_seed
        for check in filter(applies, checks_of(self.kind(), profile=profile, seed=seed)):
            yield CheckItem.from_parent(self, name=check.check.name, check=check)


class SamplerItem(pytest.Item):
    """What is reported of a sampler, at the line where its class is."""

    def __init__(self, *, kind: type[Any], **rest: Any) -> None:
        super().__init__(**rest)
        self.kind = kind

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the sampler's class is, and a title."""
        title = f"{self.kind.name} {self.name}"
        try:
            return Path(inspect.getfile(self.kind)), inspect.getsourcelines(self.kind)[1] - 1, title
        except (OSError, TypeError):
            return self.path, None, title


class NeedsFields(SamplerItem):
    """Is skipped, because the sampler cannot be made from nothing."""

    def __init__(self, *, needed: list[str], **rest: Any) -> None:
        super().__init__(**rest)
        name, fields = self.kind.name, " and ".join(needed)
        reason = f"{name} has no default for {fields}; check an instance by parametrize_with_checks"
        self.add_marker(pytest.mark.skip(reason=reason))

    def runtest(self) -> None:
        """Do nothing: there is no instance."""


class CheckItem(SamplerItem):
    """One check of one sampler."""

    def __init__(self, *, check: "SamplerCheck", **rest: Any) -> None:
        super().__init__(kind=type(check.sampler), **rest)
        self.check = check

    def runtest(self) -> None:
        """Run the check."""
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what the check says; the way to it says nothing."""
        from coopkit.testing.conformance import NonConformingError

        if isinstance(excinfo.value, NonConformingError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)
