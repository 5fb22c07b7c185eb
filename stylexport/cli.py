"""The command line. A command's module, and with it any framework, is imported only when the command is called."""

from __future__ import annotations

import sys
import traceback

import click

from stylexport.common.errors import StylexportError
from stylexport.common.version import __version__
from stylexport.lazy import lazy

# command -> its module under stylexport.commands, and its line in `stylexport --help`
COMMANDS = {
    "inspect": ("inspect", "Say what a TensorFlow artefact holds."),
    "convert": ("convert", "Convert a released StylEx to PyTorch."),
    "record": ("record", "Record what the original graphs give, layer by layer."),
    "verify": ("verify", "Prove that a port is the same function, layer by layer."),
    "selftest": ("selftest", "Prove the proof: inject faults and see them found."),
    "attfind": ("attfind", "Find and show the attributes that change the classifier's mind."),
    "study": ("study", "User studies of the attributes."),
    "train": ("train", "Train a StylEx, from the start or from converted weights."),
    "classifier": ("classifier", "Train a classifier for a StylEx to explain."),
    "export-tf": ("export_tf", "Write a converted StylEx back as TensorFlow SavedModels."),
    "fetch": ("fetch", "Download released files, verified."),
    "demo": ("demo", "Convert the embedded release and show that nothing changed."),
}
EXIT_INTERRUPTED = 130


@click.group(cls=lazy("stylexport.commands", COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stylexport")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
def cli(verbose: bool) -> None:
    """Carry a released StylEx from TensorFlow into PyTorch, and prove that it arrived unchanged.

    Exit codes: 0 good, 1 the check failed, 2 bad input or usage, 3 incomplete coverage.
    """


def main() -> None:
    """The entry point: run a command, and turn errors into one line and an exit code."""
    verbose = any(arg in ("-v", "--verbose") for arg in sys.argv[1:])
    try:
        cli.main(standalone_mode=False)
    except StylexportError as error:
        code = _report(error, str(error), error.exit_code, verbose)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stylexport: interrupted; nothing half-written was left", err=True)
        code = EXIT_INTERRUPTED
    except (OSError, MemoryError, RecursionError) as error:
        code = _report(error, f"{type(error).__name__}: {error}", 2, verbose)
    else:
        code = 0
    sys.exit(code)


def _report(error: BaseException, message: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(error)
    click.echo(f"stylexport: error: {' '.join(message.split())}", err=True)
    return code
