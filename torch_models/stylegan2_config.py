"""The configurations of StyleGAN2 as NVIDIA's programs train it: without label probabilities in w, with classes, clamping, or no noise.

Its generator and discriminator are those of a StylEx (`config.py`) otherwise. Which fields a file decides: docs/formats.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stylexport.torch_models.config import DiscriminatorConfig, GeneratorConfig

EMBEDDINGS = ("none", "joint", "separate")


@dataclass(frozen=True)
class StyleGAN2GeneratorConfig(GeneratorConfig):
    """StyleGAN2's generator (Karras et al. 2020, also with adaptive augmentation). A dlatent is w alone.

    `classes`: how many classes an image may be asked of (0: none). `label_embedding` says how a class enters the mapping: "joint": a
    matrix gives `embedding` values, which stand behind z before both are normalised together (StyleGAN2); "separate": a dense layer gives
    them, and z and they are normalised each (StyleGAN2-ADA). `mapping_features`: how many values the mapping's inner layers give (0:
    `latent`).
    `style_offset`, `equalized_convolutions`, `has_noise`, `conv_clamp`: see `GeneratorConfig`.
    """

    architecture: ClassVar[str] = "stylegan2_generator"

    labels: int = 0
    classes: int = 0
    label_embedding: str = "none"
    embedding: int = 0
    mapping_features: int = 0
    style_offset: float = 1.0
    equalized_convolutions: bool = True
    has_noise: bool = True
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError(f"StyleGAN2's w holds no label probabilities: `labels` is 0, not {self.labels}; train from a StylEx")
        if self.label_embedding not in EMBEDDINGS or (self.label_embedding == "none") != (not self.classes):
            raise ValueError(f"`label_embedding` {self.label_embedding!r} does not fit {self.classes} classes")

    @property
    def mapping_sizes(self) -> tuple[int, ...]:
        """How many values go into the first dense layer of the mapping, and how many come out of each."""
        inner = self.mapping_features or self.latent
        return (self.z + self.embedding, *(inner,) * (self.mapping_layers - 1), self.latent)


@dataclass(frozen=True)
class StyleGAN2DiscriminatorConfig(DiscriminatorConfig):
    """StyleGAN2's residual discriminator. Where there are `classes` it gives one score for each, and the score of the image's class counts.

    `mbstd_group` 0 is the whole batch.
    """

    architecture: ClassVar[str] = "stylegan2_discriminator"

    labels: int = 0
    classes: int = 0
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError(f"StyleGAN2's discriminator has `classes`; its `labels` is 0, not {self.labels}")

    @property
    def outputs(self) -> int:
        """How many values the last layer gives."""
        return max(self.classes, 1)
