"""Settings from a YAML file with `group.name=value` on top, checked by the types of frozen dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from stylexport.common.errors import BadInput
from stylexport.common.yaml_files import parse_yaml, read_yaml

T = TypeVar("T")

# For every group: a name that it does not have is refused.
STRICT = ConfigDict(extra="forbid")
SHOWN = 5


def read_settings(parser: TypeAdapter[T], source: Path | dict[str, Any], overrides: Sequence[str] = ()) -> T:
    """The settings of a YAML file, or of a dictionary, with the overrides. Raises BadInput, naming the setting."""
    values = _mapping(source) if isinstance(source, Path) else source
    for text in overrides:
        _override(values, text)
    try:
        return parser.validate_python(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise BadInput(f"{source if isinstance(source, Path) else 'settings'}: {'; '.join(faults[:SHOWN])}") from error


def _mapping(path: Path) -> dict[str, Any]:
    values = read_yaml(path, "give a file of settings")
    if not isinstance(values, dict):
        raise BadInput(f"{path}: holds no settings (name: value); give a file of them")
    return values


def _override(values: dict[str, Any], text: str) -> None:
    """Set one `group.name=value`, the value being YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(f"{text}: is not name=value, such as data.resolution=64")
    *groups, last = name.split(".")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise BadInput(f"{text}: {group} is a setting, not a group of them")
    values[last] = parse_yaml(value, text, "put the value in quotes")
