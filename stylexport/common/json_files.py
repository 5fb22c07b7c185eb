"""JSON objects on disk: read with errors that name the file, written so that a person can read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylexport.common.atomic import whole_file
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
