"""The rule tables of encoder and discriminator: StyleGAN2's residual discriminator, under two sets of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stylexport.converter.mapping.layouts import DenseAfterHwc, Hwio, Squeeze, Transpose
from stylexport.converter.mapping.network import Recognition
from stylexport.converter.mapping.rules import Names, Rule
from stylexport.converter.mapping.stylegan import graph_constants
from stylexport.converter.mapping.stylegan.assemble import StyleGAN
from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, NetworkConfig, channels_by_resolution, resolutions


@dataclass(frozen=True)
class ReleasedNames:
    """The names of one network's variables, and how many channels its last convolution takes besides the trunk's."""

    from_rgb: str
    block: str
    conv: str
    conv_bias: str
    fc: str
    fc_bias: str
    out: str
    out_bias: str
    extra: int  # channels that the minibatch standard deviation adds before the last convolution


ENCODER = ReleasedNames(
    from_rgb="encoder*/EncoderFromRGB{r}x{r}",
    block="encoder*/EncoderBlock{r}x{r}",
    conv="encoder*/Conv4x4/weight",
    conv_bias="encoder*/EncoderConvBiasAct4x4/ConvBiasAct4x4",
    fc="encoder*/EncoderDense4x4/weight",
    fc_bias="encoder*/EncoderDenseBiasAct4x4/DenseBiasAct4x4",
    out="encoder*/style_gan2_dense*/weight",
    out_bias="encoder*/EncoderOutputBiasAct/OutputBiasAct",
    extra=0,
)
DISCRIMINATOR = ReleasedNames(
    from_rgb="discriminator*/FromRGB{r}x{r}",
    block="discriminator*/DiscriminatorBlock{r}x{r}",
    conv="discriminator*/Conv4x4/weight",
    conv_bias="discriminator*/ConvBiasAct4x4/ConvBiasAct4x4",
    fc="discriminator*/Dense4x4/weight",
    fc_bias="discriminator*/DenseBiasAct4x4/DenseBiasAct4x4",
    out="discriminator*/style_gan2_dense*/weight",
    out_bias="discriminator*/OutputBiasAct/OutputBiasAct",
    extra=1,
)


def looks_like(names: Names, released: ReleasedNames) -> bool:
    """Whether the variables hold this network's last blocks."""
    return bool(names.find(released.fc) or names.find(f"{released.block}/Conv0/weight".replace("{r}", "8")))


def read_config(names: Names, where: str, released: ReleasedNames) -> dict[str, object]:
    """The configuration's fields that follow from shapes; the last layer's outputs are `latent` or `labels`."""
    resolution = names.highest(f"{released.from_rgb}/StyleGAN2Conv2D*/weight", where, 8)
    rgb = names.shape_of(f"{released.from_rgb}/StyleGAN2Conv2D*/weight".replace("{r}", str(resolution)), where, 4)
    channels = {resolution: rgb[3]}
    for r in resolutions(resolution)[1:]:
        channels[r // 2] = names.shape_of(f"{released.block}/Conv1Down/weight".replace("{r}", str(r)), where, 4)[3]
    hidden, out = names.shape_of(released.out, where, 2)
    return {
        "resolution": resolution,
        "channels": tuple(channels[r] for r in resolutions(resolution)),
        "hidden": hidden,
        ("labels" if released.extra else "latent"): out,
        "image_channels": rgb[2],
    }


def table(config: EncoderConfig | DiscriminatorConfig, released: ReleasedNames, flatten_hwc: bool = False) -> list[Rule]:
    """Every tensor of the PyTorch network and its variable. `flatten_hwc`: the original flattens [h, w, c] before its dense layer."""
    channels = channels_by_resolution(config.resolution, config.channels)
    top, first = config.resolution, channels[config.resolution]
    scope = released.from_rgb.replace("{r}", str(top))
    rules = [
        Rule(f"{scope}/StyleGAN2Conv2D*/weight", f"b{top}.fromrgb.weight", Hwio(), (first, config.image_channels, 1, 1)),
        Rule(f"{scope}/FusedBiasActivation*/FromRGBBias", f"b{top}.fromrgb.bias", Squeeze(1), (first,)),
    ]
    for r in reversed(resolutions(config.resolution)[1:]):
        into, out, scope = channels[r], channels[r // 2], released.block.replace("{r}", str(r))
        rules += [
            Rule(f"{scope}/Conv0/weight", f"b{r}.conv0.weight", Hwio(), (into, into, 3, 3)),
            Rule(f"{scope}/Conv0Bias/BiasAct0", f"b{r}.conv0.bias", Squeeze(1), (into,)),
            Rule(f"{scope}/Conv1Down/weight", f"b{r}.conv1.weight", Hwio(), (out, into, 3, 3)),
            Rule(f"{scope}/Conv1DownBiasAct/BiasAct1", f"b{r}.conv1.bias", Squeeze(1), (out,)),
            Rule(f"{scope}/Skip/weight", f"b{r}.skip.weight", Hwio(), (out, into, 1, 1)),
        ]
    last, hidden = channels[4], config.hidden
    outputs = config.labels if isinstance(config, DiscriminatorConfig) else config.latent
    dense = DenseAfterHwc(4, 4) if flatten_hwc else Transpose()
    return [
        *rules,
        Rule(released.conv, "b4.conv.weight", Hwio(), (last, last + released.extra, 3, 3)),
        Rule(released.conv_bias, "b4.conv.bias", Squeeze(1), (last,)),
        Rule(released.fc, "b4.fc.weight", dense, (hidden, last * 16)),
        Rule(released.fc_bias, "b4.fc.bias", Squeeze(1), (hidden,)),
        Rule(released.out, "b4.out.weight", Transpose(), (outputs, hidden)),
        Rule(released.out_bias, "b4.out.bias", Squeeze(1), (outputs,)),
    ]


def _recognition(
    config: Callable[..., NetworkConfig], released: ReleasedNames, constants: Mapping[str, graph_constants.Reader]
) -> Recognition:
    return StyleGAN(
        config,
        present=lambda names: looks_like(names, released),
        sizes=lambda names, where: read_config(names, where, released),
        constants=constants,
        table=lambda config, hwc: table(config, released, hwc),
        flattens=True,
    ).recognition()


ENCODER_RECOGNITION = _recognition(EncoderConfig, ENCODER, graph_constants.ENCODER)
DISCRIMINATOR_RECOGNITION = _recognition(DiscriminatorConfig, DISCRIMINATOR, graph_constants.DISCRIMINATOR)
