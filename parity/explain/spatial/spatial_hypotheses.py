"""All hypotheses on what a layer is laid over, one after another, each made when it is asked for, because making them costs runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stylexport.parity.explain.hypotheses.hypothesis import Hypothesis
from stylexport.parity.explain.spatial.between import between_hypotheses
from stylexport.parity.explain.spatial.convolutions import convolution_hypotheses
from stylexport.parity.explain.spatial.transposed import transposed_hypotheses
from stylexport.parity.explain.suspect import Suspect

SPATIAL = frozenset(("padding", "pooling", "resizing"))


def spatial_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Padding and stride of the layer itself, then what stands between it and the values before."""
    return itertools.chain(convolution_hypotheses(suspect), transposed_hypotheses(suspect), between_hypotheses(suspect))
