"""Which reader opens a path: told by contents, not by the file's name; and what lies in a folder or zip of several."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint import bundle
from stylexport.converter.formats.files import Folder, Zipped
from stylexport.converter.formats.savedmodel.saved_model import PB, SavedModel
from stylexport.converter.formats.zips import SafeZip, looks_like_zip, open_zip


@dataclass(frozen=True)
class Format:
    """A file format: its name, the module that reads it, and the word behind that module's `looks_like_` and `open_`.

    `signs` are first bytes without which a file is not worth asking about; the module, and what it needs, is imported only then.
    """

    name: str
    module: str
    word: str
    signs: tuple[bytes, ...] = ()

    def looks_like(self, path: Path) -> bool:
        """Whether the file at `path` is of this format."""
        return (not self.signs or _begins(path, self.signs)) and bool(self._function("looks_like")(path))

    def open(self, path: Path) -> Artefact:
        """The file at `path`, opened by this format's reader."""
        artefact: Artefact = self._function("open")(path)
        return artefact

    def _function(self, verb: str) -> Any:
        return getattr(importlib.import_module(f"stylexport.converter.formats.{self.module}"), f"{verb}_{self.word}")


# Endings that claim one of these formats: such a file among others is damaged if it is of none.
_CLAIMS = (".zip", ".h5", ".hdf5", ".keras", ".npz", ".npy", ".pkl", ".pickle", ".pb", ".tfrecord", ".index")
# Formats that hold data, not a network's weights.
DATA_FORMATS = ("dlatents", "tfrecord")
# In the order of asking: the more certain signs first.
FILE_FORMATS = (
    Format("hdf5", "keras.hdf5", "hdf5", (b"\x89HDF\r\n\x1a\n",)),
    Format("keras", "keras.keras_v3", "keras_v3", (b"PK",)),
    Format("npz", "numpy_files.npz", "npz", (b"PK",)),
    Format("npy", "numpy_files.npz", "npy", (b"\x93NUMPY",)),
    Format("dlatents", "pickled.dlatents", "dlatents"),
    Format("pickle", "pickled.pickles", "pickle"),
    Format("tfrecord", "tfrecord.records", "tfrecord"),
    Format("checkpoint", "checkpoint.bundle", "bundle"),
    Format("graphdef", "savedmodel.frozen_graph", "graphdef"),
)


def _begins(path: Path, signs: tuple[bytes, ...]) -> bool:
    """Whether one of `signs` stands at the file's beginning, or where HDF5 allows it behind a block of the user's."""
    try:
        with path.open("rb") as file:
            for offset in (0, 512, 1024, 2048):
                file.seek(offset)
                if file.read(16).startswith(signs):
                    return True
    except OSError:
        pass
    return False


def open_artefact(source: str | Path) -> Artefact:
    """The one artefact at `source`. Raises BadInput where there is none, or more than one."""
    found = open_all(source)
    if len(found) > 1:
        names = ", ".join(str(a.path) for a in found[:4])
        raise BadInput(f"{source}: holds {len(found)} artefacts ({names}); name one")
    return found[0]


def open_all(source: str | Path) -> list[Artefact]:
    """Every artefact at `source`, as `open_each` gives them."""
    return list(open_each(source))


def open_each(source: str | Path) -> Iterator[Artefact]:
    """The artefacts at `source` one by one: a file, a SavedModel, a checkpoint, a TF-Hub handle, or a folder or zip of those.

    Raises BadInput where there is nothing to read, and the readers' own errors where something is damaged.
    """
    if isinstance(source, str) and "://" in source:
        from stylexport.converter.formats import tfhub

        source = tfhub.resolve_handle(source)
    path, none = Path(source), True
    try:
        for artefact in _at(path):
            yield artefact
            none = False
    except OSError as error:
        raise BadInput(f"{error.filename or path}: cannot be read ({error.strerror}); check the path and your rights to it") from error
    if none:
        raise BadInput(f"{path}: {_unknown(path)}; expected a SavedModel (folder or zip), a checkpoint, or one of {_names()}")


def _at(path: Path) -> Iterator[Artefact]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.exists():
        yield from _in_file(path)
    elif bundle.looks_like_bundle(path):
        yield bundle.open_bundle(path)
    else:
        raise BadInput(f"{path}: no such file or folder; check the path")


def _in_folder(path: Path) -> Iterator[Artefact]:
    if _holds_saved_model(path):
        yield SavedModel(Folder(path))
        return
    if bundle.looks_like_bundle(path) and not any(path.glob("*/")):
        yield bundle.open_bundle(path)
        return
    prefixes = {prefix for file in sorted(path.glob("*.index")) if (prefix := bundle.find_prefix(file))}
    yield from (bundle.open_bundle(prefix) for prefix in sorted(prefixes))
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            if _holds_saved_model(entry):
                yield SavedModel(Folder(entry))
        elif entry.is_file() and not _of_checkpoint(entry, prefixes) and not entry.name.startswith("."):
            yield from _among_others(entry)


def _holds_saved_model(folder: Path) -> bool:
    """Whether the folder is a SavedModel. Raises DamagedFile where only its graph is missing."""
    if (folder / PB).is_file():
        return True
    if (folder / "variables" / "variables.index").is_file():
        raise DamagedFile(folder, f"holds variables/ but no {PB}", "fetch the SavedModel again, or name its variables/ alone")
    return False


def _among_others(path: Path) -> Iterator[Artefact]:
    """What a file in a folder holds: pictures and notes are passed over, but not a file that claims to be of a format and is not."""
    found = _in_file(path)
    first = next(found, None)
    if first is not None:
        yield first
        yield from found
    elif path.suffix.lower() in _CLAIMS and not looks_like_zip(path):
        raise DamagedFile(path, f"{_unknown(path)}, whatever its name says", "fetch it again, or move it out of the folder")


def _of_checkpoint(entry: Path, prefixes: set[Path]) -> bool:
    return entry.name == "checkpoint" or any(entry.name.startswith(f"{prefix.name}.") for prefix in prefixes)


def _in_file(path: Path) -> Iterator[Artefact]:
    if not path.is_file():
        raise BadInput(f"{path}: is a pipe, socket or device; save what it gives to a file and name that")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path}: cannot be read (Permission denied); check your rights to it")
    if path.name == PB and path.is_file() and (path.parent / "variables").is_dir():
        yield SavedModel(Folder(path.parent))
        return
    if looks_like_zip(path) and (models := list(_in_zip(open_zip(path)))):
        yield from models
        return
    for kind in FILE_FORMATS:
        if kind.looks_like(path):
            yield kind.open(path)
            return


def _in_zip(archive: SafeZip) -> Iterator[SavedModel]:
    """Every SavedModel in a zip; where one lies inside another's assets, only the outer one."""
    roots = sorted(name[: -len(PB)] for name in archive.members if name == PB or name.endswith(f"/{PB}"))
    for root in roots:
        if not any(root != other and root.startswith(other) for other in roots):
            yield SavedModel(Zipped(archive, root))


def _unknown(path: Path) -> str:
    if path.is_dir():
        return "nothing in this folder is known"
    size = path.stat().st_size
    return "the file is empty" if not size else "not a known format"


def _names() -> str:
    return ", ".join(kind.name for kind in FILE_FORMATS)
