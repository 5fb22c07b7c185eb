"""HDF5 files: what reaches outside the file is refused, and what h5py raises on damaged bytes becomes DamagedFile.

HDF5 (HDF Group, "HDF5 File Format Specification" 3.0) is a tree of groups whose leaves are datasets; both carry attributes. A
dataset's bytes lie in one piece (contiguous), in the header (compact), or in pieces that may be filtered (chunked). Three
features reach outside the file and are refused: external links, external storage and virtual datasets. The first versions of the
format carry no checksum at all, so flipped bits in a tensor go unseen.

Every call of h5py stands in this file, by itself inside `_calling`.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.common.types import Array
from stylexport.converter.formats.damage import damaged, declared_bytes, open_binary
from stylexport.converter.formats.keras.global_heaps import check_heaps
from stylexport.converter.graph.tensor_proto import BFLOAT16

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_LINK_HOPS = 8
# What h5py raises on damaged bytes.
_H5PY_ERRORS = (KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError, TypeError, ValueError)

Node = Any  # a group or a dataset; h5py has no types


@dataclass(frozen=True)
class H5:
    """An opened file: its path, its root, and the file-like object inside an archive that it was read from, None of a real file."""

    path: Path
    root: Node
    source: BinaryIO | None

    def close(self) -> None:
        """Closes the file and its source."""
        self.root.close()
        if self.source is not None:
            self.source.close()


def looks_like_h5(path: str | os.PathLike[str]) -> bool:
    """Whether the HDF5 signature stands at byte 0, or at 512, 1024, 2048 ... behind a user block."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            at = 0
            while at + len(MAGIC) <= size:
                file.seek(at)
                if file.read(len(MAGIC)) == MAGIC:
                    return True
                at = max(512, at * 2)
    except OSError:
        pass
    return False


def open_h5(path: Path, source: BinaryIO | None = None) -> H5:
    """Opens the file at `path`, or `source` (seekable) that was found there. Raises BadInput, DamagedFile or HostileFile."""
    if source is None:
        with open_binary(path) as file:
            check_heaps(path, file)
        with _calling(path, "be opened as HDF5"):
            return H5(path, h5py.File(path, "r", locking="best-effort"), None)
    try:
        check_heaps(path, source)
        with _calling(path, "be opened as HDF5"):
            return H5(path, h5py.File(source, "r"), source)
    except BaseException:
        source.close()
        raise


def holds(h5: H5, group: Node, name: str) -> bool:
    """Whether the group has a member of this name."""
    with _calling(h5.path, f"look for {name!r}"):
        return name in group


def resolve(h5: H5, group: Node, inner: str, hops: int = MAX_LINK_HOPS) -> Node:
    """The object at `inner`, each link on the way looked at first. HostileFile for external links, DamagedFile if absent."""
    node = group
    for part in filter(None, inner.split("/")):
        with _calling(h5.path, f"follow {inner!r}"):
            there = isinstance(node, h5py.Group) and part in node.keys()  # noqa: SIM118
            link = node.get(part, getlink=True) if there else None
        if link is None:
            raise DamagedFile(h5.path, f"holds no {inner!r}")
        _refuse_external(h5, inner, link)
        if isinstance(link, h5py.SoftLink):
            if not hops:
                raise HostileFile(h5.path, f"{inner!r} is a link that leads in a circle")
            node = resolve(h5, h5.root, posixpath.normpath(posixpath.join(node.name, link.path)), hops - 1)
        else:
            with _calling(h5.path, f"follow {inner!r}"):
                node = node[part]
    return node


def dataset_at(h5: H5, key: str) -> Node:
    """The dataset at `key`; a group or nothing there is a DamagedFile."""
    node = resolve(h5, h5.root, key)
    if not isinstance(node, h5py.Dataset):
        raise DamagedFile(h5.path, f"{key!r} is a group where a tensor should be")
    return node


def datasets(h5: H5) -> Iterator[tuple[str, Node]]:
    """Every dataset once, with its path; numbers in names count as numbers (`vars/2` before `vars/10`)."""
    seen: set[int] = set()
    stack: list[tuple[str, Node]] = [("", h5.root)]
    while stack:
        name, node = stack.pop()
        if (at := address(h5, node)) in seen:
            continue
        seen.add(at)
        if isinstance(node, h5py.Dataset):
            yield name, node
        elif isinstance(node, h5py.Group):
            with _calling(h5.path, f"list the group {name!r}"):
                links = {part: node.get(part, getlink=True) for part in node.keys()}  # noqa: SIM118
            for part in sorted(links, key=_natural, reverse=True):
                _refuse_external(h5, f"{name}/{part}", links[part])
                if isinstance(links[part], h5py.HardLink):
                    with _calling(h5.path, f"open {name}/{part}"):
                        stack.append((f"{name}/{part}".lstrip("/"), node[part]))


