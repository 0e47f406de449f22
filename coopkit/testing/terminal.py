"""The checks of one sampler as a table in the terminal, a row as soon as each is done."""

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coopkit.errors import CoopkitError, did_you_mean
from coopkit.testing.defaults import chosen_seed
from coopkit.testing.needs import needed_extra

if TYPE_CHECKING:
    from coopkit.testing.conformance import SamplerCheck
    from coopkit.testing.records import Profile, Result, Status

STYLES: dict["Status", str] = {
    "passed": "green",
    "failed": "bold red",
    "not applicable": "dim",
    "expected failure": "yellow",
    "unexpected pass": "bold red",
}
COLUMNS = {"check": 25, "what it means": 0, "figure": 8, "bound": 6, "verdict": 10}
"""Widths; 0 for what is left of the line, up to WIDEST."""

UNSURE = "No one is clearly likelier than the next: these checks do not tell them apart."
UNTOLD = (
    "Where it is known what a step does to a Gaussian, a method gaussian_step that says so lets\n"
    "the checks tell more mistakes apart."
)

MOST_NAMED = 3
"""Names of checks in one line, where more saw the same."""

WIDEST = 76
NARROWEST = 16
GAP = 2


@attrs.frozen(kw_only=True)
class Request:
    """What is asked of `coopkit check`.

    Attributes:
        name: of the sampler, "module:Class" or "file.py:Class".
        settings: "key=value" for its fields.
        profile: "quick" or "full".
        seed: of all randomness; None for COOPKIT_SEED, or else a new one.
        only: names or families of the checks to run; all where there are none.
        expected: "check=reason" of those that are expected to fail.
    """

    name: str
    settings: Sequence[str] = ()
    profile: "Profile" = "full"
    seed: int | None = None
    only: Sequence[str] = ()
    expected: Sequence[str] = ()

    def command(self) -> str:
        """Return the command line that asks the same again."""
        words = ["coopkit", "check", self.name]
        for option, values in (("--set", self.settings), ("--only", self.only)):
            words += [word for value in values for word in (option, value)]
        words += [word for value in self.expected for word in ("--expect-failure", value)]
        words += ["--profile", self.profile, "--seed", str(self.seed)]
        return shlex.join(words)


def check(request: Request, console: Console) -> bool:
    """Run the checks, print what they find out, and return whether the sampler conforms.

    Raises:
        CoopkitError: the request names something that there is not, or a package is missing.
    """
    with needed_extra():
        from coopkit.testing.checks import CHECKS
        from coopkit.testing.conformance import checks_of
        from coopkit.testing.instances import sampler_instance

    request = attrs.evolve(request, seed=chosen_seed(request.seed))
    names = [each.name for each in CHECKS]
    wanted, reasons = chosen_checks(request.only, names), expected_failures(request.expected, names)
    sampler = sampler_instance(request.name, request.settings)
    bound = checks_of(
        sampler, profile=request.profile, seed=request.seed, expected_failures=reasons
    )
    say(console, f"{sampler}, profile {request.profile}, seed {request.seed}")
    begun = time.perf_counter()
    found = run_checks([each for each in bound if each.check.name in wanted], console)
    seconds = time.perf_counter() - begun
    print_failures(found, console)
    if any(each.status == "failed" for each in found):
        print_diagnosis(found, len(found) == len(names), console)
    say(console, "")
    say(console, summary(found, seconds, request))
    say(console, f"again: {request.command()}")
    return all(each.passed for each in found)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a text as it is; a line longer than the terminal is left for it to break."""
    console.print(Text(text, style), soft_wrap=True)


def chosen_checks(only: Sequence[str], names: Sequence[str]) -> set[str]:
    """Return the names of the checks to run: all, or those named or of a named family.

    Raises:
        CoopkitError: nothing has a name.
    """
    found = set() if only else set(names)
    for word in only:
        members = {name for name in names if word in (name, name.partition("[")[0])}
        if not members:
            families = sorted({name.partition("[")[0] for name in names})
            hint = did_you_mean(word, sorted({*names, *families}))
            raise CoopkitError(f"--only: there is no check {word!r}; {hint}")
        found |= members
    return found


def expected_failures(expected: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the reasons of expected failures by the name of the check.

    Raises:
        CoopkitError: one names no check, or has no reason.
    """
    reasons = {}
    for entry in expected:
        name, _, reason = (part.strip() for part in entry.partition("="))
        if not reason:
            raise CoopkitError(f"--expect-failure {entry}: say why, as CHECK=REASON")
        if name not in names:
            hint = did_you_mean(name, names)
            raise CoopkitError(f"--expect-failure: there is no check {name!r}; {hint}")
        reasons[name] = reason
    return reasons


