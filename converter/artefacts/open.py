"""Which reader opens a path: told by contents, not by the file's name; and what lies in a folder or zip of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.artefacts import bundle, dlatents, graphdef, hdf5, keras_v3, npz, pickles, tfhub, tfrecord
from converter.artefacts.files import Folder, Zipped
from converter.artefacts.savedmodel import PB, SavedModel
from converter.artefacts.zips import SafeZip, looks_like_zip, open_zip
from converter.errors import BadInput


@dataclass(frozen=True)
class Format:
    """A file format: its name, how it is told, and how it is opened."""

    name: str
    looks_like: Callable[[Path], bool]
    open: Callable[[Path], Any]


# Formats that hold data, not a network's weights.
DATA_FORMATS = ("dlatents", "tfrecord")
# In the order of asking: the more certain signs first.
FILE_FORMATS = (
    Format("hdf5", hdf5.looks_like_hdf5, hdf5.open_hdf5),
    Format("keras", keras_v3.looks_like_keras_v3, keras_v3.open_keras_v3),
    Format("npz", npz.looks_like_npz, npz.open_npz),
    Format("npy", npz.looks_like_npy, npz.open_npy),
    Format("dlatents", dlatents.looks_like_dlatents, dlatents.open_dlatents),
    Format("pickle", pickles.looks_like_pickle, pickles.open_pickle),
    Format("tfrecord", tfrecord.looks_like_tfrecord, tfrecord.open_tfrecord),
    Format("checkpoint", bundle.looks_like_bundle, bundle.open_bundle),
    Format("graphdef", graphdef.looks_like_graphdef, graphdef.FrozenGraph),
)


def open_artefact(source: str | Path) -> Any:
    """The one artefact at `source`. Raises BadInput where there is none, or more than one."""
    found = open_all(source)
    if len(found) > 1:
        names = ", ".join(str(a.path) for a in found[:4])
        raise BadInput(f"{source}: holds {len(found)} artefacts ({names}); name one")
    return found[0]


def open_all(source: str | Path) -> list[Any]:
    """Every artefact at `source`: a file, a SavedModel, a checkpoint, a TF-Hub handle, or a folder or zip of those.

    Raises BadInput where there is nothing to read, and the readers' own errors where something is damaged.
    """
    if isinstance(source, str) and tfhub.looks_like_handle(source):
        return open_all(tfhub.resolve_handle(source))
    path = Path(source)
    if path.is_dir():
        found = list(_in_folder(path))
    elif path.exists():
        found = list(_in_file(path))
    elif bundle.looks_like_bundle(path):
        found = [bundle.open_bundle(path)]
    else:
        raise BadInput(f"{path}: no such file or folder; check the path")
    if not found:
        raise BadInput(f"{path}: {_unknown(path)}; expected a SavedModel (folder or zip), a checkpoint, or one of {_names()}")
    return found


def _in_folder(path: Path) -> Iterator[Any]:
    if (path / PB).is_file():
        yield SavedModel(Folder(path))
        return
    if bundle.looks_like_bundle(path) and not any(path.glob("*/")):
        yield bundle.open_bundle(path)
        return
    prefixes = {prefix for file in sorted(path.glob("*.index")) if (prefix := bundle.find_prefix(file))}
    yield from (bundle.open_bundle(prefix) for prefix in sorted(prefixes))
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            if (entry / PB).is_file():
                yield SavedModel(Folder(entry))
        elif not _of_checkpoint(entry, prefixes) and not entry.name.startswith("."):
            yield from _in_file(entry)


def _of_checkpoint(entry: Path, prefixes: set[Path]) -> bool:
    return entry.name == "checkpoint" or any(entry.name.startswith(f"{prefix.name}.") for prefix in prefixes)


def _in_file(path: Path) -> Iterator[Any]:
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
