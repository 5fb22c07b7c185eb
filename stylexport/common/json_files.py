"""JSON on disk: read with errors that name the file, made into dataclasses, written so that a person can read it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from stylexport.common.atomic import MARK, settle, whole_file
from stylexport.common.errors import BadInput, DamagedFile

T = TypeVar("T")


def read_json(path: Path, remedy: str = "convert the release again") -> dict[str, Any]:
    """The JSON object in a file.

    Raises BadInput where the file is missing, DamagedFile (with `remedy`) where it holds anything else than one object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the path, or {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"is not valid JSON ({error})", remedy) from error
    if not isinstance(values, dict):
        raise DamagedFile(path, f"holds a JSON {type(values).__name__} where an object belongs", remedy)
    return values


def read_index(folder: Path, remedy: str = "convert the release again") -> dict[str, Any]:
    """The stylex.json of a converted folder, whole also where the program that wrote into it was killed. Raises as `read_json` does."""
    settle(folder)
    return read_json(folder / MARK, remedy)


def from_json(kind: type[T], values: Any) -> T:
    """The dataclass `kind` with the fields of a JSON object: lists become tuples where it has tuples, objects the dataclasses in it.

    Raises ValueError where a field is missing, unknown or of another type: that is the file's fault. A TypeError would be ours.

    Example:
        >>> @dataclasses.dataclass
        ... class Row:
        ...     name: str
        ...     shape: tuple[int, ...] = ()
        >>> from_json(Row, {"name": "w", "shape": [3, 4]})
        Row(name='w', shape=(3, 4))
        >>> from_json(Row, {"name": "w", "shape": [3, "4"]})
        Traceback (most recent call last):
        ValueError: `shape` is [3, '4'], which is not tuple[int, ...]

    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{_short(values)} is not an object with the fields of a {kind.__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    if unknown := sorted(str(name) for name in values.keys() - fields.keys()):
        raise ValueError(f"unknown fields: {', '.join(unknown)}")
    needed = [name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"without the fields {', '.join(missing)}")
    hints: dict[str, Any] = _types(kind)  # type: ignore[arg-type]
    found = {}
    for name, value in values.items():
        try:
            found[name] = _value(hints[name], value)
        except _OtherTypeError as error:
            raise ValueError(f"`{name}` is {_short(value)}, which is not {fields[name].type}") from error
    return kind(**found)


class _OtherTypeError(Exception):
    """A value that is not of the type that was asked for."""


@cache
def _types(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(wanted: Any, value: Any) -> Any:
    """A value of JSON as a type has it. Raises _OtherTypeError, or ValueError from a dataclass inside."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in inner:
            with contextlib.suppress(_OtherTypeError):
                return _value(option, value)
    elif origin is tuple and isinstance(value, list | tuple):
        if inner[-1] is Ellipsis:
            return tuple(_value(inner[0], item) for item in value)
        if len(inner) == len(value):
            return tuple(_value(option, item) for option, item in zip(inner, value, strict=True))
    elif origin in (list, Sequence) and isinstance(value, list | tuple):
        return [_value(inner[0], item) for item in value]
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return {_value(inner[0], name): _value(inner[1], item) for name, item in value.items()}
    elif dataclasses.is_dataclass(wanted):
        return value if isinstance(value, wanted) else from_json(wanted, value)  # type: ignore[arg-type]
    elif (wanted is float and type(value) in (int, float)) or type(value) is wanted:
        return value
    raise _OtherTypeError


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]} ..."


def plain(value: Any) -> Any:
    r"""What the json module writes so that every reader takes it.

    numpy's scalars and arrays become Python's, keys text; NaN and infinities None; lone surrogates their names; what is no JSON its text.

    Example:
        >>> plain({1: (float("nan"), Path("a\udce9"))})
        {'1': [None, 'a\\udce9']}

    """
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy's
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    return plain(str(value))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON object, whole or not at all: one line an entry, and one a row of a table. Raises BadInput where it cannot.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "facts.json"
        >>> write_json(path, {"layers": [["b4", 3], ["b8", 5]], "name": "w"})
        >>> print(path.read_text())
        {
         "layers": [
          ["b4", 3],
          ["b8", 5]
         ],
         "name": "w"
        }
        <BLANKLINE>

    """
    entries = [f"{json.dumps(key)}: {_entry(value)}" for key, value in values.items()]
    with whole_file(path) as partial:
        partial.write_text("{\n " + ",\n ".join(entries) + "\n}\n", encoding="utf-8", errors="backslashreplace", newline="\n")


def _entry(value: Any) -> str:
    rows = value.items() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    if not any(isinstance(row[1] if isinstance(value, Mapping) else row, (Mapping, list, tuple)) for row in rows):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        lines = [f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in value.items()]
        return "{\n  " + ",\n  ".join(lines) + "\n }"
    return "[\n  " + ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n ]"