def run_checks(checks: Sequence["SamplerCheck"], console: Console) -> list["Result"]:
    """Run checks one after the other, and print the row of each as soon as it is done."""
    found = []
    widths = column_widths(console.width)
    console.print(row([Text(name, "bold") for name in COLUMNS], widths))
    for each in checks:
        if console.is_terminal:
            with console.status(Text(each.check.name)):
                found.append(each.result())
        else:
            found.append(each.result())
        console.print(row(cells(found[-1]), widths))
    return found


def column_widths(width: int) -> list[int]:
    """Return the widths of the columns in a terminal of a width."""
    left = width - sum(COLUMNS.values()) - GAP * (len(COLUMNS) - 1)
    return [fixed or min(max(left, NARROWEST), WIDEST) for fixed in COLUMNS.values()]


def row(texts: Sequence[Text], widths: Sequence[int]) -> Table:
    """Return one line of the table, folded where a text is wider than its column."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, GAP, 0, 0))
    for name, width in zip(COLUMNS, widths, strict=True):
        number = name in ("figure", "bound")
        table.add_column(width=width, overflow="fold", justify="right" if number else "left")
    table.add_row(*texts)
    return table


def cells(found: "Result") -> list[Text]:
    """Return what the table says of one check."""
    meaning = Text(found.meaning)
    numbers = [short(found.figure, COLUMNS["figure"]), short(found.bound, COLUMNS["bound"])]
    if found.status == "not applicable":
        meaning.append(f": {found.detail}", "dim")
        numbers = ["", ""]
    style = STYLES[found.status]
    return [Text(found.check, style), meaning, *map(Text, numbers), Text(found.status, style)]


def short(value: float, width: int) -> str:
    """Return a number with as many digits, up to three, as a column has room for."""
    texts = [f"{value:.{digits}g}" for digits in (3, 2, 1)]
    return next((text for text in texts if len(text) <= width), texts[-1])


def print_failures(found: Sequence["Result"], console: Console) -> None:
    """Say of each check that speaks against the sampler, or was expected to, what it saw.

    Checks that saw the same are told of together, with the example and the source of the first.
    """
    from coopkit.testing.records import SMALLEST

    groups: dict[tuple[Status, str], list[Result]] = {}
    for each in found:
        if each.status in ("failed", "expected failure", "unexpected pass"):
            seen = each.detail.partition(f"; {SMALLEST}")[0]
            groups.setdefault((each.status, seen), []).append(each)
    for (status, _), same in groups.items():
        console.print()
        head = (f"{named([each.check for each in same])}: {status}.", STYLES[status])
        console.print(Text.assemble(head, f" {same[0].detail} [{same[0].source}]"))


def named(checks: Sequence[str]) -> str:
    """Return the names of checks, of many the first and how many they are."""
    if len(checks) <= MOST_NAMED:
        return ", ".join(checks)
    return f"{', '.join(checks[:MOST_NAMED])}, … ({len(checks)} checks)"


def print_diagnosis(found: Sequence["Result"], complete: bool, console: Console) -> None:
    """Say which mistakes are likeliest behind failures, how sure that is, or why none is named."""
    from coopkit.testing.diagnosis import (
        likeliest_mistakes,
        mostly_errors,
        says_its_step,
        told_apart,
    )

    if mostly_errors(found):
        say(console, "\nMost of these failures are errors that were raised. Mend those first.")
        return
    if not complete:
        say(console, "\nAll checks together, without --only, tell which mistake is likeliest.")
        return
    diagnoses = likeliest_mistakes(found)
    if not diagnoses:
        say(console, "\nNone of the known mistakes leaves this pattern of failures.")
        return
    print_mistakes([(each.probability, each.mistake, each.remedy) for each in diagnoses], console)
    if not told_apart(diagnoses):
        say(console, UNSURE)
        if not says_its_step(found):
            say(console, UNTOLD)


def print_mistakes(mistakes: Sequence[tuple[float, str, str]], console: Console) -> None:
    """Say which mistakes are likeliest: the probability, what is wrong, what would be right."""
    if not mistakes:
        return
    console.print()
    console.print(Text("The likeliest of the known mistakes behind these failures:", "bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for probability, mistake, remedy in mistakes:
        table.add_row(Text(f"{probability:.0%}"), Text(f"{mistake}: {remedy}"))
    console.print(table)


def summary(found: Sequence["Result"], seconds: float, request: Request) -> str:
    """Return how many checks came to which verdict, and what that is worth."""
    counts = Counter(each.status for each in found)
    said = [
        f"{counts[status]} {status}"
        for status in STYLES
        if counts[status] or status in ("passed", "failed", "not applicable")
    ]
    alarm = sum(each.false_alarm for each in found if each.status != "not applicable")
    return (
        f"{', '.join(said)}; a right sampler fails with probability {alarm:.1g}; "
        f"{seconds:.1f} s, seed {request.seed}"
    )
