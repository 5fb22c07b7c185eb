"""Names of a package that are imported when first used, so that a package costs nothing until it is asked for something."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562): `home` maps each name to the module below `package` that holds it.

    Raises AttributeError for other names.

    Example:
        >>> load = lazy_names("stylexport.common", {"listing": "text"})
        >>> load("listing")(["w", "b"])
        'w, b'

    """

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return load
