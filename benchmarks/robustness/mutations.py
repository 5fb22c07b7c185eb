"""Ways to harm a file: bytes anywhere, values in what it says (JSON, YAML, graphs), and members of an archive under checksums made anew."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import yaml
from hypothesis import strategies as st
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from stylexport.converter.graph.protos import SavedModel

NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 3, 0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, 10**400),
    *("", "x" * 5000, "\x1b[2J[/b]\r\n<script>", "\ud800", "../../../etc/passwd", "/", "a\0b", "conv", "float32", "8"),
    *([], {}, [[]], [1, 2], ["a"], {"a": 1}, [10**9] * 4, [-1, 3]),
)
DEEP = 3000  # lists in lists


@dataclass(frozen=True)
class Edit:
    """One change: its kind, where (a share of the file or of its values), how much, and with what."""

    kind: str
    where: float
    size: int
    value: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.where:.4f}+{self.size}={self.value}"


BYTES = ("flip", "set", "number32", "number64", "noise", "delete", "insert", "double", "swap", "cut", "append")
SAID = ("value", "drop", "rename", "deep")
edits = st.builds(
    Edit,
    kind=st.sampled_from(BYTES * 2 + SAID * 3),
    where=st.floats(0, 1, exclude_max=True),
    size=st.integers(1, 64),
    value=st.integers(0, 2**16),
)


def mutate(data: bytes, edit: Edit, name: str) -> tuple[bytes, bool]:
    """The file's bytes after an edit, and whether its checksums were made anew.

    What a file says is edited where it says something; else bytes are.
    """
    if edit.kind in SAID or (edit.value % 3 == 0 and _is_archive(data)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two members of one name are such a case
            said = _edit_said(data, edit, name)
        if said is not None:
            return said, True
    return _edit_bytes(data, edit), False


def _edit_bytes(data: bytes, edit: Edit) -> bytes:
    at = int(edit.where * len(data))
    end, part = at + edit.size, data[at : at + edit.size]
    noise = bytes((edit.value * (i + 3) * 2654435761 >> 7) & 255 for i in range(edit.size))
    changed = bytearray(data)
    match edit.kind:
        case "flip" if data:
            changed[at] ^= 1 << edit.value % 8
        case "set" if data:
            changed[at] = (0, 255, 127, 128)[edit.value % 4]
        case "number32" | "number64":
            width = 4 if edit.kind == "number32" else 8
            number = NUMBERS[edit.value % len(NUMBERS)] % 2 ** (8 * width)
            changed[at : at + width] = number.to_bytes(width, "little" if edit.size % 2 else "big")
        case "noise":
            changed[at:end] = noise[: len(part)]
        case "delete":
            del changed[at:end]
        case "insert":
            changed[at:at] = noise
        case "double":
            changed[at:at] = part * (1 + edit.value % 100)
        case "swap":
            changed[at : at + 2 * edit.size] = data[end : end + edit.size] + part
        case "cut":
            del changed[at:]
        case _:
            changed += noise
    return bytes(changed)


def _is_archive(data: bytes) -> bool:
    return data[:2] in (b"PK", b"\x1f\x8b")


def _edit_said(data: bytes, edit: Edit, name: str) -> bytes | None:
    """The file with something else in it, in its own form again; None where it is none of these forms."""
    try:
        if data[:2] == b"PK":
            return _edit_zip(data, edit)
        if data[:2] == b"\x1f\x8b":
            return _edit_tar(data, edit)
        if name.endswith((".json", ".yaml")):
            value = yaml.safe_load(data) if name.endswith(".yaml") else json.loads(data)
            return _dumped(_edited(value, edit))
        if name.endswith(".safetensors"):
            return _edit_safetensors(data, edit)
        if data[:4] == b"\x89HDF":
            return _edit_hdf5(data, edit)
        if name.endswith((".pb", ".meta")):
            return _edit_graph(data, edit, name)
    except Exception:  # an earlier edit has left nothing of its form
        return None
    return None


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a value of JSON."""
    for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(item)


def _edited(value: Any, edit: Edit) -> Any:
    """A value of JSON with one entry changed, gone or renamed; text that is JSON itself is opened."""
    places = list(_places(value))
    if not places:
        return VALUES[edit.value % len(VALUES)]
    holder, key = places[int(edit.where * len(places))]
    inner = holder[key]
    if isinstance(inner, str) and inner[:1] == "{" and edit.size % 8:
        holder[key] = json.dumps(_edited(json.loads(inner), Edit(edit.kind, edit.where * 97 % 1, edit.size, edit.value)))
    elif edit.kind == "drop":
        del holder[key]
    elif edit.kind == "rename" and isinstance(holder, dict):
        holder[str(VALUES[edit.value % len(VALUES)])[:200]] = holder.pop(key)
    elif edit.kind == "deep":
        deep: Any = []
        for _ in range(min(DEEP, edit.value)):
            deep = [deep]
        holder[key] = deep
    else:
        holder[key] = VALUES[edit.value % len(VALUES)]
    return value


