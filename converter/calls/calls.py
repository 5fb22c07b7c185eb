"""Which functions of an artefact are run for a network, on which inputs, and the names of their outputs.

A function is chosen by the variables that it uses, which the mapping knows; names decide only the order of the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.savedmodel.functions import Function, Input, functions, holds_graph, inference, limit_to
from stylexport.converter.graph.axes import orders
from stylexport.converter.graph.dataflow import Flow, follow
from stylexport.converter.mapping.network import Network

SERVING = "signature:serving_default"
NCHW, NHWC = "NCHW", "NHWC"

# A sample's shape, None where an axis, or all, may have any size.
Shape = tuple[int | None, ...] | None


@dataclass(frozen=True)
class Feed:
    """One input of a call: the value's name, a sample's shape as the recording keeps it (images [C, H, W]), and the graph's own layout.

    `dtype` is the graph's; a scalar has the shape () and no samples. `parts`: of a dlatent, the lengths of w and of the probabilities.
    """

    name: str
    shape: Shape = None
    layout: str = ""
    dtype: str = "float32"
    scalar: bool = False
    parts: tuple[int, int] | None = None

    def in_its_layout(self, value: Array) -> Array:
        """An input as the recording keeps it, in the graph's own layout."""
        return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if self.layout == NHWC else value


@dataclass(frozen=True)
class Call:
    """A function that is run once: its inputs in order, the names of its outputs, and whether these are the network's outputs."""

    function: Function
    feeds: tuple[Feed, ...]
    gives: tuple[str, ...]
    final: bool = True


@dataclass(frozen=True)
class Procedure:
    """The calls of one network in order. `samples` is the only number of samples that the graph takes, None where it takes any."""

    calls: tuple[Call, ...]
    samples: int | None = None
    remarks: tuple[str, ...] = field(default=())


def flow_of(function: Function) -> Flow:
    """What a function's outputs need."""
    return follow(function.graph, function.outputs, [given.name for given in function.inputs])


def used(function: Function) -> frozenset[str]:
    """Checkpoint keys of the variables that a function's outputs depend on."""
    keys = function.graph.keys
    return frozenset(keys[name] for name in flow_of(function).inputs if name in keys)


def keys_of(network: Network, part: str = "", ending: str = "") -> frozenset[str]:
    """Checkpoint keys of a network's variables whose PyTorch tensor begins with `part` and ends in `ending`."""
    names = ((b.rule.torch, b.variable.key) for b in network.bindings)
    return frozenset(key for name, key in names if name.startswith(part) and name.endswith(ending))


def callables(artefact: Artefact) -> Iterator[Function]:
    """The functions that may be recorded, the model's own call first. Raises BadInput for a format without a graph."""
    if not holds_graph(artefact):
        raise BadInput(f"{artefact.path}: a {artefact.format} holds no graph, so nothing of it can be run; record the SavedModel")
    return (function for function in functions(artefact) if function.training is not True)


def image_calls(artefact: Artefact, network: Network, given: Mapping[str, int], gives: str, layout: str, resolution: int) -> Procedure:
    """A network of images: the call that takes `given` (name -> number of axes) and uses all weights.

    `layout` and `resolution` are used where the graph has no other. Raises BadInput where no function does that.
    """
    weights, own = keys_of(network, ending="weight"), keys_of(network) | frozenset(network.excused)
    for function in callables(artefact):
        if len(function.inputs) != len(given) or not weights <= used(function) <= own:
            continue
        ordered = _by_rank(function.inputs, given)
        if ordered is None:
            continue
        feeds = tuple(_feed(function, i, name, network, layout, resolution) for i, name in zip(function.inputs, ordered, strict=True))
        names = tuple(gives if i == 0 else f"{gives}_{i}" for i in range(len(function.outputs)))
        return Procedure((Call(function, feeds, names),), _fixed_samples(function))
    raise BadInput(
        f"{artefact.path}: no function of it takes {' and '.join(given)} and uses every weight of the {network.network}; "
        "export the SavedModel with its call or a serving signature"
    )


def discriminator_calls(artefact: Artefact, network: Network) -> Procedure:
    """StyleGAN2's discriminator: an image, and classes where it has some. Raises BadInput where no function takes these."""
    given = {"image": 4, **({"classes": 2} if getattr(network.config, "classes", 0) else {})}
    return image_calls(artefact, network, given, "score", NCHW, network.config.resolution)  # type: ignore[attr-defined]


