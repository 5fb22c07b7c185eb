"""An order of samples that never ends and holds no state: what comes at a position follows from the seed and the position alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Key = int | tuple[int, bool]


class EndlessSampler(Sampler[Key]):
    """Epoch after epoch of `length` samples, each epoch in its own order, which comes from (seed, epoch).

    Positions 0, 1, 2, ... are shared by `world` processes in turns: process `rank` has rank, rank + world, ... `start` of them, over
    all processes together, are skipped at once, so that a run goes on where it stopped, also with another number of processes. With
    `flip` the keys are (index, whether the image is mirrored), half of them, by position too.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, world: int = 1, start: int = 0, *, flip: bool = False) -> None:
        if length < 1:
            raise ValueError("there is no order of no samples")
        if not 0 <= rank < world:
            raise ValueError(f"process {rank} of {world}: processes count from 0")
        self.length, self.seed, self.rank, self.world, self.start, self.flip = length, seed, rank, world, start, flip

    def __iter__(self) -> Iterator[Key]:
        """The keys of this process, without end."""
        position, current = self.start + self.rank, -1
        while True:
            epoch, place = divmod(position, self.length)
            if epoch != current:
                order, mirrored = epoch_order(self.length, self.seed, epoch)
                current = epoch
            index = int(order[place])
            yield (index, bool(mirrored[place])) if self.flip else index
            position += self.world


def epoch_order(length: int, seed: int, epoch: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """An epoch's permutation [length], and which of its samples are mirrored [length]."""
    rng = np.random.default_rng((seed, epoch))
    return rng.permutation(length), rng.integers(0, 2, length, np.uint8).astype(bool)
