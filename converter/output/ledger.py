"""The ledger of a conversion: every PyTorch tensor's variable, every TensorFlow variable left out, every field's source.

`conversion.json` is one network's ledger; `stylex.json` names the networks of a folder. Both are read back by export-tf and by
training, so their keys are part of the format (docs/files.md). Neither holds a date or a path of this machine: same input, same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import from_json, read_json
from stylexport.common.version import __version__

FORMAT = 1
TOOL = {"name": "stylexport", "version": __version__}
_PARTS = ("tf_part", "part")


@dataclass(frozen=True)
class TensorRow:
    """One tensor: its PyTorch name, the TensorFlow variable (full name and checkpoint key), layout, both shapes, dtypes, checksum.

    `dtype` is the tensor's, `tf_dtype` the variable's; `checksum` is the source's own ("crc32c:...") or None. Where a variable fills
    several tensors, or several fill one, there is a row for each pair: `tf_part` of the variable ("[0:5]") becomes `part` of the tensor.
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
    tf_part: str = ""
    part: str = ""


@dataclass(frozen=True)
class FilledRow:
    """A tensor that no variable gives: the table fills equal parts of its first axis with `values`."""

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    values: tuple[float, ...]


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
    """One network's conversion. `source`: file, format, versions, checksums; `config`: each field, its value, and where it was read.

    Example:
        >>> from stylexport import convert
        >>> from stylexport.checkpoints import EMBEDDED
        >>> ledger = convert(EMBEDDED / "encoder.savedmodel.zip", "converted").ledgers["encoder"]
        >>> len(ledger.tensors), len(ledger.left_out)
        (23, 0)

    """

    network: str
    source: Mapping[str, Any]
    dtype: str
    config: Sequence[Mapping[str, Any]]
    tensors: Sequence[TensorRow]
    left_out: Sequence[LeftOut]
    remarks: Sequence[str] = field(default=())
    filled: Sequence[FilledRow] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The ledger as `conversion.json` holds it; what speaks of parts and fillings is there only where there are some."""
        values = {"format": FORMAT, "tool": TOOL, **dataclasses.asdict(self)}
        if not self.filled:
            del values["filled"]
        values["tensors"] = [{key: value for key, value in row.items() if value or key not in _PARTS} for row in values["tensors"]]
        return values


def read_ledger(path: Path) -> Ledger:
    """The ledger in a `conversion.json`. Raises BadInput where the file cannot be read, DamagedFile where it holds something else.

    Example:
        >>> from stylexport import convert
        >>> from stylexport.checkpoints import EMBEDDED
        >>> _ = convert(EMBEDDED / "encoder.savedmodel.zip", "converted")
        >>> ledger = read_ledger(Path("converted/encoder/conversion.json"))
        >>> len(ledger.tensors), len(ledger.left_out)
        (23, 0)
        >>> [fact["value"] for fact in ledger.config if fact["field"] == "leaky_slope"]
        [0.2]

    """
    values = read_json(path)
    if values.get("format", FORMAT) != FORMAT:
        raise BadInput(f"{path}: ledger format {values['format']}; this version reads {FORMAT}: update stylexport")
    try:
        return from_json(Ledger, {name: value for name, value in values.items() if name not in ("format", "tool")})
    except ValueError as error:
        raise DamagedFile(path, f"is not a ledger ({error})", "convert the release again") from error
