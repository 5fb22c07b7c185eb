"""Attributes: what a selection found, and RUN/attributes.json, which keeps it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from stylexport.attfind.effects.run_files import check_run
from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile

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
        partial.write_text(json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
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
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}, expected {FORMAT}")
        return Selection(
            attributes=tuple(_attribute(row) for row in values["attributes"]),
            by_class={int(target): tuple(_attribute(row, int(target)) for row in own) for target, own in values["by_class"].items()},
            strategy=str(values["strategy"]),
            target=values.get("target"),
            image=values.get("image"),
            parameters={name: (row["value"], row["from"]) for name, row in values.get("parameters", {}).items()},
            remarks=tuple(values.get("remarks", ())),
            search=values.get("search", "exhaustive"),
            measured_on={str(name): str(digest) for name, digest in values.get("measured_on", {}).items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # of JSON with other types than a selection's
        raise DamagedFile(path, f"is not a selection ({type(error).__name__}: {error})", REMEDY) from error


def _attribute(row: Mapping[str, Any], target: int | None = None) -> Attribute:
    """One row, of `target`'s list where one is given. Raises ValueError where an attribute cannot have such values."""
    found = Attribute(**{f.name: row[f.name] for f in fields(Attribute)})
    numbers = (found.direction, found.coordinate, found.channel, found.target)
    whole_numbers = all(type(number) is int and number >= 0 for number in numbers)
    if (
        not whole_numbers
        or not math.isfinite(found.score)
        or found.direction > 1
        or not isinstance(found.layer, str)
        or target not in (None, found.target)
    ):
        raise ValueError(f"a row is {dict(row)}")
    return replace(found, score=float(found.score))