def _by_rank(inputs: Sequence[Input], given: Mapping[str, int]) -> list[str] | None:
    """The names of `given` in the order of the inputs, found by their numbers of axes. None where no order fits."""
    for order in (list(given), list(given)[::-1]):
        if all(i.shape is None or len(i.shape) == given[name] for i, name in zip(inputs, order, strict=True)):
            return order
    return None


def _feed(function: Function, given: Input, name: str, network: Network, layout: str, resolution: int) -> Feed:
    if name == "probabilities":
        return Feed(name, (getattr(network.config, "labels", None),), dtype=given.dtype)
    if name != "image":
        return Feed(name, given.shape[1:] if given.shape else None, dtype=given.dtype)
    channels: int = getattr(network.config, "image_channels", 3)
    found = _layout(function, given, channels) or layout
    height, width = (n or getattr(network.config, "resolution", None) or resolution for n in _map_size(given.shape, found))
    return Feed(name, (channels, height, width), found, given.dtype)


def _layout(function: Function, given: Input, channels: int | None = None) -> str:
    """The layout of an input with four axes: from the axis with its number of channels where only one has it, else from the graph."""
    if given.shape is not None and len(given.shape) != 4:
        return ""
    if given.shape is not None and channels is not None and (given.shape[1] == channels) != (given.shape[3] == channels):
        return NCHW if given.shape[1] == channels else NHWC
    return orders(flow_of(function)).get(given.name, "")


def _map_size(shape: Shape, layout: str) -> tuple[int | None, int | None]:
    """Height and width of a shape [N, ...]; None where it leaves them open."""
    if shape is None:
        return None, None
    return (shape[2], shape[3]) if layout == NCHW else (shape[1], shape[2])


def _fixed_samples(function: Function) -> int | None:
    return next((i.shape[0] for i in function.inputs if i.shape and i.shape[0] is not None), None)


def other_calls(artefact: Artefact, network: Network | None) -> Procedure:
    """The call of a network with a table of the user's, or of an unknown one: its own call, else a signature.

    With a table, the first function that uses every variable of it, else the one that uses most. Raises BadInput where none uses any.
    """
    wanted = keys_of(network) if network else None
    if wanted is not None:
        limit_to(artefact, wanted)
    best: tuple[int, Function] | None = None
    for function in _whole(artefact):
        found = used(function)
        count = len(found & wanted) if wanted is not None else len(found)
        if function.outputs and count > (best[0] if best else 0):
            best = count, function
            if wanted is None or wanted <= found:
                break
    if best is None:
        if any(function.training for function in functions(artefact)):
            raise BadInput(
                f"{artefact.path}: its graph computes as in training alone (it draws random numbers, or normalises by the batch); "
                "save or freeze the graph that the program evaluates"
            )
        table = " that the table maps" if network else ""
        raise BadInput(f"{artefact.path}: no function of it uses a variable{table}; there is nothing to compare")
    function = best[1]
    feeds = tuple(_other_feed(function, given) for given in function.inputs)
    places = function.places or ((),) * len(function.outputs)
    return Procedure((Call(function, feeds, tuple(_name(place, str(i)) for i, place in enumerate(places))),), _fixed_samples(function))


def _whole(artefact: Artefact) -> Iterator[Function]:
    """Own call and signatures, then the members."""
    parts = []
    for function in callables(artefact):
        if not function.path or function.path.startswith("signature:"):
            yield function
        else:
            parts.append(function.path)
    for path in dict.fromkeys(parts):
        if (found := inference(artefact, path)) is not None:
            yield found


def _other_feed(function: Function, given: Input) -> Feed:
    name = _name(given.place, given.name)
    if given.shape is None and given.dtype != "bool":
        return Feed(name, None, dtype=given.dtype)
    if not given.shape:
        return Feed(name, (), dtype=given.dtype, scalar=True)
    sample = given.shape[1:]
    layout = _layout(function, given)
    if layout == NHWC:
        sample = (sample[2], sample[0], sample[1])
    if layout and sample[0] is None:
        sample = (3, *sample[1:])
    return Feed(name, sample, layout, given.dtype)


def _name(place: Sequence[str | int], otherwise: str) -> str:
    """The name of an argument or result by its place: "styles.0", or the signature's name for it; `otherwise` where it has no place."""
    return ".".join(map(str, place)) or otherwise
