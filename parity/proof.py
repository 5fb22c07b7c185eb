"""The whole proof: a converted folder, or a user's own module, against a recording."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stylexport.common.errors import BadInput
from stylexport.common.text import listing
from stylexport.common.types import Progress
from stylexport.common.version import __version__
from stylexport.converter.output.recording import RecordedNetwork, Recording
from stylexport.parity.compare.comparison import Comparison, NetworkResult
from stylexport.parity.compare.encode_decode import verify_encode_decode
from stylexport.parity.compare.gates import gates, probabilities
from stylexport.parity.compare.verify_network import verify_network
from stylexport.parity.explain.fault_budget import explainer
from stylexport.parity.open_ports import check_comparable, converted_ports, module_port
from stylexport.parity.original import Original
from stylexport.parity.ports import Port
from stylexport.parity.result import Pictures, Report
from stylexport.parity.verdict import UNITS


def verify(converted: Path, recording: Path, *, device: str = "cpu", precision: str = "fp32", progress: Progress | None = None) -> Report:
    """The proof of a converted folder against a recording of its release (docs/verify.md).

    `progress(network, networks done, networks in all)`. `device` is cpu or cuda, `precision` fp32, tf32, fp16 or bf16. Raises BadInput
    where folder or recording is missing, damaged, or not of the other's kind, or where the device or the precision cannot be had.

    Example:
        >>> from stylexport import convert
        >>> from stylexport.checkpoints import EMBEDDED, EMBEDDED_RECORDING
        >>> _ = convert(EMBEDDED / "encoder.savedmodel.zip", "converted")
        >>> report = verify(Path("converted"), EMBEDDED_RECORDING)
        >>> report.layers[0].name, report.layers[0].verdict, report.first_fault
        ('b32.fromrgb', 'pass', None)
        >>> report.verdict  # the three other networks were recorded, too
        'incomplete'

    """
    opened = Recording(recording)
    networks = [network for network in opened.networks.values() if network.config is not None]
    if not networks:
        raise BadInput(f"{recording}: records no network of a StylEx; verify another network by --module")
    ports, labels = converted_ports(converted)
    return _verify(opened, networks, ports, device, precision, labels, progress)


def verify_module(
    module: nn.Module,
    recording: Path,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Report:
    """The proof of a user's own module against a recording that was made with a mapping (docs/mapping.md).

    The module is given the recorded variables, or those of `weights` (safetensors). Raises BadInput, and MappingError where they are not
    its tensors.

    Example:
        A recording as `stylexport record --mapping` writes it, of a graph that is one tanh:

        >>> from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, Recorder
        >>> x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
        >>> y = np.tanh(x.astype(np.float64))
        >>> with Recorder(Path("recording")) as recorder:
        ...     given, gave, exact = recorder.add("x", x), recorder.add("y", y.astype(np.float32)), recorder.add_exact("tap", y)
        ...     tap = RecordedTap("output", "output", True, "y", "y", "Tanh", "", (4, 3), 4, 0, 3e-8, 6e-8, exact)
        ...     recorder.finish({"mine": RecordedNetwork("mine", {}, None, 4, {"x": given}, {"x": ""}, {"0": gave}, (tap,), {})})
        >>> verify_module(nn.Tanh(), Path("recording")).verdict
        'pass'
        >>> fault = verify_module(nn.Sigmoid(), Path("recording")).first_fault
        >>> fault.layer, fault.cause
        ('output', 'unknown')

    """
    opened = Recording(recording)
    network = next(iter(opened.networks.values()))
    port = module_port(module, Original(opened, network, torch.device("cpu")), weights)
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
    results, remarks, explain = [], [], explainer()
    for i, network in enumerate(networks):
        if progress:
            progress(network.network, i, len(networks))
        original = Original(recording, network, place)
        if network.network in ports:
            check_comparable(ports[network.network], original)
            results.append(verify_network(Comparison(ports[network.network], original, explain, precision)))
        else:
            remarks.append(f"the {network.network} was recorded but is not in the converted folder")
            results.append(_not_converted(Comparison(Port(network.network, nn.Module(), lambda module, given: {}, {}), original, explain)))
    if progress:
        progress("", len(networks), len(networks))
    recorded = {network.network for network in networks}
    remarks += [f"the {name} is not in the recording: nothing is said of it" for name in ports if name not in recorded]
    between, between_faults = verify_encode_decode(results)
    taps = sum(tap.declared for network in networks for tap in network.taps)
    unmatched = tuple(name for result in results for name in result.unmatched)
    return Report(
        layers=(*(layer for result in results for layer in result.layers), *between),
        taps=taps,
        matched=taps - len(unmatched),
        unmatched=unmatched,
        faults=(*(fault for result in results for fault in result.faults), *between_faults),
        gates=tuple(gate for result in results for gate in gates(result)) if precision == "fp32" else (),
        precision=precision,
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else f"cpu ({platform.machine()})",
        about={**recording.about, "pytorch": torch.__version__, "stylexport": __version__},
        losses=tuple(sorted((loss for result in results for loss in result.losses), key=lambda loss: -loss.ratio)),
        remarks=(*remarks, *(remark for result in results for remark in (*result.original.network.remarks, *result.remarks))),
        labels=labels,
        kernel_faults=tuple(fault for result in results for fault in result.original.kernel_faults),
        pictures=_pictures(results),
    )


def _not_converted(comparison: Comparison) -> NetworkResult:
    """A recorded network without a port: none of its tensors has a layer."""
    declared = [tap for tap in comparison.original.network.taps if tap.declared]
    return NetworkResult(comparison, unmatched=tuple(f"{comparison.port.network}: {tap.layer or tap.tf}" for tap in declared))


def _device(device: str, precision: str) -> torch.device:
    if precision not in UNITS:
        raise BadInput(f"precision {precision!r} is not known; use one of {listing(list(UNITS))}")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise BadInput(f"device {device!r} is not known to PyTorch; use cpu or cuda") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if precision == "tf32" and place.type != "cuda":
        raise BadInput("--precision tf32 is a format of NVIDIA's GPUs; add --device cuda")
    return place


def _pictures(results: Sequence[NetworkResult]) -> Pictures:
    """What the page shows of the outputs, and of the first fault."""
    pairs = {}
    for result in results:
        for name in ("image", "logits"):
            if name in result.outputs and name in result.original.network.outputs:
                pairs[name] = (result.original.output(name).double(), result.outputs[name].double(), result.original.network.config or {})
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
    first = next((result.maps for result in results if result.faults), None)
    return Pictures(**values, maps=first)
