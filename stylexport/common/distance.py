"""How far a tensor is from the one that it should be."""

from __future__ import annotations

import math
from typing import Any


def relative_error(found: Any, exact: Any) -> float:
    """|found - exact| / |exact| in L2 norms, of two NumPy arrays or two PyTorch tensors of one shape.

    0 where both are zero throughout, infinite where only `exact` is, NaN where a value is not a number.

    Example:
        >>> import numpy as np
        >>> relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0]))
        0.1

    """
    distance, size = _norm(found - exact), _norm(exact)
    return distance / size if size else (math.inf if distance else 0.0)


def _norm(values: Any) -> float:
    """PyTorch has a norm that makes no copy of a large tensor."""
    return float(values.norm()) if hasattr(values, "norm") else float((values * values).sum()) ** 0.5
