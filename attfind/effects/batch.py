"""How many changed images are made at once: as many as make each of them cheapest, and as fit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stylexport.attfind.model import Classify, Explained

SIZES = tuple(2**k for k in range(4, 13))  # 16, 32, ... 4096
GAIN = 0.95  # a larger batch must take less than this share of the time an image
PATIENCE = 2  # sizes in a row that do not gain, until the search ends
SECONDS = 20.0  # after which no larger size is tried
REPEATS = 3  # of which the fastest counts: other programs may be at work
SHARE = 0.25  # of the memory that is free on a CPU
LIVE = 8  # tensors of the largest size that live at once: input, padded and filtered copies, output, the next layer's


def best_batch(model: Explained, classify: Classify, latent: Tensor, most: int = SIZES[-1]) -> int:
    """The batch size that measures changes of `latent` [D] fastest, found by trying 16, 32, ... until time an image stops falling.

    Memory ends the search too: on a GPU where it runs out (half of what just fitted is the most then), on a CPU at a quarter of what is
    free. No layer has more changes than twice its coordinates.
    """
    most = min(most, 2 * max(layer.size for layer in model.layers))
    layer = model.layers[0]  # everything lies above the first layer, so that its changes cost most
    editor = model.editor(latent)

    def change(size: int) -> float:
        """The seconds that a batch takes."""
        started = time.perf_counter()
        coordinates = [layer.first + i % layer.size for i in range(size)]
        classify(editor.change(layer, coordinates, torch.ones(size, device=latent.device)))
        if latent.device.type == "cuda":
            torch.cuda.synchronize(latent.device)
        return time.perf_counter() - started

    began = time.perf_counter()
    with torch.no_grad():
        if latent.device.type != "cuda":
            most = min(most, max(int(SHARE * free_bytes() / (LIVE * largest_tensor(lambda: change(1)))), 1))
        best, least, tried = min(SIZES[0], most), float("inf"), 0
        for size in (size for size in SIZES if size <= most):
            try:
                seconds = min(change(size) for _ in range(REPEATS)) / size
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                return max(min(best, size // 4), 1)
            if seconds < GAIN * least:
                best, least, tried = size, seconds, 0
            else:
                tried += 1
            if tried == PATIENCE or time.perf_counter() - began > SECONDS:
                break
    return best


def largest_tensor(run: Callable[[], Any]) -> int:
    """Bytes of the largest tensor that `run` makes."""
    with _Largest() as largest:
        run()
    return max(largest.nbytes, 1)


def free_bytes() -> int:
    """Memory that is free on this machine; 4 GB where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 * 10**9


class _Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation returns."""

    nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(value, Tensor):
                self.nbytes = max(self.nbytes, value.numel() * value.element_size())
        return found
