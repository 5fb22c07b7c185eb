"""Right layers and broken ones: networks with values that no symmetry hides, and the suspect that a fault in one of them makes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.parity.explain.suspect import Suspect
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


@dataclass
class Seen:
    """What one layer was given and what it gave."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor


def watch(net: nn.Module, layers: list[str]) -> dict[str, Seen]:
    """Run the network and keep what its layers were given and gave. A style's output has its one already, a block's is its image."""
    seen: dict[str, Seen] = {}
    handles = []
    for name in layers:

        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
            kept = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
            seen[name] = Seen(kept, dict(kwargs), judged(name, output).clone())

        handles.append(net.get_submodule(name).register_forward_hook(hook, with_kwargs=True))
    with torch.no_grad():
        forward(net)
    for handle in handles:
        handle.remove()
    return seen


def judged(name: str, output: Any) -> Tensor:
    result: Tensor = output[1] if isinstance(output, tuple) else output
    return result + 1 if name.startswith("style_vectors") else result


class Stub(nn.Module):
    """A child that has a judgement of its own: it returns what the original gave."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.value


def suspect(
    kind: str, layer: str, fault: Callable[[Any], object], *, own: Mapping[str, Any] | None = None, weights: bool = True
) -> Suspect:
    """A layer of the network that `fault` broke, with the right network's output. `own` is where the port's configuration differs."""
    right: Any = network(kind)
    port: Any = network(kind)
    with torch.no_grad():
        fault(port)
    expected = watch(right, [layer])[layer].output
    given = watch(port, [layer])[layer]
    module = copy.deepcopy(port.get_submodule(layer))
    if isinstance(module, ResidualBlock | SynthesisBlock):
        children = [child for child in ("fromrgb", "conv0", "conv1", "skip", "torgb") if getattr(module, child, None) is not None]
        values = watch(right, [f"{layer}.{child}" for child in children])
        for child in children:
            setattr(module, child, Stub(values[f"{layer}.{child}"].output))
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
        given.output,
        {name: value for name, value in original.items() if "." not in name},
        config,
        {**config, **(own or {})},
        "join" if isinstance(module, ResidualBlock | SynthesisBlock) else "parameters",
    )
