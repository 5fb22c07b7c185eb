"""The networks of a run: new ones, and what they take from a converted release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.torch_models.config import RELEASED, channel_schedule
from stylexport.torch_models.kinds import KINDS
from stylexport.torch_models.pretrained import PretrainedNetwork
from stylexport.torch_models.stylex import StylEx
from stylexport.training.config import ModelConfig

Networks = dict[str, PretrainedNetwork]


@dataclass(frozen=True)
class Reuse:
    """What of a network came from a release: names of the tensors taken whole, those taken in part (and which part), and the new ones."""

    whole: tuple[str, ...] = ()
    part: Mapping[str, str] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()

    def summary(self) -> str:
        """As a line, such as "54 tensors reused, 9 in part (b4.conv1.weight: columns of w), 3 fresh (b64.fromrgb.weight, ...)"."""
        words = [f"{len(self.whole)} tensors reused"]
        if self.part:
            name, what = next(iter(self.part.items()))
            words.append(f"{len(self.part)} in part ({name}: {what}{', ...' if len(self.part) > 1 else ''})")
        if self.fresh:
            words.append(f"{len(self.fresh)} fresh ({', '.join(self.fresh[:3])}{', ...' if len(self.fresh) > 3 else ''})")
        return ", ".join(words)


def build(
    model: ModelConfig, resolution: int, labels: int, names: tuple[str, ...], release: StylEx | None = None
) -> tuple[Networks, dict[str, Reuse]]:
    """The networks `names`, and for each one that the release has what was reused.

    A network that the release has keeps its architecture, at this resolution and with so many labels; the others are `model`'s.
    Raises ValueError where sizes do not fit.
    """
    channels = model.channels or channel_schedule(resolution, model.base, model.most)
    shared = {"resolution": resolution, "channels": channels}
    own: dict[str, dict[str, Any]] = {
        "generator": {"latent": model.latent, "labels": labels, "z": model.z, "mapping_layers": model.mapping_layers},
        "encoder": {"latent": model.latent, "hidden": model.hidden},
        "discriminator": {"labels": labels, "hidden": model.hidden},
    }
    if release is not None and release.generator is not None:
        own["encoder"]["latent"] = release.generator.config.latent
    elif release is not None and release.encoder is not None:
        own["generator"]["latent"] = release.encoder.config.latent
    networks, reuses = {}, {}
    for name in names:
        kind = KINDS[RELEASED[name]]
        source: PretrainedNetwork | None = getattr(release, name, None)
        if source is None:
            networks[name] = kind.module.load()(kind.config(**shared, **own[name]))
        else:
            networks[name] = kind.module.load()(adapted(source.config, resolution, labels))
            reuses[name] = reuse(networks[name], source)
        networks[name].train().requires_grad_(True)
    return networks, reuses


def adapted(config: Any, resolution: int, labels: int) -> Any:
    """A release's configuration at another resolution and with other labels; each doubling halves the channels of the last."""
    channels = list(config.channels)
    while len(channels) < len(channel_schedule(resolution)):
        channels.append(max(channels[-1] // 2, 1))
    changes: dict[str, Any] = {"resolution": resolution, "channels": tuple(channels[: len(channel_schedule(resolution))])}
    if hasattr(config, "labels"):
        changes["labels"] = labels
    return dataclasses.replace(config, **changes)


@torch.no_grad()
def reuse(network: PretrainedNetwork, source: PretrainedNetwork) -> Reuse:
    """Fill `network` with what `source` has of the same name and shape; of an affine for other labels the columns of w."""
    given, target = source.state_dict(), network.state_dict()
    whole: list[str] = []
    fresh: list[str] = []
    part: dict[str, str] = {}
    for name, tensor in target.items():
        other = given.get(name)
        if other is None:
            fresh.append(name)
        elif other.shape == tensor.shape:
            tensor.copy_(other)
            whole.append(name)
        elif name.startswith("style_vectors.") and _columns_of_w(network, tensor, other):
            latent = network.config.latent
            tensor[:, :latent] = other[:, :latent].to(tensor.dtype)
            part[name] = "columns of w"
        else:
            fresh.append(name)
    return Reuse(tuple(whole), part, tuple(fresh))


def _columns_of_w(network: PretrainedNetwork, tensor: Tensor, other: Tensor) -> bool:
    return tensor.ndim == 2 and len(tensor) == len(other) and min(tensor.shape[1], other.shape[1]) >= network.config.latent


@torch.no_grad()
def equalise_label_columns(networks: Networks) -> None:
    """Averages the label columns of generator and discriminator, so that conditioning has no effect.

    Under equal probabilities the columns get equal gradients, so they stay equal, and any probabilities give the same image.
    """
    generator, discriminator = networks.get("generator"), networks.get("discriminator")
    if generator is not None:
        latent = generator.config.latent
        for name, tensor in generator.named_parameters():
            if name.startswith("style_vectors.") and tensor.ndim == 2:
                tensor[:, latent:] = tensor[:, latent:].mean(1, keepdim=True)
    if discriminator is not None:
        for name, tensor in discriminator.named_parameters():
            if name.startswith("b4.out."):
                tensor.copy_(tensor.mean(0, keepdim=True).expand_as(tensor))


def compile_networks(networks: Networks) -> dict[str, nn.Module]:
    """Compiled encoder, discriminator and synthesis network ("synthesis"), with the weights of `networks`."""
    generator: Any = networks["generator"]
    parts = {name: network for name, network in networks.items() if name != "generator"} | {"synthesis": generator.synthesis}
    return {name: torch.compile(module) for name, module in parts.items()}  # type: ignore[misc]
