"""AttFind's precomputed effects as the authors keep them: `examples_1.tfrecord`, one tf.train.Example an image.

Each Example has three float lists: `base_prob` [L], the raw logits of the reconstruction despite its name; `dlatent` [D]; and
`result` [S * 2 * L], flat, the label fastest: entry (s * 2 + d) * L + l is the change of logit l when style coordinate s goes to
its minimum (d = 0) or maximum (d = 1). S = 5760, L = 2, D = 514 in the release.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput
from stylexport.converter.formats.tfrecord import Feature, make_example, parse_example, read_records, write_records


@dataclass(frozen=True)
class Effects:
    """N images: `base_logits` [N, L], `dlatents` [N, D], and `effects` [N, 2, S, L] by direction, coordinate, label; float32."""

    base_logits: NDArray[np.float32]
    dlatents: NDArray[np.float32]
    effects: NDArray[np.float32]


def read_effects(path: str | os.PathLike[str]) -> Effects:
    """Reads the authors' file, checksums verified. Raises BadInput where a record lacks a list or differs in its sizes."""
    path = Path(path)
    rows = [_row(path, number, parse_example(path, number, data)) for number, data in enumerate(read_records(path))]
    if not rows:
        raise BadInput(f"{path}: holds no records; expected one tf.train.Example an image")
    for number, row in enumerate(rows):
        if [part.shape for part in row] != [part.shape for part in rows[0]]:
            raise BadInput(f"{path}: record {number} differs in its sizes from record 0; the file mixes networks")
    base_logits, dlatents, effects = (np.stack(parts) for parts in zip(*rows, strict=True))
    return Effects(base_logits, dlatents, effects)


def write_effects(path: str | os.PathLike[str], effects: Effects) -> None:
    """Writes the authors' file: whole or absent. Raises BadInput where the arrays' sizes disagree."""
    count, two, _, labels = effects.effects.shape
    if two != 2 or effects.base_logits.shape != (count, labels) or len(effects.dlatents) != count:
        shapes = f"{effects.base_logits.shape}, {effects.dlatents.shape}, {effects.effects.shape}"
        raise BadInput(f"{os.fspath(path)}: shapes {shapes} do not fit together; expected [N, L], [N, D], [N, 2, S, L]")
    write_records(
        path,
        (
            make_example(
                {
                    "base_prob": effects.base_logits[image],
                    "dlatent": effects.dlatents[image],
                    "result": effects.effects[image].transpose(1, 0, 2),  # [S, 2, L]
                }
            )
            for image in range(count)
        ),
    )


def _row(path: Path, number: int, features: dict[str, Feature]) -> tuple[NDArray[np.float32], ...]:
    """base_logits [L], dlatent [D], effects [2, S, L] of one record."""
    lists: list[NDArray[np.float32]] = []
    for name in ("base_prob", "dlatent", "result"):
        values = features.get(name)
        if not isinstance(values, np.ndarray) or values.dtype != np.float32 or not len(values):
            raise BadInput(f"{path}: record {number} has no float list {name!r}; is this AttFind's examples_1.tfrecord?")
        lists.append(values.astype(np.float32, copy=False))
    base, dlatent, result = lists
    if len(result) % (2 * len(base)):
        raise BadInput(f"{path}: record {number} has {len(result)} effects for {len(base)} labels; expected a multiple of {2 * len(base)}")
    return base, dlatent, result.reshape(-1, 2, len(base)).transpose(1, 0, 2)
