"""The generator's calls: z to w, dlatent to styles, styles to image.

The released model has a member for each, as the authors' notebook calls them. Where one is missing, the whole model is cut in two at the
dlatent, which every style's affine takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from stylexport.common.errors import BadInput
from stylexport.converter.calls.calls import SERVING, Call, Feed, Procedure, callables, flow_of, keys_of, used
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.savedmodel.functions import Function, Input, inference
from stylexport.converter.graph.dataflow import follow, name_of, resolve
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.mapping.network import Network
from stylexport.torch_models.config import GeneratorConfig

MAPPING, STYLES, SYNTHESIS = "mapping", "style_vectors", "synthesis"
_PARTS = (MAPPING, STYLES, SYNTHESIS)
_CUT = "the original has no member that makes styles: its whole call was cut in two at the dlatent"
_CUT_MAPPING = "the original has no member that takes z alone: its mapping was run as the part of the whole call before the dlatent"
_NO_MAPPING = "no function of the original takes z alone: its mapping was not run, and w is the latents' or drawn"


def generator_calls(artefact: Artefact, network: Network) -> Procedure:
    """The three calls, or those of them that the artefact allows. Raises BadInput where none makes an image."""
    config = network.config
    assert isinstance(config, GeneratorConfig)
    found, whole = _members(artefact, network), partial(_whole, artefact, network)
    mapping, styles, synthesis = (found.get(part) for part in _PARTS)
    if styles is not None and synthesis is not None and len(styles.outputs) == len(synthesis.inputs):
        names = tuple(f"style {i}" for i in range(len(styles.outputs)))
        calls = (Call(styles, (_dlatent(config),), names, final=False), Call(synthesis, tuple(map(Feed, names)), ("image",)))
        if mapping is not None:
            return Procedure((Call(mapping, _mapping_feeds(mapping, config), ("w",), final=False), *calls))
        if (before := _before(whole(), network)) is not None:
            return Procedure((Call(before, _feeds(before, config), ("w",), final=False), *calls), remarks=(_CUT_MAPPING,))
        return Procedure(calls, remarks=(_NO_MAPPING,))
    return _by_whole(artefact, network, whole(), mapping)


def _by_whole(artefact: Artefact, network: Network, whole: Function | None, mapping: Function | None) -> Procedure:
    """The calls of a generator that has no function for its styles."""
    config = network.config
    assert isinstance(config, GeneratorConfig)
    if whole is None:
        raise BadInput(
            f"{artefact.path}: no function of it makes an image of styles, of a dlatent, or of z and probabilities; export the generator "
            "with its members style_vector_calculator and g_synthesis, or with its own call"
        )
    if len(whole.inputs) == 1:
        remark = () if mapping else (_NO_MAPPING,)
        first = (Call(mapping, _mapping_feeds(mapping, config), ("w",), final=False),) if mapping else ()
        return Procedure((*first, Call(whole, (_dlatent(config),), ("image",))), remarks=remark)
    before, after = cut(whole, dlatent_of(whole, network), config.dlatent)
    return Procedure(
        (Call(before, _feeds(whole, config), ("w",), final=False), Call(after, (_dlatent(config),), ("image",))), remarks=(_CUT,)
    )


def _members(artefact: Artefact, network: Network) -> dict[str, Function]:
    """The function of each part: it uses the part's weights, no other part's variables, and has inputs and outputs as the part has."""
    own = {part: keys_of(network, f"{part}.") for part in _PARTS}
    weights = {part: keys_of(network, f"{part}.", "weight") for part in _PARTS}
    classes: int = getattr(network.config, "classes", 0)
    found: dict[str, Function] = {}
    for function in callables(artefact):
        keys = used(function)
        for part in _PARTS:
            if part not in found and weights[part] <= keys <= own[part] and _fits(part, function, classes):
                found[part] = function
        missing = [part for part in _PARTS if part not in found]
        # Members come in order of their number of variables, most first: after those that are too small, only signatures follow.
        if not missing or (function.path and len(function.graph.keys) < min(len(weights[part]) for part in missing)):
            break
    return found


def _fits(part: str, function: Function, classes: int = 0) -> bool:
    if part == SYNTHESIS:
        return len(function.inputs) > 1 and len(function.outputs) == 1
    most = 2 if part == MAPPING and classes else 1
    return len(function.inputs) == most and (len(function.outputs) == 1) == (part == MAPPING)


def _whole(artefact: Artefact, network: Network) -> Function | None:
    """The function of a dlatent, or of z and probabilities, that makes an image."""
    needed = keys_of(network, f"{STYLES}.", "weight") | keys_of(network, f"{SYNTHESIS}.", "weight")
    for function in _candidates(artefact):
        if len(function.outputs) == 1 and needed <= used(function) and len(function.inputs) in (1, 2):
            if len(function.inputs) == 1 and used(function) & keys_of(network, f"{MAPPING}."):
                continue
            return function
    return None


def _candidates(artefact: Artefact) -> Iterator[Function]:
    for path in ("", SERVING):
        if (function := inference(artefact, path)) is not None:
            yield function
    yield from callables(artefact)


def _z(config: GeneratorConfig) -> Feed:
    return Feed("z", (config.z,))


def _mapping_feeds(function: Function, config: GeneratorConfig) -> tuple[Feed, ...]:
    """z, and where there are classes they, distinguished by their lengths; z comes first where these are the same."""
    classes: int = getattr(config, "classes", 0)
    named = [_z(config), Feed("classes", (classes,))][: len(function.inputs)]
    return tuple(named[::-1] if config.z != classes and classes and _width(function.inputs[0]) == classes else named)


def _dlatent(config: GeneratorConfig) -> Feed:
    return Feed("dlatent", (config.dlatent,), parts=(config.latent, config.labels))


def _feeds(whole: Function, config: GeneratorConfig) -> tuple[Feed, ...]:
    """The whole call's two inputs, distinguished by their lengths."""
    return tuple(Feed("probabilities", (config.labels,)) if _width(given) == config.labels else _z(config) for given in whole.inputs)


