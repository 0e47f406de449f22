"""The command line: a thin skin over the Python API.

Everything heavy is imported inside the commands, so that help and listings come at once.
"""

import io
import os
import sys
from collections.abc import Sequence

import click

from coopkit.cli.authoring import check, new
from coopkit.cli.console import say
from coopkit.cli.drawing import interpolate, sample
from coopkit.cli.evaluating import energy, evaluate
from coopkit.cli.listings import plugins, recipes
from coopkit.cli.restoring import complete, inpaint, reconstruct
from coopkit.cli.training import info, run
from coopkit.errors import CoopkitError, is_out_of_memory

FEWER = "give fewer images at a time"
FEWER_CHAINS = f"{FEWER}, or ask for a smaller --chains"
LESS = {
    "run": "try a smaller run.chains or run.observed, fewer filters, or smaller signals",
    "sample": "ask for a smaller -n or --size",
    "interpolate": "ask for a smaller -n or --frames",
    "evaluate": "ask for a smaller -n",
    "energy": FEWER,
    "reconstruct": FEWER_CHAINS,
    "inpaint": FEWER_CHAINS,
    "complete": FEWER_CHAINS,
}
"""What to do about too little memory, by command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that a user can mend is one message and status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("coopkit: stopped")
        sys.exit(130)
    except CoopkitError as error:
        say(f"coopkit: {error}")
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = f": {str(error).partition(chr(10))[0]}" if str(error) else ""
        say(f"coopkit: there is not enough memory{reason}")
        words = sys.argv[1:] if arguments is None else arguments
        say(LESS[next((word for word in words if word in LESS), "run")])
        sys.exit(2)
    except OSError as error:
        say(f"coopkit: {error.filename or 'an output'} cannot be used: {error.strerror or error}")
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="coopkit")
@click.option(
    "--no-plugins", is_flag=True, help="Leave third-party plugins out (as COOPKIT_NO_PLUGINS=1)."
)
def cli(no_plugins: bool) -> None:
    """Train descriptor and generator networks that teach each other."""
    if no_plugins:
        os.environ["COOPKIT_NO_PLUGINS"] = "1"


for command in (
    check,
    complete,
    energy,
    evaluate,
    info,
    inpaint,
    interpolate,
    new,
    plugins,
    recipes,
    reconstruct,
    run,
    sample,
):
    cli.add_command(command)
