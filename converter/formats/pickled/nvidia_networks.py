"""Networks as objects of NVIDIA's programs: what a pickle says of each beside its tensors.

In TensorFlow (the programs of StyleGAN, StyleGAN2 and StyleGAN2-ADA) a network is a name, a function's name with its arguments, variables
by name, and networks inside (dnnlib/tflib/network.py, `__getstate__`). In PyTorch (stylegan2-ada-pytorch, stylegan3) it is the attributes
of a module and of the modules inside (torch_utils/persistence.py, `_reconstruct_persistent_obj`). Both carry the source code that made
them, which is never run and not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.errors import DamagedFile, HostileFile
from stylexport.converter.formats.base import NetworkObject
from stylexport.converter.formats.pickled.unpickler import Network, Persistent, meaning

MAX_DEPTH = 20  # networks inside networks
_PLAIN = (str, int, float, bool, type(None))


def network_objects(path: Path, value: Any) -> dict[str, NetworkObject]:
    """The network objects of a pickle's value by name: itself, or those of a sequence or dictionary. Empty where there are none."""
    value = meaning(path, value)
    if isinstance(value, dict):
        items = [(str(name), meaning(path, item)) for name, item in value.items()]
    else:
        items = [("", meaning(path, item)) for item in (value if isinstance(value, list | tuple) else [value])]
    found: dict[str, NetworkObject] = {}
    for name, item in items:
        if isinstance(item, Network):
            found.setdefault(item.name or name, NetworkObject("tensorflow", item.function, dict(_of_tensorflow(path, item, 0))))
        elif isinstance(item, Persistent):
            settings = {part: _plain(path, module.state) for part, module in _modules(path, item, "", 0)}
            found.setdefault(name or item.kind, NetworkObject("pytorch", item.kind, settings))
    return found


def tensors_of(path: Path, value: Persistent) -> Iterator[tuple[str, Any]]:
    """The parameters and buffers of a module and of those inside, by dotted names as a state dict has them."""
    for part, module in _modules(path, value, "", 0):
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _dict(path, module.state.get(kind)).items():
                if tensor is not None:
                    yield (f"{part}.{name}" if part else str(name)), tensor


def _modules(path: Path, value: Persistent, part: str, depth: int) -> Iterator[tuple[str, Persistent]]:
    """A module and those inside it, each with its dotted path."""
    if depth > MAX_DEPTH:
        raise HostileFile(path, f"nests modules over {MAX_DEPTH} deep")
    yield part, value
    for name, inner in _dict(path, value.state.get("_modules")).items():
        module = meaning(path, inner)
        if isinstance(module, Persistent):
            yield from _modules(path, module, f"{part}.{name}" if part else str(name), depth + 1)
        elif module is not None:
            raise DamagedFile(path, f"holds a module {name} that is no module", "save it again")


def _of_tensorflow(path: Path, network: Network, depth: int, part: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if depth > MAX_DEPTH:
        raise HostileFile(path, f"nests networks over {MAX_DEPTH} deep")
    yield part, {**_plain(path, network.arguments), "function": network.function}
    for inner in _dict(path, network.components).values():
        component = meaning(path, inner)
        if isinstance(component, Network):
            yield from _of_tensorflow(path, component, depth + 1, f"{part}/{component.name}".lstrip("/"))


def _dict(path: Path, value: Any) -> dict[Any, Any]:
    """A dictionary, empty for None. Raises DamagedFile for anything else."""
    if value is not None and not isinstance(value, dict):
        raise DamagedFile(path, f"holds a {type(value).__name__} where a network has a dictionary", "save it again")
    return value or {}


def _plain(path: Path, values: Any) -> dict[str, Any]:
    """What of some settings is a number, a text, None, or a short list of these."""
    found = {}
    for name, value in (values if isinstance(values, Mapping) else {}).items():
        value = meaning(path, value)
        if isinstance(value, np.ndarray) and value.size <= 64 and value.dtype.kind in "biuf":
            value = value.tolist()
        if isinstance(value, _PLAIN) or (
            isinstance(value, list | tuple) and len(value) <= 64 and all(isinstance(v, _PLAIN) for v in value)
        ):
            found[str(name)] = list(value) if isinstance(value, tuple) else value
    return found
