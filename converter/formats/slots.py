"""What is no weight of a network: an optimiser's slots and counters, a metric's sums, moving averages; told by names.

TensorFlow 1 names a slot below its variable: `conv/weights/Adam`, `conv/weights/Adam_1`, `conv/weights/ExponentialMovingAverage`
(tf.compat.v1.train: Optimizer._create_slots, slot_creator.py). Keras names it below its optimiser: `training/Adam/conv/kernel/m`,
`Adam/m/conv/kernel`, `adam/conv_kernel_velocity`. Where a file says which object an optimiser is, names are not asked: object_graph.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from stylexport.converter.formats.base import Variable

AVERAGE = "ExponentialMovingAverage"

# What optimisers of TensorFlow 1 append to a variable's name, without the number behind. A new one is found by its shape as well.
_BELOW = """Adam AdaMax Adagrad Adadelta Adafactor AMSGrad AdamW Nadam LAMB LAMBOptimizer LARSOptimizer Lion Momentum MomentumW RMSProp Ftrl
    ProximalAdagrad AdagradDA adam_m adam_v lamb_m lamb_v momentum rms mg biased local_step"""
_SUFFIXES = frozenset((*_BELOW.split(), AVERAGE))
# Scalars that belong to no network, by the last part of their name.
_COUNTERS = re.compile(
    r"(^|/)(global_step|beta[12]_power(_\d+)?|save_counter|iter(ations?)?|_iterations|_?learning_rate|decay|beta_[12]|rho|momentum|"
    r"momentum_cache|current_loss_scale|good_steps|num_good_steps|loss_scale|step_counter|dynamic_scale)$"
)
# The words by which optimisers of Keras 1 to 3 name what they keep a variable.
_WORDS = """m v c r u vhat momentum velocity velocity_hat norm rms mg linear average average_gradient
    accumulator accum_grad accum_var accumulated_grad accumulated_delta_var gradient_accumulator"""
SLOTS = frozenset(_WORDS.split())
# First parts of the names that Keras's optimisers give to their own variables.
_OPTIMIZERS = """adadelta adafactor adagrad adam adamax adamw adam_w ftrl lamb lion muon nadam rmsprop rm_sprop sgd radam
    loss_scale_optimizer lossscaleoptimizer"""
OPTIMIZERS = frozenset(_OPTIMIZERS.split())
_SCOPES = ("training", "optimizer", "train")  # what Keras and users put before an optimiser's name


def slot_of_name(name: str, shapes: Mapping[str, tuple[int, ...]], own: Collection[str] = ()) -> str | None:
    """The slot or counter that `name` is beside the other names of its file, with their shapes; None for a variable of a network.

    `own` are the names that the file's optimisers go by (`optimizers_own_names`).

    Example:
        >>> shapes = {"net/w": (3, 4), "net/w/Adam_1": (3, 4), "beta1_power": (), "Adam/m/net/w": (3, 4), "net/w/scale": (4,)}
        >>> [slot_of_name(name, shapes) for name in shapes]
        [None, 'Adam_1', 'beta1_power', 'Adam/m', None]

    """
    owner, _, suffix = name.rpartition("/")
    word = _word(suffix)
    if owner in shapes and (word in _SUFFIXES or ((suffix[:1].isupper() or word in own) and shapes[owner] == shapes[name])):
        return suffix
    if word in _SUFFIXES and any(other.endswith(f"/{owner}") or owner.endswith(f"/{other}") for other in shapes):
        return suffix
    if (found := _COUNTERS.search(name)) and shapes[name] in ((), (1,)):
        return found.group(2)
    return variable_slot(name)


def optimizers_own_names(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """The names that users gave to their optimisers: what stands below several variables, each time with that variable's shape.

    Example:
        >>> shapes = {"a/w": (3, 4), "a/w/mine": (3, 4), "a/w/mine_1": (3, 4), "a/b": (4,), "a/b/mine": (4,)}
        >>> sorted(optimizers_own_names(shapes))
        ['mine']

    """
    owners: dict[str, set[str]] = {}
    for name in shapes:
        owner, _, suffix = name.rpartition("/")
        if shapes.get(owner) == shapes[name]:
            owners.setdefault(_word(suffix), set()).add(owner)
    return frozenset(word for word, below in owners.items() if len(below) > 1)


def told_apart(variables: Iterable[Variable]) -> tuple[Variable, ...]:
    """The variables of a file that has names alone, each with the slot that it is, and a moving average with what it averages."""
    variables = tuple(variables)
    shapes = {variable.name: variable.shape for variable in variables}
    keys = {variable.name: variable.key for variable in variables}
    own = optimizers_own_names(shapes)
    return tuple(
        replace(v, slot=slot, average_of=keys.get(v.name.rpartition("/")[0]) if _word(slot) == AVERAGE else None)
        if (slot := slot_of_name(v.name, shapes, own)) is not None
        else v
        for v in variables
    )


def optimizer_slot(name: str) -> str:
    """What an optimiser's variable is: "Adam/m/conv/kernel:0", "training/Adam/conv/kernel/m:0", "adam/conv_kernel_velocity"."""
    optimizer, *rest = [part for part in name.removesuffix(":0").split("/") if part != "training"] or [name]
    if not rest:
        return optimizer
    for word in (rest[0], rest[-1]):
        if word in SLOTS:
            return f"{optimizer}/{word}"
    if len(rest) == 1:
        endings = [slot for slot in SLOTS if rest[0].endswith(f"_{slot}")]
        return f"{optimizer}/{max(endings, key=len, default=rest[0])}"
    return optimizer


def variable_slot(name: str) -> str | None:
    """The slot of a variable named as Keras's optimisers name theirs ("Adam/m/conv/kernel"), None for any other."""
    parts = [_word(part) for part in name.lower().split("/")]
    if len(parts) > 1 and parts[0] in OPTIMIZERS:
        return optimizer_slot(name)
    if len(parts) > 2 and parts[0] in _SCOPES and parts[1] in OPTIMIZERS:
        return optimizer_slot(name.partition("/")[2])
    return None


def _word(name: str) -> str:
    """A name without the number that TensorFlow put behind it."""
    return re.sub(r"_\d+$", "", name)
