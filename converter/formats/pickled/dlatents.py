"""The released latents, `dlatents.pkl`: a pickled list of (index as text, float32 array [1, D]).

D is the latent size and the number of labels together (514 = 512 + 2 in the release): w, then what the classifier said of the
image. Whether that is logits or probabilities the file does not tell; in the release each row's last two entries sum to 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, StylexportError
from stylexport.converter.formats.base import Facts, Plain, Variable
from stylexport.converter.formats.pickled.pickle_values import StoredArray, meaning
from stylexport.converter.formats.pickled.pickles import load_pickle, looks_like_pickle


@dataclass(frozen=True)
class Dlatents:
    """N latents: `indices`, the N images' names, and `values` [N, D] float32: w and the label entries behind it."""

    indices: tuple[str, ...]
    values: NDArray[np.float32]


def read_dlatents(path: str | os.PathLike[str]) -> Dlatents:
    """Reads `dlatents.pkl`. Raises BadInput where rows differ in size, are not finite, or name an image twice."""
    path = Path(path)
    rows = [_row(path, number, item) for number, item in enumerate(_items(path))]
    if not rows:
        raise BadInput(f"{path}: holds no latents; expected a pickled list of (index, float32 array [1, D])")
    indices = tuple(index for index, _ in rows)
    sizes = {array.shape[1] for _, array in rows}
    if len(sizes) > 1:
        raise BadInput(f"{path}: rows of {', '.join(map(str, sorted(sizes)))} entries; all must have one size: export it again")
    if len(set(indices)) < len(indices):
        twice = next(index for number, index in enumerate(indices) if index in indices[:number])
        raise BadInput(f"{path}: holds two rows for image {twice!r}; export it again")
    values = np.concatenate([array.load() for _, array in rows])
    if bad := np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        raise BadInput(f"{path}: row {indices[bad[0]]!r} is not finite; export it again")
    values.flags.writeable = False
    return Dlatents(indices, values)


def looks_like_dlatents(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a pickled list of (text, float32 [1, D]) with one D."""
    if not looks_like_pickle(path):
        return False
    try:
        rows = [_row(Path(path), number, item)[1].shape for number, item in enumerate(_items(Path(path)))]
    except StylexportError:
        return False
    return bool(rows) and len(set(rows)) == 1


def open_dlatents(path: str | os.PathLike[str]) -> DlatentsArtefact:
    """The latents as an artefact of one variable, `dlatents` [N, D]."""
    return DlatentsArtefact(Path(path), read_dlatents(path))


class DlatentsArtefact(Plain):
    """The released latents, stacked."""

    format = "dlatents"

    def __init__(self, path: Path, dlatents: Dlatents) -> None:
        self.path, self.dlatents = path, dlatents
        names = dlatents.indices
        note = f"{len(names)} latents, of the images {', '.join(names[:3])} ... {names[-1]}"
        self.facts = Facts({}, {path.name: path.stat().st_size}, "nothing: pickles carry no checksums", None, (note,))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The one variable."""
        values = self.dlatents.values
        return (Variable("dlatents", "dlatents", values.shape, "float32", values.nbytes),)

    def read(self, variable: Variable) -> NDArray[Any]:
        """The latents [N, D], read-only."""
        return self.dlatents.values

    def close(self) -> None:
        """Nothing to give back."""


def _items(path: Path) -> list[Any]:
    try:
        facts = path.stat()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the path") from error
    value = _load(path, facts.st_mtime_ns, facts.st_size)
    if not isinstance(value, list):
        raise BadInput(f"{path}: a pickled {type(value).__name__}, not the list of latents; see `stylexport inspect`")
    return value


@lru_cache(maxsize=1)
def _load(path: Path, mtime_ns: int, size: int) -> Any:
    """The pickle's value; a file is looked at before it is opened, and need be parsed only once."""
    return load_pickle(path)


def _row(path: Path, number: int, item: Any) -> tuple[str, StoredArray]:
    pair = item if isinstance(item, tuple) and len(item) == 2 else (None, None)
    array = meaning(path, pair[1])
    if not (isinstance(pair[0], str) and isinstance(array, StoredArray) and len(array.shape) == 2 and array.shape[0] == 1):
        raise BadInput(f"{path}: row {number} is not (index, array [1, D]); is this dlatents.pkl?")
    if array.dtype != np.float32:
        raise BadInput(f"{path}: row {number} holds {array.dtype.name}, not float32; export it again")
    return pair[0], array
