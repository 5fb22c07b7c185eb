"""The names and the roles of a checkpoint's tensors, from the object graph of TensorFlow 2.

A TrackableObjectGraph lists objects, the first of them the root; `children` are their attributes. An `attribute` of one is a tensor: its
`checkpoint_key` (unique: the first path of attributes that leads to it) and a `full_name` (the variable's name, which need not be
unique). Keras 2's optimiser lists its slots as `slot_variables`; Keras 3's holds lists of them, and one of the model's own variables,
so that a weight's key may begin with `optimizer/`. So an optimiser is told by what it holds, and a weight by a path that leads to it
around every optimiser and metric: neither attribute names (which the user chooses) nor keys are asked.
Source: tensorflow/core/protobuf/trackable_object_graph.proto; keras/src/optimizers/base_optimizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stylexport.converter.formats.slots import AVERAGE

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

# Attributes of which an object has all, if it is an optimiser: of Keras 3 and 2.11, of Keras 2, of a scaler of the loss.
_OPTIMISERS = (
    {"_variables", "_iterations"},
    {"iter", "learning_rate"},
    {"iter", "decay"},
    {"current_loss_scale", "good_steps"},
    {"inner_optimizer"},
    {"base_optimizer"},
    {"beta1_power", "beta2_power"},
)
_OPTIMISER_NAME = re.compile(r"_?(.*_)?optimi[sz]ers?")
# Attributes that only a model has: of Keras 3 and 2. Its user may call it `optimizer` all the same.
_MODEL = {"_layers", "layers", "_functional", "_operations", "layer-0"}
_METRIC = frozenset({"total", "count"})
_METRIC_NAMES = frozenset(
    "keras_api/metrics metrics _metrics compiled_metrics compiled_loss _compile_metrics _compile_loss _loss_tracker loss_tracker".split()
)
# An optimiser's own lists of what its other attributes hold, and those of the model's variables.
_OWN, _WEIGHTS, _AVERAGES = "_variables", ("_trainable_variables", "_all_trainable_variables"), "_model_variables_moving_average"
# What a training program keeps beside its model, at the root of the checkpoint.
_COUNTER = re.compile(
    r"save_counter|(global_|train_)?steps?|(global_|initial_|current_|last_)?epochs?|_?iterations?|best_\w+|_?learning_rate|lr"
)


@dataclass(frozen=True)
class Named:
    """A tensor's variable name, the slot or counter that it is (None for a network's own), what it averages, its path in the model."""

    name: str
    slot: str | None
    average_of: str | None = None
    path: str = ""


def names_by_object(graph: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Named]:
    """Checkpoint key -> name and role, from a TrackableObjectGraph; a key that the graph does not list keeps itself as its name."""
    count = len(graph.nodes)
    children = [{child.local_name: child.node_id for child in node.children if 0 <= child.node_id < count} for node in graph.nodes]
    keys = [[attribute.checkpoint_key for attribute in node.attributes] for node in graph.nodes]
    optimisers, metrics = _optimisers(graph, children), _metrics(children)
    model = _paths(children, optimisers | metrics)
    kept = _kept(children, optimisers, metrics)
    slots, averages = dict(kept.slots), dict(kept.averages)
    for node in graph.nodes:
        for slot in node.slot_variables:
            slots[slot.slot_variable_node_id] = f"optimizer/{slot.slot_name}"
            if slot.slot_name == "average":
                averages[slot.slot_variable_node_id] = slot.original_variable_node_id
    names: dict[str, Named] = {}
    for number, node in enumerate(graph.nodes):
        for attribute in node.attributes:
            key = attribute.checkpoint_key
            name = attribute.full_name or _path_of(key)
            path = model.get(number, kept.weights.get(number, ""))
            if number in slots and number not in model:
                of = next(iter(keys[averages[number]]), None) if 0 <= averages.get(number, -1) < len(keys) else None
                slot = slots[number]
                names[key] = Named(name, slot + _path_of(key).rpartition("/")[2] if slot == "metric/" else slot, of)
            elif number not in model and number not in kept.weights and (slot := _slot_of_key(key)):
                names[key] = Named(name, slot)
            else:
                names[key] = Named(name, _counter(path, shapes.get(key)), None, _by_attribute(path))
    for key in shapes:
        names.setdefault(key, Named(_path_of(key), _slot_of_key(key)))
    return _with_shadows(names)


def _with_shadows(names: dict[str, Named]) -> dict[str, Named]:
    """A variable called like another one's tf.train.ExponentialMovingAverage is one, wherever a program keeps it."""
    by_name = {named.name: key for key, named in names.items()}
    for key, named in names.items():
        owner, _, suffix = named.name.rpartition("/")
        if named.slot is None and suffix == AVERAGE and owner in by_name:
            names[key] = Named(named.name, AVERAGE, by_name[owner])
    return names


