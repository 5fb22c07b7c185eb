"""A few numbers fitted so that a layer gives what the original gave: Gauss-Newton with differences for derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylexport.parity.difference import finite_error

ENOUGH = 1e-11


def fit(run: Callable[[Sequence[float]], Tensor], start: Sequence[float], target: Tensor, rounds: int = 8) -> tuple[list[float], float]:
    """The numbers from `start` onwards that bring `run` nearest to `target`, and |run - target| / |target| there.

    A step that does not help is halved four times before the search ends. Raises what `run` raises at the start.
    """
    values = list(map(float, start))
    output = run(values)
    error = finite_error(output, target)
    for _ in range(rounds):
        if error <= ENOUGH or error == float("inf"):
            break
        columns = []
        for i, value in enumerate(values):
            step = abs(value) * 1e-5 or 1e-5
            moved = run([*values[:i], value + step, *values[i + 1 :]])
            columns.append((moved - output).flatten() / step)
        slopes = torch.stack(columns, 1)
        scale = torch.linalg.vector_norm(slopes, dim=0)
        if not bool((scale.isfinite() & (scale > 0)).all()):
            break
        normal = slopes / scale
        change = torch.linalg.lstsq(normal.T @ normal, normal.T @ (target - output).flatten()[:, None]).solution[:, 0] / scale
        for halvings in range(5):
            tried = [value + float(delta) / 2**halvings for value, delta in zip(values, change, strict=True)]
            found = run(tried)
            if finite_error(found, target) < error:
                values, output, error = tried, found, finite_error(found, target)
                break
        else:
            break
    return values, error
