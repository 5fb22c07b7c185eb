"""The whole proof: a converted folder, or a user's own module, against a recording."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stylexport.common.errors import BadInput, MappingError
from stylexport.common.json_files import read_json
from stylexport.common.text import listing
from stylexport.common.types import Progress
from stylexport.common.version import __version__
from stylexport.converter.output.recording import RecordedNetwork, Recording
from stylexport.parity.compare.encode_decode import joined
from stylexport.parity.compare.gates import gates, probabilities
from stylexport.parity.compare.verify_network import prove
from stylexport.parity.comparison import Case
from stylexport.parity.explain.fault_budget import explainer
from stylexport.parity.original import Original
from stylexport.parity.ports import Port, known_port, user_port
from stylexport.parity.result import Pictures, Report
from stylexport.parity.verdict import UNITS
from stylexport.torch_models.kinds import kind_named_by, known_roles
from stylexport.torch_models.pretrained import open_network
from stylexport.torch_models.stylex import MANIFEST


def verify(converted: Path, recording: Path, *, device: str = "cpu", precision: str = "fp32", progress: Progress | None = None) -> Report:
    """The proof of a converted folder against a recording of its release.

    `progress(network, networks done, networks in all)`. Raises BadInput where either is missing, damaged, or not of the other's kind, or
    where the device or the precision cannot be had.
    """
    opened = Recording(recording)
    own = [network for network in opened.networks.values() if network.config is not None]
    if not own:
        raise BadInput(f"{recording}: records no network of a StylEx; verify another network by --module")
    ports, labels = ports_of(converted)
    return _verify(opened, own, ports, device, precision, labels, progress)


def ports_of(converted: Path) -> tuple[dict[str, Port], tuple[str, ...]]:
    """The networks of a converted folder as ports, in the order of their kinds, and its label names. Raises BadInput."""
    manifest = read_json(converted / MANIFEST)
    places = manifest.get("networks")
    if not isinstance(places, dict):
        raise BadInput(f"{converted / MANIFEST}: names no networks; convert the release again")
    ports = {name: known_port(_load(name, converted / str(places[name]))) for name in known_roles() if name in places}
    return ports, tuple(map(str, manifest.get("labels") or ()))


def verify_module(
    module: nn.Module,
    recording: Path,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Report:
    """The proof of a user's own module against a recording that was made with a mapping.

    The module is given the recorded variables, or those of `weights` (safetensors). Raises BadInput, and MappingError where they are not
    its tensors.
    """
    opened = Recording(recording)
    network = next(iter(opened.networks.values()))
    original = Original(opened, network, torch.device("cpu"))
    tensors = {name: original.weight(name) for name in network.weights} if weights is None else _weights(weights)
    _fill(module, tensors, str(weights or recording))
    port = _user_port(network.network, module.eval(), network, original)
    return _verify(opened, [network], {network.network: port}, device, precision, (), progress)


def _verify(
    recording: Recording,
    networks: Sequence[RecordedNetwork],
    ports: Mapping[str, Port],
    device: str,
    precision: str,
    labels: tuple[str, ...],
    progress: Progress | None,
) -> Report:
    place = _device(device, precision)
    cases, remarks, explain = [], [], explainer()
    for i, network in enumerate(networks):
        if progress:
            progress(network.network, i, len(networks))
        original = Original(recording, network, place)
        if network.network in ports:
            _same_sizes(ports[network.network], network, recording.path)
            cases.append(_prove(Case(ports[network.network], original, explain, precision), recording.path))
        else:
            declared = [tap for tap in network.taps if tap.declared]
            remarks.append(f"the {network.network} was recorded but is not in the converted folder")
            cases.append(Case(Port(network.network, nn.Module(), lambda module, given: {}, {}), original, explain))
            cases[-1].unmatched += [f"{network.network}: {tap.layer or tap.tf}" for tap in declared]
    if progress:
        progress("", len(networks), len(networks))
    recorded = {network.network for network in networks}
    remarks += [f"the {name} is not in the recording: nothing is said of it" for name in ports if name not in recorded]
    between, between_faults = joined(cases)
    taps = sum(tap.declared for network in networks for tap in network.taps)
    unmatched = tuple(name for case in cases for name in case.unmatched)
    return Report(
        layers=(*(layer for case in cases for layer in case.layers), *between),
        taps=taps,
        matched=taps - len(unmatched),
        unmatched=unmatched,
        faults=(*(fault for case in cases for fault in case.faults), *between_faults),
        gates=tuple(gate for case in cases for gate in gates(case)) if precision == "fp32" else (),
        precision=precision,
        device=_named(place),
        about={**recording.about, "pytorch": torch.__version__, "stylexport": __version__},
        losses=tuple(sorted((loss for case in cases for loss in case.losses), key=lambda loss: -loss.ratio)),
        remarks=(*remarks, *(remark for case in cases for remark in (*case.original.network.remarks, *case.remarks))),
        labels=labels,
        pictures=_pictures(cases),
    )


def _same_sizes(port: Port, network: RecordedNetwork, path: Path) -> None:
    """Raises BadInput where the recording is of a network of other sizes; a difference in other fields is a fault to be found."""
    kind = kind_named_by(network.config)
    for size in kind.sizes if kind else ():
        ours, theirs = ((config or {}).get(size) for config in (port.config, network.config))
        if _plain(ours) != _plain(theirs):
            found = f"its {port.network} has {size} {_plain(theirs)}, the converted one {_plain(ours)}"
            raise BadInput(f"{path}: is of another release ({found}); record the one that was converted")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _prove(case: Case, path: Path) -> Case:
    try:
        return prove(case)
    except (ValueError, RuntimeError, KeyError) as error:
        name = case.port.network
        raise BadInput(
            f"{path}: the {name} cannot run on the recorded inputs ({error}); record the release that it was converted from"
        ) from error


def _device(device: str, precision: str) -> torch.device:
    if precision not in UNITS:
        raise BadInput(f"precision {precision!r} is none of {', '.join(UNITS)}")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise BadInput(f"device {device!r} is none that PyTorch knows; use cpu or cuda") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if precision == "tf32" and place.type != "cuda":
        raise BadInput("--precision tf32 is a format of NVIDIA's GPUs; add --device cuda")
    return place


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def _load(network: str, folder: Path) -> Any:
    try:
        return open_network(folder, network)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: no whole safetensors file ({error}); convert the network again") from error


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give a module its tensors. BatchNorm's counters of batches may be missing; nothing else may."""
    own = module.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    other = [f"{n} {list(t.shape)}, not {list(own[n].shape)}" for n, t in tensors.items() if n in own and own[n].shape != t.shape]
    for what, names in (("lacks", missing), ("holds what the module does not have:", unknown), ("has other shapes:", other)):
        if names:
            raise MappingError(f"{where}: {what} {listing(names)}; put the mapping's rows right")
    module.load_state_dict(dict(tensors), strict=False)


