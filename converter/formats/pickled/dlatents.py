"""The released latents, `dlatents.pkl`: a pickled list of (index as text, float32 array [1, D]).

D is the latent size and the number of labels together (514 = 512 + 2 in the release): w, then what the classifier said of the
image. Whether that is logits or probabilities the file does not tell; in the release each row's last two entries sum to 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, StylexportError
from stylexport.common.types import Array
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.pickled.pickles import PickleFile, from_value, load_pickle, looks_like_pickle
from stylexport.converter.formats.pickled.unpickler import meaning


@dataclass(frozen=True)
class Dlatents:
    """N latents: `indices`, the N images' names, and `values` [N, D] float32: w and the label entries behind it."""

    indices: tuple[str, ...]
    values: NDArray[np.float32]


def read_dlatents(path: str | os.PathLike[str]) -> Dlatents:
    """Reads `dlatents.pkl`. Raises BadInput where rows differ in size, are not finite, or name an image twice."""
    path = Path(path)
    return stack_rows(path, load_pickle(path))


def stack_rows(path: Path, value: Any) -> Dlatents:
    """The latents in the pickle's `value`. Raises as `read_dlatents` does."""
    if not isinstance(value, list):
        raise BadInput(f"{path}: a pickled {type(value).__name__}, not the list of latents; see `stylexport inspect`")
    rows = [_row(path, number, item) for number, item in enumerate(value)]
    if not rows:
        raise BadInput(f"{path}: holds no latents; expected a pickled list of (index, float32 array [1, D])")
    indices = tuple(index for index, _ in rows)
    sizes = {array.shape[1] for _, array in rows}
    if len(sizes) > 1:
        raise BadInput(f"{path}: rows of {', '.join(map(str, sorted(sizes)))} entries; all must have one size: export it again")
    if len(set(indices)) < len(indices):
        twice = next(index for number, index in enumerate(indices) if index in indices[:number])
        raise BadInput(f"{path}: holds two rows for image {twice!r}; export it again")
    values = np.concatenate([array for _, array in rows])
    if bad := np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        raise BadInput(f"{path}: row {indices[bad[0]]!r} is not finite; export it again")
    values.flags.writeable = False
    return Dlatents(indices, values)


def open_pickle_or_dlatents(path: Path) -> DlatentsFile | PickleFile:
    """A pickle, loaded once: the latents as one variable `dlatents` [N, D], or the tensors of any other."""
    value = load_pickle(path)
    return DlatentsFile(path, stack_rows(path, value)) if are_dlatents(path, value) else from_value(path, value, "pickle")


def looks_like_dlatents(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a pickled list of (text, float32 [1, D]) with one D."""
    try:
        return looks_like_pickle(path) and are_dlatents(Path(path), load_pickle(Path(path)))
    except StylexportError:
        return False


def are_dlatents(path: Path, value: Any) -> bool:
    """Whether a pickle's value is a list of (text, float32 [1, D]) with one D."""
    try:
        rows = [_row(path, number, item)[1].shape for number, item in enumerate(value if isinstance(value, list) else ())]
    except StylexportError:
        return False
    return bool(rows) and len(set(rows)) == 1


class DlatentsFile(TensorsOnly):
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


def _row(path: Path, number: int, item: Any) -> tuple[str, Array]:
    pair = item if isinstance(item, tuple) and len(item) == 2 else (None, None)
    array = meaning(path, pair[1])
    if not (isinstance(pair[0], str) and isinstance(array, np.ndarray) and len(array.shape) == 2 and array.shape[0] == 1):
        raise BadInput(f"{path}: row {number} is not (index, array [1, D]); is this dlatents.pkl?")
    if array.dtype != np.float32:
        raise BadInput(f"{path}: row {number} holds {array.dtype.name}, not float32; export it again")
    return pair[0], array
