"""Turns bits of a good file, cuts it, and sees that a reader answers with the tensors or with a sentence."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stylexport.common.errors import StylexportError
from stylexport.converter.formats.base import Artefact


def damaged(good: bytes, trials: int, seed: int) -> Iterator[bytes]:
    """`trials` copies of `good`: most with one to three flipped bits, some cut, some with a byte set to all ones."""
    chance = random.Random(seed)
    for trial in range(trials):
        data = bytearray(good)
        if trial % 8 == 0:
            del data[chance.randrange(len(data)) :]
        elif trial % 8 == 1:
            at = chance.randrange(len(data))
            data[at : at + 4] = b"\xff" * len(data[at : at + 4])
        else:
            for _ in range(1 + trial % 3):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        yield bytes(data)


def read_all(opened: Artefact) -> dict[str, np.ndarray]:
    """Every tensor under its key."""
    try:
        return {variable.key: np.array(opened.read(variable)) for variable in opened.variables}
    finally:
        opened.close()


def refusals(path: Path, trials: int, seed: int, read: Callable[[Path], object]) -> list[str]:
    """The messages with which `read` refuses damaged copies of the file; any other exception comes through."""
    good, messages = path.read_bytes(), []
    target = path.with_name("damaged" + path.suffix)
    for data in damaged(good, trials, seed):
        target.unlink(missing_ok=True)  # a new file: the old one may still be mapped
        target.write_bytes(data)
        try:
            read(target)
        except StylexportError as error:
            messages.append(str(error))
    return messages