def _user_port(name: str, module: nn.Module, network: RecordedNetwork, original: Original) -> Port:
    """The port that takes the recorded inputs as they are, or else with their channels first."""
    given = original.inputs(torch.float32)
    reasons = []
    for first in (True, False) if "NHWC" in network.layouts.values() else (False, True):
        port = user_port(name, module, list(network.inputs), first)
        try:
            with torch.no_grad():
                port.run(module, given)
        except Exception as error:
            reasons.append(str(error))
        else:
            return port
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in given.items())
    raise BadInput(f"the module takes the recorded inputs ({shapes}) neither as they are nor with channels first: {reasons[0]}")


def _pictures(cases: Sequence[Case]) -> Pictures:
    """What the page shows of the outputs, and of the first fault."""
    pairs = {}
    for case in cases:
        for name in ("image", "logits"):
            if name in case.outputs and name in case.original.network.outputs:
                pairs[name] = (case.original.output(name).double(), case.outputs[name].double(), case.original.network.config or {})
    values: dict[str, np.ndarray[Any, Any] | None] = {}
    if "image" in pairs:
        theirs, ours, _ = pairs["image"]
        values |= {"images_tf": theirs.cpu().numpy(), "images_torch": ours.cpu().numpy()}
    if "logits" in pairs:
        theirs, ours, config = pairs["logits"]
        head = str(config.get("output", "linear"))
        values |= {
            "probabilities_tf": probabilities(theirs, head).cpu().numpy(),
            "probabilities_torch": probabilities(ours, head).cpu().numpy(),
        }
    first = next((case.maps for case in cases if case.faults), None)
    return Pictures(**values, maps=first)
