"""A user's own table (`--mapping FILE`): YAML rows that map the variables of any network, or correct the table of a known one.

docs/mapping.md describes the file and works an example. In short:

    network: digits              # the folder to write; a known network's name (generator, ...) corrects that network's table
    config: {labels: 10}         # copied into config.json
    tensors:
      - {tf: conv_{i}/kernel, torch: "features.{i}.weight", layout: conv, for: {i: [1, 2]}}
      - {key: layer-3/kernel/.ATTRIBUTES/VARIABLE_VALUE, torch: head.weight, layout: dense, shape: [10, 64]}
      - {tf: code/kernel, torch: code.weight, layout: {dense_after_hwc: [4, 6]}}
    left_out:
      - {tf: "teacher/*", reason: not part of the network}
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stylexport.common.errors import BadInput, MappingError
from stylexport.common.text import listing
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.mapping.layouts import BY_NAME, MAPS, Layout
from stylexport.converter.mapping.network import Fact, Network
from stylexport.converter.mapping.recognise import read_as
from stylexport.converter.mapping.rules import Binding, Names, Rule, pattern, without_copies
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import kinds_called


@dataclass(frozen=True)
class UserRow:
    """One tensor: its variable by name (`tf`) or checkpoint key, its PyTorch name, layout, and the shape it must have (or None)."""

    tf: str | None
    key: str | None
    torch: str
    layout: Layout
    shape: tuple[int, ...] | None


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
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}; check the path given to --mapping") from error
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"{path}: is not valid YAML ({' '.join(str(error).split())})") from error
        if not isinstance(values, dict) or not isinstance(values.get("network"), str):
            raise BadInput(f"{path}: a mapping needs `network: NAME` and `tensors:`; docs/mapping.md has an example")
        if unknown := sorted(set(values) - {"network", "config", "tensors", "left_out"}):
            raise BadInput(f"{path}: unknown entries {', '.join(unknown)}; a mapping has network, config, tensors, left_out")
        name = values["network"]
        if not name.replace("_", "").replace("-", "").isalnum():
            raise BadInput(f"{path}: network {name!r} becomes a folder's name: use letters, digits, - and _")
        tensors, excuses = (_list(values, entry, path) for entry in ("tensors", "left_out"))
        rows = [row for number, entry in enumerate(tensors, 1) for row in _rows(entry, f"{path}: row {number}")]
        return cls(path, name, _config(values, path), rows, [_excuse(entry, path) for entry in excuses])


def _list(values: Mapping[str, Any], entry: str, path: Path) -> list[Any]:
    found = values.get(entry) or []
    if not isinstance(found, list):
        raise BadInput(f"{path}: `{entry}:` is a list of rows, each with a dash before it")
    return found


def _config(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    config = values.get("config") or {}
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: `config:` becomes JSON, which cannot hold it ({error}); write dates and the like in quotes") from error
    if not isinstance(config, dict) or "network" in config:
        raise BadInput(f"{path}: `config:` is a table of settings, none of them called network")
    return config


def _rows(entry: Any, where: str) -> list[UserRow]:
    if not isinstance(entry, dict) or not isinstance(entry.get("torch"), str) or ("tf" in entry) == ("key" in entry):
        raise BadInput(f"{where}: needs `torch` and either `tf` (a variable's name) or `key` (its checkpoint key)")
    if entry["torch"] in ("", "__metadata__"):
        raise BadInput(f"{where}: {entry['torch']!r} cannot be the name of a tensor in a safetensors file")
    if unknown := sorted(set(entry) - {"tf", "key", "torch", "layout", "shape", "for"}):
        raise BadInput(f"{where}: unknown entries {', '.join(unknown)}")
    layout, shape = _layout(entry.get("layout", "identity"), where), _shape(entry.get("shape"), where)
    loops = entry.get("for") or {}
    if not isinstance(loops, dict) or not all(isinstance(values, list) for values in loops.values()):
        raise BadInput(f"{where}: `for` must list values for each {{name}} in the row, not {loops!r}")
    choices = [dict(zip(loops, values, strict=True)) for values in itertools.product(*loops.values())]
    return [
        UserRow(
            _filled(str(entry["tf"]), chosen, where) if "tf" in entry else None,
            _filled(str(entry["key"]), chosen, where) if "key" in entry else None,
            _filled(entry["torch"], chosen, where),
            layout,
            shape,
        )
        for chosen in choices
    ]


def _filled(text: str, chosen: Mapping[str, Any], where: str) -> str:
    """`text` with the chosen value in place of each {name}."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in chosen:
            raise BadInput(f"{where}: `for` must list values for each {{name}} in the row ({found[1]!r} has none)")
        return str(chosen[found[1]])

    return re.sub(r"\{(.*?)\}", value, text)


