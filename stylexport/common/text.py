"""Words for messages: lists that stay short, and text of files and people made safe to show."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# Control characters (ESC begins a terminal's commands), line separators, what turns the direction of writing, lone surrogates (bytes of a
# file's name that are no UTF-8), and what is no character.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def listing(names: Sequence[str], most: int = 6, separator: str = ", ") -> str:
    """Names for a message: the first `most`, and how many more there are.

    Example:
        >>> listing(["w", "b", "beta"], most=2)
        'w, b and 1 more'

    """
    shown = separator.join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> counted(1, "layer"), counted(1200, "layer")
        ('1 layer', '1,200 layers')

    """
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def printable(text: str, lines: bool = False) -> str:
    r"""The text with what a terminal, a page or XML must not get written out as Python writes it; `lines`: line breaks and tabs may stay.

    Every text that comes from a file, a path or a person goes through here where it is shown, and nowhere before.

    Example:
        >>> print(printable("conv\x1b[2J [v2] \udce9"))
        conv\x1b[2J [v2] \udce9

    """
    return _UNSAFE.sub(lambda found: found[0] if lines and found[0] in "\n\t" else found[0].encode("unicode_escape").decode(), text)


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """The file by a path in UTF-8, which is all that safetensors takes: where a name has other bytes, by an open handle, as Linux does."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield Path(f"/proc/self/fd/{file.fileno()}")
    else:
        yield path
