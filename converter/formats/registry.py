"""Which reader opens a path, by what the file holds and not by its name; and what lies in a folder or zip of several.

To add a reader: write a module with a class like `numpy_files.NpyFile` (the protocol is `base.Artefact`), and add a `Format` to
FORMATS below. Nothing else names the formats.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.archive import Archive, looks_like_zip
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint.find_checkpoint import Prefix, find_checkpoint, open_checkpoint, prefixes
from stylexport.converter.formats.files import Folder, Zipped
from stylexport.converter.formats.foreign import foreign
from stylexport.converter.formats.savedmodel.frozen_graph import FrozenGraph, looks_like_graphdef
from stylexport.converter.formats.savedmodel.saved_model import PB, SavedModel
from stylexport.converter.formats.tar_archive import Unpacked, looks_like_tar


@dataclass(frozen=True)
class Format:
    """A format of single files. `read` opens a file of it, and gives None for a file of another format.

    A file that does not begin with one of `magics` is not asked about (no magics: any file is).
    """

    name: str
    read: Callable[[Path], Artefact | None]
    magics: tuple[bytes, ...] = ()


# Each imports its reader when a file is asked about: h5py alone takes longer to import than a small SavedModel to convert.


def _hdf5(path: Path) -> Artefact | None:
    from stylexport.converter.formats.keras.hdf5 import looks_like_hdf5, open_hdf5

    return open_hdf5(path) if looks_like_hdf5(path) else None


def _keras_v3(path: Path) -> Artefact | None:
    from stylexport.converter.formats.keras.keras_v3 import looks_like_keras_v3, open_keras_v3

    return open_keras_v3(path) if looks_like_keras_v3(path) else None


def _npz(path: Path) -> Artefact | None:
    from stylexport.converter.formats.numpy_files import looks_like_npz, open_npz

    return open_npz(path) if looks_like_npz(path) else None


def _npy(path: Path) -> Artefact | None:
    from stylexport.converter.formats.numpy_files import looks_like_npy, open_npy

    return open_npy(path) if looks_like_npy(path) else None


def _pickle(path: Path) -> Artefact | None:
    from stylexport.converter.formats.pickled.dlatents import open_pickle_or_dlatents
    from stylexport.converter.formats.pickled.pickles import looks_like_pickle

    return open_pickle_or_dlatents(path) if looks_like_pickle(path) else None


def _tfrecord(path: Path) -> Artefact | None:
    from stylexport.converter.formats.tfrecord import TfRecordFile, looks_like_tfrecord

    return TfRecordFile(path) if looks_like_tfrecord(path) else None


def _checkpoint(path: Path) -> Artefact | None:
    return open_checkpoint(path) if find_checkpoint(path) else None


def _graphdef(path: Path) -> Artefact | None:
    return FrozenGraph(path) if looks_like_graphdef(path) else None


# In the order of asking: the more certain signs first.
FORMATS = (
    Format("hdf5", _hdf5, (b"\x89HDF\r\n\x1a\n",)),
    Format("keras", _keras_v3, (b"PK",)),
    Format("npz", _npz, (b"PK",)),
    Format("npy", _npy, (b"\x93NUMPY",)),
    Format("pickle", _pickle),
    Format("tfrecord", _tfrecord),
    Format("checkpoint", _checkpoint),
    Format("graphdef", _graphdef),
)
# Formats that hold data, not a network's weights.
DATA_FORMATS = ("dlatents", "tfrecord")
# What keeps the files of a tar, as long as an artefact of it is in use.
_UNPACKED: WeakKeyDictionary[Artefact, Unpacked] = WeakKeyDictionary()
# Endings that claim one of these formats: such a file, found in a folder, is damaged if no reader knows it.
_CLAIMS = (
    ".zip",
    ".tgz",
    ".gz",
    ".tar",
    ".ckpt",
    ".h5",
    ".hdf5",
    ".keras",
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".pb",
    ".tfrecord",
    ".index",
)


def _begins(path: Path, magics: tuple[bytes, ...]) -> bool:
    """Whether one of `magics` stands at the file's beginning, or where HDF5 allows it behind a block of the user's."""
    try:
        with path.open("rb") as file:
            for offset in (0, 512, 1024, 2048):
                file.seek(offset)
                if file.read(16).startswith(magics):
                    return True
    except OSError:
        pass
    return False


def open_artefact(source: str | Path) -> Artefact:
    """The one artefact at `source`: its variables and facts at once, its tensors and graphs on demand.

    `source` is a file, a folder, a checkpoint's prefix or a TF-Hub handle (docs/formats.md). Raises BadInput where there is none, or more
    than one, DamagedFile or HostileFile where it cannot be trusted.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED
        >>> generator = open_artefact(EMBEDDED / "generator.savedmodel.zip")
        >>> generator.format, len(generator.variables)
        ('savedmodel', 68)
        >>> first = generator.variables[0]
        >>> generator.read(first).shape == first.shape
        True

    """
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
    path, found = Path(source), False
    try:
        for artefact in _at(path):
            yield artefact
            found = True
    except OSError as error:
        raise BadInput(f"{error.filename or path}: cannot be read ({error.strerror}); check the path and your rights to it") from error
    if not found:
        raise BadInput(f"{path}: {_unknown(path)}")


def _at(path: Path) -> Iterator[Artefact]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.exists():
        yield from _in_file(path)
    elif found := find_checkpoint(path):
        yield open_checkpoint(found)
    elif (archive := next((above for above in path.parents if above.is_file()), None)) and looks_like_tar(archive):
        yield from _in_tar(archive, path.relative_to(archive).as_posix())
    else:
        raise BadInput(f"{path}: no such file or folder; check the path")


def _in_folder(path: Path, deep: bool = False) -> Iterator[Artefact]:
    if _holds_saved_model(path):
        yield SavedModel(Folder(path))
        return
    latest = find_checkpoint(path)
    if latest and not any(path.glob("*/")):
        yield open_checkpoint(latest)
        return
    found = sorted(prefixes(path))
    yield from map(open_checkpoint, found)
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            if deep or _holds_saved_model(entry):
                yield from _in_folder(entry, deep)
        elif entry.is_file() and not _of_checkpoint(entry, found) and not entry.name.startswith("."):
            yield from _among_others(entry)


def _holds_saved_model(folder: Path) -> bool:
    """Whether the folder is a SavedModel. Raises DamagedFile where only its graph is missing."""
    if (folder / PB).is_file():
        return True
    if (folder / "variables" / "variables.index").is_file():
        raise DamagedFile(folder, f"holds variables/ but no {PB}", "fetch the SavedModel again, or name its variables/ folder")
    return False


def _among_others(path: Path) -> Iterator[Artefact]:
    """What a file in a folder holds: pictures and notes are passed over, but not a file that claims to be of a format and is not."""
    found = _in_file(path)
    first = next(found, None)
    if first is not None:
        yield first
        yield from found
    elif path.suffix.lower() in _CLAIMS and not looks_like_zip(path):
        what = "the file is empty" if not path.stat().st_size else "not a known format"
        raise DamagedFile(path, f"{what}, whatever its name says", "fetch it again, or move it out of the folder")


def _of_checkpoint(entry: Path, found: Sequence[Prefix]) -> bool:
    """Whether a file belongs to a checkpoint that is opened by its prefix, or to one of version 1 as its graph or a later shard."""
    if entry.name == "checkpoint" or any(prefix.holds(entry.name) for prefix in found):
        return True
    own = find_checkpoint(entry)
    return own is not None and entry not in own.slices[:1]


def _in_file(path: Path) -> Iterator[Artefact]:
    if not path.is_file():
        raise BadInput(f"{path}: is a pipe, socket or device; save what it gives to a file and name that")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path}: cannot be read (Permission denied); check your rights to it")
    if path.name == PB and path.is_file() and (path.parent / "variables").is_dir():
        yield SavedModel(Folder(path.parent))
        return
    if looks_like_tar(path):
        yield from _in_tar(path)
        return
    if looks_like_zip(path) and (models := list(_in_zip(Archive(path)))):
        yield from models
        return
    for format in FORMATS:
        if (not format.magics or _begins(path, format.magics)) and (opened := format.read(path)) is not None:
            yield opened
            return


def _in_tar(path: Path, inside: str = "") -> Iterator[Artefact]:
    """What lies in a tar, in its folders too, or only at `inside`. What was unpacked is removed when no artefact of it is left."""
    unpacked = Unpacked(path)
    for artefact in _at(unpacked.folder / inside) if inside else _in_folder(unpacked.folder, deep=True):
        _UNPACKED[artefact] = unpacked
        yield artefact


def _in_zip(archive: Archive) -> Iterator[SavedModel]:
    """Every SavedModel in a zip; where one lies inside another's assets, only the outer one."""
    roots = sorted(name[: -len(PB)] for name in archive.members if name == PB or name.endswith(f"/{PB}"))
    for root in roots:
        if not any(root != other and root.startswith(other) for other in roots):
            yield SavedModel(Zipped(archive, root))


def _unknown(path: Path) -> str:
    """What is wrong with a path at which nothing is read, and what to do."""
    expected = f"expected a SavedModel (folder or zip), a checkpoint, or one of {', '.join(format.name for format in FORMATS)}"
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if any(file.name == "stylex.json" for file in files):
        return "is what `stylexport convert` wrote, for PyTorch; name what it was made from"
    if told := next((f"{file.name + ' is ' if path.is_dir() else ''}{what}" for file in files if (what := foreign(file))), None):
        return told
    if path.is_dir():
        return f"nothing in this folder is known; {expected}"
    return f"the file is empty; {expected}" if not path.stat().st_size else f"not a known format; {expected}"
