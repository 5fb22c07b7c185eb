"""The names of a checkpoint's tensors: from the object graph of TensorFlow 2, or from the keys of TensorFlow 1.

A TrackableObjectGraph lists objects; each attribute of one has a `checkpoint_key` (unique: the path of attributes that leads to it)
and a `full_name` (the variable's name, which need not be unique). Optimiser slots hang on optimiser nodes as `slot_variables`.
Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

# What TF1 optimisers and moving averages append to a variable's name (tf.compat.v1.train.*: Optimizer._create_slots).
_SLOT_SUFFIXES = frozenset(
    "Adam Adam_1 AdaMax AdaMax_1 Adagrad Adadelta Adadelta_1 AMSGrad Momentum RMSProp RMSProp_1 RMSProp_2 Ftrl Ftrl_1 LARSOptimizer "
    "ExponentialMovingAverage ProximalAdagrad AdagradDA AdagradDA_1 adam_m adam_v momentum rms mg".split()
)
# Scalars that belong to no network, by the last part of their name.
_COUNTERS = re.compile(
    r"(^|/)(global_step|beta1_power|beta2_power|save_counter|iter(ations)?|_?iterations|learning_rate|_?learning_rate|decay|"
    r"current_learning_rate|beta_[12]|rho|momentum|current_loss_scale|good_steps)$"
)
_OPTIMISER_PATH = re.compile(r"(^|/)(optimizer|_optimizer|.*optimi[sz]er)(/|$)")
_METRIC_PATH = re.compile(r"(^|/)(keras_api/metrics|compiled_metrics|compiled_loss|metrics)/")


@dataclass(frozen=True)
class Named:
    """A tensor's variable name, and the optimiser slot or counter that it is (None for a network's own)."""

    name: str
    slot: str | None


def names_by_object(graph: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Named]:
    """Checkpoint key -> name and slot, from a TrackableObjectGraph; a key that the graph does not list keeps itself as its name."""
    slots: dict[int, str] = {}
    for node in graph.nodes:
        for slot in node.slot_variables:
            slots[slot.slot_variable_node_id] = slot.slot_name
    names: dict[str, Named] = {}
    for number, node in enumerate(graph.nodes):
        for attribute in node.attributes:
            key = attribute.checkpoint_key
            slot = slots.get(number)
            names[key] = Named(attribute.full_name or _path_of(key), f"optimizer/{slot}" if slot else _slot_of_key(key))
    for key in shapes:
        names.setdefault(key, Named(_path_of(key), _slot_of_key(key)))
    return names


def _path_of(key: str) -> str:
    return key.split("/.ATTRIBUTES/")[0]


def _slot_of_key(key: str) -> str | None:
    path = _path_of(key)
    if "/.OPTIMIZER_SLOT/" in path:
        return f"optimizer/{path.rsplit('/', 1)[-1]}"
    if _OPTIMISER_PATH.search(path.split("/_variables/")[0]) or ("/_variables/" in path and "optimizer" in path):
        return f"optimizer/{path.rsplit('/', 1)[-1]}"
    if _METRIC_PATH.search(path):
        return f"metric/{path.rsplit('/', 1)[-1]}"
    return path.rsplit("/", 1)[-1] if path in ("save_counter", "_iterations", "_learning_rate") else None


def names_by_name(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Named]:
    """Key -> name and slot for a name-based checkpoint, where the key is the name."""
    return {key: Named(key, slot_of_name(key, shapes)) for key in shapes}


def slot_of_name(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The slot that `name` is, by TF1's way of naming: `<variable>/Adam` of the variable's own shape; or a counter."""
    owner, _, suffix = name.rpartition("/")
    if suffix in _SLOT_SUFFIXES and owner in shapes and shapes[owner] == shapes[name]:
        return suffix
    if suffix in _SLOT_SUFFIXES and any(other.endswith(f"/{owner}") or owner.endswith(f"/{other}") for other in shapes):
        return suffix
    if (found := _COUNTERS.search(name)) and shapes[name] in ((), (1,)):
        return found.group(2)
    return None
