"""A classifier's steps from names and shapes alone: weights files and checkpoints that carry no graph and no configuration.

Variables are grouped by layer (everything up to the last part of the name), the layers are put in order, and the normalisations beside
their convolutions. What names cannot tell is MobileNetV1's paper's: strides, SAME padding, ReLU6, epsilon 1e-3; the ledger says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from stylexport.converter.formats.base import Variable
from stylexport.converter.mapping.classifier.layer_chain import Activation, BatchNorm, Bias, Conv, NotAChain, Pool, Step
from stylexport.torch_models.config import mobilenet_layers

EPSILON = 1e-3
DEFAULTS = "strides, padding, activation and epsilon are the paper's (SAME, ReLU6, 1e-3): the file holds names and shapes only"

_KERNELS = ("kernel", "weights", "depthwise_kernel", "depthwise_weights", "w")
_BIASES = ("bias", "biases", "b")
_NORM = {"gamma": "gamma", "beta": "beta", "moving_mean": "mean", "moving_variance": "variance"}
_NUMBERED_KEY = re.compile(r"layer_with_weights-(\d+)/")


@dataclass
class _Group:
    """The variables of one layer."""

    name: str
    first: int  # place of its first variable in the file
    kernel: Variable | None = None
    bias: Variable | None = None
    norm: dict[str, Variable] = field(default_factory=dict)
    depthwise: bool = False

    def called_depthwise(self) -> bool:
        """Whether the name says so."""
        return self.kernel is not None and ("depthwise" in self.name.lower() or self.kernel.name.rpartition("/")[2].startswith("depthwise"))

    def shaped_depthwise(self) -> bool:
        """Whether the shape says so: a plain convolution to one channel has the same."""
        shape = self.kernel.shape if self.kernel else ()
        return len(shape) == 4 and shape[3] == 1 and shape[2] > 1 and shape[:2] != (1, 1)


def read_steps(variables: Sequence[Variable], in_file_order: bool) -> list[Step]:
    """The steps. `in_file_order`: the file keeps the layers' order; else it is sorted by name. Raises NotAChain."""
    groups = _groups([v for v in variables if v.slot is None], in_file_order)
    convs = [g for g in groups if g.kernel is not None]
    norms = [g for g in groups if g.norm]
    if not in_file_order:
        convs = _interleave(convs)
    if not convs or convs[0].kernel is None or len(convs[0].kernel.shape) != 4:
        raise NotAChain("no convolution kernel comes first")
    if not any(g.depthwise for g in convs):
        raise NotAChain("it has no depthwise convolution")
    *body, head = convs
    paired = _pair_norms(body, norms)
    strides = [spec.stride for spec in mobilenet_layers()]
    if len(body) != len(strides):
        raise NotAChain(f"without a graph only the paper's {len(strides)} layers have known strides; this one has {len(body)}")
    steps: list[Step] = []
    for group, norm, stride in zip(body, paired, strides, strict=True):
        assert group.kernel is not None
        steps.append(Conv(group.kernel.key, group.depthwise, stride))
        if group.bias:
            steps.append(Bias(group.bias.key))
        if norm:
            keys = {part: v.key for part, v in norm.norm.items()}
            if not {"mean", "variance"} <= set(keys):
                raise NotAChain(f"{norm.name} lacks its moving moments")
            steps.append(BatchNorm(EPSILON, keys.get("gamma"), keys.get("beta"), keys["mean"], keys["variance"]))
        steps.append(Activation("relu6"))
    assert head.kernel is not None
    steps += [Pool(), Conv(head.kernel.key, padding="same", dense=len(head.kernel.shape) == 2)]
    if head.bias:
        steps.append(Bias(head.bias.key))
    return steps


def _groups(variables: Sequence[Variable], in_file_order: bool) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for place, variable in enumerate(variables):
        scope, _, tail = variable.name.rpartition("/")
        group = groups.setdefault(scope, _Group(scope, place))
        if tail in _KERNELS and len(variable.shape) in (2, 4):
            if group.kernel is not None:
                raise NotAChain(f"layer {scope} has two kernels")
            group.kernel = variable
        elif tail in _BIASES and len(variable.shape) == 1:
            group.bias = variable
        elif tail in _NORM and len(variable.shape) == 1:
            group.norm[_NORM[tail]] = variable
    named = any(group.called_depthwise() for group in groups.values())
    for group in groups.values():
        group.depthwise = group.called_depthwise() if named else group.shaped_depthwise()
    return sorted(groups.values(), key=(lambda g: g.first) if in_file_order else _order)


def _order(group: _Group) -> list[tuple[int, str]]:
    """Natural order: numbers by value; by checkpoint key where that numbers the layers."""
    members = [v for v in (group.kernel, group.bias, *group.norm.values()) if v is not None]
    if members and (found := _NUMBERED_KEY.match(members[0].key)):
        return [(int(found.group(1)), "")]
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", group.name)]


def _interleave(groups: list[_Group]) -> list[_Group]:
    """Stem, then depthwise and pointwise in turn, then the rest: for names that number each kind of layer by itself."""
    if any(_NUMBERED_KEY.match(g.kernel.key) for g in groups if g.kernel):
        return groups
    depthwise = [g for g in groups if g.depthwise]
    others = sorted(
        (g for g in groups if not g.depthwise),
        key=lambda g: 0 if g.kernel and len(g.kernel.shape) == 4 and g.kernel.shape[0] > 1 else 1,
    )
    if len(others) < len(depthwise) + 2:
        return groups
    head = [g for g in others[1:] if g.bias]
    pointwise = [g for g in others[1:] if not (g.bias and len(head) == 1)]
    if len(pointwise) > len(depthwise):
        head, pointwise = pointwise[len(depthwise) :], pointwise[: len(depthwise)]
    pairs = [g for pair in zip(depthwise, pointwise, strict=False) for g in pair]
    return [others[0], *pairs, *head]


def _pair_norms(body: list[_Group], norms: list[_Group]) -> list[_Group | None]:
    """The normalisation of each convolution: by a name that is built on the convolution's, else in order."""
    if not norms:
        return [None] * len(body)
    by_name = {g.name: g for g in norms}
    named = [
        next(
            (
                by_name[n]
                for n in (f"{g.name}/BatchNorm", f"{g.name}_bn", f"{g.name}/bn", f"{g.name}_bn/{_last(g)}_bn", g.name)
                if n in by_name
            ),
            None,
        )
        for g in body
    ]
    if all(named):
        return named
    if len(norms) != len(body):
        raise NotAChain(f"{len(norms)} normalisations for {len(body)} convolutions, and names do not pair them")
    return list(norms)


def _last(group: _Group) -> str:
    return group.name.rsplit("/", 1)[-1]
