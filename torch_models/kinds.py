"""What each known network is, declared once: every room asks here instead of keeping a table of its own. Imports no torch.

A declaration is a `NetworkKind`. What needs a framework, or belongs to another room, stands in it as a `Lazy` reference
("module:name") that is imported when a room first asks for it; so one declaration says everything and costs nothing.

A network has a *role* (what it does in a StylEx: generator, encoder, discriminator, classifier) and an *architecture* (what it is:
mobilenet_v1). Folders, ledgers and recordings are named after the role. `config.json` names the architecture only where it is not the
one that StylEx's authors released in that role (`RELEASED`), so that files without it mean what they always meant.

To add a network: write its declaration and what it refers to, and `register` it (docs/architecture.md, "Adding a network").
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stylexport.torch_models.config import (
    RELEASED,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    MobileNetV1Config,
    NetworkConfig,
)
from stylexport.torch_models.stylegan2_config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig

ROLES = tuple(RELEASED)  # the networks of a StylEx, in the order in which they are recorded and shown


@dataclass(frozen=True)
class Lazy:
    """Something that is defined elsewhere: `at` is "package.module:name".

    Example:
        >>> Lazy("stylexport.torch_models.config:log2").load()(64)
        6

    """

    at: str

    def load(self) -> Any:
        """What the reference names. Raises ImportError or AttributeError where there is no such thing."""
        module, _, name = self.at.partition(":")
        return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class NetworkKind:
    """One known network. Only the first block is needed for conversion; the second is the original's side, the third the proof's.

    `config` is its configuration, which holds its role and architecture. `source` is where the defaults of the configuration come from.
    `module`: the PyTorch module, a `PretrainedNetwork`. `recognition`: how it is found in a file, and its rule table
    (`converter.mapping.recognise.Recognition`). `released_file`: its SavedModel's name in a release. `shared`: fields of the
    configuration in which the networks of one StylEx must agree. `sizes`: fields without which two networks cannot be compared.

    `inputs`: name -> number of axes, the samples' included, in the order of the module's arguments. `outputs`: names. `layout` of an
    image ("NCHW", "NHWC") where the original's graph does not show it. `reference`: the same network in TensorFlow
    (`reference_tf.networks.build.Reference`). `calls`: which functions of a file are run to record it, and how
    (`converter.calls`; by default the one that takes `inputs` and uses every weight). `taps`: which tensors of the graph answer for which
    layer (`converter.graph.taps`; by default one a layer). `mixing`: layers that mix samples, which are recorded with all samples.
    `group`: the field of the configuration by which the number of samples is a multiple. `provides`: outputs of which the inputs of the
    networks behind it are made.

    `run`: how the module gives its named outputs (`parity.ports`; by default it is called with `inputs` in order). `sites`: layers that
    are not seen at the output of the module of their name. `gates`: output -> what must hold of it whatever the layers say
    (`parity.compare.gates`). `faults`: what the self-test does to the whole network, beside the faults of its layers
    (`parity.selftest.injections`).
    """

    config: type[NetworkConfig]
    source: str
    module: Lazy
    recognition: Lazy
    released_file: str
    shared: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()

    inputs: Mapping[str, int] = field(default_factory=lambda: {"image": 4})
    outputs: tuple[str, ...] = ("0",)
    layout: str = "NHWC"
    reference: Lazy | None = None
    calls: Lazy | None = None
    taps: Lazy | None = None
    mixing: tuple[str, ...] = ()
    group: str | None = None
    provides: tuple[str, ...] = ()

    run: Lazy | None = None
    sites: Lazy | None = None
    gates: Lazy | None = None
    faults: Lazy | None = None

    @property
    def role(self) -> str:
        """What it does in a StylEx; of a network that has no part in one, its own name."""
        return self.config.network

    @property
    def architecture(self) -> str:
        """What it is; unique among the kinds."""
        return self.config.architecture

    @property
    def label(self) -> str:
        """How messages call it: by its role, or by its architecture where another one was released in that role."""
        return self.role if RELEASED.get(self.role, self.role) == self.architecture else self.architecture

    @property
    def title(self) -> str:
        """How papers call it: "MobileNetV1"."""
        return self.config.__name__.removesuffix("Config")


KINDS: dict[str, NetworkKind] = {}  # by architecture, in the order of registration


def register(kind: NetworkKind) -> None:
    """Make a network known to every room. Raises ValueError where its architecture is known already, or has no name."""
    if not kind.role or not kind.architecture:
        raise ValueError(f"{kind.config.__name__} needs `network` (its role) and `architecture` (its name)")
    if kind.architecture in KINDS:
        raise ValueError(f"{kind.architecture} is registered already; choose another name")
    KINDS[kind.architecture] = kind


def kinds_called(name: str) -> list[NetworkKind]:
    """The kinds with this architecture or this role.

    Example:
        >>> [kind.architecture for kind in kinds_called("classifier")]
        ['mobilenet_v1']

    """
    return [kind for kind in KINDS.values() if name in (kind.architecture, kind.role)]


def kind_of(config: NetworkConfig) -> NetworkKind | None:
    """The kind of a configuration; None for one that only its user knows."""
    kind = KINDS.get(config.architecture)
    return kind if kind is not None and isinstance(config, kind.config) else None


def kind_from_json(values: Mapping[str, Any], role: str | None = None) -> NetworkKind:
    """The kind that a `config.json` describes; `role` is meant where it names none. Raises ValueError where no kind is that.

    Example:
        >>> kind_from_json({"network": "classifier"}).architecture
        'mobilenet_v1'

    """
    network = values.get("network", role)
    architecture = values.get("architecture", RELEASED.get(str(network), network))
    kind = KINDS.get(str(architecture))
    if kind is None or kind.role != network:
        known = ", ".join(dict.fromkeys(kind.role for kind in KINDS.values()))
        of = f"of the architecture {architecture!r}" if "architecture" in values else f"{network!r}"
        raise ValueError(f"config.json names no network of {known}: {of}")
    return kind


def kind_named_by(values: Mapping[str, Any] | None) -> NetworkKind | None:
    """The kind that a `config.json` describes; None for a network that only its user knows, or that has no configuration."""
    try:
        return kind_from_json(values or {})
    except ValueError:
        return None


def config_from_json(values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration of whichever network `values` names. Raises ValueError where it names none, or does not fit it."""
    return kind_from_json(values).config.from_json(values)


