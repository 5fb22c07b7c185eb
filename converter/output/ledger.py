"""The ledger of a conversion: every PyTorch tensor's variable, every TensorFlow variable left out, every field's source.

`conversion.json` is one network's ledger; `stylex.json` names the networks of a folder. Both are read back by export-tf and by
training, so their keys are part of the format (docs/files.md). Neither holds a date or a path of this machine: same input, same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.version import __version__

FORMAT = 1
TOOL = {"name": "stylexport", "version": __version__}


@dataclass(frozen=True)
class Row:
    """One tensor: its PyTorch name, the TensorFlow variable (full name and checkpoint key), layout, both shapes, dtypes, checksum.

    `dtype` is the tensor's, `tf_dtype` the variable's; `checksum` is the source's own ("crc32c:...") or None.
    """

    tensor: str
    variable: str
    key: str
    layout: str
    tf_shape: tuple[int, ...]
    shape: tuple[int, ...]
    tf_dtype: str
    dtype: str
    checksum: str | None


@dataclass(frozen=True)
class LeftOut:
    """A TensorFlow variable that has no tensor, and why."""

    variable: str
    key: str
    tf_shape: tuple[int, ...]
    tf_dtype: str
    reason: str


@dataclass(frozen=True)
class Ledger:
    """One network's conversion. `source` names file, format, versions, checksums; `config` is field, value, and what told it."""

    network: str
    source: Mapping[str, Any]
    dtype: str
    config: Sequence[Mapping[str, Any]]
    tensors: Sequence[Row]
    left_out: Sequence[LeftOut]
    remarks: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The ledger as `conversion.json` holds it."""
        return {"format": FORMAT, "tool": TOOL, **dataclasses.asdict(self)}


def read_ledger(path: Path) -> Ledger:
    """The ledger in a `conversion.json`. Raises BadInput and DamagedFile."""
    values = read_json(path)
    try:
        if values["format"] != FORMAT:
            raise BadInput(f"{path}: ledger format {values['format']}; this version reads {FORMAT}: update stylexport")
        rows = [Row(**{**row, "tf_shape": tuple(row["tf_shape"]), "shape": tuple(row["shape"])}) for row in values["tensors"]]
        left = [LeftOut(**{**row, "tf_shape": tuple(row["tf_shape"])}) for row in values["left_out"]]
        names = ("network", "source", "dtype", "config", "remarks")
        return Ledger(**{name: values[name] for name in names}, tensors=rows, left_out=left)
    except (KeyError, TypeError) as error:
        raise DamagedFile(path, f"is no ledger ({error!r})", "convert the release again") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises BadInput where it is missing, DamagedFile where it is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; is this a converted folder?") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"is not valid JSON ({error})", "convert the release again") from error
    if not isinstance(values, dict):
        raise DamagedFile(path, "holds no JSON object", "convert the release again")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """A JSON file, one line an entry (and one a row of a table, so that a reader can go down it with a finger)."""
    entries = [f"{json.dumps(key)}: {_entry(value)}" for key, value in values.items()]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("{\n " + ",\n ".join(entries) + "\n}\n")


def _entry(value: Any) -> str:
    rows = value.items() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    if not any(isinstance(row[1] if isinstance(value, Mapping) else row, (Mapping, list, tuple)) for row in rows):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        lines = [f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in value.items()]
        return "{\n  " + ",\n  ".join(lines) + "\n }"
    return "[\n  " + ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n ]"