def address(h5: H5, node: Node) -> int:
    """Where an object's header lies in the file."""
    with _calling(h5.path, "read an object's header"):
        return int(h5py.h5o.get_info(node.id).addr)


def dtype_of(h5: H5, dataset: Node, name: str) -> np.dtype[Any]:
    """The dtype of a dataset as numpy has it; two bytes without a type are bfloat16, for which HDF5 has none.

    So h5py writes them. Keras 3 says so in the attribute `dtype` of its weights files, and nowhere in a whole model's `.h5`.
    """
    with _calling(h5.path, f"read the type of dataset {name!r}"):
        dtype: np.dtype[Any] = dataset.dtype
    if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None and text(h5, dataset, "dtype") in (None, "bfloat16"):
        return BFLOAT16
    return dtype


def says_type(h5: H5, key: str) -> bool:
    """Whether an attribute says what type the dataset at `key` has, which HDF5 does not know."""
    return text(h5, dataset_at(h5, key), "dtype") is not None


def describe(h5: H5, dataset: Node, name: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, numpy dtype and bytes of a numeric dataset, its storage checked. Raises BadInput, DamagedFile or HostileFile."""
    dtype = dtype_of(h5, dataset, name)
    with _calling(h5.path, f"read the header of dataset {name!r}"):
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
        missing = [code for code in filters if not h5py.h5z.filter_avail(code)]
        elsewhere = bool(dataset.external or dataset.is_virtual)
        shape, chunked, stored = dataset.shape, dataset.chunks is not None, dataset.id.get_storage_size()
    if elsewhere:
        raise HostileFile(h5.path, f"dataset {name!r} keeps its values in other files")
    if missing:
        raise BadInput(f"{h5.path}: dataset {name!r} needs the HDF5 filter {missing[0]}, a plugin; rewrite it with h5repack -f GZIP=4")
    if shape is None or (dtype.kind not in "fiubcS" and dtype != BFLOAT16):
        raise BadInput(f"{h5.path}: dataset {name!r} holds {dtype}, not numbers; remove it from the file")
    nbytes = declared_bytes(h5.path, name, shape, dtype.itemsize, stored)
    if not chunked and stored != nbytes:
        raise DamagedFile(h5.path, f"dataset {name!r} declares {nbytes} bytes and stores {stored}")
    return tuple(shape), dtype, nbytes


def load(h5: H5, dataset: Node, name: str) -> Array:
    """The values, read-only, in the machine's byte order: mapped where they lie in one piece of a real file, else read."""
    shape, dtype, nbytes = describe(h5, dataset, name)
    with _calling(h5.path, f"read dataset {name!r}"):
        offset = dataset.id.get_offset() if h5.source is None and dtype.isnative and nbytes else None
        if offset is not None and offset % dtype.itemsize == 0:
            return np.asarray(np.memmap(h5.path, dtype, "r", offset, shape))
        values: Array = np.asarray(dataset[()])
    values = values.view(dtype) if dtype == BFLOAT16 else values.astype(dtype.newbyteorder("="), copy=False)
    values.flags.writeable = False
    return values


def text(h5: H5, node: Node, name: str) -> str | None:
    """A text attribute, None if absent; bytes are taken as UTF-8."""
    with _calling(h5.path, f"read attribute {name!r}"):
        value = node.attrs[name] if name in node.attrs else None  # noqa: SIM401  get() would hide a damaged one
    return None if value is None else _decoded(h5, name, value)


def texts(h5: H5, node: Node, name: str) -> list[str] | None:
    """A list of texts, None if absent. Keras cuts lists above HDF5's 64 KiB an attribute into `name0`, `name1` ..."""
    with _calling(h5.path, f"read attribute {name!r}"):
        parts = [node.attrs[name]] if name in node.attrs else []
        while f"{name}{len(parts)}" in node.attrs and name not in node.attrs:
            parts.append(node.attrs[f"{name}{len(parts)}"])
    return [_decoded(h5, name, item) for part in parts for item in np.ravel(part).tolist()] if parts else None


def _decoded(h5: H5, name: str, value: Any) -> str:
    with damaged(h5.path, f"read attribute {name!r} as text", (UnicodeDecodeError,)):
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _refuse_external(h5: H5, name: str, link: Any) -> None:
    if isinstance(link, h5py.ExternalLink):
        raise HostileFile(h5.path, f"{name!r} is a link into another file, {link.filename!r}")


def _calling(path: Path, doing: str) -> AbstractContextManager[None]:
    """Around calls of h5py, and nothing else."""
    return damaged(path, doing, _H5PY_ERRORS)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