def _optimisers(graph: Any, children: list[dict[str, int]]) -> set[int]:
    """The nodes of optimisers and of scalers of the loss: by what they hold, else by what they are called."""
    found = {number for number, node in enumerate(graph.nodes) if node.slot_variables}
    for number, held in enumerate(children):
        if any(names <= held.keys() for names in _OPTIMISERS):
            found.add(number)
        found |= {child for name, child in held.items() if _OPTIMISER_NAME.fullmatch(name) and not _is_model(children, child)}
    return found - {0}


def _is_model(children: list[dict[str, int]], number: int) -> bool:
    return 0 <= number < len(children) and bool(children[number].keys() & _MODEL)


def _metrics(children: list[dict[str, int]]) -> set[int]:
    """The nodes of metrics, in the same two ways."""
    found = {number for number, held in enumerate(children) if held.keys() >= _METRIC}
    return (found | {child for held in children for name, child in held.items() if name in _METRIC_NAMES}) - {0}


def _paths(children: list[dict[str, int]], around: set[int]) -> dict[int, str]:
    """Node -> its shortest path from the root that meets no node in `around`."""
    paths = {0: ""} if children else {}
    front = list(paths)
    while front:
        below = []
        for number in front:
            for name, child in children[number].items():
                if 0 <= child < len(children) and child not in paths and child not in around:
                    paths[child] = f"{paths[number]}/{name}".lstrip("/")
                    below.append(child)
        front = below
    return paths


@dataclass
class _Kept:
    """What optimisers and metrics hold: node -> the attribute that holds it; of their lists of the model's variables, node -> path."""

    slots: dict[int, str]
    averages: dict[int, int]
    weights: dict[int, str]


def _kept(children: list[dict[str, int]], optimisers: set[int], metrics: set[int]) -> _Kept:
    kept = _Kept({}, {}, {})
    for number in sorted(metrics):
        kept.slots |= dict.fromkeys(_below(children, number), "metric/")
    for number in sorted(optimisers):
        if number >= len(children):
            continue
        held = children[number]
        listed = next(({**children[held[name]]} for name in _WEIGHTS if name in held and held[name] < len(children)), {})
        kept.weights |= {node: f"{_WEIGHTS[0]}/{place}" for place, node in listed.items()}
        if _AVERAGES in held and held[_AVERAGES] < len(children):
            averages = children[held[_AVERAGES]]
            kept.averages |= {node: listed[place] for place, node in averages.items() if place in listed}
        for name, node in sorted(held.items(), key=lambda item: item[0] == _OWN):
            if name not in _WEIGHTS:
                for below in _below(children, node):
                    kept.slots.setdefault(below, f"optimizer/{name.lstrip('_')}")
    kept.slots = {node: slot for node, slot in kept.slots.items() if node not in kept.weights}
    return kept


def _below(children: list[dict[str, int]], start: int) -> Iterator[int]:
    """A node and all that hangs on it, but for the model's variables."""
    seen, front = {start}, [start]
    while front:
        number = front.pop()
        if not 0 <= number < len(children):
            continue
        yield number
        more = {child for name, child in children[number].items() if name not in _WEIGHTS} - seen
        seen |= more
        front += more


def _counter(path: str, shape: tuple[int, ...] | None) -> str | None:
    """What a scalar at the checkpoint's root counts."""
    return path if shape in ((), (1,)) and _COUNTER.fullmatch(path) else None


def _by_attribute(path: str) -> str:
    """A path with the variable's own attribute as its layer names it: Keras 3 hides a Dense layer's kernel behind `_kernel`."""
    *above, last = path.split("/")
    return "/".join((*above, last.lstrip("_")))


def _path_of(key: str) -> str:
    return key.split("/.ATTRIBUTES/")[0]


def _slot_of_key(key: str) -> str | None:
    """What a tensor is that the object graph does not reach, by its key."""
    path = _path_of(key)
    *above, last = path.split("/")
    if "/.OPTIMIZER_SLOT/" in path or any(_OPTIMISER_NAME.fullmatch(name) for name in above):
        return f"optimizer/{last}"
    if _METRIC_NAMES & set(above):
        return f"metric/{last}"
    return last if path in ("save_counter", "_iterations", "_learning_rate") else None
