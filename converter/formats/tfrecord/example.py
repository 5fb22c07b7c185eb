"""`tf.train.Example`, the dictionary that TFRecords hold, without TensorFlow.

tensorflow/core/example/{example,feature}.proto: an Example has one Features, a map from names to a Feature, which is one of
three lists: bytes, float32 or int64. The map is declared here as what it is on the wire, repeated (key, value) entries.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from numpy.typing import NDArray

from stylexport.common.errors import DamagedFile

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "stylexport.example"
# message -> rows of (field, number, type or name of a message, repeated)
_TABLE: dict[str, tuple[tuple[str, int, int | str, bool], ...]] = {
    "BytesList": (("value", 1, _FIELD.TYPE_BYTES, True),),
    "FloatList": (("value", 1, _FIELD.TYPE_FLOAT, True),),
    "Int64List": (("value", 1, _FIELD.TYPE_INT64, True),),
    "Feature": (
        ("bytes_list", 1, "BytesList", False),
        ("float_list", 2, "FloatList", False),
        ("int64_list", 3, "Int64List", False),
    ),
    "Entry": (("key", 1, _FIELD.TYPE_STRING, False), ("value", 2, "Feature", False)),
    "Features": (("feature", 1, "Entry", True),),
    "Example": (("features", 1, "Features", False),),
}

Feature = NDArray[np.float32] | NDArray[np.int64] | list[bytes]


def parse_example(path: str | os.PathLike[str], record: int, data: bytes) -> dict[str, Feature]:
    """Name -> float32 [n], int64 [n] or list of bytes. Raises DamagedFile, naming the record, for what is no Example."""
    try:
        example = _EXAMPLE.FromString(data)
    except (message.DecodeError, ValueError, RecursionError):
        raise DamagedFile(path, f"record {record} is no tf.train.Example") from None
    features: dict[str, Feature] = {}
    for entry in example.features.feature:
        value = entry.value
        if value.HasField("float_list"):
            features[entry.key] = np.fromiter(value.float_list.value, np.float32, len(value.float_list.value))
        elif value.HasField("int64_list"):
            features[entry.key] = np.fromiter(value.int64_list.value, np.int64, len(value.int64_list.value))
        else:
            features[entry.key] = list(value.bytes_list.value)
    return features


def make_example(features: Mapping[str, NDArray[np.float32] | NDArray[np.int64] | Sequence[bytes]]) -> bytes:
    """The Example of these features, names in alphabetical order; floats become float32 [n], integers int64 [n]."""
    example = _EXAMPLE()
    for name in sorted(features):
        entry, values = example.features.feature.add(key=name), features[name]
        if not isinstance(values, np.ndarray):
            entry.value.bytes_list.value.extend(values)
        elif values.dtype.kind == "f":
            entry.value.float_list.value.extend(values.ravel().tolist())
        else:
            entry.value.int64_list.value.extend(values.ravel().tolist())
    return bytes(example.SerializeToString())


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="stylexport/example.proto", package=_PACKAGE, syntax="proto3")
    for name, rows in _TABLE.items():
        entry = file.message_type.add(name=name)
        for field, number, kind, repeated in rows:
            row = entry.field.add(name=field, number=number)
            row.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                row.type, row.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                row.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


_EXAMPLE = _build()
