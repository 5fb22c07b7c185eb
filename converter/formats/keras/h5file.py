"""HDF5 held at arm's length: links, filters, sizes and text are checked before the library follows them.

HDF5 (HDF Group, "HDF5 File Format Specification" 3.0) is a tree of groups whose leaves are datasets; both carry attributes. A
dataset's bytes lie in one piece (contiguous), in the header (compact), or in pieces that may be filtered (chunked). Three
features reach outside the file and are refused: external links, external storage and virtual datasets. So are filters that
would load a plugin. The first versions of the format carry no checksum at all, so flipped bits in a tensor go unseen.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.guard import declared_bytes, guarded
from stylexport.converter.formats.keras.h5guard import check_heaps, check_text_lengths
from stylexport.converter.graph.tensor_proto import BFLOAT16

MAGIC = b"\x89HDF\r\n\x1a\n"
# Built into the library: deflate, shuffle, fletcher32, szip, nbit, scale-offset; h5py brings lzf.
FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
MAX_LINK_HOPS = 8


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


@dataclass(frozen=True)
class H5:
    """An opened file: its path, its root, its bytes; `mapped` where those are the file at the path itself."""

    path: Path
    root: h5py.File
    raw: BinaryIO
    mapped: bool

    def close(self) -> None:
        """Closes the file and its source."""
        self.root.close()
        self.raw.close()


def open_h5(path: Path, source: BinaryIO | None = None) -> H5:
    """Opens the file at `path`, or `source` (seekable) that was found there. Raises BadInput, DamagedFile or HostileFile."""
    with guarded(path, "be opened as HDF5"):
        raw = path.open("rb") if source is None else source
        try:
            check_heaps(path, raw)
            root = h5py.File(path, "r", locking="best-effort") if source is None else h5py.File(source, "r")
        except BaseException:
            raw.close()
            raise
    return H5(path, root, raw, source is None)


def resolve(h5: H5, group: h5py.Group, inner: str, hops: int = MAX_LINK_HOPS) -> h5py.Group | h5py.Dataset:
    """The object at `inner`, each link on the way looked at first. HostileFile for external links, DamagedFile if absent."""
    node: Any = group
    for part in filter(None, inner.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part in node.keys() else None  # noqa: SIM118
        if link is None:
            raise DamagedFile(h5.path, f"holds no {inner!r}")
        if isinstance(link, h5py.ExternalLink):
            raise HostileFile(h5.path, f"{inner!r} is a link into another file, {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            if not hops:
                raise HostileFile(h5.path, f"{inner!r} is a link that leads in a circle")
            node = resolve(h5, node.file, posixpath.normpath(posixpath.join(node.name, link.path)), hops - 1)
        else:
            node = node[part]
    return cast("h5py.Group | h5py.Dataset", node)


def datasets(h5: H5) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset once, with its path; numbers in names count as numbers (`vars/2` before `vars/10`)."""
    seen: set[int] = set()
    stack: list[tuple[str, h5py.Group | h5py.Dataset]] = [("", h5.root)]
    while stack:
        name, node = stack.pop()
        address = h5py.h5o.get_info(node.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(node, h5py.Dataset):
            yield name, node
        elif isinstance(node, h5py.Group):
            for part in sorted(node.keys(), key=_natural, reverse=True):
                link = node.get(part, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise HostileFile(h5.path, f"{name}/{part} is a link into another file, {link.filename!r}")
                if isinstance(link, h5py.HardLink):
                    stack.append((f"{name}/{part}".lstrip("/"), node[part]))


def describe(h5: H5, dataset: h5py.Dataset, name: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, numpy dtype and bytes of a numeric dataset, its storage checked. Raises BadInput, DamagedFile or HostileFile."""
    plist = dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual:
        raise HostileFile(h5.path, f"dataset {name!r} keeps its values in other files")
    for index in range(plist.get_nfilters()):
        if (code := plist.get_filter(index)[0]) not in FILTERS:
            raise BadInput(f"{h5.path}: dataset {name!r} needs the HDF5 filter {code}, a plugin; rewrite it with h5repack -f GZIP=4")
    dtype = dataset.dtype
    if dtype.kind == "V" and dtype.itemsize == 2 and text(h5, dataset, "dtype") == "bfloat16":
        dtype = BFLOAT16
    if dataset.shape is None or (dtype.kind not in "fiubcS" and dtype != BFLOAT16):
        raise BadInput(f"{h5.path}: dataset {name!r} holds {dtype}, not numbers; remove it from the file")
    stored = dataset.id.get_storage_size()
    nbytes = declared_bytes(h5.path, name, dataset.shape, dtype.itemsize, stored)
    if dataset.chunks is not None:
        declared_bytes(h5.path, f"{name} (one chunk)", dataset.chunks, dtype.itemsize, stored)
    elif stored != nbytes:
        raise DamagedFile(h5.path, f"dataset {name!r} declares {nbytes} bytes and stores {stored}")
    return tuple(dataset.shape), dtype, nbytes


def load(h5: H5, dataset: h5py.Dataset, name: str) -> NDArray[Any]:
    """The values, read-only, in the machine's byte order: mapped where they lie in one piece of a real file, else read."""
    shape, dtype, nbytes = describe(h5, dataset, name)
    offset = dataset.id.get_offset() if h5.mapped and dtype.isnative and nbytes else None
    if offset is not None and offset % dtype.itemsize == 0:
        return np.asarray(np.memmap(h5.path, dtype, "r", offset, shape))
    values = np.asarray(dataset[()])
    values = values.view(dtype) if dtype == BFLOAT16 else values.astype(dtype.newbyteorder("="), copy=False)
    values.flags.writeable = False
    return values


def text(h5: H5, node: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """A text attribute, None if absent; bytes are taken as UTF-8."""
    if name not in node.attrs:
        return None
    _check_attribute(h5, node, name)
    value = node.attrs[name]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def texts(h5: H5, node: h5py.Group, name: str) -> list[str] | None:
    """A list of texts, None if absent. Keras cuts lists above HDF5's 64 KiB an attribute into `name0`, `name1` ..."""
    parts = [name] if name in node.attrs else []
    while not parts or parts[0] != name:
        if f"{name}{len(parts)}" not in node.attrs:
            break
        parts.append(f"{name}{len(parts)}")
    values: list[str] = []
    for part in parts:
        _check_attribute(h5, node, part)
        values += [item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in np.ravel(node.attrs[part]).tolist()]
    return values if parts else None


def _check_attribute(h5: H5, node: h5py.Group | h5py.Dataset, name: str) -> None:
    check_text_lengths(h5.path, h5.raw, h5.root.userblock_size, h5py.h5o.get_info(node.id).addr)
    attribute = node.attrs.get_id(name)
    declared_bytes(h5.path, f"attribute {name}", attribute.shape or (), attribute.dtype.itemsize, h5.root.id.get_filesize())


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
