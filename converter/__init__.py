"""TensorFlow files to PyTorch tensors, importing neither framework.

formats/   one reader a file format: named variables and a graph
graph/     what a graph says: data flow, layers, constants, taps
mapping/   which variable becomes which tensor, and how its axes move
calls/     how a network is run to record it
output/    convert, ledger, safetensors, recordings
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylexport.common.lazy_names import lazy_names

if TYPE_CHECKING:
    from stylexport.converter.formats.registry import open_artefact
    from stylexport.converter.mapping.recognise import recognise
    from stylexport.converter.output.convert import Conversion, convert
    from stylexport.converter.output.ledger import Ledger, read_ledger
    from stylexport.converter.output.recording import Recording

_HOME = {
    "Conversion": "output.convert",
    "Ledger": "output.ledger",
    "Recording": "output.recording",
    "convert": "output.convert",
    "open_artefact": "formats.registry",
    "read_ledger": "output.ledger",
    "recognise": "mapping.recognise",
}
__all__ = ["Conversion", "Ledger", "Recording", "convert", "open_artefact", "read_ledger", "recognise"]

__getattr__ = lazy_names(__name__, _HOME)
