"""An artefact's variables by a user's own table: each row's variable, or variables, and how they become the row's tensor."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stylexport.common.errors import BadInput, MappingError
from stylexport.common.text import listing
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.formats.savedmodel.frozen_graph import FrozenGraph
from stylexport.converter.mapping.network import Fact, Network
from stylexport.converter.mapping.parts import WHOLE, Filled, Part, check_covered, read_part, written
from stylexport.converter.mapping.recognise import read_as
from stylexport.converter.mapping.rules import Binding, Names, Rule, pattern, without_copies
from stylexport.converter.mapping.user_table import UserRow, UserTable
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import kinds_called


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
    if doubled := [torch for torch, count in Counter(row.torch for row in table.rows).items() if count > 1]:
        raise MappingError(f"{where}: {listing(sorted(doubled))} have more than one row")
    bindings = [binding for row in table.rows for binding in _bind(row, artefact)]
    filled = [Filled(row.torch, row.shape, row.fill) for row in table.rows if row.fill and row.shape]
    _check_parts(bindings, where)
    excused = {v.key: reason for pattern_, reason in table.left_out for v in artefact.variables if fnmatch.fnmatchcase(v.name, pattern_)}
    if kinds_called(table.network):
        if filled or any(binding.part != WHOLE or binding.at != WHOLE for binding in bindings):
            raise MappingError(f"{where}: a tensor of the {table.network} is one whole variable, without parts, lists and `fill`")
        network = read_as(artefact, table.network, {b.rule.torch: b.variable for b in bindings}, excused)
        if unknown := sorted({b.rule.torch for b in bindings} - {b.rule.torch for b in network.bindings}):
            raise MappingError(f"{where}: the {table.network} has no {listing(unknown)}; `torch` names one of its tensors")
        return dataclasses.replace(network, excused=excused)
    if not bindings:
        raise BadInput(f"{table.path}: has no rows under `tensors:`")
    facts = [Fact(field, value, f"{table.path.name}") for field, value in table.config.items()]
    return Network(table.network, UserConfig(table.network, table.config), bindings, facts, (), excused, filled)


def _bind(row: UserRow, artefact: Artefact) -> list[Binding]:
    """The row's variables, each with its part and its place in the tensor. Raises MappingError."""
    pieces = [_piece(row, source, artefact) for source in row.sources]
    if not pieces:
        return []
    variables, parts, shapes = zip(*pieces, strict=True)
    said = " and ".join(f"{v.name}{part} {list(part.shape(v.shape))}" for v, part in zip(variables, parts, strict=True))
    if len({v.dtype for v in variables}) > 1:
        raise MappingError(f"{row.where}: {said} are of several dtypes; joined variables have one")
    others = {(*shape[: row.axis], *shape[row.axis + 1 :]) for shape in shapes}
    if len(others) > 1 or row.axis >= max(len(shapes[0]), 1):
        becoming = " and ".join(str(list(shape)) for shape in shapes)
        raise MappingError(f"{row.where}: {said} become {becoming}, which cannot be joined along axis {row.axis} of {row.torch}")
    ends = list(itertools.accumulate((shape[row.axis] for shape in shapes), initial=0)) if len(pieces) > 1 else []
    whole = (*shapes[0][: row.axis], ends[-1], *shapes[0][row.axis + 1 :]) if ends else shapes[0]
    if row.shape is not None and whole != row.shape:
        raise MappingError(f"{row.where}: {said} becomes {list(whole)}; {row.torch} needs {list(row.shape)}: choose another layout")
    places = [Part((*((0, n) for n in whole[: row.axis]), ends_here)) for ends_here in itertools.pairwise(ends)] or [WHOLE]
    rules = [Rule(variable.name, row.torch, row.layout, whole) for variable in variables]
    return [Binding(*pair) for pair in zip(rules, variables, parts, places, strict=True)]


def _piece(row: UserRow, source: str, artefact: Artefact) -> tuple[Variable, Part, tuple[int, ...]]:
    """A row's variable, the part of it that the row takes, and the shape that this becomes. Raises MappingError."""
    where, (name, brackets) = f"{artefact.path} by {row.where}", written(source)
    found = _found(row, source, artefact)
    if not found and brackets:
        found = _found(row, name, artefact)
    else:
        name, brackets = source, ""
    if len(found) != 1:
        what = "no variable" if not found else f"{len(found)} variables ({', '.join(v.key for v in found[:4])})"
        remedy = "`stylexport inspect` lists them" if not found else "name one by its `key`"
        raise MappingError(f"{where}: {what} for {name}; {remedy}")
    variable = found[0]
    try:
        part = read_part(brackets, variable.shape)
        shape = part.shape(variable.shape)
        if not shape or part == WHOLE:
            row.layout.check_whole(variable.shape)
        return variable, part, row.layout.shape(shape)
    except ValueError as error:
        raise MappingError(f"{where}: {variable.name}, for {row.torch}: {error}; choose another layout or part") from error


def _found(row: UserRow, source: str, artefact: Artefact) -> list[Variable]:
    found = [v for v in artefact.variables if v.key == source] if row.by_key else _by_name(source, artefact)
    scalar = artefact.take_scalar(source) if not found and isinstance(artefact, FrozenGraph) else None
    return found if scalar is None else [scalar]


def _check_parts(bindings: Sequence[Binding], where: str) -> None:
    """Raises MappingError where a variable is taken in parts that overlap, or leave a number out."""
    taken: dict[str, list[Binding]] = {}
    for binding in bindings:
        taken.setdefault(binding.variable.key, []).append(binding)
    for same in taken.values():
        if problem := check_covered([binding.part for binding in same], same[0].variable.shape):
            raise MappingError(f"{where}: {same[0].variable.name} {list(same[0].variable.shape)}: {problem}")


def _by_name(tf: str, artefact: Artefact) -> list[Variable]:
    """The variables that a row means: of that name, else under any scopes, else by its path in the model, else a slot (an average).

    Copies of one variable, the same to the byte, are one.
    """
    own, slots = ([v for v in artefact.variables if (v.slot is None) == network] for network in (True, False))
    found = (
        [v for v in own if v.name == tf]
        or Names(own).find(tf)
        or [v for v in own if v.path and pattern(tf).fullmatch(v.path)]
        or [v for v in slots if v.name == tf]
    )
    return without_copies(found)
