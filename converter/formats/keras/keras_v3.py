"""Keras 3's `.keras` archives (also written by Keras 2.12 and later): a zip of three files.

`keras/src/saving/saving_lib.py` writes `metadata.json` (`keras_version`, `date_saved`), `config.json` (the model as
`class_name` and `config`) and `model.weights.h5`, HDF5 with `<layer>/vars/<n>` (see `keras_names`). Where the archive stores the
weights uncompressed, as Keras does, they are read in place.
"""

from __future__ import annotations

import os
from pathlib import Path

from stylexport.common.errors import BadInput, StylexportError
from stylexport.converter.formats.archive import Archive, looks_like_zip
from stylexport.converter.formats.base import Facts
from stylexport.converter.formats.damage import json_object
from stylexport.converter.formats.keras import h5file
from stylexport.converter.formats.keras.hdf5 import Hdf5File, v3_variables

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def looks_like_keras_v3(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a zip with a `config.json` and HDF5 weights."""
    if not looks_like_zip(path):
        return False
    try:
        with Archive(Path(path)) as archive:
            return {CONFIG, WEIGHTS} <= archive.members.keys()
    except StylexportError:
        return False


def open_keras_v3(path: str | os.PathLike[str]) -> Hdf5File:
    """Opens a `.keras` archive; every member's CRC-32 is verified. Raises BadInput, DamagedFile or HostileFile."""
    path = Path(path)
    with Archive(Path(path)) as archive:
        if WEIGHTS not in archive.members:
            raise BadInput(f"{path}: holds no {WEIGHTS}; it is not a .keras archive, or its weights are kept elsewhere")
        config = json_object(path, CONFIG, archive.read(CONFIG))
        metadata = json_object(path, METADATA, archive.read(METADATA)) if METADATA in archive.members else {}
        files = {name: member.file_size for name, member in archive.members.items()}
        source = archive.seekable(WEIGHTS)
    version = metadata.get("keras_version")
    versions = {"keras": version} if isinstance(version, str) else {}
    facts = Facts(versions, files, "crc32 of every file in the archive", config)
    h5 = h5file.open_h5(path, source)
    try:
        return Hdf5File(h5, "keras_v3", facts, v3_variables(h5, config, versions.get("keras")))
    except BaseException:
        h5.close()
        raise
