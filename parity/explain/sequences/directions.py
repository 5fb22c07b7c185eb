"""Mistakes in joining the results of two directions, which show at the layer that takes them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.hypothesis import Hypothesis
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT


def direction_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """The two halves of a layer's input swapped; the second half taken at the wrong end of the sequence."""
    x = suspect.args[0] if suspect.args and isinstance(suspect.args[0], Tensor) else None
    if x is None or x.ndim not in (2, 3) or x.shape[-1] % 2:
        return
    half = x.shape[-1] // 2
    yield Hypothesis(
        "direction",
        "the two halves of its input are swapped, as where two directions are joined in another order",
        arguments=lambda args: (torch.cat([args[0][..., half:], args[0][..., :half]], -1), *args[1:]),
    )
    for source in suspect.sources:
        exact = source.exact
        if exact.shape[1:] == x.shape[1:] and len(exact) >= len(x) and finite_error(x[..., :half], exact[: len(x), ..., :half]) <= EXACT:
            value = exact[: len(x)]
            yield Hypothesis(
                "direction",
                f"of {source.layer}'s second direction another step is taken; it ends at the first step of the sequence",
                arguments=lambda args, value=value: (value, *args[1:]),  # type: ignore[misc]
            )
