"""How each network of a StylEx is run, and where in it a layer's output is seen."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.parity.user_code import as_it_takes, in_float64, told_as_the_users
from stylexport.parity.views import View
from stylexport.torch_models.config import GeneratorConfig
from stylexport.torch_models.kinds import NetworkKind, kind_of
from stylexport.torch_models.layers.styles import conv_layers, torgb_layers

Inputs = Mapping[str, Tensor]
Outputs = dict[str, Tensor]
Run = Callable[[nn.Module, Inputs], Outputs]
Arrange = Callable[[Tensor], Tensor]

# What the original's classifier did to its logits, by the name in MobileNetV1Config.output.
HEADS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "softmax": lambda x: x.softmax(1),
    "sigmoid": lambda x: x.sigmoid(),
}


@dataclass(frozen=True)
class Site:
    """A layer's place: the output of module `module`, or the part of it at index path `at` (a style among the styles).

    `own` is the module whose weights make the value, where that is another than `module`; `plus` is what is added behind it. `view`
    finds the value in what a module gives beside others, `call` is the only one of the module's calls that counts.
    """

    layer: str
    module: str
    at: tuple[int, ...] = ()
    own: str | None = None
    plus: float = 0.0
    view: View | None = None
    call: int | None = None

    def get(self, output: Any) -> Any:
        """The layer's value in the module's output."""
        for index in self.at:
            output = output[index]
        return output if self.view is None else self.view.get(output)

    def put(self, output: Any, value: Tensor) -> Any:
        """The module's output with the layer's value replaced."""
        return _put(output, self.at, value) if self.view is None else self.view.put(output, value)


@dataclass(frozen=True)
class Port:
    """A network ready to be judged: its module, how it runs on named inputs, and where layers are seen other than at a module's output.

    `remarks` say what was odd in opening it. Within `context(module, arguments)` its parts are called alone.
    """

    network: str
    module: nn.Module
    run: Run
    sites: Mapping[str, Site]
    config: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    context: Callable[[nn.Module, Sequence[Any]], AbstractContextManager[None]] = lambda module, given: nullcontext()

    def site(self, layer: str) -> Site | None:
        """Where a layer is seen; None where the port has no such module."""
        if layer in self.sites:
            return self.sites[layer]
        return Site(layer, layer) if layer and _has(self.module, layer) else None


def known_port(module: Any) -> Port:
    """The port of a known network, as its kind says. Raises ValueError for a module of another configuration."""
    kind = kind_of(module.config)
    if kind is None:
        raise ValueError(f"{type(module).__name__} is not a module of a known network")
    run = kind.run.load() if kind.run else partial(_in_order, kind)
    return Port(kind.role, module, run, kind.sites.load()(module.config) if kind.sites else {}, module.config.to_json())


def _in_order(kind: NetworkKind, module: nn.Module, given: Inputs) -> Outputs:
    """The module's outputs, called with the inputs of its kind in order."""
    return dict(zip(kind.outputs, tensors(module(*(given[name] for name in kind.inputs))), strict=True))


def user_port(network: str, module: nn.Module, arrange: Arrange, inputs: Sequence[str]) -> Port:
    """The port of a user's own module, called with the recording's inputs, each laid out by `arrange`.

    They go in by their names where all of them are names of the module's arguments (a TensorFlow signature has no order), else in order.

    Its outputs have the names that it gives them (`named_tensors`).
    """
    inputs = _in_the_order_of(module, inputs)

    def run(module: nn.Module, given: Inputs) -> Outputs:
        values = as_it_takes(module, [arrange(given[name]) if given[name].ndim > 2 else given[name] for name in inputs])
        with in_float64(module, values):
            return named_tensors(module(*values))

    return Port(network, module, run, {}, context=in_float64)


def _in_the_order_of(module: nn.Module, inputs: Sequence[str]) -> Sequence[str]:
    """`inputs` in the order in which the module's forward takes arguments of these names first; as they are where it has others."""
    try:
        taken = list(inspect.signature(module.forward).parameters)[: len(inputs)]
    except (TypeError, ValueError):  # code without a signature
        return inputs
    return taken if sorted(taken) == sorted(inputs) else inputs


def with_outputs(port: Port, names: Mapping[str, str], remarks: Sequence[str]) -> Port:
    """The same port, whose outputs are called as the original's: `names` gives the port's own name for each."""

    def run(module: nn.Module, given: Inputs) -> Outputs:
        with told_as_the_users():
            outputs = port.run(module, given)
        return {name: outputs[own] for name, own in names.items() if own in outputs}

    return dataclasses.replace(port, run=run, remarks=tuple(remarks))


def named_tensors(value: Any, place: str = "") -> Outputs:
    """The tensors of a nested output by their places: keys and fields as they are called, a tuple's items by number, "0" for a lone tensor.

    Example:
        >>> x = torch.zeros(1)
        >>> list(named_tensors(x)), list(named_tensors({"logits": x, "hidden": (x, None, x)}))
        (['0'], ['logits', 'hidden.0', 'hidden.2'])

    """
    if isinstance(value, Tensor):
        return {place or "0": torch.atleast_1d(value)}
    found: Outputs = {}
    for name, item in _items(value):
        found |= named_tensors(item, f"{place}.{name}" if place else name)
    return found


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a container with their names."""
    if isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items())
    elif hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, (list, tuple)):
        yield from ((str(i), item) for i, item in enumerate(value))
    elif dataclasses.is_dataclass(value) or isinstance(value, SimpleNamespace):
        yield from vars(value).items()


def tensors(value: Any) -> Iterable[Tensor]:
    """All tensors of a nested output, in order (a dictionary's by sorted name)."""
    if isinstance(value, Tensor):
        yield value
    else:
        parts = _items(value)
        for _, item in sorted(parts, key=lambda part: part[0]) if isinstance(value, Mapping) else parts:
            yield from tensors(item)


def run_generator(module: Any, given: Inputs) -> Outputs:
    """W of z, where z is given, and the image of the dlatent, else of that w with the label probabilities."""
    outputs: Outputs = {}
    if "z" in given:
        outputs["w"] = module.mapping(given["z"], given["classes"]) if "classes" in given else module.mapping(given["z"])
    dlatent = given["dlatent"] if "dlatent" in given else torch.cat([outputs["w"], given["probabilities"]], 1)
    outputs["image"] = module.synthesis(module.style_vectors(dlatent))
    return outputs


def run_discriminator(module: Any, given: Inputs) -> Outputs:
    """The score of images, of their classes where these are given."""
    return {"score": module(given["image"], given.get("classes"))}


def run_classifier(module: Any, given: Inputs) -> Outputs:
    """What the original gives: its logits, or what it did to them."""
    return {"logits": HEADS[module.config.output](module(given["image"]))}


def generator_sites(config: GeneratorConfig) -> dict[str, Site]:
    """Styles are seen where they leave the affines, with the one added; images are the second value of a block."""
    sites = {}
    for group, layers in enumerate((conv_layers(config), torgb_layers(config))):
        for i, name in enumerate(layers):
            layer = f"style_vectors.{name}"
            sites[layer] = Site(layer, "style_vectors", (group, i), own=layer, plus=config.style_offset)
    for name in torgb_layers(config):
        layer = f"synthesis.{name.removesuffix('.torgb')}"
        sites[layer] = Site(layer, layer, (1,))
    return sites


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def _put(output: Any, at: tuple[int, ...], value: Tensor) -> Any:
    if not at:
        return value
    items = [_put(item, at[1:], value) if i == at[0] else item for i, item in enumerate(output)]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
