"""TensorFlow's protocol buffers without TensorFlow.

The package tensorboard ships them compiled, but for a few that are small: SavedModel, the two messages of a tensor bundle, Keras's
metadata, and Example. Those are declared here, field by field as in tensorflow/core/protobuf/{saved_model,tensor_bundle}.proto, and built
at run time, so no generated code ties the project to one release of protobuf.
"""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from tensorboard.compat.proto import (
    attr_value_pb2,
    graph_pb2,
    meta_graph_pb2,
    saved_object_graph_pb2,
    tensor_shape_pb2,
    trackable_object_graph_pb2,
    types_pb2,
    versions_pb2,
)

from stylexport.common.errors import DamagedFile

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "stylexport"

# message -> rows of (field, number, type, message type or None, repeated)
_TABLE: dict[str, list[tuple[str, int, int, str | None, bool]]] = {
    "SavedModel": [
        ("saved_model_schema_version", 1, _FIELD.TYPE_INT64, None, False),
        ("meta_graphs", 2, _FIELD.TYPE_MESSAGE, ".tensorboard.MetaGraphDef", True),
    ],
    "BundleHeaderProto": [
        ("num_shards", 1, _FIELD.TYPE_INT32, None, False),
        ("endianness", 2, _FIELD.TYPE_INT32, None, False),
        ("version", 3, _FIELD.TYPE_MESSAGE, ".tensorboard.VersionDef", False),
    ],
    "BundleEntryProto": [
        ("dtype", 1, _FIELD.TYPE_INT32, None, False),
        ("shape", 2, _FIELD.TYPE_MESSAGE, ".tensorboard.TensorShapeProto", False),
        ("shard_id", 3, _FIELD.TYPE_INT32, None, False),
        ("offset", 4, _FIELD.TYPE_INT64, None, False),
        ("size", 5, _FIELD.TYPE_INT64, None, False),
        ("crc32c", 6, _FIELD.TYPE_FIXED32, None, False),
        ("slices", 7, _FIELD.TYPE_BYTES, None, True),
    ],
    # tensorflow/core/util/saved_tensor_slice.proto and framework/{tensor_slice,tensor}.proto: checkpoints of version 1. Floats, which lie
    # packed, are taken as the bytes that they are.
    "SavedTensorSlices": [
        ("meta", 1, _FIELD.TYPE_MESSAGE, ".stylexport.SavedTensorSliceMeta", False),
        ("data", 2, _FIELD.TYPE_MESSAGE, ".stylexport.SavedSlice", False),
    ],
    "SavedTensorSliceMeta": [("tensor", 1, _FIELD.TYPE_MESSAGE, ".stylexport.SavedSliceMeta", True)],
    "SavedSliceMeta": [
        ("name", 1, _FIELD.TYPE_STRING, None, False),
        ("shape", 2, _FIELD.TYPE_MESSAGE, ".tensorboard.TensorShapeProto", False),
        ("type", 3, _FIELD.TYPE_INT32, None, False),
        ("slice", 4, _FIELD.TYPE_MESSAGE, ".stylexport.TensorSliceProto", True),
    ],
    "SavedSlice": [
        ("name", 1, _FIELD.TYPE_STRING, None, False),
        ("slice", 2, _FIELD.TYPE_MESSAGE, ".stylexport.TensorSliceProto", False),
        ("data", 3, _FIELD.TYPE_MESSAGE, ".stylexport.SliceData", False),
    ],
    "TensorSliceProto": [("extent", 1, _FIELD.TYPE_MESSAGE, ".stylexport.Extent", True)],
    "Extent": [("start", 1, _FIELD.TYPE_INT64, None, False), ("length", 2, _FIELD.TYPE_INT64, None, False)],
    "SliceData": [
        ("dtype", 1, _FIELD.TYPE_INT32, None, False),
        ("float_val", 5, _FIELD.TYPE_BYTES, None, False),
        ("double_val", 6, _FIELD.TYPE_BYTES, None, False),
        ("int_val", 7, _FIELD.TYPE_INT32, None, True),
        ("int64_val", 10, _FIELD.TYPE_INT64, None, True),
        ("bool_val", 11, _FIELD.TYPE_BOOL, None, True),
        ("half_val", 13, _FIELD.TYPE_INT32, None, True),
        ("uint32_val", 16, _FIELD.TYPE_UINT32, None, True),
        ("uint64_val", 17, _FIELD.TYPE_UINT64, None, True),
    ],
    # Keras writes one of these as keras_metadata.pb (keras/protobuf/saved_metadata.proto).
    "SavedMetadata": [("nodes", 1, _FIELD.TYPE_MESSAGE, ".stylexport.SavedObjectMetadata", True)],
    "SavedObjectMetadata": [
        ("node_id", 2, _FIELD.TYPE_INT32, None, False),
        ("node_path", 3, _FIELD.TYPE_STRING, None, False),
        ("identifier", 4, _FIELD.TYPE_STRING, None, False),
        ("metadata", 5, _FIELD.TYPE_STRING, None, False),
    ],
    # tensorflow/core/example/{example,feature}.proto; a map is, in the bytes, repeated entries of key (1) and value (2).
    "Example": [("features", 1, _FIELD.TYPE_MESSAGE, ".stylexport.Features", False)],
    "Features": [("feature", 1, _FIELD.TYPE_MESSAGE, ".stylexport.FeatureEntry", True)],
    "FeatureEntry": [("key", 1, _FIELD.TYPE_STRING, None, False), ("value", 2, _FIELD.TYPE_MESSAGE, ".stylexport.Feature", False)],
    "Feature": [
        ("bytes_list", 1, _FIELD.TYPE_MESSAGE, ".stylexport.BytesList", False),
        ("float_list", 2, _FIELD.TYPE_MESSAGE, ".stylexport.FloatList", False),
        ("int64_list", 3, _FIELD.TYPE_MESSAGE, ".stylexport.Int64List", False),
    ],
    "BytesList": [("value", 1, _FIELD.TYPE_BYTES, None, True)],
    "FloatList": [("value", 1, _FIELD.TYPE_FLOAT, None, True)],
    "Int64List": [("value", 1, _FIELD.TYPE_INT64, None, True)],
}


