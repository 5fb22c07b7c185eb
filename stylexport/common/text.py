"""Words for messages: lists that stay short."""

from __future__ import annotations

from collections.abc import Sequence


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
