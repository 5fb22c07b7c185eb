"""Rules: which TensorFlow variable becomes which PyTorch tensor, and the matching of a table of them against an artefact.

A rule's `tf` is the variable's name as released. A part that ends in "*" also matches with Keras's counter behind it
(`discriminator*` matches `discriminator` and `discriminator_1`), and any scopes may come before the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import MappingError
from stylexport.common.text import listing
from stylexport.converter.formats.base import Variable
from stylexport.converter.mapping.layouts import Layout, Shape
from stylexport.converter.mapping.parts import WHOLE, Part


@dataclass(frozen=True)
class Rule:
    """One row: TensorFlow name, PyTorch name, layout, and the PyTorch shape that the architecture asks for."""

    tf: str
    torch: str
    layout: Layout
    shape: Shape


@dataclass(frozen=True)
class Binding:
    """A rule that found its variable. `part` of the variable becomes `at` of the tensor; most often each is the whole."""

    rule: Rule
    variable: Variable
    part: Part = WHOLE
    at: Part = WHOLE


def by_tensor(bindings: Iterable[Binding]) -> dict[str, list[Binding]]:
    """PyTorch tensor -> the bindings that give it together."""
    found: dict[str, list[Binding]] = {}
    for binding in bindings:
        found.setdefault(binding.rule.torch, []).append(binding)
    return found


def layers_of(bindings: Iterable[Binding]) -> dict[str, str]:
    """Variable's key -> the PyTorch tensor that it becomes; "" for one that becomes tensors of several modules."""
    found: dict[str, str] = {}
    for binding in bindings:
        key, tensor = binding.variable.key, binding.rule.torch
        same = found.get(key, tensor).rpartition(".")[0] == tensor.rpartition(".")[0]
        found[key] = tensor if same or binding.part == WHOLE else ""
    return found


def assembled(bindings: Sequence[Binding], read: Callable[[Variable], NDArray[Any]]) -> NDArray[Any]:
    """A tensor in PyTorch's layout from all of its bindings."""
    pieces = [(binding.at, binding.rule.layout.forward(binding.part.of(read(binding.variable)))) for binding in bindings]
    if len(pieces) == 1:
        return pieces[0][1]
    whole = np.empty(bindings[0].rule.shape, pieces[0][1].dtype)
    for at, piece in pieces:
        whole[at.index] = piece
    return whole


@lru_cache(maxsize=4096)
def pattern(tf: str) -> re.Pattern[str]:
    """The names that a rule's `tf` accepts."""
    parts = [re.escape(part[:-1]) + r"(?:_\d+)?" if part.endswith("*") else re.escape(part) for part in tf.split("/")]
    return re.compile(r"(?:.*/)?" + "/".join(parts))


class Names:
    """An artefact's network variables by name, for looking up rules; optimiser slots are not among them.

    `chosen` names the variable of a PyTorch tensor outright, whatever its rule says.
    """

    def __init__(self, variables: Iterable[Variable], chosen: Mapping[str, Variable] | None = None) -> None:
        self.chosen = chosen or {}
        self.variables = [variable for variable in variables if variable.slot is None]
        self.by_tail: dict[str, list[Variable]] = {}
        for variable in self.variables:
            self.by_tail.setdefault(variable.name.rsplit("/", 1)[-1], []).append(variable)

    def find(self, tf: str) -> list[Variable]:
        """The variables that a rule's `tf` accepts."""
        tail = tf.rsplit("/", 1)[-1]
        if tail.endswith("*"):
            candidates = [v for name, vs in self.by_tail.items() if name.startswith(tail[:-1]) for v in vs]
        else:
            candidates = self.by_tail.get(tail, [])
        return [v for v in candidates if pattern(tf).fullmatch(v.name)]

    def highest(self, template: str, where: str, least: int = 4) -> int:
        """The highest resolution r for which the variable `template` (with {r}) exists. Raises MappingError where none does."""
        found = [2**k for k in range(2, 15) if 2**k >= least and self.find(template.replace("{r}", str(2**k)))]
        if not found:
            raise MappingError(f"{where}: no {template.replace('{r}', 'R').replace('*', '')} at any resolution; is the file whole?")
        return found[-1]

    def shape_of(self, tf: str, where: str, rank: int) -> Shape:
        """The shape of the variable `tf`, which must have `rank` axes. Raises MappingError where it is missing or has others."""
        found = self.find(tf)
        if not found:
            raise MappingError(f"{where}: lacks {tf.replace('*', '')}, whose shape tells the architecture; convert the whole release")
        if len(found[0].shape) != rank or 0 in found[0].shape:
            raise MappingError(f"{where}: {found[0].name} has shape {list(found[0].shape)} where {rank} axes were expected")
        return found[0].shape


def match(rules: Sequence[Rule], names: Names, where: str, network: str) -> list[Binding]:
    """A binding for every rule. Raises MappingError that lists what is missing, ambiguous, or of another shape."""
    found = [(rule, [names.chosen[rule.torch]] if rule.torch in names.chosen else names.find(rule.tf)) for rule in rules]
    if missing := [rule.tf.replace("*", "") for rule, variables in found if not variables]:
        raise MappingError(f"{where}: for the {network} it lacks {listing(missing)}; convert the whole release, or map it by --mapping")
    bindings = [Binding(rule, _one(variables, rule, where)) for rule, variables in found]
    for binding in bindings:
        check_shape(binding, where)
    return bindings


def _one(variables: list[Variable], rule: Rule, where: str) -> Variable:
    """The only variable, or the first of several that are the same to the byte."""
    different = without_copies(variables)
    if len(different) > 1:
        keys = ", ".join(v.key for v in different)
        raise MappingError(
            f"{where}: {len(different)} variables answer to {rule.tf.replace('*', '')} and differ ({keys}); "
            "say which by a --mapping that names its key"
        )
    return different[0]


def without_copies(variables: Sequence[Variable]) -> list[Variable]:
    """The variables but for those that repeat an earlier one to the byte (same shape, dtype and checksum)."""
    found: dict[object, Variable] = {}
    for variable in variables:
        content = variable.key if variable.checksum is None else (variable.checksum, variable.shape, variable.dtype)
        found.setdefault(content, variable)
    return list(found.values())


def check_shape(binding: Binding, where: str) -> None:
    """Raises MappingError where the variable does not become the shape that the architecture asks for."""
    rule, variable = binding.rule, binding.variable
    try:
        shape = rule.layout.shape(variable.shape)
    except ValueError as error:
        raise MappingError(f"{where}: {variable.name}: {error}; is this the right network?") from error
    if shape != rule.shape:
        raise MappingError(
            f"{where}: {variable.name} has shape {list(variable.shape)}, which becomes {list(shape)}, but {rule.torch} needs "
            f"{list(rule.shape)}; shapes must fit without broadcasting: is this the right network?"
        )
