"""Attributes: what a selection found, and RUN/attributes.json, which keeps it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stylexport.attfind.effects.run_files import check_run
from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import from_json, read_json

FORMAT = 1
ATTRIBUTES = "attributes.json"
REMEDY = "write it again by `stylexport attfind select`"


@dataclass(frozen=True)
class Attribute:
    """A coordinate and the direction in which it moves images towards class `target`: to its minimum (0) or its maximum (1).

    `coordinate` is its index among all, `layer` and `channel` say where that is. `score` orders a list: the mean gain in the target's
    logit over the images of other classes; of two classes combined the mean effects of both directions on both, over all images; with
    image-fraction the share of images that move; of one image its gain.

    Example:
        >>> beard = Attribute(direction=1, coordinate=700, layer="b32.conv0", channel=60, score=0.8, target=0)
        >>> beard.reversed().direction, beard.reversed().target
        (0, 1)

    """

    direction: int
    coordinate: int
    layer: str
    channel: int
    score: float
    target: int

    def reversed(self) -> Attribute:
        """Of two classes the same attribute, stated towards the other one; the score stays what was measured."""
        return replace(self, direction=1 - self.direction, target=1 - self.target)


@dataclass(frozen=True)
class Selection:
    """Attributes in their order, and how they were selected.

    `target` is None where both or all classes were asked for, `image` is set where one image was. `by_class` has each target's own list,
    as it was chosen on images of other classes: where two classes are combined, `attributes` is another list. `parameters` are name ->
    (value, where it comes from); `search` is the run's, and `measured_on` its digests of model and classifier, where it has them. `labels`
    are the run's label names right after the selection: attributes.json does not keep them.

    Example:
        >>> beard = Attribute(direction=1, coordinate=700, layer="b32.conv0", channel=60, score=0.8, target=0)
        >>> [attribute.channel for attribute in Selection((beard,), {0: (beard,)})]
        [60]

    """

    attributes: tuple[Attribute, ...]
    by_class: Mapping[int, tuple[Attribute, ...]]
    strategy: str = "global"
    target: int | None = None
    image: int | None = None
    parameters: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    search: Any = "exhaustive"
    measured_on: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self.attributes)

    def __len__(self) -> int:
        return len(self.attributes)

    def lists(self, target: int | None, name: Callable[[int], str]) -> dict[int, tuple[Attribute, ...]]:
        """Every target's own list, or that of one; `name` names a label. Raises BadInput where it has no list."""
        if target is None:
            return dict(self.by_class)
        if target not in self.by_class:
            there = ", ".join(map(name, self.by_class))
            raise BadInput(f"no list towards {name(target)} is selected (there are: {there}); `stylexport attfind select` selects")
        return {target: self.by_class[target]}

    def to_json(self) -> dict[str, Any]:
        """What attributes.json holds (docs/attfind.md)."""
        return {
            "format": FORMAT,
            "strategy": self.strategy,
            "target": self.target,
            "image": self.image,
            "search": self.search,
            "measured_on": dict(self.measured_on),
            "parameters": {name: {"value": value, "from": origin} for name, (value, origin) in self.parameters.items()},
            "remarks": list(self.remarks),
            "attributes": [asdict(attribute) for attribute in self.attributes],
            "by_class": {str(target): [asdict(attribute) for attribute in own] for target, own in self.by_class.items()},
        }


def write_attributes(run: str | os.PathLike[str], found: Selection) -> Path:
    """Writes RUN/attributes.json, whole or absent."""
    path = Path(run) / ATTRIBUTES
    with whole_file(path) as partial:
        partial.write_text(json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    return path


def read_attributes(run: str | os.PathLike[str]) -> Selection:
    """The selection in RUN/attributes.json. Raises BadInput where there is none, DamagedFile where it is broken.

    Example:
        >>> import tempfile
        >>> run = tempfile.mkdtemp()
        >>> beard = Attribute(direction=1, coordinate=700, layer="b32.conv0", channel=60, score=0.8, target=0)
        >>> _ = write_attributes(run, Selection((beard,), {0: (beard,)}))
        >>> read_attributes(run).attributes == (beard,)
        True

    """
    path = Path(run) / ATTRIBUTES
    if not path.is_file():
        check_run(Path(run))
        raise BadInput(f"{path}: no attributes are selected yet; `stylexport attfind select {os.fspath(run)}` does it")
    values = read_json(path, REMEDY)
    try:
        if values.get("format") != FORMAT:
            raise ValueError(f"format {values.get('format')!r}, expected {FORMAT}")
        found = from_json(_File, values)
        return Selection(
            attributes=tuple(map(_possible, found.attributes)),
            by_class={int(target): tuple(_possible(row, int(target)) for row in own) for target, own in found.by_class.items()},
            strategy=found.strategy,
            target=found.target,
            image=found.image,
            parameters={name: (row["value"], row["from"]) for name, row in found.parameters.items()},
            remarks=found.remarks,
            search=found.search,
            measured_on=found.measured_on,
        )
    except ValueError as error:
        raise DamagedFile(path, f"is not a selection ({error})", REMEDY) from error


@dataclass(frozen=True)
class _File:
    """attributes.json as it is written."""

    format: int
    attributes: tuple[Attribute, ...]
    by_class: Mapping[str, tuple[Attribute, ...]]
    strategy: str
    target: int | None = None
    image: int | None = None
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    search: Any = "exhaustive"
    measured_on: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if lost := [name for name, row in self.parameters.items() if not {"value", "from"} <= row.keys()]:
            raise ValueError(f"the parameter {lost[0]} has no value, or no origin")


def _possible(found: Attribute, target: int | None = None) -> Attribute:
    """The attribute, of `target`'s list where one is given. Raises ValueError where an attribute cannot have such values."""
    if min(found.direction, found.coordinate, found.channel, found.target) < 0 or found.direction > 1 or not math.isfinite(found.score):
        raise ValueError(f"a row is {asdict(found)}")
    if target not in (None, found.target):
        raise ValueError(f"a row of the list of {target} is {asdict(found)}")
    return replace(found, score=float(found.score))
