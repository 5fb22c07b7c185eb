"""Opening the port's side: a converted folder's networks, or a user's own module filled with the original's variables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stylexport.common.errors import BadInput, MappingError
from stylexport.common.json_files import read_index
from stylexport.common.text import listing
from stylexport.parity.difference import sortable
from stylexport.parity.match.outputs import AGREE, pairs
from stylexport.parity.original import Original
from stylexport.parity.ports import Arrange, Port, known_port, user_port, with_outputs
from stylexport.torch_models.kinds import kind_named_by, known_roles
from stylexport.torch_models.pretrained import open_network
from stylexport.torch_models.stylex import MANIFEST

# How a user's module may take an input with more than two axes: as it is recorded, with its last axis second, with its second axis last;
# the last two also for its images, or its sequences, alone.
LAYOUTS: tuple[Arrange, ...] = (
    lambda x: x,
    lambda x: x.movedim(-1, 1),
    lambda x: x.movedim(1, -1),
    lambda x: x.movedim(1, -1) if x.ndim > 3 else x,
    lambda x: x.movedim(-1, 1) if x.ndim < 4 else x,
)


def converted_ports(converted: Path) -> tuple[dict[str, Port], tuple[str, ...]]:
    """The networks of a converted folder as ports, in the order of their kinds, and its label names. Raises BadInput."""
    manifest = read_index(converted)
    places = manifest.get("networks")
    if not isinstance(places, dict):
        raise BadInput(f"{converted / MANIFEST}: names no networks; convert the release again")
    ports = {name: known_port(open_network(converted / str(places[name]), name)) for name in known_roles() if name in places}
    return ports, tuple(map(str, manifest.get("labels") or ()))


def module_port(module: nn.Module, original: Original, weights: Path | None) -> Port:
    """A user's own module as a port, with the recorded variables or those of `weights` (safetensors) in it.

    It is called with the recorded inputs as they are, or else with their channels first or last: in the first way in which its outputs
    are the original's, else in the first that it takes. Raises BadInput where it takes none, or returns no tensor, and MappingError where
    the variables are not its tensors.
    """
    network = original.network
    module = getattr(module, "_orig_mod", module)  # that which torch.compile wrapped
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise BadInput("the module is TorchScript, whose layers cannot be looked into; give it as it was before torch.jit.script or trace")
    tensors = {name: original.weight(name) for name in network.weights} if weights is None else _weights(weights)
    kept = _fill(module, tensors, str(weights or original.recording.path))
    said = (f"{network.network}: {listing(kept)}: no row of the mapping; kept as the module's code sets them",) if kept else ()
    given = original.inputs(torch.float32)
    opened, reasons = [], []
    mixed = len({value.ndim > 3 for value in given.values() if value.ndim > 2}) > 1
    for arrange in LAYOUTS if mixed else LAYOUTS[:3]:
        port = user_port(network.network, module.eval(), arrange, list(network.inputs))
        try:
            with torch.no_grad():
                outputs = port.run(module, given)
        except (Exception, SystemExit) as error:  # the user's code, which may raise anything
            reasons.append(str(error))
            continue
        if not outputs:
            raise BadInput("the module returns no tensor; let it return a tensor, or a tuple, a dictionary or a dataclass of tensors")
        found = pairs(list(network.outputs), outputs, partial(_distance, original))
        opened.append(with_outputs(port, found.names, (*said, *found.said)))
        if all((_distance(original, name, outputs[own]) or 0.0) <= AGREE for name, own in found.names.items()):
            return opened[-1]
    if opened:
        return opened[0]
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in given.items())
    raise BadInput(f"the module takes the recorded inputs ({shapes}) neither as they are nor with channels first or last: {reasons[0]}")


def _distance(original: Original, name: str, value: Tensor) -> float | None:
    """How far an output of the port is from the original's of this name; None where the shapes do not fit."""
    compared = original.compare(original.output_taps[name], value) if name in original.output_taps else None
    return None if compared is None else sortable(compared[0].error)


def check_comparable(port: Port, original: Original) -> None:
    """Raises BadInput where the recording is of a network of other sizes, or the port cannot run on the recorded inputs."""
    path = original.recording.path
    kind = kind_named_by(original.network.config)
    for size in kind.sizes if kind else ():  # a difference in the other fields is a fault to be found
        ours, theirs = (_as_list((config or {}).get(size)) for config in (port.config, original.network.config))
        if ours != theirs:
            raise BadInput(
                f"{path}: is of another release (its {port.network} has {size} {theirs}, the converted one {ours}); record the one that "
                "was converted"
            )
    if port.config is None:
        return  # `module_port` has run it
    try:
        with torch.no_grad():
            port.run(port.module, {name: value[:1].cpu() for name, value in original.inputs(torch.float32).items()})
    except (ValueError, RuntimeError, KeyError) as error:
        raise BadInput(
            f"{path}: the {port.network} cannot run on the recorded inputs ({error}); record the release that it was converted from"
        ) from error


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: cannot be read as a safetensors file ({error}); convert the network again") from error


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> list[str]:
    """Give a module its tensors. Returns the buffers of the user's own code that are not among them: constants, as the means of colours.

    BatchNorm's counters of batches may be missing too; nothing else may. Raises MappingError.
    """
    own, constants = module.state_dict(), _constants(module)
    kept = [name for name in own if name in constants and name not in tensors]
    missing = [name for name in own if name not in (*tensors, *kept) and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    other = [f"{n} {list(t.shape)}, not {list(own[n].shape)}" for n, t in tensors.items() if n in own and own[n].shape != t.shape]
    filling = " (`{fill: 0, torch: NAME, shape: [...]}` for a tensor that the original does not have)"
    for what, names in (("lacks", missing), ("holds what the module does not have:", unknown), ("has other shapes:", other)):
        if names:
            raise MappingError(f"{where}: {what} {listing(names)}; put the mapping's rows right{filling if names is missing else ''}")
    module.load_state_dict(dict(tensors), strict=False)
    return kept


def _constants(module: nn.Module) -> set[str]:
    """The names of the buffers that a user's own code holds; those of PyTorch's own layers are trained."""
    found: set[str] = set()
    for path, part in module.named_modules():
        if not type(part).__module__.startswith("torch.nn."):
            found |= {f"{path}.{name}".lstrip(".") for name, _ in part.named_buffers(recurse=False)}
    return found
