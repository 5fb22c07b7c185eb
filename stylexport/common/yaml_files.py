"""YAML that people write: a network's table, settings of a training. Read without surprises, and never larger than it looks.

A few lines of YAML can stand for more than a memory holds: `&a [x, x]`, `&b [*a, *a]` and so on double each time. What a text stands for,
written out in full, is counted before anything is built from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stylexport.common.errors import BadInput

MOST = 4_000_000  # characters, of the text and of what it stands for
_DEEPEST, _LONGEST_NUMBER = 100, 1_000
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")  # in base 60 too, which take the square of their length
# What PyYAML raises beside its own errors: for dates like 2020-13-45, for numbers of thousands of digits, for lists in lists without end.
_ERRORS = (yaml.YAMLError, ValueError, OverflowError, RecursionError)


def read_yaml(path: Path, remedy: str) -> Any:
    """The value in a YAML file. Raises BadInput, with `remedy`, where the file cannot be read, is no YAML, or stands for too much."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; {remedy}") from error
    if len(data) > MOST:
        raise BadInput(f"{path}: is larger than {MOST:,} bytes; {remedy}")
    return parse_yaml(data, str(path), remedy)


def parse_yaml(text: str | bytes, where: str, remedy: str) -> Any:
    """The value of a YAML text that stands at `where`. Raises BadInput as `read_yaml` does.

    Example:
        >>> parse_yaml("digits: [8, 9]", "settings.yaml", "give a file of settings")
        {'digits': [8, 9]}
        >>> parse_yaml("day: 2020-13-45", "settings.yaml", "put dates in quotes")
        Traceback (most recent call last):
        stylexport.common.errors.BadInput: settings.yaml: is not valid YAML (month must be in 1..12); put dates in quotes

    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}, 0) > MOST:
                raise BadInput(f"{where}: its anchors (&) stand for more than {MOST:,} characters; {remedy}")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except _ERRORS as error:
        quotes = '; write a name with brackets in quotes: "cell/kernel[:5]"' if "[" in str(error) else ""
        raise BadInput(f"{where}: is not valid YAML ({' '.join(str(error).split())[:300]}){quotes}; {remedy}") from error


def _size(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many characters a node stands for. Raises ValueError where it holds itself, or lists and tables are nested too deeply."""
    if depth > _DEEPEST:
        raise ValueError(f"lists and tables are nested deeper than {_DEEPEST}")
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            raise ValueError(f"a number of {len(node.value):,} characters")
        return len(node.value) + 1
    if id(node) not in known:
        known[id(node)] = 0
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_size(part, known, depth + 1) for part in parts)
    elif not known[id(node)]:
        raise ValueError("an anchor (&) holds itself")
    return known[id(node)]
