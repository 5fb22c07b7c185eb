"""Reading architecture from shapes: the questions that every rule table asks."""

from __future__ import annotations

from stylexport.common.errors import MappingError
from stylexport.converter.mapping.layouts import Shape
from stylexport.converter.mapping.rules import Names


def highest(names: Names, template: str, where: str, least: int = 4) -> int:
    """The highest resolution r for which the variable `template` (with {r}) exists. Raises MappingError where none does."""
    found = [2**k for k in range(2, 15) if 2**k >= least and names.find(template.replace("{r}", str(2**k)))]
    if not found:
        raise MappingError(f"{where}: no {template.replace('{r}', 'R').replace('*', '')} at any resolution; is the file whole?")
    return found[-1]


def shape_of(names: Names, tf: str, where: str, rank: int) -> Shape:
    """The shape of the variable `tf`, which must have `rank` axes. Raises MappingError where it is missing or has others."""
    found = names.find(tf)
    if not found:
        raise MappingError(f"{where}: lacks {tf.replace('*', '')}, whose shape tells the architecture; convert the whole release")
    if len(found[0].shape) != rank or 0 in found[0].shape:
        raise MappingError(f"{where}: {found[0].name} has shape {list(found[0].shape)} where {rank} axes were expected")
    return found[0].shape