def _layout(value: Any, where: str) -> Layout:
    """By name, or {name: [height, width]} for those of a flattened map."""
    if isinstance(value, dict) and len(value) == 1:
        (name, size), *_ = value.items()
        if name in MAPS and isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):
            return MAPS[name](*size)
    elif isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]
    sized = ", ".join(f"{{{name}: [height, width]}}" for name in MAPS)
    raise BadInput(f"{where}: layout {value!r} is not one of {', '.join(BY_NAME)}, {sized}")


def _shape(value: Any, where: str) -> tuple[int, ...] | None:
    if value is not None and not (isinstance(value, list) and all(type(n) is int for n in value)):
        raise BadInput(f"{where}: shape {value!r} is not a list of sizes")
    return None if value is None else tuple(value)


def _excuse(entry: Any, path: Path) -> tuple[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("tf"), str) or not isinstance(entry.get("reason"), str):
        raise BadInput(f"{path}: each row of left_out needs `tf` (a pattern of names) and `reason`")
    return entry["tf"], entry["reason"]


@dataclass(frozen=True)
class UserConfig(NetworkConfig):
    """config.json of a network that only its user knows: whatever the table's `config` says."""

    name: str
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The table's own values under the network's name."""
        return {"network": self.name, **self.values}


def read_with_table(artefact: Artefact, table: UserTable) -> Network:
    """`artefact` by `table`. Raises MappingError for rows that find no variable, or several, or one of another shape."""
    where = f"{artefact.path} by {table.path}"
    bindings = [_bind(row, artefact, where) for row in table.rows]
    if doubled := sorted({b.rule.torch for b in bindings if sum(b.rule.torch == c.rule.torch for c in bindings) > 1}):
        raise MappingError(f"{where}: {listing(doubled)} have more than one row")
    excused = {v.key: reason for pattern_, reason in table.left_out for v in artefact.variables if fnmatch.fnmatchcase(v.name, pattern_)}
    if kinds_called(table.network):
        network = read_as(artefact, table.network, {b.rule.torch: b.variable for b in bindings}, excused)
        if unknown := sorted({b.rule.torch for b in bindings} - {b.rule.torch for b in network.bindings}):
            raise MappingError(f"{where}: the {table.network} has no {listing(unknown)}; `torch` names one of its tensors")
        return dataclasses.replace(network, excused=excused)
    if not bindings:
        raise BadInput(f"{table.path}: has no rows under `tensors:`")
    facts = [Fact(field, value, f"{table.path.name}") for field, value in table.config.items()]
    return Network(table.network, UserConfig(table.network, table.config), bindings, facts, (), excused)


def _bind(row: UserRow, artefact: Artefact, where: str) -> Binding:
    if row.key is not None:
        found = [v for v in artefact.variables if v.key == row.key]
    else:
        found = without_copies(_by_name(str(row.tf), artefact))
    if len(found) != 1:
        what = "no variable" if not found else f"{len(found)} variables ({', '.join(v.key for v in found[:4])})"
        remedy = "`stylexport inspect` lists them" if not found else "name one by its `key`"
        raise MappingError(f"{where}: {what} for {row.key or row.tf}; {remedy}")
    variable = found[0]
    try:
        shape = row.layout.shape(variable.shape)
    except ValueError as error:
        raise MappingError(f"{where}: {variable.name}: {error}; choose another layout") from error
    if row.shape is not None and shape != row.shape:
        raise MappingError(f"{where}: {variable.name} {list(variable.shape)} becomes {list(shape)}; {row.torch} needs {list(row.shape)}")
    return Binding(Rule(variable.name, row.torch, row.layout, shape), variable)


def _by_name(tf: str, artefact: Artefact) -> list[Variable]:
    """The variables that a row means: of that name, else under any scopes, else by its path in the model, else a slot (an average)."""
    own, slots = ([v for v in artefact.variables if (v.slot is None) == network] for network in (True, False))
    return (
        [v for v in own if v.name == tf]
        or Names(own).find(tf)
        or [v for v in own if v.path and pattern(tf).fullmatch(v.path)]
        or [v for v in slots if v.name == tf]
    )
