"""The settings of a training run: frozen groups, each with its defaults, read from YAML and `key=value` overrides.

    load(Path("training/configs/mnist.yaml"), ["losses.image_l1=5", "run.steps=1000"])

Unknown names, wrong types and values out of range are refused with the setting's full name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter

from stylexport.common.errors import BadInput
from stylexport.training.data.open import DataConfig
from stylexport.training.settings import STRICT, read_settings

Positive = Annotated[int, Gt(0)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]

Regimen = Literal["encoder", "alternating", "random"]


@dataclass(frozen=True)
class ModelConfig:
    """The networks, where `--from` does not give them: `channels` at 4, 8, ... px, or the schedule min(base / r, most).

    `latent` is the length of w, `z` of the mapping's input, `hidden` of the dense layer of encoder and discriminator.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    channels: tuple[Positive, ...] | None = None
    base: Positive = 32768
    most: Positive = 512
    latent: Positive = 512
    z: Positive = 512
    hidden: Positive = 512
    mapping_layers: Positive = 8


@dataclass(frozen=True)
class ClassifierConfig:
    """The classifier in the loop, frozen: `spec` as AttFind's --classifier takes it, `weights` its file; None: that of `--from`.

    `in_loop: false` trains without it (the ablation): every image has the same probabilities and the classifier only measures.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    spec: str | None = None
    weights: Path | None = None
    labels: tuple[str, ...] = ()
    in_loop: bool = True


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses (0 leaves one out and saves its time) and how often the lazy ones are computed.

    r1 is gamma / 2 of Mescheder et al. `agreement` is the KL divergence of the classifier's answers for image and reconstruction,
    `agreement_random` that on images of random w, against the label probabilities that they were made for.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    adversarial: Literal["logistic", "wgan"] = "logistic"
    adversarial_weight: Weight = 1.0
    image_l1: Weight = 1.0
    w_l1: Weight = 1.0
    lpips: Weight = 0.0
    lpips_net: Literal["alex", "vgg"] = "alex"
    agreement: Weight = 1.0
    agreement_random: Weight = 0.0
    r1: Weight = 5.0
    r1_every: Positive = 16
    gradient_penalty: Weight = 0.0
    gradient_penalty_every: Positive = 1
    path_length: Weight = 2.0
    path_length_every: Positive = 4
    path_length_shrink: Positive = 2


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam's settings, one for generator and encoder and one for the discriminator (StyleGAN2's: 0.002, 0, 0.99).

    `warm_up` raises the learning rate over so many steps; `decay` lets it fall to so much of itself at the run's end (cosine; 1: not).
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    learning_rate: Annotated[float, Gt(0)] = 2e-3
    discriminator_rate: Annotated[float, Gt(0)] = 2e-3
    beta1: Share = 0.0
    discriminator_beta1: Share = 0.0
    beta2: Share = 0.99
    epsilon: Annotated[float, Gt(0)] = 1e-8
    warm_up: Annotated[int, Ge(0)] = 0
    decay: Annotated[float, Gt(0), Le(1)] = 1.0


@dataclass(frozen=True)
class RunConfig:
    """How long and how: `batch` images a step over all processes, each in `accumulate` parts; sizes in images, times in steps."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    steps: Positive = 100_000
    batch: Positive = 16
    accumulate: Positive = 1
    seed: Annotated[int, Ge(0)] = 0
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    compile: bool = False
    noise: Literal["const", "random"] = "random"
    style_mixing: Annotated[float, Ge(0), Le(1)] = 0.0
    ema_half_life: Annotated[float, Gt(0)] = 10_000.0
    log_every: Positive = 50
    checkpoint_every: Positive = 1000
    keep: Positive = 3
    stuck_after: Annotated[int, Ge(0)] = 2000


@dataclass(frozen=True)
class MetricsConfig:
    """What is measured at checkpoints, on so many held-out images; sufficiency on fewer, moving the first `top` attributes."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    images: Positive = 512
    sufficiency_images: Annotated[int, Ge(0)] = 0
    top: Positive = 10
    distribution: Literal["none", "fid", "kid"] = "none"


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. `regimen`: "encoder" reconstructs only, "alternating" takes turns with random w, "random" is a plain StyleGAN2.

    Example:
        >>> config = TrainConfig(DataConfig(digits=(3, 5)), run=RunConfig(steps=1000, precision="bf16"))
        >>> config.regimen, config.losses.r1_every, config.to_json()["run"]["steps"]
        ('alternating', 16, 1000)

    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    data: DataConfig
    regimen: Regimen = "alternating"
    model: ModelConfig = field(default_factory=ModelConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)

    def to_json(self) -> dict[str, Any]:
        """The settings as a run records them."""
        found: dict[str, Any] = _PARSER.dump_python(self, mode="json")
        return found


_PARSER = TypeAdapter(TrainConfig)


def load(config: TrainConfig | str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The settings, or those of a YAML file, with `group.name=value` on top. Raises BadInput, naming the setting.

    Example:
        >>> load(TrainConfig(DataConfig(digits=(3, 5))), ["run.steps=100"]).run.steps
        100

    """
    source = config.to_json() if isinstance(config, TrainConfig) else Path(config)
    found = read_settings(_PARSER, source, overrides)
    _check(found, "settings" if isinstance(config, TrainConfig) else str(config))
    return found


def _check(config: TrainConfig, where: str) -> None:
    """Raises BadInput for settings that do not go together."""
    losses = config.losses
    if config.run.batch % config.run.accumulate:
        raise BadInput(f"{where}: run.batch {config.run.batch} is not {config.run.accumulate} equal parts (run.accumulate)")
    if config.regimen != "encoder" and not losses.adversarial_weight:
        raise BadInput(f"{where}: regimen {config.regimen} without losses.adversarial_weight: nothing teaches images of random w")
    if losses.adversarial == "wgan" and losses.adversarial_weight and not (losses.gradient_penalty or losses.r1):
        raise BadInput(f"{where}: WGAN needs a smooth discriminator; give losses.gradient_penalty (10 is its paper's)")
