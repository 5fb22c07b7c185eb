"""StyleGAN2's constants as the graph has them: slope, gain, epsilons, filter, learning-rate multiplier.

Each reader looks for one shape of computation and gives every value it finds; a constant is taken from the graph when all places agree,
else the default stays and the ledger says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stylexport.converter.graph.constants import fixed, operand
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.mapping.stylegan.fir import filters
from stylexport.converter.mapping.stylegan.leaky import ADD, gains, residual_scales, slopes


@dataclass(frozen=True)
class Read:
    """One field of a configuration that the graph told: its value, and where it stood."""

    value: Any
    source: str


def _epsilons(graph: Graph, roots: Collection[str], of_weights: bool | None = None) -> Iterator[tuple[float, str]]:
    """Constants c of a root of x + c. What x is made of tells where z is normalised from where weights are, which needs them."""
    for node in graph.nodes.values():
        add = graph.source(node.inputs[0]) if node.op in roots else None
        found = operand(graph, add) if add is not None and add.op in ADD else None
        if add is not None and found and of_weights in (None, _needs_variables(graph, found[0])):
            yield found[1], add.name


def _needs_variables(graph: Graph, ref: str) -> bool:
    """Whether a value is made of any variable."""
    front, seen = [ref], set[str]()
    while front:
        node = graph.get(front.pop())
        if node is None or node.name in seen:
            continue
        if node.name in graph.keys:
            return True
        seen.add(node.name)
        front += node.inputs
    return False


def _groups(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "Minimum" and (found := operand(graph, node)) and found[1] == int(found[1]):
            yield int(found[1]), node.name


# field -> reader; the fields of each network's configuration that a graph can tell
_SHARED: Mapping[str, Callable[[Graph], Iterable[tuple[Any, str]]]] = {"leaky_slope": slopes, "gain": gains, "fir": filters}
READERS: Mapping[str, Mapping[str, Callable[[Graph], Iterable[tuple[Any, str]]]]] = {
    "generator": {
        **_SHARED,
        "normalize_epsilon": partial(_epsilons, roots=("Rsqrt", "Sqrt"), of_weights=False),
        "demodulation_epsilon": partial(_epsilons, roots=("Rsqrt", "Sqrt"), of_weights=True),
    },
    "encoder": {**_SHARED, "residual_scale": residual_scales},
    "discriminator": {
        **_SHARED,
        "residual_scale": residual_scales,
        "mbstd_epsilon": partial(_epsilons, roots=("Sqrt",)),
        "mbstd_group": _groups,
    },
}


def read(network: str, graphs: Iterable[Graph]) -> tuple[dict[str, Read], dict[str, float], list[str]]:
    """The fields that all places agree on, the run-time coefficients of variables, and a remark for each disagreement.

    Graphs are read until every field is seen: a SavedModel holds one for each of its functions, most of them parts of the first.
    """
    seen: dict[str, dict[Any, str]] = {field: {} for field in READERS[network]}
    scales: dict[str, float] = {}
    for graph in graphs:
        for field, reader in READERS[network].items():
            for value, place in reader(graph):
                seen[field].setdefault(value, place)
        scales = {**_coefficients(graph), **scales}
        if all(seen.values()):
            break
    read = {field: Read(*next(iter(values.items()))) for field, values in seen.items() if len(values) == 1}
    remarks = [
        f"{field}: the graph has {len(values)} values ({', '.join(f'{v} at {p}' for v, p in list(values.items())[:3])}); the default stays"
        for field, values in seen.items()
        if len(values) > 1
    ]
    return read, scales, remarks


def _coefficients(graph: Graph) -> dict[str, float]:
    """Checkpoint key -> the scalar constant that the graph multiplies that variable by (run-time weight scaling)."""
    found: dict[str, float] = {}
    for node in graph.nodes.values():
        if node.op == "Mul" and (pair := operand(graph, node)) and (key := graph.variable(pair[0])):
            found.setdefault(key, pair[1])
    return found


def flattens_hwc(graph: Graph) -> bool:
    """Whether a map is flattened as [h, w, c] before a dense layer: an NHWC convolution comes before the Reshape, no Transpose between."""
    for node in graph.nodes.values():
        if node.op != "MatMul":
            continue
        ref, flat = node.inputs[0], False
        for _ in range(32):
            before = graph.get(ref)
            if before is None or not before.inputs or before.op in ("Transpose", "MatMul"):
                break
            if before.op == "Conv2D":
                if flat and before.attr["data_format"].s != b"NCHW":
                    return True
                break
            flat = flat or before.op in ("Reshape", "Flatten")
            ref = _data_input(graph, before)
    return False


def _data_input(graph: Graph, node: Node) -> str:
    """The input of an elementwise node that is no constant and no variable."""
    return next((ref for ref in node.inputs if not fixed(graph, ref)), node.inputs[0])
