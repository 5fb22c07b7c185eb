"""A folder of pictures: its subfolders name the labels; a flat folder has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.pictures import find_pictures
from stylexport.common.types import Array
from stylexport.training.data.images import UNLABELLED


@dataclass(frozen=True)
class Pictures:
    """Picture files of a folder, sorted, with their labels: `targets` [N] in `labels`, or `UNLABELLED`."""

    folder: Path
    files: tuple[Path, ...]
    targets: Array
    labels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names in the folder."""
        return tuple(path.relative_to(self.folder).as_posix() for path in self.files)


def folder_pictures(folder: Path) -> Pictures:
    """The PNG and JPEG files of a folder and below; a label is the name of the subfolder that a picture is in, directly or deeper.

    Raises BadInput where there are none, or where some pictures lie in subfolders and some beside them.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; data.path names one of PNG or JPEG files")
    files = tuple(find_pictures(folder))
    places = [path.relative_to(folder).parts for path in files]
    own = ["" if len(parts) == 1 else parts[0] for parts in places]
    labels = sorted({*own})
    if labels == [""]:
        return Pictures(folder, files, np.full(len(files), UNLABELLED), ())
    if "" in labels:
        raise BadInput(f"{files[own.index('')]}: lies beside the subfolders that name the labels; move it into one of them")
    return Pictures(folder, files, np.array([labels.index(label) for label in own]), tuple(labels))
