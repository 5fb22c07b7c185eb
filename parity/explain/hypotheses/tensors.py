"""Tensors of a module by name, compared with the original's and put in place of one another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

# Two tensors are the same where they differ by less than float32 stores; a scaled one may have been rounded once more.
SAME, ALIKE = 1e-8, 1e-6


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers that a file would hold."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor) and value.is_floating_point()}


def assign(module: nn.Module, name: str, value: Tensor) -> None:
    """Put `value` in the place of a parameter or buffer, whatever its shape was, or of a parameter that is absent."""
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    if last in owner._buffers:
        owner._buffers[last] = value
        return
    if last not in owner._parameters and last in owner.__dict__:
        delattr(owner, last)
    owner.register_parameter(last, nn.Parameter(value, requires_grad=False))


def close(found: Tensor, wanted: Tensor, tolerance: float = ALIKE) -> bool:
    """Whether |found - wanted| <= tolerance |wanted|, of one shape and finite."""
    if found.shape != wanted.shape:
        return False
    distance = float(torch.linalg.vector_norm(found.double() - wanted.double()))
    return distance <= tolerance * float(torch.linalg.vector_norm(wanted.double()))


def differing(own: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of the original's tensors that the port has otherwise or not at all; an absent one that would be zero does not count."""
    return tuple(
        name
        for name, wanted in original.items()
        if (not close(own[name], wanted, SAME) if name in own else bool(wanted.count_nonzero())) and wanted.is_floating_point()
    )


def factor(found: Tensor, wanted: Tensor) -> float | None:
    """The number by which `found` must be multiplied to be `wanted`; None where there is none."""
    if found.shape != wanted.shape or found.numel() < 2:
        return None
    power = float(found.double().square().sum())
    if not power or power != power:
        return None
    ratio = float((found.double() * wanted.double()).sum()) / power
    return ratio if ratio == ratio and abs(ratio) != float("inf") and close(found * ratio, wanted) else None


def permutation(found: Tensor, wanted: Tensor, axis: int) -> list[int] | None:
    """The order in which the slices of `found` along an axis are those of `wanted`; None where there is none, or they are in order.

    The slices are recognised by their product with one random vector, so that n of them need n log n comparisons.
    """
    if found.shape != wanted.shape or axis >= found.ndim or found.shape[axis] < 2:
        return None
    rows, targets = (t.double().movedim(axis, 0).reshape(t.shape[axis], -1) for t in (found, wanted))
    if not (bool(rows.isfinite().all()) and bool(targets.isfinite().all())):
        return None
    random = torch.randn(rows.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(rows.device)
    (there, places), (here, order) = ((slices @ random).sort(stable=True) for slices in (targets, rows))
    if not close(here, there):
        return None
    chosen = torch.empty_like(order)
    chosen[places] = order
    order_list: list[int] = chosen.tolist()
    if order_list == list(range(len(order_list))) or not close(rows[chosen], targets):
        return None
    return order_list


def in_words(order: list[int]) -> str:
    """A permutation, shortened where it is long."""
    moved = [place for place, source in enumerate(order) if place != source]
    if len(moved) == 2 and len(order) > 2:
        return f"{moved[0]} and {moved[1]} are swapped"
    if order == list(reversed(range(len(order)))):
        return "reversed"
    shown = ", ".join(map(str, order[:8]))
    return f"[{shown}{', ...' if len(order) > 8 else ''}]"