def known_roles() -> Iterator[str]:
    """The roles of all kinds, each once, in order."""
    yield from dict.fromkeys(kind.role for kind in KINDS.values())


_STYLEGAN2 = "StyleGAN2 (Karras et al. 2020)"

register(
    NetworkKind(
        config=GeneratorConfig,
        source=_STYLEGAN2,
        module=Lazy("stylexport.torch_models.generator:Generator"),
        recognition=Lazy("stylexport.converter.mapping.stylegan.generator_rules:RECOGNITION"),
        released_file="generator.savedmodel",
        shared=("resolution", "image_channels", "latent", "labels"),
        sizes=("resolution", "channels", "latent", "labels", "z", "image_channels", "mapping_layers"),
        inputs={"z": 2, "dlatent": 2},
        outputs=("image",),
        layout="NCHW",
        reference=Lazy("stylexport.reference_tf.networks.generator:REFERENCE"),
        calls=Lazy("stylexport.converter.calls.generator_calls:generator_calls"),
        taps=Lazy("stylexport.converter.graph.taps:generator_taps"),
        provides=("w", "image"),
        run=Lazy("stylexport.parity.ports:run_generator"),
        sites=Lazy("stylexport.parity.ports:generator_sites"),
        gates=Lazy("stylexport.parity.compare.gates:IMAGE_GATES"),
    )
)
register(
    NetworkKind(
        config=EncoderConfig,
        source=_STYLEGAN2,
        module=Lazy("stylexport.torch_models.encoder:Encoder"),
        recognition=Lazy("stylexport.converter.mapping.stylegan.discriminator_rules:ENCODER_RECOGNITION"),
        released_file="encoder.savedmodel",
        shared=("resolution", "image_channels", "latent"),
        sizes=("resolution", "channels", "latent", "hidden", "image_channels"),
        outputs=("w",),
        layout="NCHW",
        reference=Lazy("stylexport.reference_tf.networks.discriminator:ENCODER_REFERENCE"),
        taps=Lazy("stylexport.converter.graph.taps:residual_taps"),
    )
)
register(
    NetworkKind(
        config=DiscriminatorConfig,
        source=_STYLEGAN2,
        module=Lazy("stylexport.torch_models.discriminator:Discriminator"),
        recognition=Lazy("stylexport.converter.mapping.stylegan.discriminator_rules:DISCRIMINATOR_RECOGNITION"),
        released_file="discriminator.savedmodel",
        shared=("resolution", "image_channels", "labels"),
        sizes=("resolution", "channels", "labels", "hidden", "image_channels"),
        inputs={"image": 4, "probabilities": 2},
        outputs=("score",),
        layout="NCHW",
        reference=Lazy("stylexport.reference_tf.networks.discriminator:DISCRIMINATOR_REFERENCE"),
        taps=Lazy("stylexport.converter.graph.taps:discriminator_taps"),
        mixing=("b8", "b4.mbstd"),
        group="mbstd_group",
    )
)
register(
    NetworkKind(
        config=MobileNetV1Config,
        source="MobileNetV1 (Howard et al. 2017)",
        module=Lazy("stylexport.torch_models.mobilenet:MobileNetV1"),
        recognition=Lazy("stylexport.converter.mapping.classifier.recognise_mobilenet:RECOGNITION"),
        released_file="mobilenet.savedmodel",
        shared=("image_channels", "labels"),
        sizes=("resolution", "labels", "image_channels"),
        outputs=("logits",),
        reference=Lazy("stylexport.reference_tf.networks.mobilenet:REFERENCE"),
        taps=Lazy("stylexport.converter.graph.taps:classifier_taps"),
        run=Lazy("stylexport.parity.ports:run_classifier"),
        gates=Lazy("stylexport.parity.compare.gates:CLASSIFIER_GATES"),
        faults=Lazy("stylexport.parity.selftest.injections:CLASSIFIER_FAULTS"),
    )
)
register(
    NetworkKind(
        config=StyleGAN2GeneratorConfig,
        source=_STYLEGAN2,
        module=Lazy("stylexport.torch_models.stylegan2:StyleGAN2Generator"),
        recognition=Lazy("stylexport.converter.mapping.stylegan.stylegan2_generator:RECOGNITION"),
        released_file="stylegan2_generator.savedmodel",
        shared=("resolution", "image_channels"),
        sizes=("resolution", "channels", "latent", "z", "classes", "image_channels", "mapping_layers", "has_noise"),
        inputs={"z": 2, "classes": 2, "dlatent": 2},
        outputs=("image",),
        layout="NCHW",
        reference=Lazy("stylexport.reference_tf.networks.stylegan2:GENERATOR_REFERENCE"),
        calls=Lazy("stylexport.converter.calls.generator_calls:generator_calls"),
        taps=Lazy("stylexport.converter.graph.taps:generator_taps"),
        provides=("w", "image"),
        run=Lazy("stylexport.parity.ports:run_generator"),
        sites=Lazy("stylexport.parity.ports:generator_sites"),
        gates=Lazy("stylexport.parity.compare.gates:IMAGE_GATES"),
    )
)
register(
    NetworkKind(
        config=StyleGAN2DiscriminatorConfig,
        source=_STYLEGAN2,
        module=Lazy("stylexport.torch_models.stylegan2:StyleGAN2Discriminator"),
        recognition=Lazy("stylexport.converter.mapping.stylegan.stylegan2_discriminator:RECOGNITION"),
        released_file="stylegan2_discriminator.savedmodel",
        shared=("resolution", "image_channels"),
        sizes=("resolution", "channels", "classes", "hidden", "image_channels"),
        inputs={"image": 4, "classes": 2},
        outputs=("score",),
        layout="NCHW",
        reference=Lazy("stylexport.reference_tf.networks.stylegan2:DISCRIMINATOR_REFERENCE"),
        calls=Lazy("stylexport.converter.calls.calls:discriminator_calls"),
        taps=Lazy("stylexport.converter.graph.taps:discriminator_taps"),
        mixing=("b8", "b4.mbstd"),
        group="mbstd_group",
        run=Lazy("stylexport.parity.ports:run_discriminator"),
    )
)
