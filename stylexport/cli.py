"""The command line. A command's module, and with it any framework, is imported only when the command is called."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback

import click

from stylexport.common.errors import StylexportError
from stylexport.common.version import __version__
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
OWN_FAULT = "this is a fault of StylExport's, not of your files; please report it with the lines above"
# What the machine refuses, and what to do about it. The system names no file with some of these.
REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "name a place where you may read and write",
    errno.EPERM: "name a place where you may read and write",
    errno.EROFS: "name a place where you may write",
    errno.ENOSPC: "make room on the disk, or name another one",
    errno.EDQUOT: "make room on the disk, or name another one",
    errno.EFBIG: "name a disk that takes larger files",
    errno.EIO: "check the disk",
    errno.ENOMEM: "free memory, or take fewer samples at once",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs, too many files are open",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a folder, not a file",
}


@click.group(cls=lazy("stylexport.commands", COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stylexport")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
def cli(verbose: bool) -> None:
    """Carry a released StylEx from TensorFlow into PyTorch, and prove that it arrived unchanged.

    Exit codes: 0 good, 1 the check failed, 2 bad input or usage, 3 incomplete coverage, 70 a fault of StylExport itself, 130 interrupted.
    """


def main() -> None:
    """The entry point: run a command, and turn errors into one line and an exit code."""
    verbose = any(arg in ("-v", "--verbose") for arg in sys.argv[1:])
    try:
        with unwinding():
            code = _run()
        sys.stdout.flush()
    except StylexportError as error:
        code = _report(error, str(error), error.exit_code, verbose)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        click.echo("stylexport: interrupted; nothing half-written was left", err=True)
        code = EXIT_INTERRUPTED
    except Terminated as signalled:
        with contextlib.suppress(OSError):  # the terminal may be what ended
            click.echo("stylexport: terminated; nothing half-written was left", err=True)
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


def machine_refuses(error: BaseException) -> str | None:
    """What the machine refused and what to do, for an error that is neither the input's nor ours: a file, or memory. None for others."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in REMEDIES):
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{place}{error.strerror or error}; {REMEDIES.get(error.errno or 0, 'check the path')}"
    # Of torch's, neither the class for a GPU nor the RuntimeError for a CPU is a MemoryError.
    named = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or (named and isinstance(error, RuntimeError)):
        return f"the memory is not enough ({str(error) or 'MemoryError'}); take fewer samples at once, or a machine with more memory"
    return None


def _report(error: BaseException, message: str, code: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(error)
    click.echo(f"stylexport: error: {' '.join(message.split())}", err=True)
    return code


def _report_own_fault(error: BaseException) -> int:
    traceback.print_exception(error)
    click.echo(f"stylexport: {OWN_FAULT}", err=True)
    return EXIT_OWN_FAULT
