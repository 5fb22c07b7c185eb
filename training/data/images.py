"""The data set that every source becomes: images of eight bits, their labels, and what may be done to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylexport.common.types import Array
from stylexport.training.data.sampler import Key

UNLABELLED = -1
# What each of the 256 values becomes: x / 127.5 - 1, in [-1, 1].
LEVELS = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)


class Images(Dataset[tuple[Tensor, int]]):
    """Items are (image float32 [3, R, R] in [-1, 1], label), by index or by (index, mirrored).

    `store` uint8 [N, C, R, R], memory-mapped or not, one channel standing for three equal ones; `targets` [N], `UNLABELLED` where there
    is none. `rows` are the images that are in this part, in order; all by default. `labels` are the names of 0, 1, ...
    """

    def __init__(self, store: Array, targets: Array, labels: Sequence[str], *, flippable: bool, rows: Array | None = None) -> None:
        self.store, self.labels, self.flippable = store, tuple(labels), flippable
        self.rows = np.arange(len(store)) if rows is None else np.asarray(rows)
        self.targets = np.asarray(targets, np.int64)

    @property
    def resolution(self) -> int:
        """Pixels a side."""
        return int(self.store.shape[-1])

    def first(self, count: int) -> Images:
        """The first so many of it, or all."""
        return Images(self.store, self.targets, self.labels, flippable=self.flippable, rows=self.rows[:count])

    def stacked(self, count: int) -> Tensor:
        """The first `count` images, or all where there are fewer, [N, 3, R, R]."""
        return torch.stack([self[i][0] for i in range(min(count, len(self)))])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        """The image and its label."""
        index, mirrored = key if isinstance(key, tuple) else (key, False)
        row = self.rows[index]
        pixels = self.store[row]
        image = torch.from_numpy(LEVELS[pixels[..., ::-1] if mirrored else pixels])
        return image.expand(3, -1, -1), int(self.targets[row])

    def __getstate__(self) -> dict[str, Any]:
        """A memory map goes to a worker as its file's name, not as its bytes."""
        state = dict(self.__dict__)
        if isinstance(self.store, np.memmap):
            state["store"] = str(self.store.filename)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.store, str):
            self.store = np.load(self.store, mmap_mode="r")
