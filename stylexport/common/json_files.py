"""JSON objects on disk: read with errors that name the file, written so that a person can read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylexport.common.atomic import MARK, settle, whole_file
from stylexport.common.errors import BadInput, DamagedFile


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
        partial.write_text("{\n " + ",\n ".join(entries) + "\n}\n", encoding="utf-8", newline="\n")


def _entry(value: Any) -> str:
    rows = value.items() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    if not any(isinstance(row[1] if isinstance(value, Mapping) else row, (Mapping, list, tuple)) for row in rows):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        lines = [f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in value.items()]
        return "{\n  " + ",\n  ".join(lines) + "\n }"
    return "[\n  " + ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n ]"
