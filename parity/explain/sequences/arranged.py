"""A recurrent layer's tensors, whatever a module calls them: which is the kernel, which the recurrent one, which the biases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylexport.parity.explain.sequences.plain import Form, Weights, sequence

_SECOND = re.compile(r"reverse|back|bw", re.IGNORECASE)  # in the names of the second direction's tensors
_LAYER = re.compile(r"_l(\d+)")
Layers = list[list[Weights]]  # layer -> direction


@dataclass(frozen=True)
class Run:
    """What goes into a layer and how its output is laid out: `x` [N, T, in]; `last`: only the last step's output is given.

    `state` stands before the first step; `steps_first`: the module's axes are [T, N, ...].
    """

    x: Tensor
    state: tuple[Tensor, ...]
    last: bool
    steps_first: bool

    def output(self, form: Form, layers: Layers, backwards: bool = False) -> Tensor:
        """What the layer gives by `form`. `backwards`: the steps run from the last to the first, and stay in that order."""
        x = self.x.flip(1) if backwards else self.x
        directions: list[Tensor] = []
        for layer in layers:
            directions = [sequence(form, layer[0], x, self.state)]
            if len(layer) > 1:
                directions.append(sequence(form, layer[1], x.flip(1), self.state).flip(1))
            x = torch.cat(directions, -1)
        if self.last:
            return torch.cat([directions[0][:, -1], *(one[:, 0] for one in directions[1:])], -1)
        return x.transpose(0, 1) if self.steps_first else x


def arrangements(tensors: Mapping[str, Tensor], inputs: int, outputs: int, gates: int) -> Iterator[Layers]:
    """The ways in which `tensors` may be those of a layer of `inputs` numbers a step, `outputs` in all directions and so many gates."""
    groups: dict[tuple[int, bool], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer = int(found[1]) if (found := _LAYER.search(name)) else 0
        groups.setdefault((layer, bool(_SECOND.search(name))), {})[name] = tensor
    depth, two = 1 + max((layer for layer, _ in groups), default=0), any(second for _, second in groups)
    size = outputs // (2 if two else 1)
    if set(groups) != {(layer, second) for layer in range(depth) for second in ((False, True) if two else (False,))}:
        return
    places = [(layer, second) for layer in range(depth) for second in ((False, True) if two else (False,))]
    wide = [inputs] + [outputs] * (depth - 1)
    each = [list(_of_one(groups[place], wide[place[0]], size, gates)) for place in places]
    for chosen in itertools.islice(zip(*each, strict=False), 8):  # the same way in each
        yield [list(chosen[i : i + len(chosen) // depth]) for i in range(0, len(chosen), len(chosen) // depth)]


def _of_one(tensors: Mapping[str, Tensor], inputs: int, size: int, gates: int) -> Iterator[Weights]:
    """The ways in which the tensors of one direction may be taken."""
    wide = gates * size
    matrices = [t for t in tensors.values() if t.ndim == 2 and t.shape != (2, wide)]
    vectors = [t for t in tensors.values() if t.ndim == 1] + [row for t in tensors.values() if t.shape == (2, wide) for row in t]
    if any(len(vector) != wide for vector in vectors) or len(vectors) > 2:
        return
    zeros = matrices[0].new_zeros(wide) if matrices else torch.zeros(wide)
    biases = [(*vectors, zeros, zeros)[:2]]
    biases += [biases[0][::-1]] if vectors else []
    for kernel, recurrent in _pairs(matrices, inputs, size, wide):
        for bias, other in biases:
            yield Weights(kernel, recurrent, bias, other)


def _pairs(matrices: Sequence[Tensor], inputs: int, size: int, wide: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Kernel and recurrent kernel, [in, gates h] and [h, gates h]."""
    if len(matrices) == 2:
        for one, other in itertools.permutations(matrices):
            yield from itertools.product(_oriented(one, (inputs, wide)), _oriented(other, (size, wide)))
    elif len(matrices) == 1:
        for whole in _oriented(matrices[0], (inputs + size, wide)):
            yield whole[:inputs], whole[inputs:]
            yield whole[size:], whole[:size]


def _oriented(matrix: Tensor, shape: tuple[int, int]) -> list[Tensor]:
    return [tensor for tensor in (matrix, matrix.T) if tuple(tensor.shape) == shape][: 2 if shape[0] == shape[1] else 1]
