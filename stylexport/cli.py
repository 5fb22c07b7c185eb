"""The command line. A command's module, and with it any framework, is imported only when the command is called."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback

import click

from stylexport.common.errors import StylexportError, machine_refuses
from stylexport.common.version import __version__
from stylexport.console import say
from stylexport.lazy import lazy
from stylexport.termination import Terminated, unwinding

# command -> its module under stylexport.commands, and its line in `stylexport --help`
COMMANDS = {
    "inspect": ("inspect", "Show what a TensorFlow file or folder holds."),
    "convert": ("convert", "Convert a released StylEx to PyTorch."),
    "record": ("record", "Record what the original graphs compute, layer by layer."),
    "verify": ("verify", "Prove that a port is the same function, layer by layer."),
    "selftest": ("selftest", "Test the proof: inject faults and see them found."),
    "attfind": ("attfind", "Find and show the attributes that change a classifier's decision."),
    "study": ("study", "User studies of the attributes."),
    "train": ("train", "Train a StylEx, from the start or from converted weights."),
    "classifier": ("classifier", "Train a classifier for a StylEx to explain."),
    "export-tf": ("export_tf", "Write a converted StylEx back as TensorFlow SavedModels."),
    "fetch": ("fetch", "Download released files, verified."),
    "demo": ("demo", "Convert the embedded release and show that nothing changed."),
}
EXIT_BAD_INPUT = 2
EXIT_OWN_FAULT = 70  # sysexits.h: EX_SOFTWARE
EXIT_INTERRUPTED = 130  # a shell's number for SIGINT
EXIT_BROKEN_PIPE = 141  # and for SIGPIPE
LONGEST = 4_000  # characters of an error: a file may hold a name of any length
OWN_FAULT = "this is a fault of StylExport's, not of your files; please report it with the lines above"


@click.group(cls=lazy("stylexport.commands", COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stylexport")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
def cli(verbose: bool) -> None:
    """Carry a released StylEx from TensorFlow into PyTorch, and prove that it arrived unchanged.

    Exit codes: 0 good, 1 the check failed, 2 bad input or usage, 3 incomplete coverage, 70 a fault of StylExport itself, 130 interrupted,
    143 ended by SIGTERM.
    """


def main() -> None:
    """The entry point: run a command, and turn errors into one line and an exit code."""
    verbose = any(arg in ("-v", "--verbose") for arg in sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a terminal that has fewer characters than a name
    try:
        with unwinding():
            code = _run()
        sys.stdout.flush()
    except StylexportError as error:
        code = _report(error, str(error), error.exit_code, verbose)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _say_lines(shown.getvalue())
        code = error.exit_code
    except KeyboardInterrupt:
        say("stylexport: interrupted; nothing half-written was left", err=True)
        code = EXIT_INTERRUPTED
    except Terminated as signalled:
        with contextlib.suppress(OSError):  # the terminal may be what ended
            say("stylexport: terminated; nothing half-written was left", err=True)
        code = int(signalled.code or 0)
    except BrokenPipeError:  # the reader of the output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be written goes nowhere
        code = EXIT_BROKEN_PIPE
    except Exception as error:
        message = machine_refuses(error)
        code = _report_own_fault(error) if message is None else _report(error, message, EXIT_BAD_INPUT, verbose)
    sys.exit(code)


def _run() -> int:
    """Runs the command of sys.argv and returns its exit code."""
    if "_STYLEXPORT_COMPLETE" in os.environ:
        cli.main(prog_name="stylexport")  # answers the shell, and leaves
    try:
        with cli.make_context("stylexport", sys.argv[1:]) as context:  # click's own main would make an exit code 1 of a broken pipe
            cli.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except Terminated:
        raise
    except SystemExit as leave:
        if isinstance(leave.__context__, BrokenPipeError):  # how rich leaves when the reader of the output has left
            return EXIT_BROKEN_PIPE
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def _report(error: BaseException, message: str, code: int, verbose: bool) -> int:
    if verbose:
        _say_lines("".join(traceback.format_exception(error)))
    line = " ".join(message.split())
    say(f"stylexport: error: {line if len(line) <= LONGEST else line[:LONGEST] + ' ...'}", err=True)
    return code


def _report_own_fault(error: BaseException) -> int:
    _say_lines("".join(traceback.format_exception(error)))
    say(f"stylexport: {OWN_FAULT}", err=True)
    return EXIT_OWN_FAULT


def _say_lines(text: str) -> None:
    """Several lines on standard error."""
    for line in text.splitlines():
        say(line, err=True)
