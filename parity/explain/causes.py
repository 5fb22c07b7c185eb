"""What can be wrong with a layer: the identifiers that `report.json` uses, each with its meaning and what to do about it.

The table's order is that of specificity: of two causes that explain a fault equally well, the one that stands first is named. Replacing
whole tensors by the original's explains any fault in the weights, so `weight_value` comes last.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A kind of fault: its identifier, one line on what it means, and what puts it right."""

    name: str
    meaning: str
    remedy: str


CAUSES: dict[str, Cause] = {
    name: Cause(name, meaning, remedy)
    for name, meaning, remedy in (
        ("kernel_flipped", "a kernel is flipped in height, width or both", "do not flip the kernel"),
        ("kernel_transposed_hw", "height and width are swapped in a kernel", "keep the kernel's height before its width"),
        ("in_out_swapped", "input and output channels are swapped in a weight", "transpose the weight's input and output channels"),
        (
            "bn_moments_swapped",
            "BatchNorm's mean and variance are swapped",
            "load the moving mean as mean and the moving variance as variance",
        ),
        ("bn_affine_swapped", "BatchNorm's scale (gamma) and offset (beta) are swapped", "load gamma as weight and beta as bias"),
        ("bn_epsilon", "BatchNorm adds another epsilon to its variance", "set epsilon as the original's graph has it"),
        ("norm_epsilon", "a layer, group or instance normalisation adds another epsilon", "set eps as the original has it"),
        ("norm_groups", "a group normalisation has another number of groups", "set num_groups as the original has it"),
        ("padding", "padding, cropping, stride or dilation are others", "pad as TensorFlow does, by the input's size"),
        ("pooling", "pooling has another window, stride, padding or count", "pool as TensorFlow does, by the input's size"),
        ("resizing", "resizing has another kernel, or lays its pixels elsewhere", "resize by the original's kernel and rule of corners"),
        (
            "gate_order",
            "the gates of an LSTM or GRU stand in another order",
            "take the gates in the original's order: layout gates of docs/mapping.md",
        ),
        (
            "reset_gate",
            "a GRU's reset gate is applied before the recurrent product instead of after it, or the other way round",
            "apply the reset gate as the original's reset_after says",
        ),
        ("update_gate", "a GRU's update gate is swapped with its complement", "keep z of the old state, and 1 - z of the new"),
        ("forget_bias", "another number is added to an LSTM's forget gate", "add to the forget gate what the original adds"),
        (
            "direction",
            "the steps of a sequence run in another direction, or two directions are swapped",
            "run and join the directions as the original does",
        ),
        (
            "attention",
            "an attention's scale, heads, softmax or operands are others",
            "divide the scores by the root of a head's width, take the original's heads, and softmax over the keys",
        ),
        ("label_order", "the labels stand in another order", "keep the original's order of labels"),
        (
            "channel_order",
            "channels (RGB, a flattening, the axes of an input) stand in another order",
            "keep the original's order of channels",
        ),
        (
            "logits_for_probabilities",
            "logits stand where probabilities belong, or the other way round",
            "apply softmax (or sigmoid) exactly where the original does",
        ),
        ("style_plus_one_missing", "a style lacks its + 1, or has it twice", "add one to the style, once"),
        ("bias_missing", "a bias is absent or zero", "load the bias and add it"),
        ("noise", "the noise is dropped, or its image or strength is another", "add noise_strength times the released noise image"),
        ("demodulation", "demodulation is missing, or its epsilon is another", "divide by the norm of the modulated weights"),
        ("fir_filter", "a resampling filter's taps, direction or gain are others", "filter with the original's taps and gain"),
        ("residual_scale", "the scale of a residual sum is another", "scale the residual sum as the original does"),
        ("mbstd", "the minibatch standard deviation is another or absent", "compute the minibatch standard deviation as the original does"),
        ("lr_multiplier", "the learning-rate multiplier is left out, applied twice, or another", "apply the learning-rate multiplier once"),
        ("leaky_slope", "leaky ReLU's slope is another", "set the slope as the original has it"),
        ("activation", "another activation, one too many, or none", "apply the original's activation"),
        ("input_range", "the input is scaled to another range", "scale the input as the original does"),
        ("gain", "a constant factor is missing or applied twice", "multiply by the original's gain, once"),
        (
            "parameter_place",
            "a tensor that a network or a block itself holds goes in elsewhere, otherwise, or not at all",
            "use the tensor where the original's graph does",
        ),
        (
            "number_of_calls",
            "a layer runs more or fewer times than in the original, or on other values",
            "call the layer as often as the original does, on the same values",
        ),
        ("weight_value", "values of a tensor are others", "load the tensor from the original again"),
        ("unknown", "no single cause explains the difference", "compare the layer's code with the original's graph"),
    )
}
ORDER: dict[str, int] = {name: place for place, name in enumerate(CAUSES)}
