"""The reference networks carry the released names (RELEASE_FORMAT, "Variable names"), written out here for 16 px."""

import pytest
import tensorflow as tf

from stylexport.reference_tf.networks import build
from tests.reference_tf.sizes import ALL

pytestmark = pytest.mark.tensorflow

STYLES = "generator_style_calculator"
SYNTHESIS = "generator_synthesis"

RELEASED = {
    "generator": {
        "dlatent_avg": (4,),
        "generator/generator_mapping/Dense0/MappingDense_0": (6, 4),
        "generator/generator_mapping/Dense1/MappingDense_1": (4, 4),
        "generator/generator_mapping/Dense2/MappingDense_2": (4, 4),
        "generator/generator_mapping/DenseBiasAct0/MappingBias_0": (4,),
        "generator/generator_mapping/DenseBiasAct1/MappingBias_1": (4,),
        "generator/generator_mapping/DenseBiasAct2/MappingBias_2": (4,),
        f"{STYLES}/StyleVectorConst/StyleGAN2Dense/weight": (6, 7),
        f"{STYLES}/StyleVectorConst/FusedBiasActivation/bias": (1, 7),
        f"{STYLES}/StyleVector0_0/StyleGAN2Dense/weight": (6, 7),
        f"{STYLES}/StyleVector0_0/FusedBiasActivation/bias": (1, 7),
        f"{STYLES}/StyleVector0_1/StyleGAN2Dense/weight": (6, 5),
        f"{STYLES}/StyleVector0_1/FusedBiasActivation/bias": (1, 5),
        f"{STYLES}/StyleVector1_0/StyleGAN2Dense/weight": (6, 5),
        f"{STYLES}/StyleVector1_0/FusedBiasActivation/bias": (1, 5),
        f"{STYLES}/StyleVector1_1/StyleGAN2Dense/weight": (6, 3),
        f"{STYLES}/StyleVector1_1/FusedBiasActivation/bias": (1, 3),
        f"{STYLES}/StyleVectorConstRGB/StyleGAN2Dense/weight": (6, 7),
        f"{STYLES}/StyleVectorConstRGB/FusedBiasActivation/bias": (1, 7),
        f"{STYLES}/StyleVectorRGB0/StyleGAN2Dense/weight": (6, 5),
        f"{STYLES}/StyleVectorRGB0/FusedBiasActivation/bias": (1, 5),
        f"{STYLES}/StyleVectorRGB1/StyleGAN2Dense/weight": (6, 3),
        f"{STYLES}/StyleVectorRGB1/FusedBiasActivation/bias": (1, 3),
        f"{SYNTHESIS}/ConstBlock4x4/Const4x4": (1, 7, 4, 4),
        f"{SYNTHESIS}/ConstBlock4x4/GeneratorLayer4x4/ModulatedConv2D/weight": (3, 3, 7, 7),
        f"{SYNTHESIS}/ConstBlock4x4/GeneratorLayer4x4/FusedBiasAct/BiasAct": (7,),
        f"{SYNTHESIS}/ConstBlock4x4/GeneratorLayer4x4/NoiseStrength": (),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv0Up/ModulatedConv2D/weight": (3, 3, 7, 5),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv0Up/FusedBiasAct/BiasAct": (5,),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv0Up/NoiseStrength": (),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv1/ModulatedConv2D/weight": (3, 3, 5, 5),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv1/FusedBiasAct/BiasAct": (5,),
        f"{SYNTHESIS}/GeneratorBlock8x8/Conv1/NoiseStrength": (),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv0Up/ModulatedConv2D/weight": (3, 3, 5, 3),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv0Up/FusedBiasAct/BiasAct": (3,),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv0Up/NoiseStrength": (),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv1/ModulatedConv2D/weight": (3, 3, 3, 3),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv1/FusedBiasAct/BiasAct": (3,),
        f"{SYNTHESIS}/GeneratorBlock16x16/Conv1/NoiseStrength": (),
        f"{SYNTHESIS}/ToRGB4x4/ModulatedConv2D/weight": (1, 1, 7, 3),
        f"{SYNTHESIS}/ToRGB4x4/FusedBiasActivation/ToRGBBiasAct": (3,),
        f"{SYNTHESIS}/ToRGB8x8/ModulatedConv2D/weight": (1, 1, 5, 3),
        f"{SYNTHESIS}/ToRGB8x8/FusedBiasActivation/ToRGBBiasAct": (3,),
        f"{SYNTHESIS}/ToRGB16x16/ModulatedConv2D/weight": (1, 1, 3, 3),
        f"{SYNTHESIS}/ToRGB16x16/FusedBiasActivation/ToRGBBiasAct": (3,),
        "Noise0": (1, 1, 4, 4),
        "Noise1": (1, 1, 8, 8),
        "Noise2": (1, 1, 8, 8),
        "Noise3": (1, 1, 16, 16),
        "Noise4": (1, 1, 16, 16),
    },
    "encoder": {
        "encoder/EncoderFromRGB16x16/StyleGAN2Conv2D/weight": (1, 1, 3, 3),
        "encoder/EncoderFromRGB16x16/FusedBiasActivation/FromRGBBias": (3,),
        "encoder/EncoderBlock16x16/Conv0/weight": (3, 3, 3, 3),
        "encoder/EncoderBlock16x16/Conv0Bias/BiasAct0": (3,),
        "encoder/EncoderBlock16x16/Conv1Down/weight": (3, 3, 3, 5),
        "encoder/EncoderBlock16x16/Conv1DownBiasAct/BiasAct1": (5,),
        "encoder/EncoderBlock16x16/Skip/weight": (1, 1, 3, 5),
        "encoder/EncoderBlock8x8/Conv0/weight": (3, 3, 5, 5),
        "encoder/EncoderBlock8x8/Conv0Bias/BiasAct0": (5,),
        "encoder/EncoderBlock8x8/Conv1Down/weight": (3, 3, 5, 7),
        "encoder/EncoderBlock8x8/Conv1DownBiasAct/BiasAct1": (7,),
        "encoder/EncoderBlock8x8/Skip/weight": (1, 1, 5, 7),
        "encoder/Conv4x4/weight": (3, 3, 7, 7),
        "encoder/EncoderConvBiasAct4x4/ConvBiasAct4x4": (7,),
        "encoder/EncoderDense4x4/weight": (112, 9),
        "encoder/EncoderDenseBiasAct4x4/DenseBiasAct4x4": (9,),
        "encoder/style_gan2_dense/weight": (9, 4),
        "encoder/EncoderOutputBiasAct/OutputBiasAct": (4,),
    },
    "discriminator": {
        "discriminator_1/FromRGB16x16/StyleGAN2Conv2D/weight": (1, 1, 3, 3),
        "discriminator_1/FromRGB16x16/FusedBiasActivation/FromRGBBias": (3,),
        "discriminator_1/DiscriminatorBlock16x16/Conv0/weight": (3, 3, 3, 3),
        "discriminator_1/DiscriminatorBlock16x16/Conv0Bias/BiasAct0": (3,),
        "discriminator_1/DiscriminatorBlock16x16/Conv1Down/weight": (3, 3, 3, 5),
        "discriminator_1/DiscriminatorBlock16x16/Conv1DownBiasAct/BiasAct1": (5,),
        "discriminator_1/DiscriminatorBlock16x16/Skip/weight": (1, 1, 3, 5),
        "discriminator_1/DiscriminatorBlock8x8/Conv0/weight": (3, 3, 5, 5),
        "discriminator_1/DiscriminatorBlock8x8/Conv0Bias/BiasAct0": (5,),
        "discriminator_1/DiscriminatorBlock8x8/Conv1Down/weight": (3, 3, 5, 7),
        "discriminator_1/DiscriminatorBlock8x8/Conv1DownBiasAct/BiasAct1": (7,),
        "discriminator_1/DiscriminatorBlock8x8/Skip/weight": (1, 1, 5, 7),
        "discriminator_1/Conv4x4/weight": (3, 3, 8, 7),
        "discriminator_1/ConvBiasAct4x4/ConvBiasAct4x4": (7,),
        "discriminator_1/Dense4x4/weight": (112, 9),
        "discriminator_1/DenseBiasAct4x4/DenseBiasAct4x4": (9,),
        "discriminator_1/style_gan2_dense_4/weight": (9, 2),
        "discriminator_1/OutputBiasAct/OutputBiasAct": (2,),
    },
    "classifier": {
        "conv2d/kernel": (3, 3, 3, 5),
        "batch_normalization/gamma": (5,),
        "batch_normalization/beta": (5,),
        "batch_normalization/moving_mean": (5,),
        "batch_normalization/moving_variance": (5,),
        "depthwise_conv2d/depthwise_kernel": (3, 3, 5, 1),
        "batch_normalization_1/gamma": (5,),
        "batch_normalization_1/beta": (5,),
        "batch_normalization_1/moving_mean": (5,),
        "batch_normalization_1/moving_variance": (5,),
        "conv2d_1/kernel": (1, 1, 5, 8),
        "batch_normalization_2/beta": (8,),
        "batch_normalization_2/moving_mean": (8,),
        "batch_normalization_2/moving_variance": (8,),
        "conv2d_2/kernel": (1, 1, 8, 3),
        "conv2d_2/bias": (3,),
    },
}


@pytest.mark.parametrize("network", RELEASED)
@pytest.mark.parametrize("cpu", [False, True])
def test_variables_have_the_released_names_and_shapes_in_either_layout(network: str, cpu: bool) -> None:
    built = build.build(ALL[network], cpu=cpu)
    assert {v.name: tuple(v.shape) for v in built.weights} == {f"{n}:0": shape for n, shape in RELEASED[network].items()}


@pytest.mark.parametrize("network", RELEASED)
def test_a_float64_network_has_float64_variables_alone(network: str) -> None:
    assert {v.dtype for v in build.build(ALL[network], "float64").weights} == {tf.float64}
