"""What a graph says of a StyleGAN2 network under NVIDIA's names: the constants that its variables do not tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.graph.constants import operand
from stylexport.converter.graph.graph import Graph
from stylexport.converter.mapping.stylegan import graph_constants
from stylexport.converter.mapping.stylegan.graph_constants import Reader
from stylexport.converter.mapping.stylegan.nvidia_files import Found, variable_of

WHOLE_BATCH = 2**20  # a group that no batch fills is the whole batch


def constants_of(found: Found, artefact: Artefact, generator: bool) -> tuple[dict[str, tuple[object, str]], tuple[str, ...]]:
    """Fields of the configuration that the graph of an artefact gives, each with its place, and remarks on what contradicts itself."""
    readers: Mapping[str, Reader] = (
        {**graph_constants.GENERATOR, "conv_clamp": _clamps, "style_offset": _offsets}
        if generator
        else {**graph_constants.DISCRIMINATOR, "conv_clamp": _clamps, "mbstd_group": _groups}
    )
    read, scales, remarks = graph_constants.read(readers, artefact.graphs())
    values: dict[str, tuple[object, str]] = {name: (fact.value, f"graph: {fact.source}") for name, fact in read.items()}
    if not generator:
        return values, tuple(remarks)
    values.setdefault("style_offset", (0.0, "graph: nothing is added behind an affine"))
    bias, kernel = (variable_of(found, ending) for ending in ("G_mapping/Dense0/bias", "/4x4/Conv/weight"))
    if bias is not None and bias.key in scales:
        values["mapping_lr_multiplier"] = (float(f"{scales[bias.key]:.7g}"), f"graph: coefficient of {bias.name}")
    if kernel is not None:
        values["equalized_convolutions"] = (_is_scaled(kernel, scales), f"graph: coefficient of {kernel.name}")
    return values, tuple(remarks)


def _is_scaled(kernel: Variable, scales: Mapping[str, float]) -> bool:
    expected = 1 / math.sqrt(math.prod(kernel.shape[:-1]))
    return abs(scales.get(kernel.key, 1.0) - expected) < 1e-5 * expected


def _clamps(graph: Graph) -> Iterator[tuple[float, str]]:
    """The limit c of every min(max(x, -c), c)."""
    for node in graph.nodes.values():
        if node.op == "Minimum" and (outer := operand(graph, node)):
            inner = graph.source(outer[0])
            found = operand(graph, inner) if inner is not None and inner.op == "Maximum" else None
            if found and found[1] == -outer[1]:
                yield outer[1], node.name


def _offsets(graph: Graph) -> Iterator[tuple[float, str]]:
    """What is added behind an affine: the only scalars of about one that StyleGAN2 adds."""
    for node in graph.nodes.values():
        if node.op in ("Add", "AddV2") and (found := operand(graph, node)) and found[1] > 0.5:
            yield found[1], node.name


def _groups(graph: Graph) -> Iterator[tuple[int, str]]:
    clamps = {place for _, place in _clamps(graph)}
    for value, place in graph_constants.DISCRIMINATOR["mbstd_group"](graph):
        if place not in clamps:
            yield (0 if value >= WHOLE_BATCH else int(value)), place