def _build() -> dict[str, type[message.Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="stylexport/messages.proto", package=_PACKAGE, syntax="proto3")
    for needed in (meta_graph_pb2, versions_pb2, tensor_shape_pb2):
        file.dependency.append(needed.DESCRIPTOR.name)
    for name, rows in _TABLE.items():
        entry = file.message_type.add(name=name)
        for field, number, kind, type_name, repeated in rows:
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            entry.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.Default()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _TABLE}


_CLASSES = _build()
SavedModel: Any = _CLASSES["SavedModel"]
BundleHeader: Any = _CLASSES["BundleHeaderProto"]
BundleEntry: Any = _CLASSES["BundleEntryProto"]
SavedMetadata: Any = _CLASSES["SavedMetadata"]
SavedTensorSlices: Any = _CLASSES["SavedTensorSlices"]
TensorSlice: Any = _CLASSES["TensorSliceProto"]
Example: Any = _CLASSES["Example"]
AttrValue: Any = attr_value_pb2.AttrValue
GraphDef: Any = graph_pb2.GraphDef
MetaGraphDef: Any = meta_graph_pb2.MetaGraphDef
SavedObjectGraph: Any = saved_object_graph_pb2.SavedObjectGraph
TrackableObjectGraph: Any = trackable_object_graph_pb2.TrackableObjectGraph


def parse(kind: Any, data: bytes, path: str | os.PathLike[str], what: str) -> Any:
    """`data` as a message of class `kind`. Raises DamagedFile, naming `path` and `what`, where it is not one."""
    try:
        return kind.FromString(data)
    except (message.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamagedFile(path, f"{what} is not a valid {kind.DESCRIPTOR.name} ({error})") from error


# TensorFlow's DataType numbers (tensorflow/core/framework/types.proto) to numpy's names.
DTYPES: dict[int, str] = {
    types_pb2.DT_FLOAT: "float32",
    types_pb2.DT_DOUBLE: "float64",
    types_pb2.DT_HALF: "float16",
    types_pb2.DT_BFLOAT16: "bfloat16",
    types_pb2.DT_INT8: "int8",
    types_pb2.DT_INT16: "int16",
    types_pb2.DT_INT32: "int32",
    types_pb2.DT_INT64: "int64",
    types_pb2.DT_UINT8: "uint8",
    types_pb2.DT_UINT16: "uint16",
    types_pb2.DT_UINT32: "uint32",
    types_pb2.DT_UINT64: "uint64",
    types_pb2.DT_BOOL: "bool",
    types_pb2.DT_COMPLEX64: "complex64",
    types_pb2.DT_COMPLEX128: "complex128",
    types_pb2.DT_STRING: "string",
}
