"""The generator's rule table, and its architecture as its variables' shapes tell it (RELEASE_FORMAT, "Variable names")."""

from __future__ import annotations

from stylexport.converter.mapping.layouts import Hwio, HwioFlipped, Squeeze, Transpose
from stylexport.converter.mapping.rules import Names, Rule
from stylexport.converter.mapping.stylegan import graph_constants
from stylexport.converter.mapping.stylegan.assemble import StyleGAN
from stylexport.torch_models.config import GeneratorConfig, channels_by_resolution, log2, resolutions

_SYNTHESIS = "generator_synthesis*"
_STYLES = "generator_style_calculator*"
_MAPPING = "generator*/generator_mapping*"


def looks_like(names: Names) -> bool:
    """Whether the variables hold a StyleGAN2 synthesis network."""
    return bool(names.find(f"{_SYNTHESIS}/ConstBlock4x4/Const4x4"))


def read_config(names: Names, where: str) -> dict[str, object]:
    """The fields of GeneratorConfig that follow from shapes. Raises MappingError where such a variable is missing."""
    resolution = names.highest(f"{_SYNTHESIS}/ToRGB{{r}}x{{r}}/ModulatedConv2D*/weight", where)
    channels = []
    for r in resolutions(resolution):
        layer = "ConstBlock4x4/GeneratorLayer4x4" if r == 4 else f"GeneratorBlock{r}x{r}/Conv1"
        channels.append(names.shape_of(f"{_SYNTHESIS}/{layer}/ModulatedConv2D*/weight", where, 4)[3])
    z, _ = names.shape_of(f"{_MAPPING}/Dense0/MappingDense_0", where, 2)
    depth = next(i for i in range(10**4) if not names.find(f"{_MAPPING}/Dense{i}/MappingDense_{i}"))
    latent = names.shape_of(f"{_MAPPING}/Dense{depth - 1}/MappingDense_{depth - 1}", where, 2)[1]
    dlatent = names.shape_of(f"{_STYLES}/StyleVectorConst/StyleGAN2Dense*/weight", where, 2)[0]
    rgb = names.shape_of(f"{_SYNTHESIS}/ToRGB4x4/ModulatedConv2D*/weight", where, 4)[3]
    return {
        "resolution": resolution,
        "channels": tuple(channels),
        "latent": latent,
        "labels": dlatent - latent,
        "z": z,
        "image_channels": rgb,
        "mapping_layers": depth,
    }


def table(config: GeneratorConfig) -> list[Rule]:
    """Every tensor of the PyTorch generator and the variable it comes from."""
    rules = [Rule("dlatent_avg", "w_avg", Squeeze(1), (config.latent,))]
    for i in range(config.mapping_layers):
        weight = (config.latent, config.z if i == 0 else config.latent)
        rules += [
            Rule(f"{_MAPPING}/Dense{i}/MappingDense_{i}", f"mapping.fc{i}.weight", Transpose(), weight),
            Rule(f"{_MAPPING}/DenseBiasAct{i}/MappingBias_{i}", f"mapping.fc{i}.bias", Squeeze(1), (config.latent,)),
        ]
    channels = channels_by_resolution(config.resolution, config.channels)
    rules.append(Rule(f"{_SYNTHESIS}/ConstBlock4x4/Const4x4", "synthesis.b4.const", Squeeze(3), (channels[4], 4, 4)))
    for r, out in channels.items():
        k = log2(r)
        if r == 4:
            rules += _layer("ConstBlock4x4/GeneratorLayer4x4", "b4.conv1", "Noise0", 4, out, out)
            rules += _affine("StyleVectorConst", "b4.conv1", out, config) + _affine("StyleVectorConstRGB", "b4.torgb", out, config)
        else:
            into = channels[r // 2]
            rules += _layer(f"GeneratorBlock{r}x{r}/Conv0Up", f"b{r}.conv0", f"Noise{2 * k - 5}", r, into, out)
            rules += _layer(f"GeneratorBlock{r}x{r}/Conv1", f"b{r}.conv1", f"Noise{2 * k - 4}", r, out, out)
            rules += _affine(f"StyleVector{k - 3}_0", f"b{r}.conv0", into, config)
            rules += _affine(f"StyleVector{k - 3}_1", f"b{r}.conv1", out, config)
            rules += _affine(f"StyleVectorRGB{k - 3}", f"b{r}.torgb", out, config)
        scope, name, rgb = f"{_SYNTHESIS}/ToRGB{r}x{r}", f"synthesis.b{r}.torgb", config.image_channels
        rules += [
            Rule(f"{scope}/ModulatedConv2D*/weight", f"{name}.weight", Hwio(), (rgb, out, 1, 1)),
            Rule(f"{scope}/FusedBiasActivation*/ToRGBBiasAct", f"{name}.bias", Squeeze(1), (rgb,)),
        ]
    return rules


def _layer(scope: str, name: str, noise: str, r: int, into: int, out: int) -> list[Rule]:
    kernel = HwioFlipped() if name.endswith("conv0") else Hwio()
    tf, torch = f"{_SYNTHESIS}/{scope}", f"synthesis.{name}"
    return [
        Rule(f"{tf}/ModulatedConv2D*/weight", f"{torch}.weight", kernel, (out, into, 3, 3)),
        Rule(f"{tf}/FusedBiasAct*/BiasAct", f"{torch}.bias", Squeeze(1), (out,)),
        Rule(f"{tf}/NoiseStrength", f"{torch}.noise_strength", Squeeze(0), ()),
        Rule(noise, f"{torch}.noise_const", Squeeze(2), (r, r)),
    ]


def _affine(scope: str, name: str, size: int, config: GeneratorConfig) -> list[Rule]:
    tf, torch = f"{_STYLES}/{scope}", f"style_vectors.{name}"
    return [
        Rule(f"{tf}/StyleGAN2Dense*/weight", f"{torch}.weight", Transpose(), (size, config.dlatent)),
        Rule(f"{tf}/FusedBiasActivation*/bias", f"{torch}.bias", Squeeze(1), (size,)),
    ]


RECOGNITION = StyleGAN(GeneratorConfig, looks_like, read_config, graph_constants.GENERATOR, lambda config, hwc: table(config)).recognition()
