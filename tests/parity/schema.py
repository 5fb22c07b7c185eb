"""As much of JSON Schema as report.schema.json uses; any other keyword is an error, so that none is overlooked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
ANNOTATIONS = {"$schema", "$defs", "title", "description"}


def violations(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """Where `value` is not as `schema` has it."""
    for keyword, wanted in schema.items():
        if keyword not in ANNOTATIONS:
            yield from CHECKS[keyword](value, wanted, schema, root, place)


def _type(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not any(isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names):
        yield f"{place} is {value!r}, not {wanted}"


def _const(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    if value != wanted:
        yield f"{place} is {value!r}, not {wanted!r}"


def _enum(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    if value not in wanted:
        yield f"{place} is {value!r}, none of {wanted}"


def _pattern(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    if isinstance(value, str) and not re.search(wanted, value):
        yield f"{place} is {value!r}, not like {wanted}"


def _required(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{place} lacks {name}" for name in wanted if name not in value)


def _properties(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    for name, inner in wanted.items():
        if isinstance(value, dict) and name in value:
            yield from violations(value[name], inner, root, f"{place}.{name}")


def _additional(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    for name in (value.keys() if isinstance(value, dict) else set()) - schema.get("properties", {}).keys():
        if wanted is False:
            yield f"{place} has {name}"
        else:
            yield from violations(value[name], wanted, root, f"{place}.{name}")


def _items(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    for i, item in enumerate(value if isinstance(value, list) else ()):
        yield from violations(item, wanted, root, f"{place}[{i}]")


def _any(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    tried = [list(violations(value, inner, root, place)) for inner in wanted]
    if all(tried):
        yield from max(tried, key=lambda found: len(found[0].split()[0]))


def _ref(value: Any, wanted: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    yield from violations(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, place)


CHECKS = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "anyOf": _any,
    "$ref": _ref,
}
