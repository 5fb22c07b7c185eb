"""A recording made of a port itself, so that the proof is tried without TensorFlow: here the original is the port in float64."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, RecordedWeight, Recorder
from stylexport.parity.compare.hooks import Capture, capturing
from stylexport.parity.ports import Port, known_port
from stylexport.torch_models.residual import ResidualBlock


def layers(port: Port) -> list[str]:
    """Every layer that a recording of this network has a tap of, other than outputs and the constant."""
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in port.module.state_dict()))
    names = [name for name in names if name and not (port.network == "generator" and name == "synthesis.b4")]
    if port.network == "generator":
        names += [f"synthesis.b{r}" for r in (2**k for k in range(3, 11)) if f"synthesis.b{r}.conv0" in names]
    names += [name for name, module in port.module.named_modules() if isinstance(module, ResidualBlock)]
    names += [name for name, _ in port.module.named_modules() if name.endswith((".mbstd", ".act"))]
    return names


def record_network(recorder: Recorder, network: str, module: nn.Module, given: Mapping[str, Tensor]) -> RecordedNetwork:
    """What `module` gives in float64, as the recording of an original would have it."""
    port = known_port(module)
    taps: list[RecordedTap] = []
    values: list[tuple[str, str, str, Tensor, float]] = []
    single: dict[str, Tensor] = {}
    sites = [site for name in layers(port) if (site := port.site(name))]

    def see32(capture: Capture) -> None:
        single[capture.site.layer] = capture.value.clone()

    def see(capture: Capture) -> None:
        exact = capture.value.double()
        stored = _rows(exact)
        floor = float((single[capture.site.layer][:stored] - exact[:stored]).norm() / exact[:stored].norm())
        values.append((capture.site.layer, "parameters", capture.site.layer, exact, floor))

    with torch.no_grad():
        with capturing(module, sites, see32):
            outputs32 = port.run(module, given)
        exact = copy.deepcopy(module).double()
        with capturing(exact, sites, see):
            outputs = port.run(exact, {name: value.double() for name, value in given.items()})
    if network == "generator":
        first = [layer for layer, *_ in values].index("synthesis.b4.conv1")
        values.insert(first, ("synthesis.b4", "variable", "Const4x4", module.synthesis.b4.const.double()[None], 0.0))
    values += [("output", "output", name, value, float((outputs32[name] - value).norm() / value.norm())) for name, value in outputs.items()]
    for i, (layer, stage, tf, value, floor) in enumerate(values):
        stored = len(value) if stage == "output" else _rows(value)
        name = recorder.add_exact(f"{network}/taps/{i}", value[:stored].numpy())
        layout = "NCHW" if value.ndim == 4 else ""
        taps.append(RecordedTap(layer, stage, True, tf, tf, "Op", layout, tuple(value.shape), len(value[:stored]), 3, floor, 0.0, name))
    weights = {
        name: RecordedWeight(name, recorder.add(f"{network}/weights/{name}", tensor.numpy()), name != "w_avg")
        for name, tensor in module.state_dict().items()
    }
    return RecordedNetwork(
        network,
        {},
        module.config.to_json(),
        len(next(iter(given.values()))),
        {name: recorder.add(f"{network}/inputs/{name}", value.numpy()) for name, value in given.items()},
        dict.fromkeys(given, ""),
        {name: recorder.add(f"{network}/outputs/{name}", value.numpy()) for name, value in outputs32.items()},
        tuple(taps),
        weights,
    )


def record(path: Path, networks: Mapping[str, nn.Module], inputs: Mapping[str, Tensor]) -> Path:
    """A recording of several networks; each takes of the inputs what it knows."""
    takes = {
        "generator": ("z", "dlatent"),
        "encoder": ("image",),
        "discriminator": ("image", "probabilities"),
        "classifier": ("image",),
    }
    with Recorder(path) as recorder, torch.no_grad():
        found = {
            name: record_network(recorder, name, module, {key: inputs[key] for key in takes[name]}) for name, module in networks.items()
        }
        recorder.finish(found, tool={"name": "test"})
    return path


def _rows(value: Tensor) -> int:
    """One sample of what is large, all of what is small, as a recording of 256 px has it."""
    return 1 if value[0].numel() > 2000 else len(value)
