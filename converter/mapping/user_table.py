"""A user's own table (`--mapping FILE`): YAML rows that map the variables of any network, or correct the table of a known one.

docs/mapping.md describes the file and works an example. In short:

    network: digits              # the folder to write; a known network's name (generator, ...) corrects that network's table
    config: {labels: 10}         # copied into config.json
    tensors:
      - {tf: conv_{i}/kernel, torch: "features.{i}.weight", layout: conv, for: {i: [1, 2]}}
      - {key: layer-3/kernel/.ATTRIBUTES/VARIABLE_VALUE, torch: head.weight, layout: dense, shape: [10, 64]}
      - {tf: code/kernel, torch: code.weight, layout: {dense_after_hwc: [4, 6]}}
      - {tf: "gru/bias[0]", torch: gru.bias_ih_l0, layout: gru}                              # a part of a variable
      - {tf: [query/kernel, key/kernel, value/kernel], torch: mha.in_proj_weight, layout: heads}  # joined
      - {fill: 0, torch: lstm.bias_hh_l0, shape: [24]}                                       # no variable gives it
    left_out:
      - {tf: "teacher/*", reason: not part of the network}
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.yaml_files import read_yaml
from stylexport.converter.mapping.layout_names import by_name
from stylexport.converter.mapping.layouts import Layout

_SOURCES = ("tf", "key", "fill")
# Bounds that no network comes near, so that a table cannot stand for more than a memory holds.
_MOST_NAMES, _LONGEST, _MOST_FILLED = 10_000, 1_000, 2**28  # names of variables and fills, characters of one, elements that are filled


@dataclass(frozen=True)
class UserRow:
    """One tensor: its PyTorch name, layout, the shape it must have (or None), and where its numbers come from.

    `sources` are variables, perhaps in part, by name or (`by_key`) by checkpoint key; several are joined along the tensor's axis `axis`.
    Without any, equal parts of the tensor are filled with the numbers of `fill`. `where` names the row in the table.
    """

    where: str
    sources: tuple[str, ...]
    by_key: bool
    torch: str
    layout: Layout
    shape: tuple[int, ...] | None
    axis: int = 0
    fill: tuple[float, ...] = ()


@dataclass(frozen=True)
class UserTable:
    """A table as read from its file: rows, and name patterns of variables that are left out, each with its reason."""

    path: Path
    network: str
    config: Mapping[str, Any]
    rows: Sequence[UserRow]
    left_out: Sequence[tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> UserTable:
        """The table in a YAML (or JSON) file. Raises BadInput that names the row at fault."""
        values = read_yaml(path, "check the path given to --mapping")
        if not isinstance(values, dict) or not isinstance(values.get("network"), str):
            raise BadInput(f"{path}: a mapping needs `network: NAME` and `tensors:`; docs/mapping.md has an example")
        if unknown := sorted(set(values) - {"network", "config", "tensors", "left_out"}):
            raise BadInput(f"{path}: unknown entries {', '.join(unknown)}; a mapping has network, config, tensors, left_out")
        name = values["network"]
        if not name.replace("_", "").replace("-", "").isalnum():
            raise BadInput(f"{path}: network {name!r} becomes a folder's name: use letters, digits, - and _")
        tensors, excuses = (_list(values, entry, path) for entry in ("tensors", "left_out"))
        rows: list[UserRow] = []
        left = _MOST_NAMES
        for number, entry in enumerate(tensors, 1):
            found = _rows(entry, f"{path}: row {number}", left)
            left -= sum(len(row.sources) or 1 for row in found)
            rows += found
        if sum(math.prod(row.shape or ()) for row in rows if row.fill) > _MOST_FILLED:
            raise BadInput(f"{path}: `fill` stands for more than {_MOST_FILLED:,} numbers, which no network has")
        return cls(path, name, _config(values, path), rows, [_excuse(entry, path) for entry in excuses])


def _list(values: Mapping[str, Any], entry: str, path: Path) -> list[Any]:
    found = values.get(entry) or []
    if not isinstance(found, list):
        raise BadInput(f"{path}: `{entry}:` is a list of rows, each with a dash before it")
    return found


def _config(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    config = values.get("config") or {}
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: `config:` becomes JSON, which cannot hold it ({error}); put dates, .nan and the like in quotes") from error
    if not isinstance(config, dict) or "network" in config:
        raise BadInput(f"{path}: `config:` is a table of settings, none of them called network")
    return config


def _rows(entry: Any, where: str, most: int) -> list[UserRow]:
    """The row's tensors. Raises BadInput, also where it names more than `most` variables."""
    if not isinstance(entry, dict) or not isinstance(entry.get("torch"), str) or sum(name in entry for name in _SOURCES) != 1:
        raise BadInput(f"{where}: needs `torch`, and `tf` (a variable's name), `key` (its checkpoint key) or `fill` (a number)")
    if entry["torch"] in ("", "__metadata__"):
        raise BadInput(f"{where}: {entry['torch']!r} cannot be the name of a tensor in a safetensors file")
    if unknown := sorted(set(entry) - {*_SOURCES, "torch", "layout", "shape", "axis", "for"}):
        raise BadInput(f"{where}: unknown entries {', '.join(unknown)}")
    layout, shape = _layout(entry.get("layout", "identity"), where), _shape(entry.get("shape"), where)
    sources, fill = _sources(entry, where), _fill(entry, shape, where)
    axis = entry.get("axis", 0)
    if type(axis) is not int or axis < 0 or ("axis" in entry and len(sources) < 2):
        raise BadInput(f"{where}: `axis` is the axis of the tensor, along which several variables are joined (`tf: [first, second]`)")
    loops = entry.get("for") or {}
    if not isinstance(loops, dict) or not all(isinstance(values, list) for values in loops.values()):
        raise BadInput(f"{where}: `for` must list values for each {{name}} in the row, not {loops!r}")
    if (count := math.prod(map(len, loops.values()))) * (len(sources) or 1) > most:
        raise BadInput(
            f"{where}: stands for {count:,} tensors; a table may name {_MOST_NAMES:,} variables in all, more than any network has"
        )
    choices = [dict(zip(loops, values, strict=True)) for values in itertools.product(*loops.values())]
    return [
        UserRow(
            where,
            tuple(_filled(source, chosen, where) for source in sources),
            "key" in entry,
            _filled(entry["torch"], chosen, where),
            layout,
            shape,
            axis,
            fill,
        )
        for chosen in choices
    ]


