"""All mistakes of layers of sequences, one after another, each made when it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch import Tensor

from stylexport.parity.explain.hypotheses.code_changes import CodeChange
from stylexport.parity.explain.sequences.attention import attention_changes
from stylexport.parity.explain.sequences.gates import recurrent_changes
from stylexport.parity.explain.suspect import Suspect


def sequence_changes(suspect: Suspect, wrong: Tensor) -> Iterator[CodeChange]:
    """What a recurrent layer, or an attention before the layer, may do otherwise, so that it gives `wrong`."""
    return itertools.chain(recurrent_changes(suspect, wrong), attention_changes(suspect, wrong))
