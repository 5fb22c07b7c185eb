"""How each operation of a saved graph is computed: by TensorFlow's kernel, or by own code where no CPU kernel will do.

OWN_KERNELS lists what has own code, and when; everything else runs as it is. The own code follows the operation's definition
(tensorflow/core/ops/*.cc, tensorflow/core/kernels), with TensorFlow's elementary operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.converter.graph.graph import Node
from stylexport.reference_tf.replay.channels import LAST, is_first, run_channels_last
from stylexport.reference_tf.replay.execute_op import GRAPH, SINGLE, Attributes, Precision, Tensor, attributes, definition, execute


def compute(node: Node, inputs: Sequence[Tensor], precision: Precision) -> list[Tensor]:
    """The node's outputs in a precision. Half precisions without a kernel run in float32 and are rounded afterwards.

    Raises TensorFlow's errors, ValueError and TypeError where it refuses, and BadInput for an operation that it does not have.
    """
    attrs = attributes(node, precision)
    try:
        return run(node.op, inputs, attrs)
    except (tf.errors.NotFoundError, tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
        halves = [value for value in inputs if value.dtype in (tf.float16, tf.bfloat16)]
        if precision is not GRAPH or not halves:
            raise
        wide = [tf.cast(value, tf.float32) if value.dtype == halves[0].dtype else value for value in inputs]
        outputs = run(node.op, wide, attributes(node, SINGLE))
        return [tf.cast(value, halves[0].dtype) if value.dtype == tf.float32 else value for value in outputs]


def run(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """The operation's outputs, channels last where a CPU needs it, and by own code where it has no kernel."""
    if is_first(op, attrs):
        return run_channels_last(op, inputs, attrs, run)
    for own in OWN_KERNELS:
        if op in own.ops and own.when(inputs, attrs):
            return own.compute(op, inputs, attrs)
    return execute(op, inputs, attrs)


