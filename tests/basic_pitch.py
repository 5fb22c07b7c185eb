"""basic-pitch 0.4.0 from PyPI: a SavedModel of TensorFlow 2.4 that others trained, beside an ONNX file of the same weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.pypi import download

WHEEL = "basic_pitch-0.4.0-py2.py3-none-any.whl"
SHA256 = "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0"
INSIDE = "basic_pitch/saved_models/icassp_2022/"


def unpack(cache: Path, folder: Path) -> Path:
    """The models, unpacked into `folder`: `nmp` and `nmp.onnx`. The wheel is fetched once and kept in `cache`."""
    with zipfile.ZipFile(download(cache, "basic-pitch==0.4.0", WHEEL, SHA256)) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(INSIDE)])
    return folder / INSIDE