def _before(whole: Function | None, network: Network) -> Function | None:
    """The part of a whole call of z and probabilities up to the dlatent; None where there is no such call or no dlatent."""
    if whole is None or len(whole.inputs) == 1:
        return None
    try:
        return _up_to(whole, dlatent_of(whole, network))
    except BadInput:
        return None


def _up_to(function: Function, node: str) -> Function:
    path, graph = f"{function.path} to the dlatent".strip(), function.graph
    return Function(path, graph, function.inputs, (resolve(graph, node),), function.training)


def _width(given: Input) -> int | None:
    return given.shape[-1] if given.shape else None


def dlatent_of(function: Function, network: Network) -> str:
    """The node that every style's affine takes. Raises BadInput where they take different ones."""
    flow = flow_of(function)
    keys = keys_of(network, f"{STYLES}.", "weight")
    taken = set()
    for name in flow.inputs:
        weights = {flow.graph.keys[v] for ref in flow.fixed_inputs(name) for v in flow.variables[name_of(ref)]} & keys
        if name in flow.data and weights:
            taken |= set(flow.data_inputs(name))
    if len(taken) != 1:
        raise BadInput(f"the styles' affines take {len(taken)} different tensors; export the generator with style_vector_calculator")
    return taken.pop()


def cut(function: Function, node: str, width: int) -> tuple[Function, Function]:
    """Two functions out of one: what leads to `node` [N, width], and what follows when a caller feeds that.

    Raises BadInput where another input reaches the outputs without it.
    """
    graph = function.graph
    kind = {"dtype": graph.nodes[node].attr["T"]} if "T" in graph.nodes[node].attr else {}
    fed = Node(node, "Placeholder", (), kind)
    nodes = {**graph.nodes, node: fed}
    after = Function(
        f"{function.path} from the dlatent".strip(),
        Graph(nodes, graph.keys, graph.outputs, graph.part),
        (Input(node, (None, width), "float32"),),
        function.outputs,
        function.training,
    )
    if stray := follow(after.graph, after.outputs).fed - {node}:
        raise BadInput(
            f"{', '.join(sorted(stray))} reaches the image without the dlatent; export the generator with style_vector_calculator"
        )
    return _up_to(function, node), after
