"""The checksum of saved_model.pb that TensorFlow 2.12 and newer write into fingerprint.pb.

TensorFlow hashes (FarmHash Fingerprint64) what its C++ serialiser makes of the message, not the bytes of the file; the file is written
by Python's serialiser. The two differ in one thing, the order of a map's entries: C++ sorts by key, Python's puts a key behind those
that it is the beginning of. So the entries are put into C++'s order, on the bytes, and all else stays where it is.
Source: tensorflow/cc/saved_model/fingerprinting.cc (HashSavedModel); protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stylexport.converter.formats.checkpoint.checksums import fingerprint64

_SHORT = 2000  # bytes; longer messages are not likely to come again


def saved_model_checksum(data: bytes, descriptor: Any) -> int:
    """The fingerprint of saved_model.pb's `data`, a message of type `descriptor`. Raises ValueError where the bytes are no message."""
    try:
        return fingerprint64(_sorted_maps(data, _schema(descriptor, {})))
    except (IndexError, RecursionError) as error:
        raise ValueError("the message is cut short") from error


@dataclass
class _Schema:
    """Of a message type: the fields through which a map can be reached. A `map_entry` is one entry of a map."""

    map_entry: bool
    fields: dict[int, _Schema] = field(default_factory=dict)
    known: dict[bytes, bytes] = field(default_factory=dict)  # what short messages became: a graph repeats its attributes


def _schema(descriptor: Any, known: dict[str, _Schema]) -> _Schema:
    schema = known.get(descriptor.full_name)
    if schema is None:
        schema = known[descriptor.full_name] = _Schema(descriptor.GetOptions().map_entry)
        for each in descriptor.fields:
            if each.message_type is not None and _reaches_map(each.message_type, set()):
                schema.fields[each.number] = _schema(each.message_type, known)
    return schema


def _reaches_map(descriptor: Any, seen: set[str]) -> bool:
    if descriptor.GetOptions().map_entry:
        return True
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(f.message_type is not None and _reaches_map(f.message_type, seen) for f in descriptor.fields)


def _sorted_maps(data: bytes, schema: _Schema) -> bytes:
    """`data` with each map's entries sorted by key. A map's entries stand together, one field after another."""
    fields, end = schema.fields, len(data)
    pieces: list[bytes] = []
    entries: list[tuple[tuple[int, bytes], bytes]] = []
    run = at = copied = 0
    while at < end:
        start = at
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _varint(data, start)
        wire, child = tag & 7, None
        if wire == 2:
            size = data[at]
            at += 1
            if size > 127:
                size, at = _varint(data, at - 1)
            body, at = at, at + size
            child = fields.get(tag >> 3)
        elif wire == 0:
            while data[at] > 127:
                at += 1
            at += 1
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if start and child is not None and child.map_entry and not run and end - start < _SHORT:
            tail = data[start:]  # from a node's first attribute to its end: most nodes share theirs with another
            return b"".join((*pieces, data[copied:start], schema.known.get(tail) or _sorted_maps(tail, schema)))
        if run and run != tag:
            pieces += [whole for _, whole in sorted(entries)]
            entries, run = [], 0
        if child is None:
            continue
        pieces.append(data[copied:start])
        copied = at
        inner = data[body:at]
        if child.fields:
            inner = child.known.get(inner) or _sorted_maps(inner, child)
        whole = data[start:body] + inner
        if child.map_entry:
            entries.append((_key(inner), whole))
            run = tag
        else:
            pieces.append(whole)
    if at != end:
        raise ValueError("a field runs past its message")
    if not pieces and not entries:
        made = data
    else:
        pieces += [whole for _, whole in sorted(entries)]
        pieces.append(data[copied:])
        made = b"".join(pieces)
    if end < _SHORT:
        schema.known[data] = made
    return made


def _key(entry: bytes) -> tuple[int, bytes]:
    """A map entry's key (field 1), an integer or a string, in a form that sorts as C++ sorts it."""
    if entry[:1] == b"\x08":
        return _varint(entry, 1)[0], b""
    if entry[:1] != b"\x0a":
        return 0, b""
    size, at = _varint(entry, 1)
    return 0, entry[at : at + size]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a variable-length integer does not end")