def _batch_norm(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """Batch normalisation; in a training graph by the batch's own moments."""
    x, (scale, offset, mean, variance) = inputs[0], inputs[1:5]
    channels = 1 if attrs["data_format"] in LAST else x.shape.rank - 1
    if attrs["is_training"]:
        mean, variance = tf.nn.moments(x, [axis for axis in range(x.shape.rank) if axis != channels])
    factor = scale * tf.math.rsqrt(variance + tf.constant(attrs["epsilon"], x.dtype))
    shape = [-1 if axis == channels else 1 for axis in range(x.shape.rank)]
    y = (x - tf.reshape(mean, shape)) * tf.reshape(factor, shape) + tf.reshape(offset, shape)
    return [y, mean, variance, mean, variance, tf.zeros([0], x.dtype)]


def _resize_bilinear(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """Bilinear interpolation of [N, H, W, C], as a matrix an axis."""
    x, (height, width) = inputs[0], np.asarray(inputs[1])
    rows = tf.constant(_interpolation(x.shape[1], int(height), attrs), x.dtype)
    columns = tf.constant(_interpolation(x.shape[2], int(width), attrs), x.dtype)
    return [tf.einsum("hy,nyxc,wx->nhwc", rows, x, columns)]


def _interpolation(before: int, after: int, attrs: Attributes) -> np.ndarray:
    """[after, before]: in each row the weights of the two nearest values (image_resizer_state.h, resize_bilinear_op.cc)."""
    scale = (before - 1) / (after - 1) if attrs["align_corners"] and after > 1 else before / after
    half = 0.5 if attrs["half_pixel_centers"] else 0.0
    matrix = np.zeros((after, before))
    for i in range(after):
        at = (i + half) * scale - half
        low = int(np.floor(at))
        matrix[i, max(low, 0)] += 1 - (at - low)
        matrix[i, min(max(low + (at > low), 0), before - 1)] += at - low
    return matrix


def _lrn(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """Local response normalisation over the last axis."""
    x, radius = inputs[0], attrs["depth_radius"]
    channels = np.arange(x.shape[-1])
    band = tf.constant(np.abs(channels[:, None] - channels) <= radius, x.dtype)
    power = tf.einsum("nhwc,cd->nhwd", tf.square(x), band)
    factor = tf.constant(attrs["bias"], x.dtype) + tf.constant(attrs["alpha"], x.dtype) * power
    return [x * tf.pow(factor, -tf.constant(attrs["beta"], x.dtype))]


def _pool3d(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """Pooling of [N, D, H, W, C], over height and width and then over depth: the largest and the mean both allow that."""
    flat = op.removesuffix("3D")
    n, depth, height, width, c = inputs[0].shape
    (_, kd, kh, kw, _), (_, sd, sh, sw, _) = attrs["ksize"], attrs["strides"]
    kept = {"T": attrs["T"], "padding": attrs["padding"]}
    plane = tf.reshape(inputs[0], [n * depth, height, width, c])
    (plane,) = execute(flat, [plane], {**kept, "ksize": [1, kh, kw, 1], "strides": [1, sh, sw, 1]})
    height, width = plane.shape[1:3]
    column = tf.reshape(plane, [n, depth, height * width, c])
    (column,) = execute(flat, [column], {**kept, "ksize": [1, kd, 1, 1], "strides": [1, sd, 1, 1]})
    return [tf.reshape(column, [n, column.shape[1], height, width, c])]


def _grouped_transpose(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """A transposed convolution in groups, one group after another. The kernel is [h, w, channels of a group, inputs]."""
    sizes, kernel, x = np.asarray(inputs[0]), inputs[1], inputs[2]
    groups = int(sizes[-1]) // kernel.shape[2]
    each = tf.constant([*sizes[:-1], kernel.shape[2]], inputs[0].dtype)
    parts = zip(tf.split(kernel, groups, axis=3), tf.split(x, groups, axis=3), strict=True)
    return [tf.concat([run(op, (each, part, piece), attrs)[0] for part, piece in parts], axis=3)]


def _dilated_transpose(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """A dilated transposed convolution by the kernel with zeros between its values."""
    sizes, kernel, x = inputs
    return run(op, (sizes, _spread(kernel, attrs["dilations"]), x), {**attrs, "dilations": [1, 1, 1, 1]})


def _dilated_depthwise(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """A dilated depthwise convolution by the kernel with zeros between its values."""
    x, kernel = inputs
    return run(op, (x, _spread(kernel, attrs["dilations"])), {**attrs, "dilations": [1, 1, 1, 1]})


def _spread(kernel: Tensor, dilations: Sequence[int]) -> Tensor:
    """A kernel [h, w, ...] with dilation - 1 zeros between its values on both axes."""
    for axis, step in ((0, dilations[1]), (1, dilations[2])):
        shape = kernel.shape.as_list()
        spaced = tf.expand_dims(kernel, axis + 1)
        pads = [[0, 0]] * (len(shape) + 1)
        pads[axis + 1] = [0, step - 1]
        whole = tf.reshape(tf.pad(spaced, pads), [*shape[:axis], shape[axis] * step, *shape[axis + 1 :]])
        kernel = tf.gather(whole, tf.range((shape[axis] - 1) * step + 1), axis=axis)
    return kernel


def _fused(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """An operation that an optimiser fused, one step after another: a product, then bias or normalisation, then activation."""
    product, rest = _PRODUCTS[op], list(inputs[2:])
    known = {attr.name for attr in definition(product).attr}
    (y,) = run(product, inputs[:2], {name: value for name, value in attrs.items() if name in known})
    for fused in attrs["fused_ops"]:
        if fused == b"BiasAdd":
            y = y + rest.pop(0)
        elif fused == b"FusedBatchNorm":
            scale, offset, mean, variance = (rest.pop(0) for _ in range(4))
            y = tf.nn.batch_normalization(y, mean, variance, offset, scale, attrs["epsilon"])
        elif fused == b"LeakyRelu":
            y = tf.nn.leaky_relu(y, attrs["leakyrelu_alpha"])
        elif fused in _ACTIVATIONS:
            y = _ACTIVATIONS[fused](y)
        else:
            raise BadInput(f"the fused operation {fused.decode()} is not known")
    return [y]


_PRODUCTS = {"_FusedConv2D": "Conv2D", "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative", "_FusedMatMul": "MatMul"}
_ACTIVATIONS = {b"Relu": tf.nn.relu, b"Relu6": tf.nn.relu6, b"Elu": tf.nn.elu, b"Tanh": tf.tanh, b"Sigmoid": tf.sigmoid}


@dataclass(frozen=True)
class OwnKernel:
    """Operations that `compute` computes wherever `when` is true of their inputs and attributes (channels last)."""

    ops: tuple[str, ...]
    when: Callable[[Sequence[Tensor], Attributes], bool]
    compute: Callable[[str, Sequence[Tensor], Attributes], list[Tensor]]


def _is_double(inputs: Sequence[Tensor], attrs: Attributes) -> bool:
    return bool(inputs[0].dtype == tf.float64)


def _is_dilated(inputs: Sequence[Tensor], attrs: Attributes) -> bool:
    return list(attrs["dilations"]) != [1, 1, 1, 1]


def _is_grouped(inputs: Sequence[Tensor], attrs: Attributes) -> bool:
    return int(np.asarray(inputs[0])[-1]) != inputs[1].shape[2]


def _always(inputs: Sequence[Tensor], attrs: Attributes) -> bool:
    return True


OWN_KERNELS: tuple[OwnKernel, ...] = (
    OwnKernel(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _is_double, _batch_norm),
    OwnKernel(("ResizeBilinear",), _is_double, _resize_bilinear),
    OwnKernel(("LRN",), _is_double, _lrn),
    OwnKernel(("AvgPool3D", "MaxPool3D"), _is_double, _pool3d),
    OwnKernel(("DepthwiseConv2dNative",), _is_dilated, _dilated_depthwise),
    OwnKernel(("Conv2DBackpropInput",), _is_dilated, _dilated_transpose),
    OwnKernel(("Conv2DBackpropInput",), _is_grouped, _grouped_transpose),
    OwnKernel(tuple(_PRODUCTS), _always, _fused),
)
