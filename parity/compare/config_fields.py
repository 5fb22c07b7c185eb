"""The port's configuration against the recorded one, field by field: differences that the layers' values may not show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ALIKE = 1e-6  # float32 does not keep a constant more precisely
# Training alone uses these.
UNUSED = frozenset(("momentum", "dropout"))


def other_settings(own: Mapping[str, Any] | None, recorded: Mapping[str, Any] | None, most: int = 8) -> list[str]:
    """How the port's configuration differs, one sentence a field; empty where one of the two is not known."""
    if not own or not recorded:
        return []
    found = [
        f"config.json says {path} {own_value}, the recorded release has {value}"
        for path, own_value, value in _differing(dict(own), dict(recorded), "")
    ]
    return found[:most] + ([f"config.json differs in {len(found) - most} fields more"] if len(found) > most else [])


def _differing(own: Any, recorded: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(own, Mapping) and isinstance(recorded, Mapping):
        for name in recorded:
            if name in own and name not in UNUSED:
                yield from _differing(own[name], recorded[name], f"{path}.{name}" if path else name)
    elif _is_list(own) and _is_list(recorded) and len(own) == len(recorded):
        for i, (one, other) in enumerate(zip(own, recorded, strict=True)):
            yield from _differing(one, other, f"{path}[{i}]")
    elif not _same(own, recorded):
        yield path, own, recorded


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(own: Any, recorded: Any) -> bool:
    if isinstance(own, int | float) and isinstance(recorded, int | float):
        return math.isclose(own, recorded, rel_tol=ALIKE)
    return bool(own == recorded) or (_is_list(own) and _is_list(recorded) and list(own) == list(recorded))
