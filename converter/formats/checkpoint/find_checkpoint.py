"""Where a checkpoint lies: from its prefix, one of its files, or its folder; of TensorFlow 2, or of TensorFlow 1 in either version.

A prefix may be empty: then the files are called `.index` and `.data-00000-of-00001`. A `checkpoint` file (CheckpointState in text form)
names the latest of a folder, often by the path that it had on another machine; then its last part is looked for beside the file.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path

from stylexport.common.errors import BadInput
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint.bundle import Bundle
from stylexport.converter.formats.checkpoint.meta_graph import GraphCheckpoint
from stylexport.converter.formats.checkpoint.slices_file import SlicesFile, looks_like_slices
from stylexport.converter.formats.files import Folder

_STATE = "checkpoint"
_ENDINGS = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")
_SHARD = re.compile(r"-(\d{5}|\?{5})-of-(\d{5})$")


@dataclass(frozen=True, order=True)
class Prefix:
    """What the files of a checkpoint have in common: their folder, and how their names begin (perhaps with nothing)."""

    folder: Path
    name: str

    def file(self, ending: str) -> Path:
        """The file of this ending."""
        return self.folder / f"{self.name}{ending}"

    @property
    def is_bundle(self) -> bool:
        """Whether it is a tensor bundle (TensorFlow 2, or 1 in version 2)."""
        return self.file(".index").is_file()

    @property
    def slices(self) -> list[Path]:
        """The files of a checkpoint of version 1: one, or its shards; none where it is no such checkpoint."""
        if not self.folder.is_dir():
            return []
        one = self.file("")
        found = [one] if self.name and one.is_file() else sorted(self.folder.glob(f"{glob.escape(self.name)}-?????-of-?????"))
        return found if found and all(looks_like_slices(path) for path in found) else []

    def holds(self, name: str) -> bool:
        """Whether a file of this name belongs to it."""
        rest = name.removeprefix(self.name)
        return name.startswith(self.name) and (not rest or _ENDINGS.fullmatch(rest) or _SHARD.fullmatch(rest)) is not None


def find_checkpoint(path: Path) -> Prefix | None:
    """The checkpoint at `path` (its prefix, one of its files, or its folder), None where there is none.

    Example:
        >>> find_checkpoint(Path("no/such/model.ckpt")) is None
        True

    """
    if path.is_dir():
        return _latest(path) or _only(path)
    if path.name == _STATE and (found := _latest(path.parent)):
        return found
    name = _SHARD.sub("", _ENDINGS.sub("", path.name))
    if (prefix := Prefix(path.parent, name)) and prefix.is_bundle and (name != path.name or not path.exists()):
        return prefix
    if path.name.endswith(".index") and path.exists():
        return prefix
    return prefix if prefix.slices and (not path.exists() or path in prefix.slices or path.name.endswith(".meta")) else None


def prefixes(folder: Path) -> set[Prefix]:
    """All tensor bundles in a folder."""
    return {Prefix(folder, file.name.removesuffix(".index")) for file in folder.glob("*.index")}


def _only(folder: Path) -> Prefix | None:
    found = prefixes(folder)
    return next(iter(found)) if len(found) == 1 else None


def _latest(folder: Path) -> Prefix | None:
    """The checkpoint that the folder's `checkpoint` file names as the latest."""
    state = folder / _STATE
    if not state.is_file():
        return None
    for line in state.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model_checkpoint_path":
            named = value.strip().strip('"')
            parent, _, name = named.replace("\\", "/").rpartition("/")
            for place in (folder / parent, folder):
                prefix = Prefix(place, _SHARD.sub("", name))
                if prefix.is_bundle or prefix.slices:
                    return prefix
    return None


def open_checkpoint(place: Path | Prefix) -> Artefact:
    """The checkpoint at a path or prefix, with its graph where its `.meta` lies beside it. Raises BadInput and DamagedFile."""
    prefix = find_checkpoint(place) if isinstance(place, Path) else place
    if prefix is None:
        raise BadInput(f"{place}: no checkpoint; name its prefix (the path without .index)")
    if prefix.is_bundle or not (slices := prefix.slices):
        names = [file.name for file in sorted(prefix.folder.iterdir()) if prefix.holds(file.name) and _ENDINGS.search(file.name)]
        checkpoint: Bundle | SlicesFile = Bundle(Folder(prefix.folder, names), prefix.name)
    else:
        checkpoint = SlicesFile(slices)
    return GraphCheckpoint(checkpoint, prefix.file(".meta")) if prefix.file(".meta").is_file() else checkpoint
