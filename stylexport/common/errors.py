"""The errors a user meets. Each says what was found, what was expected, in which file and tensor, and what to do.

The command line prints the message on one line and leaves with `exit_code`; programs catch the class they can act on.
"""

from __future__ import annotations

import os


class StylexportError(Exception):
    """Base of every error whose cause is the input. Any other exception is a fault of StylExport's.

    Example:
        >>> from stylexport import StylexportError, inspect
        >>> try:
        ...     inspect("nowhere")
        ... except StylexportError as error:
        ...     print(error)
        nowhere: no such file or folder; check the path

    """

    exit_code = 2


class BadInput(StylexportError):
    """A file that is missing, of an unknown format, or not what the command needs."""


class DamagedFile(BadInput):
    """A file whose bytes contradict its format or its checksums."""

    def __init__(self, path: str | os.PathLike[str], found: str, remedy: str = "fetch or export the file again") -> None:
        super().__init__(f"{os.fspath(path)}: {found}; {remedy}")


class HostileFile(BadInput):
    """A file that would run code, leave its folder, or grow out of all proportion."""

    def __init__(self, path: str | os.PathLike[str], found: str, remedy: str = "do not use it") -> None:
        super().__init__(f"{os.fspath(path)}: {found}; {remedy}")


class MappingError(BadInput):
    """Variables that do not fit the rule table: missing, ambiguous, of another shape, or non-finite."""


class IncompleteCoverage(StylexportError):
    """Something in the source that nothing answers for."""

    exit_code = 3
