"""Where in a layer's output an error lies: by channel, and over the image."""

from __future__ import annotations

import torch
from torch import Tensor

from stylexport.parity.result import Maps


def error_maps(layer: str, found: Tensor, expected: Tensor) -> Maps:
    """The maps of `found` against `expected`, float64 [N, C] or [N, C, H, W] (other ranks are flattened behind C)."""
    delta = (found - expected).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf).abs()
    if delta.ndim < 2:
        delta, expected = delta.reshape(len(delta), -1), expected.reshape(len(expected), -1)
    flat, size = delta.flatten(2) if delta.ndim > 2 else delta[..., None], expected.flatten(2) if expected.ndim > 2 else expected[..., None]
    norms = torch.linalg.vector_norm(size, dim=(0, 2))
    typical = torch.linalg.vector_norm(size) / max(len(norms), 1) ** 0.5
    channels = torch.linalg.vector_norm(flat, dim=(0, 2)) / torch.maximum(norms, 1e-3 * typical).clamp_min(torch.finfo(norms.dtype).tiny)
    worst = int(channels.argmax())
    spatial = delta.ndim == 4 and min(delta.shape[2:]) > 1
    return Maps(
        layer,
        worst,
        channels.cpu().numpy(),
        delta.square().mean((0, 1)).cpu().numpy() if spatial else None,
        delta[0, worst].cpu().numpy() if spatial else None,
    )
