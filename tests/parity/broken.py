"""Right layers and broken ones: networks with values that no symmetry hides, and the suspect that a fault in one of them makes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.parity.compare.hooks import Capture, Stub, capturing
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.ports import Site
from stylexport.torch_models.discriminator import Discriminator
from stylexport.torch_models.encoder import Encoder
from stylexport.torch_models.generator import Generator
from stylexport.torch_models.layers.synthesis import SynthesisBlock
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.torch_models.residual import ResidualBlock
from tests.torch_models.plain import DISCRIMINATOR, ENCODER, GENERATOR, MOBILENET, fill

SAMPLES = 4


def network(name: str) -> nn.Module:
    """One of the four networks, small, in float64."""
    make: dict[str, Callable[[], nn.Module]] = {
        "generator": lambda: Generator(GENERATOR),
        "encoder": lambda: Encoder(ENCODER),
        "discriminator": lambda: Discriminator(DISCRIMINATOR),
        "classifier": lambda: MobileNetV1(MOBILENET),
    }
    return fill(make[name]().double().eval())


def random(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def forward(net: nn.Module) -> Tensor:
    """The network on fixed inputs: images in [-1, 1], probabilities, a dlatent whose end is probabilities, z."""
    if isinstance(net, Generator):
        latent = random(SAMPLES, GENERATOR.latent)
        net.mapping(random(SAMPLES, GENERATOR.z))
        return net(torch.cat([latent, random(SAMPLES, GENERATOR.labels, seed=6).softmax(1)], 1))
    if isinstance(net, Discriminator):
        return net(random(SAMPLES, 3, 16, 16).tanh(), random(SAMPLES, DISCRIMINATOR.labels, seed=6).softmax(1))
    return net(random(SAMPLES, 3, 16 if isinstance(net, Encoder) else 32, 16 if isinstance(net, Encoder) else 32).tanh())


def captured(net: nn.Module, layers: list[str]) -> dict[str, Capture]:
    """Runs the network and keeps the arguments and the judged value of its layers."""
    found: dict[str, Capture] = {}
    sites = [Site(name, name, (1,) if isinstance(net.get_submodule(name), SynthesisBlock) else ()) for name in layers]

    def on_capture(capture: Capture) -> None:
        args = tuple(a.clone() if isinstance(a, Tensor) else a for a in capture.args)
        found[capture.site.layer] = replace(capture, value=judged(capture.site.layer, capture.value).clone(), args=args)

    with torch.no_grad(), capturing(net, sites, on_capture):
        forward(net)
    return found


def judged(name: str, output: Any) -> Tensor:
    """A layer's value as it is judged: a block's is its image, a style has one added."""
    value: Tensor = output[1] if isinstance(output, tuple) else output
    return value + 1 if name.startswith("style_vectors") else value


def suspect(
    kind: str, layer: str, fault: Callable[[Any], object], *, own: Mapping[str, Any] | None = None, weights: bool = True
) -> Suspect:
    """A layer of the network that `fault` broke, with the right network's output. `own` is where the port's configuration differs."""
    right: Any = network(kind)
    port: Any = network(kind)
    with torch.no_grad():
        fault(port)
    expected = captured(right, [layer])[layer].value
    given = captured(port, [layer])[layer]
    module = copy.deepcopy(port.get_submodule(layer))
    if isinstance(module, ResidualBlock | SynthesisBlock):
        children = [child for child in ("fromrgb", "conv0", "conv1", "skip", "torgb") if getattr(module, child, None) is not None]
        values = captured(right, [f"{layer}.{child}" for child in children])
        for child in children:
            setattr(module, child, Stub(values[f"{layer}.{child}"].value))
    original = dict(right.get_submodule(layer).state_dict()) if weights else {}
    config = right.config.to_json()
    return Suspect(
        kind,
        layer,
        module,
        lambda module, args, kwargs: judged(layer, module(*args, **kwargs)),
        given.args,
        given.kwargs,
        expected,
        given.value,
        {name: value for name, value in original.items() if "." not in name},
        config,
        {**config, **(own or {})},
        "join" if isinstance(module, ResidualBlock | SynthesisBlock) else "parameters",
    )