def _sources(entry: Mapping[str, Any], where: str) -> list[str]:
    """What stands under `tf` or `key`: one name, or several in a list."""
    given = entry.get("tf", entry.get("key", []))
    sources = given if isinstance(given, list) else [given]
    if ("fill" not in entry and not sources) or any(isinstance(source, list | dict) for source in sources):
        raise BadInput(f'{where}: `tf` and `key` are a name or a list of names; write a name with brackets in quotes: "cell/kernel[:5]"')
    return [str(source) for source in sources]


def _fill(entry: Mapping[str, Any], shape: tuple[int, ...] | None, where: str) -> tuple[float, ...]:
    """The numbers under `fill`, one for each of equal parts of the tensor's first axis."""
    if "fill" not in entry:
        return ()
    given = entry["fill"] if isinstance(entry["fill"], list) else [entry["fill"]]
    if not given or not all(type(n) in (int, float) and math.isfinite(np.float32(n)) for n in given):
        raise BadInput(f"{where}: `fill` is a number, or a list with one for each gate, not {entry['fill']!r}")
    if not shape or shape[0] % len(given) or min(shape) < 1 or math.prod(shape) > _MOST_FILLED or "layout" in entry:
        raise BadInput(f"{where}: `fill` needs the tensor's `shape`, its first size a multiple of {len(given)}, and no layout")
    return tuple(map(float, given))


def _filled(text: str, chosen: Mapping[str, Any], where: str) -> str:
    """`text` with the chosen value in place of each {name}."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in chosen:
            raise BadInput(f"{where}: `for` must list values for each {{name}} in the row ({found[1]!r} has none)")
        return str(chosen[found[1]])

    if len(text) + text.count("{") * max((len(str(value)) for value in chosen.values()), default=0) > _LONGEST:
        raise BadInput(f"{where}: a name is longer than {_LONGEST:,} characters")
    return re.sub(r"\{(.*?)\}", value, text)


def _layout(value: Any, where: str) -> Layout:
    try:
        return by_name(value)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error


def _shape(value: Any, where: str) -> tuple[int, ...] | None:
    if value is not None and not (isinstance(value, list) and all(type(n) is int for n in value)):
        raise BadInput(f"{where}: shape {value!r} is not a list of sizes")
    return None if value is None else tuple(value)


def _excuse(entry: Any, path: Path) -> tuple[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("tf"), str) or not isinstance(entry.get("reason"), str):
        raise BadInput(f"{path}: each row of left_out needs `tf` (a pattern of names) and `reason`")
    return entry["tf"], entry["reason"]