def _edit_safetensors(data: bytes, edit: Edit) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = _dumped(_edited(json.loads(data[8 : 8 + length]), edit))
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def _edit_zip(data: bytes, edit: Edit) -> bytes:
    """A member edited, dropped or renamed; every CRC-32 fits."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in _edited_members(members, edit):
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return out.getvalue()


def _edit_tar(data: bytes, edit: Edit) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(info.name, archive.extractfile(info).read()) for info in archive if info.isfile()]  # type: ignore[union-attr]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in _edited_members(members, edit):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def _edited_members(members: list[tuple[str, bytes]], edit: Edit) -> list[tuple[str, bytes]]:
    chosen = int(edit.where * len(members))
    name, content = members[chosen]
    if edit.kind == "drop":
        return members[:chosen] + members[chosen + 1 :]
    if edit.kind == "rename":
        return [*members[:chosen], (str(VALUES[edit.value % len(VALUES)])[:200].replace("\0", "") or "x", content), *members[chosen + 1 :]]
    if edit.kind == "double":
        return [*members, (name, _edit_bytes(content, edit))]
    inner = Edit(edit.kind, edit.where * len(members) % 1, edit.size, edit.value | 1)
    return [*members[:chosen], (name, mutate(content, inner, name)[0]), *members[chosen + 1 :]]


def _edit_hdf5(data: bytes, edit: Edit) -> bytes:
    """An attribute with another value, a dataset or group that is gone, or has another name, shape, or is a link to itself."""
    file = io.BytesIO(data)
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visit(names.append)
        attributes = [(place, key) for place in ["/", *names] for key in opened[place].attrs]
        if edit.kind in ("value", "deep") and attributes:
            place, key = attributes[int(edit.where * len(attributes))]
            old = opened[place].attrs[key]
            text = old.decode() if isinstance(old, bytes) else old
            if isinstance(text, str) and text[:1] == "{":
                opened[place].attrs[key] = json.dumps(
                    _edited(json.loads(text), Edit(edit.kind, edit.where * 97 % 1, edit.size, edit.value))
                )
            else:
                value = VALUES[edit.value % len(VALUES)]
                opened[place].attrs[key] = value if isinstance(value, str | int | float | list) else str(value)
        elif names:
            name = names[int(edit.where * len(names))]
            if edit.kind == "rename":
                opened.move(name, f"{name}_")
                if edit.value % 2:
                    opened[name] = opened["/"]
                elif edit.value % 3:
                    opened[name] = h5py.SoftLink(f"/{name}")
            else:
                del opened[name]
    return file.getvalue()


def _edit_graph(data: bytes, edit: Edit, name: str) -> bytes:
    """One node of one of its graphs with other inputs, another operation, attribute or name, twice, or gone."""
    kind: Any = SavedModel if name.endswith("saved_model.pb") else MetaGraphDef if name.endswith(".meta") else GraphDef
    model = kind.FromString(data)
    metas = [model] if kind is MetaGraphDef else list(model.meta_graphs) if kind is SavedModel else []
    graphs = [meta.graph_def for meta in metas] or [model]
    lists = [nodes for graph in graphs for nodes in (graph.node, *(function.node_def for function in graph.library.function))]
    places = [(nodes, i) for nodes in lists for i in range(len(nodes))]
    nodes, i = places[int(edit.where * len(places))]
    node = nodes[i]
    other = nodes[(i + edit.value) % len(nodes)]
    changes: tuple[Callable[[], Any], ...] = (
        lambda: node.input.append(node.name),
        lambda: node.input.append("nowhere"),
        lambda: node.input.__delitem__(slice(None)),
        lambda: setattr(node, "op", other.op),
        lambda: setattr(node, "name", other.name),
        lambda: node.attr.clear(),
        lambda: node.attr["T"].__setattr__("type", edit.value % 200),
        lambda: node.attr["shape"].shape.dim.add(size=2**40),
        lambda: node.attr["value"].tensor.tensor_shape.dim.add(size=2**40),
        lambda: node.attr["value"].tensor.__setattr__("dtype", edit.value % 30),
        lambda: nodes.append(node),
        lambda: nodes.__delitem__(i),
    )
    changes[edit.value % len(changes)]()
    return bytes(model.SerializeToString())


def harm(folder: Path, file: str, changes: tuple[Edit, ...]) -> bool:
    """Applies edits to a file of a folder. Returns whether checksums were made anew."""
    path, anew = folder / file, False
    data = path.read_bytes()
    for edit in changes:
        data, this = mutate(data, edit, path.name)
        anew |= this
    path.write_bytes(data)
    return anew
