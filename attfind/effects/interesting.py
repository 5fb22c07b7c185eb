"""Which images are worth explaining: a query of what the classifier said of them and of their reconstructions.

misclassified  the picture's class is not its label's; the surest mistakes first
boundary       the reconstruction's two best logits are nearly the same; the closest first
flips          the reconstruction has another class than the picture; the surest changes first
"""

from __future__ import annotations

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.types import Array

QUERIES = ("misclassified", "boundary", "flips")


def interesting(query: str, base: Array, *, logits: Array | None = None, expected: Array | None = None, most: int | None = None) -> Array:
    """The images that answer a query, as indices [M] with the best answer first; at most `most`.

    `base` [N, L] are the raw logits of the reconstructions, `logits` [N, L] those of the pictures, `expected` [N] the pictures' labels.
    Raises BadInput where a query lacks what it needs, or no image answers it.

    Example:
        >>> reconstructions, pictures = np.array([[3.0, 1.0], [0.4, 0.5]]), np.array([[2.0, 1.0], [0.9, 0.1]])
        >>> interesting("flips", reconstructions, logits=pictures).tolist()
        [1]

    """
    if query == "boundary":
        if most is None:
            raise BadInput("every image is somewhere near the boundary: say how many you want (--limit N)")
        wanted, rank = np.ones(len(base), bool), margins(base)
    elif query in ("misclassified", "flips") and logits is None:
        raise BadInput(f"{query} needs the pictures themselves, not latents alone (--images DIR)")
    elif query == "misclassified":
        assert logits is not None
        if expected is None:
            raise BadInput("misclassified needs the pictures' labels (one subfolder a label)")
        wanted, rank = logits.argmax(1) != expected, -margins(logits)
    elif query == "flips":
        assert logits is not None
        wanted, rank = logits.argmax(1) != base.argmax(1), -margins(base)
    else:
        raise BadInput(f"{query!r} is not a query; there are {', '.join(QUERIES)}")
    found = np.flatnonzero(wanted)
    if not len(found):
        raise BadInput(f"none of the {len(base)} images answers {query}")
    return found[np.argsort(rank[found], kind="stable")][:most]


def margins(logits: Array) -> Array:
    """How far the best logit is above the second best, [N]."""
    ordered = np.sort(logits, 1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])
