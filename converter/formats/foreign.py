"""Formats of networks that are not read: told by name, each with what to do instead."""

from __future__ import annotations

import zipfile
from pathlib import Path

_ENOUGH = 64
_ORIGINAL = "name the SavedModel, checkpoint or Keras file that it was made from"
_REWRITTEN = (
    "in it batch normalisations are folded into the convolutions and weights may be quantised, so its variables are not the original's"
)
# What a file is by its ending, where its bytes do not tell: ending -> what it is, and what to do.
_BY_ENDING = {
    ".tflite": f"a TensorFlow Lite network; {_REWRITTEN}: {_ORIGINAL}",
    ".onnx": f"an ONNX network; {_ORIGINAL}, or open it in PyTorch with onnx2torch",
    ".pbtxt": "a graph as text, which holds no weights; name the checkpoint or the frozen .pb that lies beside it",
    ".mlmodel": f"a Core ML network; {_ORIGINAL}",
    ".mlpackage": f"a Core ML network; {_ORIGINAL}",
    ".safetensors": "a safetensors file, which PyTorch reads as it is (safetensors.torch.load_file)",
    ".meta": "the graph of a checkpoint whose weights do not lie beside it; put its .index and .data files there",
    ".json": "JSON, which holds no weights; name the weights' file (of TensorFlow.js: the SavedModel or .h5 that it was made from)",
    ".yaml": "YAML, which holds no weights; name the weights' file",
}


def foreign(path: Path) -> str | None:
    r"""What a file is that no reader reads, and what to do instead, as half of a sentence; None where this is not known.

    Example:
        >>> _ = Path("detect.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(40))
        >>> foreign(Path("detect.tflite")).split(";")[0]
        'a TensorFlow Lite network'

    """
    try:
        with path.open("rb") as file:
            head = file.read(_ENOUGH)
    except OSError:
        return None
    if head[4:8] == b"TFL3":
        return _BY_ENDING[".tflite"]
    if _is_onnx(head):
        return _BY_ENDING[".onnx"]
    if head.startswith(b"PK") and _is_torch(path):
        return "a file of PyTorch's (torch.save); it needs no conversion: torch.load reads it"
    return _BY_ENDING.get(path.suffix.lower()) if head else None


def _is_onnx(head: bytes) -> bool:
    """Whether it begins as ONNX's ModelProto does: ir_version (field 1, a small number), then the producer's name (field 2)."""
    name = head[4 : 4 + head[3]] if len(head) > 4 else b""
    return (
        head[:1] == b"\x08"
        and 1 <= head[1] <= 20
        and head[2:3] == b"\x12"
        and 0 < len(name) == head[3]
        and name.isascii()
        and name[0] >= 32
    )


def _is_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") or name == "data.pkl" for name in archive.namelist()[:1000])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
